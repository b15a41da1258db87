"""Conditional writes and deletes."""

from __future__ import annotations

from sessionkit._types import ANY
from sessionkit.errors import SessionConflictError
from sessionkit.testing._client import Client
from sessionkit.testing._promises import promise
from sessionkit.testing._subject import Subject
from sessionkit.testing._table.basics import FALSY
from sessionkit.testing._table.revisions import REVISIONS


async def _expect_deleted(storage: Client, expected: object) -> None:
    storage.expect(await storage.write_if("1", None, expected), None)
    await storage.expect_read("1", None)
    storage.expect(await storage.read_with_revision("1"), (None, None))


@promise(
    "A conditional write with the revision that is stored goes through.",
    hint="the condition is compared with something else than what read_with_revision() gives.",
    needs=REVISIONS,
)
async def fresh_revision_is_taken(subject: Subject) -> None:
    async with subject.client() as storage:
        await storage.write("1", {"n": 1})
        _, revision = await storage.read_with_revision("1")
        revision = await storage.write_if("1", {"n": 2}, revision)
        await storage.expect_read("1", {"n": 2})
        await storage.write_if("1", {}, revision)
        await storage.expect_read("1", {})


@promise(
    "A conditional write with an old revision raises SessionConflictError, and changes nothing.",
    hint="the condition is not looked at, or write_if() returns instead of raising.",
    needs=REVISIONS,
)
async def stale_revision_is_refused(subject: Subject) -> None:
    async with subject.client() as storage:
        old = await storage.write_if("1", {"n": 1}, None)
        new = await storage.write_if("1", {"n": 2}, old)
        await storage.expect_conflict("1", {"n": 3}, old)
        storage.expect((await storage.read_with_revision("1"))[0], {"n": 2})
        await storage.write_if("1", {"n": 4}, new)
        await storage.expect_read("1", {"n": 4})


@promise(
    "A conditional delete with an old revision raises SessionConflictError, and changes nothing.",
    hint="write_if(key, None, ...) deletes before, or without, looking at the condition.",
    needs=REVISIONS,
)
async def stale_delete_is_refused(subject: Subject) -> None:
    async with subject.client() as storage:
        old = await storage.write_if("1", {"n": 1}, None)
        await storage.write_if("1", {"n": 2}, old)
        await storage.expect_conflict("1", None, old)
        await storage.expect_read("1", {"n": 2})


@promise(
    "A conditional write is refused if the value was deleted meanwhile.",
    hint="an UPDATE that finds no row is taken for success, or nothing stored counts as unchanged.",
    needs=REVISIONS,
)
async def revision_of_deleted_is_refused(subject: Subject) -> None:
    async with subject.client() as storage:
        await storage.write("1", {"n": 1})
        _, revision = await storage.read_with_revision("1")
        await storage.delete("1")
        await storage.expect_conflict("1", {"n": 2}, revision)
        await storage.expect_conflict("1", None, revision)
        await storage.expect_read("1", None)


@promise(
    "A plain write makes older revisions stale.",
    hint="write() stores the value and leaves the revision as it was.",
    needs=REVISIONS,
)
async def plain_write_makes_stale(subject: Subject) -> None:
    async with subject.client() as storage:
        old = await storage.write_if("1", {"n": 1}, None)
        await storage.write("1", {"n": 2})
        await storage.expect_conflict("1", {"n": 3}, old)
        await storage.expect_read("1", {"n": 2})


@promise(
    "A write with ANY makes older revisions stale.",
    hint="an unconditional write_if() leaves the revision as it was.",
    needs=REVISIONS,
)
async def unconditional_write_makes_stale(subject: Subject) -> None:
    async with subject.client() as storage:
        old = await storage.write_if("1", {"n": 1}, None)
        await storage.write_if("1", {"n": 2}, ANY)
        await storage.expect_conflict("1", {"n": 3}, old)
        await storage.expect_read("1", {"n": 2})


@promise(
    "With ANY, write_if() stores and deletes in any case.",
    hint="ANY is compared like a revision: ask 'expected is ANY' first.",
    needs=REVISIONS,
)
async def any_is_always_taken(subject: Subject) -> None:
    async with subject.client() as storage:
        await storage.write_if("1", {"n": 1}, ANY)
        await storage.expect_read("1", {"n": 1})
        await storage.write_if("1", {"n": 2}, ANY)
        await storage.expect_read("1", {"n": 2})
        await _expect_deleted(storage, ANY)
        await _expect_deleted(storage, ANY)


@promise(
    "With None, write_if() stores only if nothing is stored.",
    hint="an expected None is taken for 'no condition': that is what ANY is for.",
    needs=REVISIONS,
)
async def none_means_nothing_stored(subject: Subject) -> None:
    async with subject.client() as storage:
        await storage.write_if("1", {"n": 1}, None)
        await storage.expect_conflict("1", {"n": 2}, None)
        await storage.expect_read("1", {"n": 1})


@promise(
    "With None, write_if() is refused where a falsy value is stored.",
    hint="'if value' instead of 'is not None' takes a falsy value for nothing.",
    needs=REVISIONS,
)
async def falsy_counts_as_stored(subject: Subject) -> None:
    for value in FALSY:
        subject.start_history()
        async with subject.client() as storage:
            await storage.write("1", value)
            await storage.expect_conflict("1", {"n": 2}, None)
            await storage.expect_read("1", value)


@promise(
    "With None, write_if() stores again where a value was deleted.",
    hint="delete() leaves a mark that counts as stored.",
    needs=REVISIONS,
)
async def deleted_counts_as_nothing(subject: Subject) -> None:
    async with subject.client() as storage:
        await storage.write("1", {"n": 1})
        await storage.delete("1")
        await storage.write_if("1", {"n": 2}, None)
        await storage.expect_read("1", {"n": 2})


@promise(
    "write_if(key, None, revision) deletes, and returns None.",
    hint="None is stored as a value, or the revision of the deleted value is returned.",
    needs=REVISIONS,
)
async def conditional_delete_removes(subject: Subject) -> None:
    async with subject.client() as storage:
        revision = await storage.write_if("1", {"n": 1}, None)
        await _expect_deleted(storage, revision)


@promise(
    "write_if(key, None, None) does nothing if nothing is stored, and is refused otherwise.",
    hint="the delete is done without looking at the condition, or raises if there is nothing.",
    needs=REVISIONS,
)
async def delete_of_nothing_is_conditional(subject: Subject) -> None:
    async with subject.client() as storage:
        await _expect_deleted(storage, None)
        await storage.write("1", {"n": 1})
        await storage.expect_conflict("1", None, None)
        await storage.expect_read("1", {"n": 1})


@promise(
    "After the same value was written back, an old revision is refused, or its write is stored.",
    hint="write_if() returns as if it had written.",
    needs=REVISIONS,
)
async def write_back_is_no_loss(subject: Subject) -> None:
    async with subject.client() as storage:
        old = await storage.write_if("1", {"n": 1}, None)
        await storage.write("1", {"n": 2})
        await storage.write("1", {"n": 1})
        try:
            await storage.write_if("1", {"n": 3}, old)
        except SessionConflictError:
            await storage.expect_read("1", {"n": 1})
        else:
            await storage.expect_read("1", {"n": 3})


@promise(
    "A value that cannot be stored raises from write_if() as well, and the old value stays.",
    hint="the old value is removed before the new one is encoded: encode first.",
    needs=REVISIONS,
)
async def unstorable_conditional_write_keeps_the_old_value(subject: Subject) -> None:
    async with subject.client() as storage:
        revision = await storage.write_if("1", {"n": 1}, None)
        value = {"n": 2, "function": lambda: None}
        try:
            await storage.write_if("1", value, revision)
        except Exception:  # noqa: BLE001 (whatever fits)
            await storage.expect_read("1", {"n": 1})
            await storage.write_if("1", {"n": 2}, revision)
        else:
            await storage.expect_read("1", value)


@promise(
    "With isolated = True, values of conditional writes and of reads with revision may be changed.",
    hint="these methods keep or give the stored object itself.",
    needs=("isolated", *REVISIONS),
)
async def conditional_writes_are_isolated(subject: Subject) -> None:
    async with subject.client() as storage:
        value = {"list": [1]}
        await storage.write_if("1", value, None)
        value["list"].append(2)
        storage.history.note("# the value that was written is changed: value['list'].append(2)")
        found, _ = await storage.read_with_revision("1")
        storage.expect(found, {"list": [1]})
        found["list"].append(3)
        storage.history.note("# the value that was read is changed: value['list'].append(3)")
        await storage.expect_read("1", {"list": [1]})

"""Revisions: tokens that stand for one stored value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sessionkit.testing._client import Client
from sessionkit.testing._promises import promise
from sessionkit.testing._subject import Subject
from sessionkit.testing._table._cases import with_fewest
from sessionkit.testing._table.basics import FALSY

REVISIONS: Final = ("read_with_revision", "write_if")
_UNLIKE: Final[tuple[Any, ...]] = (
    *FALSY,
    1,
    1.0,
    True,
    "1",
    [1],
    {"n": 1},
    {"n": 1.0},
    {"n": True},
)


@promise(
    "read_with_revision() and write_if() come together: a storage has both or none.",
    hint="one of the two is missing, or has another name.",
)
async def revisions_are_both_or_none(subject: Subject) -> None:
    offered = (await subject.capabilities()).intersection(REVISIONS)
    async with subject.client() as storage:
        if len(offered) == 1:
            storage.fail(expected="both methods or none", got=f"only {next(iter(offered))}()")


@promise(
    "read_with_revision() of a missing key gives (None, None).",
    hint="it gives a revision of nothing, such as 0, or only None.",
    needs=REVISIONS,
)
async def missing_has_no_revision(subject: Subject) -> None:
    async with subject.client() as storage:
        storage.expect(await storage.read_with_revision("1"), (None, None))
        await storage.write("1", {"n": 1})
        await storage.delete("1")
        storage.expect(await storage.read_with_revision("1"), (None, None))


@promise(
    "read_with_revision() gives the value that read() gives, and a hashable revision that is "
    "not None; falsy values have one as well.",
    hint="the two methods read from different places, or 'if value' is asked for 'is not None'.",
    needs=REVISIONS,
)
async def stored_value_has_a_revision(subject: Subject) -> None:
    for stored in ({"n": 1}, *FALSY):
        subject.start_history()
        async with subject.client() as storage:
            await storage.write("1", stored)
            value, revision = await storage.read_with_revision("1")
            storage.expect(value, stored)
            hash(revision)
            if revision is None:
                storage.fail(expected="a revision", got="None")


@promise(
    "Reading leaves the revision as it is.",
    hint="the revision is made anew at each reading: a random number, an object without __eq__.",
    needs=REVISIONS,
)
async def reading_keeps_the_revision(subject: Subject) -> None:
    async with subject.client() as storage:
        await storage.write("1", {"n": 1})
        _, first = await storage.read_with_revision("1")
        await storage.read("1")
        _, again = await storage.read_with_revision("1")
        _expect_same(storage, first, again)


def _expect_same(storage: Client, first: object, again: object) -> None:
    if first is None or first != again:
        name = storage.history.revision_name
        storage.fail(
            expected="one revision, the same both times", got=f"{name(first)} and {name(again)}"
        )


@promise(
    "write_if() gives the revision that read_with_revision() gives afterwards.",
    hint="write_if() gives the revision before the write, or nothing.",
    needs=REVISIONS,
)
async def write_gives_the_new_revision(subject: Subject) -> None:
    for value in ({"n": 1}, *FALSY):
        subject.start_history()
        async with subject.client() as storage:
            written = await storage.write_if("1", value, None)
            found, read = await storage.read_with_revision("1")
            storage.expect(found, value)
            _expect_same(storage, written, read)


@promise(
    "Different values never have the same revision: 1, 1.0 and True differ as well.",
    hint="the revision is a hash of the Python value, a length, or a time that is too coarse.",
    needs=REVISIONS,
)
async def different_values_differ_in_revision(subject: Subject) -> None:
    await with_fewest(subject, _UNLIKE, _differ_in_revision, most=2)


async def _differ_in_revision(storage: Client, values: Sequence[Any]) -> None:
    seen: list[Any] = []
    for value in values:
        await storage.write("1", value)
        _, revision = await storage.read_with_revision("1")
        if revision in seen:
            storage.fail(
                expected="a revision that no other value had",
                got=storage.history.revision_name(revision),
            )
        seen.append(revision)


@promise(
    "After a delete the revisions of a key do not begin anew.",
    hint="the counter is stored with the value and begins at 1 again: use a random or a global "
    "revision, or the content.",
    needs=REVISIONS,
)
async def revisions_do_not_begin_anew(subject: Subject) -> None:
    async with subject.client() as storage:
        await storage.write("1", {"n": 1})
        _, old = await storage.read_with_revision("1")
        await storage.delete("1")
        await storage.write("1", {"n": 2})
        await storage.expect_conflict("1", {"n": 3}, old)
        await storage.expect_read("1", {"n": 2})


@promise(
    "A conditional delete and a new value do not make an old revision valid again.",
    hint="the counter is stored with the value and begins at 1 again.",
    needs=REVISIONS,
)
async def conditional_writes_do_not_begin_anew(subject: Subject) -> None:
    async with subject.client() as storage:
        old = await storage.write_if("1", {"n": 1}, None)
        await storage.write_if("1", None, old)
        await storage.write_if("1", {"n": 2}, None)
        await storage.expect_conflict("1", {"n": 3}, old)
        await storage.expect_read("1", {"n": 2})


@promise(
    "A revision belongs to one key, and says nothing of another.",
    hint="revisions are compared without looking at the key.",
    needs=REVISIONS,
)
async def revision_belongs_to_its_key(subject: Subject) -> None:
    async with subject.client() as storage:
        revision = await storage.write_if("1", {"n": 1}, None)
        await storage.expect_conflict("2", {"n": 2}, revision)
        await storage.write("2", {"n": 2})
        await storage.expect_conflict("2", {"n": 3}, revision)
        await storage.expect_read("2", {"n": 2})


@promise(
    "A write through a second opening makes the revisions of the first one stale.",
    hint="revisions are counted in the object and not where the data is.",
    needs=("shared", *REVISIONS),
)
async def revisions_hold_across_openings(subject: Subject) -> None:
    namespace = subject.namespace()
    async with subject.client(namespace) as storage, subject.client(namespace) as second:
        mine = await storage.write_if("1", {"n": 1}, None)
        theirs = (await second.read_with_revision("1"))[1]
        await second.write_if("1", {"n": 2}, theirs)
        await storage.expect_conflict("1", {"n": 3}, mine)
        await storage.expect_read("1", {"n": 2})


@promise(
    "A plain write through a second opening makes the revisions of the first one stale.",
    hint="revisions are counted in the object and not where the data is.",
    needs=("shared", *REVISIONS),
)
async def revisions_hold_across_plain_writes_elsewhere(subject: Subject) -> None:
    namespace = subject.namespace()
    async with subject.client(namespace) as storage, subject.client(namespace) as second:
        await storage.write("1", {"n": 1})
        _, mine = await storage.read_with_revision("1")
        await second.write("1", {"n": 2})
        await storage.expect_conflict("1", {"n": 3}, mine)
        await storage.expect_read("1", {"n": 2})


@promise(
    "A revision is still the same when the storage is opened again, and still valid.",
    hint="revisions are kept in memory, and made anew at opening.",
    needs=("durable", *REVISIONS),
)
async def revisions_outlive_closing(subject: Subject) -> None:
    namespace = subject.namespace()
    async with subject.client(namespace) as storage:
        before = await storage.write_if("1", {"n": 1}, None)
    async with subject.client(namespace) as storage:
        _, after = await storage.read_with_revision("1")
        _expect_same(storage, before, after)
        await storage.write_if("1", {"n": 2}, before)
        await storage.expect_read("1", {"n": 2})

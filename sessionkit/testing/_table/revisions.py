"""Revisions, tokens of one stored value, and what is written on condition of them."""

from __future__ import annotations

from typing import Any, Final

from sessionkit.protocols import ANY
from sessionkit.testing._ops import SEEN, Seen, delete, look, read, write, write_if
from sessionkit.testing._promises import promise
from sessionkit.testing._subject import Subject
from sessionkit.testing._table.rows import (
    FALSY,
    REOPEN,
    REVISIONS,
    changed,
    each,
    expect_both_or_none,
    expect_stored_or_refused,
    promised,
    promised_of,
    second,
)

_1: Final[Any] = {"n": 1}
_2: Final[Any] = {"n": 2}
_3: Final[Any] = {"n": 3}
_OLDER: Final = Seen(1)
_SHARED: Final = ("shared", *REVISIONS)
_UNLIKE: Final[tuple[Any, ...]] = (*FALSY, 1, 1.0, True, "1", [1], _1, {"n": 1.0}, {"n": True})
_RESTARTS: Final = "the counter is stored with the value and begins at 1 again"
_IN_THE_OBJECT: Final = "revisions are counted in the object and not where the data is."


@promise(
    "read_with_revision() and write_if() come together: a storage has both or none.",
    hint="one of the two is missing, or has another name.",
)
async def revisions_are_both_or_none(subject: Subject) -> None:
    await expect_both_or_none(subject, REVISIONS)


promised(
    "missing_has_no_revision",
    "read_with_revision() of a missing key gives (None, None).",
    "it gives a revision of nothing, such as 0, or only None.",
    [look("1"), write("1", _1), delete("1"), look("1")],
    needs=REVISIONS,
)
promised_of(
    "stored_value_has_a_revision",
    "read_with_revision() gives the value that read() gives, and a hashable revision that is "
    "not None; falsy values have one as well.",
    "the two methods read from different places, or 'if value' is asked for 'is not None'.",
    (_1, *FALSY),
    each(lambda value: [write("1", value), look("1")]),
    needs=REVISIONS,
)
promised(
    "reading_keeps_the_revision",
    "Reading leaves the revision as it is.",
    "each reading makes a new revision: a random number, an object without __eq__.",
    [write("1", _1), look("1"), read("1"), look("1")],
    needs=REVISIONS,
)
promised_of(
    "write_gives_the_new_revision",
    "write_if() gives the revision that read_with_revision() gives afterwards.",
    "write_if() gives the revision before the write, or nothing.",
    (_1, *FALSY),
    each(lambda value: [write_if("1", value, None), look("1"), delete("1")]),
    needs=REVISIONS,
)
promised_of(
    "different_values_differ_in_revision",
    "Different values never have the same revision: 1, 1.0 and True differ as well.",
    "the revision is a hash of the Python value, a length, or a time that is too coarse.",
    _UNLIKE,
    each(lambda value: [write("1", value), look("1")]),
    needs=REVISIONS,
    most=2,
)
promised(
    "revisions_do_not_restart",
    "After a delete the revisions of a key do not start again.",
    f"{_RESTARTS}: use a random or a global revision, or the content.",
    [
        write("1", _1),
        look("1"),
        delete("1"),
        write("1", _2),
        write_if("1", _3),
        read("1"),
    ],
    needs=REVISIONS,
)
promised(
    "conditional_writes_do_not_restart_revisions",
    "A conditional delete and a new value do not make an old revision valid again.",
    f"{_RESTARTS}.",
    [
        write_if("1", _1, None),
        write_if("1", None),
        write_if("1", _2, None),
        write_if("1", _3, _OLDER),
        read("1"),
    ],
    needs=REVISIONS,
)


@promise(
    "A revision belongs to one key, and says nothing of another.",
    hint="revisions are compared without looking at the key.",
    needs=REVISIONS,
)
async def revision_belongs_to_its_key(subject: Subject) -> None:
    async with subject.client() as storage:
        revision = await storage.write_if("1", _1, None)
        await storage.expect_conflict("2", _2, revision)
        await storage.write("2", _2)
        await storage.expect_conflict("2", _3, revision)
        await storage.expect_read("2", _2)


promised(
    "revisions_hold_across_openings",
    "A write through a second opening makes the revisions of the first one stale.",
    _IN_THE_OBJECT,
    [
        write_if("1", _1, None),
        second(look("1")),
        second(write_if("1", _2)),
        write_if("1", _3, _OLDER),
        read("1"),
    ],
    needs=_SHARED,
)
promised(
    "revisions_hold_across_plain_writes_elsewhere",
    "A plain write through a second opening makes the revisions of the first one stale.",
    _IN_THE_OBJECT,
    [
        write("1", _1),
        look("1"),
        second(write("1", _2)),
        write_if("1", _3),
        read("1"),
    ],
    needs=_SHARED,
)
promised(
    "revisions_outlive_closing",
    "A revision is still the same when the storage is opened again, and still valid.",
    "revisions are kept in memory, and new ones are made at opening.",
    [write_if("1", _1, None), REOPEN, look("1"), write_if("1", _2, _OLDER), read("1")],
    needs=("durable", *REVISIONS),
)

# Conditional writes and deletes.

promised(
    "fresh_revision_is_taken",
    "A conditional write with the revision that is stored goes through.",
    "the condition is compared with something else than what read_with_revision() gives.",
    [
        write("1", _1),
        look("1"),
        write_if("1", _2),
        read("1"),
        write_if("1", {}),
        read("1"),
    ],
    needs=REVISIONS,
)
promised(
    "stale_revision_is_refused",
    "A conditional write with an old revision raises SessionConflictError, and changes nothing.",
    "the condition is not looked at, or write_if() returns instead of raising.",
    [
        write_if("1", _1, None),
        write_if("1", _2),
        write_if("1", _3, _OLDER),
        look("1"),
        write_if("1", {"n": 4}),
        read("1"),
    ],
    needs=REVISIONS,
)
promised(
    "stale_delete_is_refused",
    "A conditional delete with an old revision raises SessionConflictError, and changes nothing.",
    "write_if(key, None, ...) deletes before, or without, looking at the condition.",
    [write_if("1", _1, None), write_if("1", _2), write_if("1", None, _OLDER), read("1")],
    needs=REVISIONS,
)
promised(
    "revision_of_deleted_is_refused",
    "A conditional write is refused if the value was deleted meanwhile.",
    "an UPDATE that finds no row is taken for success, or nothing stored counts as unchanged.",
    [
        write("1", _1),
        look("1"),
        delete("1"),
        write_if("1", _2),
        write_if("1", None),
        read("1"),
    ],
    needs=REVISIONS,
)
promised(
    "plain_write_makes_stale",
    "A plain write makes older revisions stale.",
    "write() stores the value and leaves the revision as it was.",
    [write_if("1", _1, None), write("1", _2), write_if("1", _3), read("1")],
    needs=REVISIONS,
)
promised(
    "unconditional_write_makes_stale",
    "A write with ANY makes older revisions stale.",
    "an unconditional write_if() leaves the revision as it was.",
    [write_if("1", _1, None), write_if("1", _2, ANY), write_if("1", _3, _OLDER), read("1")],
    needs=REVISIONS,
)
promised(
    "any_is_always_taken",
    "With ANY, write_if() stores and deletes in any case.",
    "ANY is compared like a revision: ask 'expected is ANY' first.",
    [
        write_if("1", _1, ANY),
        read("1"),
        write_if("1", _2, ANY),
        read("1"),
        *(write_if("1", None, ANY), read("1"), look("1")) * 2,
    ],
    needs=REVISIONS,
)
promised(
    "none_means_nothing_stored",
    "With None, write_if() stores only if nothing is stored.",
    "an expected None is taken for 'no condition': that is what ANY is for.",
    [write_if("1", _1, None), write_if("1", _2, None), read("1")],
    needs=REVISIONS,
)
promised_of(
    "falsy_counts_as_stored",
    "With None, write_if() is refused where a falsy value is stored.",
    "'if value' instead of 'is not None' takes a falsy value for nothing.",
    FALSY,
    each(lambda value: [write("1", value), write_if("1", _2, None), read("1")]),
    needs=REVISIONS,
)
promised(
    "deleted_counts_as_nothing",
    "With None, write_if() stores again where a value was deleted.",
    "delete() leaves a mark that counts as stored.",
    [write("1", _1), delete("1"), write_if("1", _2, None), read("1")],
    needs=REVISIONS,
)
promised(
    "conditional_delete_removes",
    "write_if(key, None, revision) deletes, and returns None.",
    "None is stored as a value, or the revision of the deleted value is returned.",
    [write_if("1", _1, None), write_if("1", None), read("1"), look("1")],
    needs=REVISIONS,
)
promised(
    "delete_of_nothing_is_conditional",
    "write_if(key, None, None) does nothing if nothing is stored, and is refused otherwise.",
    "the delete is done without looking at the condition, or raises if there is nothing.",
    [
        write_if("1", None, None),
        read("1"),
        look("1"),
        write("1", _1),
        write_if("1", None, None),
        read("1"),
    ],
    needs=REVISIONS,
)
promised(
    "write_back_loses_nothing",
    "After the same value was written back, an old revision is refused, or its write is stored.",
    "write_if() returns as if it had written.",
    [
        write_if("1", _1, None),
        write("1", _2),
        write("1", _1),
        write_if("1", _3, SEEN),
        read("1"),
    ],
    needs=REVISIONS,
)
promised(
    "conditional_writes_are_isolated",
    "With isolated = True, values of conditional writes and of reads with revision may be changed.",
    "these methods keep or give the stored object itself.",
    [changed(write_if("1", {"list": [1]}, None)), changed(look("1")), read("1")],
    needs=("isolated", *REVISIONS),
)


@promise(
    "A value that cannot be stored raises from write_if() as well, and the old value stays.",
    hint="the old value is removed before the new one is encoded: encode first.",
    needs=REVISIONS,
)
async def unstorable_conditional_write_keeps_the_old_value(subject: Subject) -> None:
    async with subject.client() as storage:
        revision = await storage.write_if("1", _1, None)
        new = {"n": 2, "function": lambda: None}
        write = storage.write_if
        if not await expect_stored_or_refused(
            storage, lambda: write("1", new, revision), "1", new=new, old=_1
        ):
            await storage.write_if("1", _2, revision)

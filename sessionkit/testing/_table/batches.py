"""Many keys in one go."""

from __future__ import annotations

from typing import Any, Final

from sessionkit.testing._equal import alike
from sessionkit.testing._ops import read, read_many, write, write_many
from sessionkit.testing._promises import promise
from sessionkit.testing._show import show
from sessionkit.testing._subject import Subject
from sessionkit.testing._table.rows import (
    FALSY,
    changed,
    each,
    expect_stored_or_refused,
    number_keys,
    promised,
    promised_of,
)

_READS: Final = ("read_many",)
_WRITES: Final = ("write_many",)

promised(
    "read_many_leaves_out_missing",
    "read_many() gives what is stored, and leaves out what is missing.",
    "missing keys are given as None, or end the batch.",
    [*number_keys(["1", "3", "4"]), read_many("1", "2", "3")],
    needs=_READS,
)
promised_of(
    "read_many_gives_falsy_values",
    "read_many() gives falsy values too.",
    "missing values are left out by 'if value' instead of 'is not None'.",
    FALSY,
    each(lambda value: [write("1", value), read_many("1")]),
    needs=_READS,
)
promised(
    "read_many_takes_any_keys",
    "read_many() takes no keys, one key twice, and keys in any order.",
    "an empty IN () is not SQL; answers are matched to keys by position and not by name.",
    [
        *number_keys(["1", "2"]),
        read_many(),
        read_many("1", "1"),
        read_many("1", "2"),
        read_many("2", "3", "1", "2"),
    ],
    needs=_READS,
)
promised(
    "write_many_stores_all",
    "write_many() stores every value, and replaces what was there.",
    "only the first or the last value is written, or existing keys are kept.",
    [
        *number_keys(["1", "3"]),
        write_many({"1": {"n": 3}, "2": {"n": 4}}),
        *map(read, ("1", "2", "3")),
    ],
    needs=_WRITES,
)
promised_of(
    "write_many_stores_falsy_values",
    "write_many() stores falsy values too.",
    "values are left out by 'if value' instead of 'is not None'.",
    FALSY,
    each(lambda value: [write_many({"1": value}), read("1")]),
    needs=_WRITES,
)
promised(
    "write_many_takes_nothing",
    "write_many() of nothing does nothing.",
    "an empty VALUES is not SQL.",
    [write("1", {"n": 1}), write_many({}), read("1")],
    needs=_WRITES,
)
promised(
    "batches_are_isolated",
    "With isolated = True, changing values after a batch changes nothing that is stored.",
    "the batch keeps or gives the stored objects themselves.",
    [changed(write_many({"1": {"list": [1]}})), changed(read_many("1")), read("1")],
    needs=("isolated", "read_many", "write_many"),
)


@promise(
    "Batches may be large.",
    hint="a database takes only so many parameters in a statement: cut the batch into pieces.",
    needs=("read_many", "write_many"),
    timeout=120.0,
)
async def batches_may_be_large(subject: Subject) -> None:
    count = 40_000 if subject.thorough else 1_200
    values = {str(n): {"n": n} for n in range(count)}
    async with subject.client() as storage:
        await storage.write_many(values)
        found = await storage.read_many(list(values))
        if not alike(found, values):
            storage.fail(expected=f"all {count} values", got=f"{len(found)}: {show(found)}")


@promise(
    "A value in a batch that cannot be stored raises, and its old value stays.",
    hint="old values are removed before all new ones are encoded: encode first.",
    needs=_WRITES,
)
async def unstorable_value_in_a_batch_keeps_the_old_one(subject: Subject) -> None:
    async with subject.client() as storage:
        old, new = {"n": 2}, {"n": 3, "function": lambda: None}
        batch: dict[str, Any] = {"1": {"n": 1}, "2": new}
        await storage.write("2", old)
        write = storage.write_many
        await expect_stored_or_refused(storage, lambda: write(batch), "2", new=new, old=old)

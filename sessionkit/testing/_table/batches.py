"""Many keys in one go."""

from __future__ import annotations

from typing import Any

from sessionkit.testing._equal import alike
from sessionkit.testing._promises import promise
from sessionkit.testing._show import show
from sessionkit.testing._subject import Subject
from sessionkit.testing._table.basics import FALSY


@promise(
    "read_many() gives what is stored, and leaves out what is missing.",
    hint="missing keys are given as None, or end the batch.",
    needs=("read_many",),
)
async def read_many_leaves_out_missing(subject: Subject) -> None:
    async with subject.client() as storage:
        await storage.write("1", {"n": 1})
        await storage.write("3", {"n": 3})
        await storage.write("4", {"n": 4})
        found = await storage.read_many(["1", "2", "3"])
        storage.expect(found, {"1": {"n": 1}, "3": {"n": 3}})


@promise(
    "read_many() gives falsy values too.",
    hint="missing values are left out by 'if value' instead of 'is not None'.",
    needs=("read_many",),
)
async def read_many_gives_falsy_values(subject: Subject) -> None:
    for value in FALSY:
        subject.start_history()
        async with subject.client() as storage:
            await storage.write("1", value)
            storage.expect(await storage.read_many(["1"]), {"1": value})


@promise(
    "read_many() takes no keys, one key twice, and keys in any order.",
    hint="an empty IN () is no SQL; answers are matched to keys by position and not by name.",
    needs=("read_many",),
)
async def read_many_takes_any_keys(subject: Subject) -> None:
    async with subject.client() as storage:
        await storage.write("1", {"n": 1})
        await storage.write("2", {"n": 2})
        storage.expect(await storage.read_many([]), {})
        storage.expect(await storage.read_many(["1", "1"]), {"1": {"n": 1}})
        both = {"1": {"n": 1}, "2": {"n": 2}}
        storage.expect(await storage.read_many(["1", "2"]), both)
        storage.expect(await storage.read_many(["2", "3", "1", "2"]), both)


@promise(
    "write_many() stores every value, and replaces what was there.",
    hint="only the first or the last value is written, or existing keys are kept.",
    needs=("write_many",),
)
async def write_many_stores_all(subject: Subject) -> None:
    async with subject.client() as storage:
        await storage.write("1", {"n": 0})
        await storage.write("3", {"n": 3})
        await storage.write_many({"1": {"n": 1}, "2": {"n": 2}})
        await storage.expect_read("1", {"n": 1})
        await storage.expect_read("2", {"n": 2})
        await storage.expect_read("3", {"n": 3})


@promise(
    "write_many() stores falsy values too.",
    hint="values are left out by 'if value' instead of 'is not None'.",
    needs=("write_many",),
)
async def write_many_stores_falsy_values(subject: Subject) -> None:
    for value in FALSY:
        subject.start_history()
        async with subject.client() as storage:
            await storage.write_many({"1": value})
            await storage.expect_read("1", value)


@promise(
    "write_many() of nothing does nothing.",
    hint="an empty VALUES is no SQL.",
    needs=("write_many",),
)
async def write_many_takes_nothing(subject: Subject) -> None:
    async with subject.client() as storage:
        await storage.write("1", {"n": 1})
        await storage.write_many({})
        await storage.expect_read("1", {"n": 1})


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
    needs=("write_many",),
)
async def unstorable_value_in_a_batch_keeps_the_old_one(subject: Subject) -> None:
    async with subject.client() as storage:
        await storage.write("2", {"n": 2})
        value: Any = {"n": 3, "function": lambda: None}
        try:
            await storage.write_many({"1": {"n": 1}, "2": value})
        except Exception:  # noqa: BLE001 (whatever fits)
            await storage.expect_read("2", {"n": 2})
        else:
            await storage.expect_read("2", value)


@promise(
    "With isolated = True, changing values after a batch changes nothing that is stored.",
    hint="the batch keeps or gives the stored objects themselves.",
    needs=("isolated", "read_many", "write_many"),
)
async def batches_are_isolated(subject: Subject) -> None:
    async with subject.client() as storage:
        value = {"list": [1]}
        await storage.write_many({"1": value})
        value["list"].append(2)
        storage.history.note("# the value that was written is changed: value['list'].append(2)")
        found = await storage.read_many(["1"])
        storage.expect(found, {"1": {"list": [1]}})
        found["1"]["list"].append(3)
        storage.history.note("# the value that was read is changed: value['list'].append(3)")
        await storage.expect_read("1", {"list": [1]})

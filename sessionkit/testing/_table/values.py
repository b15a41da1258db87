"""Values come back as they were, types included."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from sessionkit.testing._client import Client
from sessionkit.testing._equal import alike
from sessionkit.testing._needs import LeftOut
from sessionkit.testing._promises import promise
from sessionkit.testing._show import show
from sessionkit.testing._subject import Subject
from sessionkit.testing._table._cases import REFUSALS, with_fewest

TYPES: Final[tuple[Any, ...]] = (
    1,
    1.0,
    True,
    -1,
    2.0,
    "1",
    [0, 0.0, False, "", [], {}, None],
    [1, 1.0, True, "1", None],
    {"a": 1, "b": 1.0, "c": True, "d": "1", "e": None},
)
INTEGERS: Final = (2**31, 2**32, 2**53 - 1, 2**53 + 1, 2**63 - 1, -(2**63))
HUGE_INTEGERS: Final = (2**63, 2**64, -(2**63) - 1, 2**70, 10**100)
FLOATS: Final = (0.1, 0.1 + 0.2, 1 / 3, math.pi, 1e-7, 1e22, 1e23, 1.5e300, 5e-324, -2.5)
NESTED: Final[tuple[Any, ...]] = (
    {"a": [{"b": [True, 1, 1.0]}]},
    [[[]], {}, [{}], {"a": {}}],
    {"a": None},
    [None],
    {"": {"": None}},
    {"a b": 1, "a.b": 2, "$a": 3, "0": 4},
)
TEXTS: Final = (
    "é",
    "e\u0301",
    "Привет",
    "你好",
    "🍕",
    "👩\u200d👩\u200d👧",
    " x ",
    "\n",
    "\r\n",
    "\t",
    "\\",
    '"',
    "'",
    "\u2028",
    "\ufeff",
    "\x7f",
    "%s %d {} $1",
)
ODD_TEXTS: Final = ("\x00", "a\x00b", "\x01", "\ud800", "\udc00 x", "\uffff")
LOOK_ALIKES: Final[tuple[Any, ...]] = (
    "null",
    "None",
    "true",
    "0",
    "{}",
    '{"n": 1}',
    "2026-01-01T00:00:00Z",
    {"__d": 1, "v": 2},
    {"__d": {"n": 1}, "v": 0, "e": 1},
    {"e": 1},
    {"ttl": 1, "value": 2},
    {"data": None},
    {"__class__": "dict"},
    {"$oid": "1"},
    {"py/object": "builtins.dict"},
)
ANY_VALUES: Final[tuple[Any, ...]] = (
    (1, 2),
    {1, 2},
    frozenset({"a"}),
    b"\x00\xff",
    {1: "a", 2.5: "b", (1, 2): "c", None: "d"},
    datetime(2026, 1, 1, tzinfo=UTC),
    timedelta(seconds=1.5),
    Decimal("1.10"),
    1 + 2j,
    {"set": {1}, "tuple": (1, [2])},
)


async def come_back(storage: Client, values: Sequence[Any]) -> None:
    """Check that each of *values* is read as it was written."""
    for value in values:
        await storage.write("1", value)
        await storage.expect_read("1", value)


async def come_back_or_are_refused(storage: Client, values: Sequence[Any]) -> None:
    """Check that none of *values* turns into something else."""
    for value in values:
        await storage.write("1", {"n": 1})
        try:
            await storage.write("1", value)
        except REFUSALS:
            await storage.expect_read("1", {"n": 1})
        else:
            found = await storage.read("1")
            if not alike(found, value):
                storage.fail(
                    expected=f"an error from write(), or else all of it: {show(value)}",
                    got=show(found),
                )


def allowed(subject: Subject, values: Sequence[Any]) -> list[Any]:
    """Return those of *values* that are not too large."""
    return [value for value in values if subject.limits.allows_value(value)]


@promise(
    "Values come back with their types: 1, 1.0 and True are three different values.",
    hint="values are stored as text without quotes, or numbers are converted on their way.",
)
async def types_are_kept(subject: Subject) -> None:
    await with_fewest(subject, TYPES, come_back)


@promise(
    "Integers of up to 64 bits come back exactly.",
    hint="integers pass through a float, which is exact only up to 2**53.",
)
async def integers_are_exact(subject: Subject) -> None:
    await with_fewest(subject, INTEGERS, come_back)


@promise(
    "Integers beyond 64 bits come back exactly, or the write raises and the old value stays.",
    hint="integers pass through a float, or wrap around.",
)
async def huge_integers_are_exact_or_refused(subject: Subject) -> None:
    await with_fewest(subject, HUGE_INTEGERS, come_back_or_are_refused)


@promise(
    "Floats come back exactly.",
    hint="floats are written with fewer digits than repr() gives, or stored in 32 bits.",
)
async def floats_are_exact(subject: Subject) -> None:
    await with_fewest(subject, FLOATS, come_back)


@promise(
    "Nested lists and dicts come back, with None, empty ones, and any text as key inside.",
    hint="the storage flattens values, drops None or empty parts, or treats some keys specially.",
)
async def nested_values_come_back(subject: Subject) -> None:
    await with_fewest(subject, NESTED, come_back)


@promise(
    "Deeply nested values come back.",
    hint="something in the storage recurses, and gives up early.",
)
async def deep_values_come_back(subject: Subject) -> None:
    deep: Any = 1
    for _ in range(60):
        deep = [deep]
    await with_fewest(subject, [deep], come_back)


@promise(
    "Text of any language comes back character by character.",
    hint="the encoding is not UTF-8, text is normalised or stripped, or line ends are converted: "
    "open(..., encoding='utf-8', newline='').",
)
async def texts_come_back(subject: Subject) -> None:
    cases = [*TEXTS, *({text: text} for text in TEXTS)]
    await with_fewest(subject, cases, come_back)


@promise(
    "Text with NUL or half a surrogate pair comes back, or the write raises and the old value "
    "stays.",
    hint="text is cut at NUL, or encoded with errors='ignore' or 'replace'.",
)
async def odd_texts_come_back_or_are_refused(subject: Subject) -> None:
    await with_fewest(subject, ODD_TEXTS, come_back_or_are_refused)


@promise(
    "Values that look like something else stay what they are: 'null' is text, and "
    "{'__d': 1, 'v': 2} a dict.",
    hint="the storage tells its own records from data by their looks: wrap every value alike.",
)
async def look_alikes_stay_data(subject: Subject) -> None:
    await with_fewest(subject, LOOK_ALIKES, come_back)


@promise(
    "Large values come back.",
    hint="values are cut at a size: write in a loop, choose a larger column, or declare "
    "Limits(max_value_bytes=...).",
)
async def large_values_come_back(subject: Subject) -> None:
    large = allowed(subject, ["x" * size for size in (300, 5_000, 70_000, 300_000)])
    if not large:
        msg = f"declared by Limits(max_value_bytes={subject.limits.max_value_bytes})"
        raise LeftOut(msg)
    await with_fewest(subject, large, come_back)


@promise(
    "A value that cannot be stored raises, and the old value stays.",
    hint="the old value is removed, or the file opened for writing, before the new one is "
    "encoded: encode first. Or write() catches the error and says nothing, or what cannot be "
    "encoded is turned into text (default=str).",
)
async def unstorable_value_keeps_the_old_one(subject: Subject) -> None:
    async with subject.client() as storage:
        await storage.write("1", {"n": 1})
        value = {"n": 2, "function": lambda: None}
        try:
            await storage.write("1", value)
        except Exception:  # noqa: BLE001 (whatever fits)
            await storage.expect_read("1", {"n": 1})
        else:
            found = await storage.read("1")
            if not alike(found, value):
                storage.fail(
                    expected=f"an error from write(), or else all of it: {show(value)}",
                    got=show(found),
                )


@promise(
    "A storage that declares any_value = True gives every Python value back as it was.",
    hint="the codec turns tuples into lists, keys into text, or does not know the type.",
    needs=("any_value",),
)
async def any_value_comes_back(subject: Subject) -> None:
    await with_fewest(subject, ANY_VALUES, come_back)


@promise(
    "With isolated = True, changing a value after it was written changes nothing that is stored.",
    hint="write() keeps the object itself: copy it, or do not declare isolated.",
    needs=("isolated",),
)
async def what_was_written_may_be_changed(subject: Subject) -> None:
    async with subject.client() as storage:
        value = {"list": [1]}
        await storage.write("1", value)
        value["list"].append(2)
        storage.history.note("# the value that was written is changed: value['list'].append(2)")
        await storage.expect_read("1", {"list": [1]})


@promise(
    "With isolated = True, changing a value that was read changes nothing that is stored.",
    hint="read() gives the stored object itself, or a shallow copy: copy it deeply, or do not "
    "declare isolated.",
    needs=("isolated",),
)
async def what_was_read_may_be_changed(subject: Subject) -> None:
    async with subject.client() as storage:
        await storage.write("1", {"list": [1]})
        (await storage.read("1"))["list"].append(2)
        storage.history.note("# the value that was read is changed: value['list'].append(2)")
        await storage.expect_read("1", {"list": [1]})

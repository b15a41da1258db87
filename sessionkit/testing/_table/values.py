"""Values come back as they were, types included."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial, reduce
from typing import Any, Final

from sessionkit.testing._ops import read, write
from sessionkit.testing._promises import promise
from sessionkit.testing._subject import Subject
from sessionkit.testing._table.rows import (
    REFUSALS,
    changed,
    each,
    expect_stored_or_refused,
    promised,
    promised_of,
    with_fewest,
)

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


_NOT_DEEP: Final[Any] = 1
DEEP: Final[Any] = reduce(lambda inside, _: [inside], range(60), _NOT_DEEP)

COME_BACK: Final = each(lambda value: [write("1", value), read("1")])


def _is_small_enough(subject: Subject, value: Any) -> bool:
    return subject.limits.allows_value(value)


promised_of(
    "types_are_kept",
    "Values come back with their types: 1, 1.0 and True are three different values.",
    "values are stored as text without quotes, or numbers are converted on their way.",
    TYPES,
    COME_BACK,
)
promised_of(
    "integers_are_exact",
    "Integers of up to 64 bits come back exactly.",
    "integers pass through a float, which is exact only up to 2**53.",
    INTEGERS,
    COME_BACK,
)
promised_of(
    "floats_are_exact",
    "Floats come back exactly.",
    "floats are written with fewer digits than repr() gives, or stored in 32 bits.",
    FLOATS,
    COME_BACK,
)
promised_of(
    "nested_values_come_back",
    "Nested lists and dicts come back, with None, empty ones, and any text as key inside.",
    "the storage flattens values, drops None or empty parts, or treats some keys specially.",
    NESTED,
    COME_BACK,
)
promised_of(
    "deep_values_come_back",
    "Deeply nested values come back.",
    "something in the storage recurses, and gives up early.",
    [DEEP],
    COME_BACK,
)
promised_of(
    "texts_come_back",
    "Text of any language comes back character by character.",
    "the encoding is not UTF-8, text is normalised or stripped, or line ends are converted: "
    "open(..., encoding='utf-8', newline='').",
    [*TEXTS, *({text: text} for text in TEXTS)],
    COME_BACK,
)
promised_of(
    "look_alikes_stay_data",
    "Values that look like something else stay what they are: 'null' is text, and "
    "{'__d': 1, 'v': 2} a dict.",
    "the storage tells its own records from data by their looks: wrap every value alike.",
    LOOK_ALIKES,
    COME_BACK,
)
promised_of(
    "large_values_come_back",
    "Large values come back.",
    "values are cut at a size: write in a loop, choose a larger column, or declare "
    "Limits(max_value_bytes=...).",
    ["x" * size for size in (300, 5_000, 70_000, 300_000)],
    COME_BACK,
    allowed=_is_small_enough,
)
promised_of(
    "any_value_comes_back",
    "A storage that declares any_value = True gives every Python value back as it was.",
    "the codec turns tuples into lists, keys into text, or does not know the type.",
    ANY_VALUES,
    COME_BACK,
    needs=("any_value",),
)
promised(
    "what_was_written_may_be_changed",
    "With isolated = True, changing a value after it was written changes nothing that is stored.",
    "write() keeps the object itself: copy it, or do not declare isolated.",
    [changed(write("1", {"list": [1]})), read("1")],
    needs=("isolated",),
)
promised(
    "what_was_read_may_be_changed",
    "With isolated = True, changing a value that was read changes nothing that is stored.",
    "read() gives the stored object itself, or a shallow copy: copy it deeply, or do not "
    "declare isolated.",
    [write("1", {"list": [1]}), changed(read("1")), read("1")],
    needs=("isolated",),
)


async def _come_back_or_are_refused(
    subject: Subject,
    values: Sequence[Any],
    errors: tuple[type[Exception], ...] = REFUSALS,
) -> None:
    async def check(values: Sequence[Any]) -> None:
        old = {"n": 1}
        async with subject.client() as storage:
            for value in values:
                await storage.write("1", old)
                await expect_stored_or_refused(
                    storage,
                    partial(storage.write, "1", value),
                    "1",
                    new=value,
                    old=old,
                    errors=errors,
                )

    await with_fewest(subject, values, check)


@promise(
    "Integers beyond 64 bits come back exactly, or the write raises and the old value stays.",
    hint="integers pass through a float, or wrap around.",
)
async def huge_integers_are_exact_or_refused(subject: Subject) -> None:
    await _come_back_or_are_refused(subject, HUGE_INTEGERS)


@promise(
    "Text with NUL or half a surrogate pair comes back, or the write raises and the old value "
    "stays.",
    hint="text is cut at NUL, or encoded with errors='ignore' or 'replace'.",
)
async def odd_texts_come_back_or_are_refused(subject: Subject) -> None:
    await _come_back_or_are_refused(subject, ODD_TEXTS)


@promise(
    "A value that cannot be stored raises, and the old value stays.",
    hint="the old value is removed, or the file opened for writing, before the new one is "
    "encoded: encode first. Or write() catches the error and says nothing, or what cannot be "
    "encoded is turned into text (default=str).",
)
async def unstorable_value_keeps_the_old_one(subject: Subject) -> None:
    unstorable = {"n": 2, "function": lambda: None}
    await _come_back_or_are_refused(subject, [unstorable], (Exception,))

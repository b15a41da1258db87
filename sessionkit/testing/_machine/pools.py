"""Keys that a careless storage mixes up, and values that it gets wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sessionkit.testing._checked import Value
from sessionkit.testing._limits import ORDINARY_KEYS, Limits

CONFUSABLE: Final[tuple[tuple[str, ...], ...]] = (
    ("a", "A", "\xe4", "\xc4"),
    ("\xe9", "e\u0301", "e", "E"),
    ("fi", "\ufb01", "1", "\u2460", "\uff11"),
    ("stra\xdfe", "strasse", "STRASSE", "i", "\u0130"),
    ("a", "a ", " a", "a\n", "a\t"),
    ("a/b", "a_b", "ab", "a-b", "a%2fb", "a%2Fb"),
    ("a/b", "a//b", "a/./b", "/a/b", "a/b/", "a\\b"),
    ("a", "../a", "./a", "a/../a", "."),
    ("a.b", "a", "a.", "a.json", "a.tmp", ".a"),
    ("a:b", "a::b", "a", ":a", "b"),
    ("a_b", "a%b", "a*b", "aXb", "a?b", "a[X]b"),
    ("a", "ab", "abc", "b"),
    ("a%25b", "a%b", "a%2525b", "a+b", "a b"),
    ("1", "01", "1.0", "+1", "-1"),
    ("con", "CON", "nul", "con.txt"),
    ("a'b", 'a"b', "a`b", "a;b", "a--b"),
    ("\U0001f355", "\U0001f354", "\ufffd", "?"),
    tuple("x" * length for length in (200, 201, 300, 301)),
    tuple("x" * length for length in (2000, 2001, 5000, 5001)),
)
"""Groups of keys: each holds keys that look alike to one kind of carelessness.

None that a storage may refuse: these are for the table.
"""

VALUES: Final[tuple[Any, ...]] = (
    {"n": 1},
    {},
    [],
    0,
    0.0,
    False,
    "",
    1,
    1.0,
    True,
    "1",
    "null",
    [None],
    {"": None},
    {"a": {"b": [1, {"c": [None]}]}},
    {"1": True, "2": 1, "3": 1.0},
    {"__d": 1, "v": 2},
    {"e": 5},
    2**53 + 1,
    -(2**63),
    1e-300,
    "\xe9",
    "e\u0301",
    "\U0001f355 \u2028 \r\n",
    " a ",
    "x" * 5000,
)
"""Plain values: falsy ones, ones that differ in their type only, and odd ones."""


DEEP: Final[tuple[Any, ...]] = ({"a": {"b": [1]}}, [[1]], {"n": 1}, [])
"""Values that can be changed, some at a depth."""

COUNTED: Final[tuple[Any, ...]] = (Value.NEW,)
"""Values of which none comes twice."""

REPEATED: Final[tuple[Any, ...]] = (Value.NEW, Value.AGAIN)
"""Values of which many come twice."""

ORDINARY: Final = ORDINARY_KEYS[:3]
"""A few keys that every storage takes."""


def key_groups(limits: Limits) -> list[tuple[str, ...]]:
    """Return the groups of which at least two keys are inside *limits*."""
    groups = (tuple(filter(limits.allows_key, group)) for group in CONFUSABLE)
    return [group for group in groups if len(group) > 1]


def values(limits: Limits) -> tuple[Any, ...]:
    """Return the values that are inside *limits*."""
    return tuple(filter(limits.allows_value, VALUES))


def prefixes_of(keys: Sequence[str]) -> tuple[str, ...]:
    """Return prefixes that fit some of *keys*, by right or by mistake."""
    found = ["", *keys, *(key[:-1] for key in keys), *(key[:1] for key in keys)]
    return tuple(dict.fromkeys(found))

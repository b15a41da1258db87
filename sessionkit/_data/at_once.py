"""What a library may decode at once, with all that is in it.

A library in C is several times faster than one call for each value, but it takes more than
``decode`` does, without a word: an int for a float, a tuple for a list, and fields that
nobody knows.  So a ``Test`` looks at a plain value first.  What passes, and is not refused
by the library, comes out as ``decode`` would make it; all else is left to ``decode``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

Test: TypeAlias = Callable[[Any], bool]
"""Takes any plain value, also one that does not fit its annotation."""


always: Final[Test] = lambda _: True  # noqa: E731 (compared, never called)
"""Of types that the library takes as strictly as ``decode``."""


def is_float(plain: object) -> bool:
    """An int would become a float."""
    return type(plain) is float


def is_list(plain: object) -> bool:
    """Of items that pass always."""
    return type(plain) is list


def is_dict(plain: object) -> bool:
    """Of items that pass always."""
    return type(plain) is dict


INLINE: Final[dict[Test, str]] = {
    is_float: "type({}) is float",
    is_list: "type({}) is list",
    is_dict: "type({}) is dict",
}
"""The same as expressions, for generated code."""


def in_list(item: Test | None) -> Test | None:
    """Return the test of a list of what *item* is the test of."""
    if item is None or item is always:
        return item and is_list

    def test(plain: Any) -> bool:
        kind: Any = type(plain)  # pyright: ignore[reportUnknownVariableType]
        return kind is list and all(map(item, plain))

    return test


def in_dict(item: Test | None) -> Test | None:
    """Return the test of a dict with ``str`` keys of what *item* is the test of."""
    if item is None or item is always:
        return item and is_dict

    def test(plain: Any) -> bool:
        kind: Any = type(plain)  # pyright: ignore[reportUnknownVariableType]
        return kind is dict and all(map(item, plain.values()))

    return test


def beside_atoms(other: Test, atoms: frozenset[type]) -> Test:
    """Return the test of a union of *atoms* and of what *other* is the test of."""
    return lambda plain: type(plain) in atoms or other(plain)

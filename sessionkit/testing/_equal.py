"""Whether a value came back as it was, types included."""

from __future__ import annotations

from typing import Any

from sessionkit.testing._kinds import is_dict, is_sequence


def alike(first: Any, second: Any) -> bool:
    """Return whether two values are equal and of the same types, all the way down.

    ``1``, ``1.0`` and ``True`` differ.  The order of a mapping does not count, nor
    the sign of zero: a storage may well lose these.
    """
    if type(first) is not type(second):
        return False
    if is_dict(first):
        return _dicts_alike(first, second)
    if is_sequence(first):
        return len(first) == len(second) and all(map(alike, first, second))
    return bool(first == second)


def _dicts_alike(first: dict[Any, Any], second: dict[Any, Any]) -> bool:
    if len(first) != len(second):
        return False
    types: dict[Any, type] = {key: type(key) for key in second}
    return all(
        types.get(key) is type(key) and alike(value, second[key]) for key, value in first.items()
    )

"""What to do when somebody else wrote in between."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from sessionkit._data.plain import step
from sessionkit._data.record_types import field_names, with_fields
from sessionkit._data.snapshots import freeze
from sessionkit._session.serializer import MISSING
from sessionkit.errors import SessionConflictError, SessionEncodeError

S = TypeVar("S")


def merge_fields(base: S, theirs: S, mine: S) -> S:
    """Merge two changes of one mapping or dataclass, field by field.

    For ``on_conflict=merge_fields``.  *base* is what this session read, even if it is
    what ``initial`` gave, *theirs* what is stored now, *mine* what this session
    wants to write; None means missing.  A field that only one side changed
    takes that change; nested mappings and dataclasses are merged the same way.

    Returns:
        The merged data: a ``dict``, or a dataclass instance of the type of *mine*.

    Raises:
        SessionConflictError: Both sides changed one field, even to the same value:
            where two have counted from 1 to 2, 2 would be one too few.
    """
    merged: S = _merge(base, theirs, mine, "")
    return merged


def _merge(base: Any, theirs: Any, mine: Any, path: str) -> Any:
    if _same(mine, base):
        return theirs
    if _same(theirs, base) or (mine is theirs and mine in (None, MISSING)):
        return mine
    if all(map(_is_mapping, (theirs, mine))):
        return _merge_mappings(base if _is_mapping(base) else {}, theirs, mine, path)
    if _kind(theirs) is _kind(mine) and field_names(mine) is not None:
        return _merge_records(base, theirs, mine, path)
    msg = (
        f"session.data{path} was changed both here and elsewhere: "
        "give on_conflict=your_function(base, theirs, mine), or change it in sessions.update()"
    )
    raise SessionConflictError(msg)


def _merge_mappings(base: Any, theirs: Any, mine: Any, path: str) -> dict[Any, Any]:
    merged: dict[Any, Any] = {}
    for name in dict.fromkeys((*theirs, *mine)):
        was, other, own = (side.get(name, MISSING) for side in (base, theirs, mine))
        value = _merge(was, other, own, f"{path}{step(name)}")
        if value is not MISSING:
            merged[name] = value
    return merged


def _merge_records(base: Any, theirs: Any, mine: Any, path: str) -> Any:
    merged: dict[str, Any] = {}
    for name in field_names(mine) or ():
        was, other, own = (getattr(side, name, MISSING) for side in (base, theirs, mine))
        value = _merge(was, other, own, f"{path}.{name}")
        if value is not MISSING:
            merged[name] = value
    return with_fields(mine, merged)


def _kind(value: object) -> object:
    return type(value)


def _is_mapping(value: object) -> bool:
    return isinstance(value, Mapping)


def _same(one: Any, other: Any) -> bool:
    if one is other:
        return True
    if type(one) is not type(other) or one is MISSING:
        return False
    try:
        return freeze(one) == freeze(other)
    except SessionEncodeError:  # a class that cannot be pickled can still be compared
        return bool(one == other)

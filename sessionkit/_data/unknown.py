"""Stored fields that the declared type does not know: kept while the session is open."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeAlias

from sessionkit._data.record_types import RecordTypes, field_names
from sessionkit._data.scalars import Found, Kept

Path: TypeAlias = tuple[Any, ...]


class Place(NamedTuple):
    """An object with fields, where it is in the data.

    Attributes:
        path: The fields and keys that lead to it; None below lists, which shift.
        frozen: Whether it can only be changed by putting another in its place.
    """

    path: Path | None
    value: Any
    frozen: bool


Places: TypeAlias = Callable[[Any], Iterator[Place]]


class UnknownFields:
    """Stored fields to be written back with the objects that they were read with.

    They go where their object goes, and what takes its place does not get them:
    they may be about another person.  Frozen objects are changed by putting
    another in their place, so there the next of the same class gets them, as
    long as the place was never seen empty.

    There may be none: then what is stored is just in another form.
    """

    __slots__ = ("_by_id", "_by_path", "_places")

    def __init__(self, data: Any, found: Found, places: Places) -> None:
        # The objects are held on to, so that nothing else can get their ids.
        self._by_id = {id(owner): (owner, rest) for owner, rest in found if rest}
        self._places = places
        self._by_path: dict[Path, int] = {}
        if self._by_id:
            self._by_path = {
                place.path: id(place.value)
                for place in places(data)
                if place.path is not None and place.frozen and id(place.value) in self._by_id
            }

    def kept_for(self, data: Any) -> Kept:
        """Return what is to be written back with which objects of *data*, by their ``id``."""
        if self._by_path:
            self._hand_on(list(self._places(data)))
        return {known: rest for known, (_, rest) in self._by_id.items()} or None

    def _hand_on(self, present: list[Place]) -> None:
        """Give to frozen objects what those had whose places they took."""
        still_there = {id(place.value) for place in present}
        taken = {place.path: place.value for place in present if place.path in self._by_path}
        for path, former in list(self._by_path.items()):
            if path in taken:
                self._succeed(former, taken[path], leaves=former not in still_there)
                self._by_path[path] = id(taken[path])
            else:
                del self._by_path[path]

    def _succeed(self, former: int, successor: Any, *, leaves: bool) -> None:
        owner, rest = self._by_id.get(former, (None, {}))
        if leaves and type(owner) is type(successor):
            self._by_id.setdefault(id(successor), (successor, rest))

    def follow(self, former: Any, changed: Any) -> None:
        """Let *changed*, which a function made of *former*, have its unknown fields."""
        self._succeed(id(former), changed, leaves=changed is not former)

    def _take_in(self, other: UnknownFields, data: Any, merged: Any) -> None:
        """Add what *other* has of *data*, and hand it on to what was merged of it."""
        self._by_id = other._by_id | self._by_id
        self._by_path = other._by_path | self._by_path
        present = list(other._places(merged))
        still_there = {id(place.value) for place in present}
        former = {place.path: id(place.value) for place in other._places(data)}
        for place in present:
            if place.path is not None and place.path in former:
                owner = former[place.path]
                self._succeed(owner, place.value, leaves=owner not in still_there)


def merged_unknown(merged: Any, *sides: tuple[Any, UnknownFields | None]) -> UnknownFields | None:
    """Return the unknown fields of what was merged of data and their unknown fields.

    Where both sides have some for one place, the first has its way.
    """
    joined: UnknownFields | None = None
    for data, unknown in sides:
        if unknown is not None:
            joined = joined or UnknownFields(None, [], unknown._places)
            joined._take_in(unknown, data, merged)
    return joined


def places_of(records: RecordTypes) -> Places:
    """Return a function that yields the objects with fields in data, once each."""

    def places(data: Any) -> Iterator[Place]:
        seen: set[int] = set()
        pending: list[tuple[Path | None, Any]] = [((), data)]
        while pending:
            path, value = pending.pop()
            if id(value) in seen:
                continue
            kind: Any = type(value)  # pyright: ignore[reportUnknownVariableType]
            record = records.get(kind)
            if record is not None:
                yield Place(path, value, frozen=record.frozen)
            parts = list(_parts(value))
            if parts:
                seen.add(id(value))
            for step, part in parts:
                pending.append((None if path is None or step is None else (*path, step), part))

    return places


def _parts(value: Any) -> Iterator[tuple[Any, Any]]:
    names = field_names(value)
    if names is not None:
        for name in names:
            yield name, getattr(value, name, None)
    elif isinstance(value, dict):
        yield from value.items()  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:  # pyright: ignore[reportUnknownVariableType]
            yield None, item

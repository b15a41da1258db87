"""How dataclasses become dicts and return; what a dict holds beyond the fields is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, TypeAlias

from sessionkit._convert.plain import Misfit
from sessionkit._convert.scalars import Found, Kept, Node, unexpected
from sessionkit._frozen import copied

Path: TypeAlias = tuple[Any, ...]


class DataclassCodec:
    """Both ways of one dataclass; ``add`` its fields before use."""

    def __init__(self, kind: type[Any], label: str) -> None:
        self._kind = kind
        self._label = label
        self._encoders: list[tuple[str, frozenset[type], Callable[[Any, Kept], Any]]] = []
        self._decoders: dict[str, tuple[frozenset[type], Callable[[Any, Found], Any]]] = {}
        self._required: list[str] = []
        self._set_later: list[str] = []

    def add(self, field: Field[Any], node: Node) -> None:
        """Convert *field* as *node* says."""
        self._encoders.append((field.name, node.atoms, node.encode))
        self._decoders[field.name] = (node.atoms, node.decode)
        if not field.init:
            self._set_later.append(field.name)
        elif is_required(field):
            self._required.append(field.name)

    def node(self) -> Node:
        """Return this as a node."""
        kinds: frozenset[type] = frozenset({self._kind})
        return Node(self._label, self.encode, self.decode, kinds, frozenset({dict}))

    def encode(self, value: Any, kept: Kept) -> dict[str, Any]:
        """Return the plain value of *value*, with the fields that were kept for it."""
        if type(value) is not self._kind:
            raise self._misfit(value)
        plain: dict[str, Any] = {}
        name = ""
        try:
            for name, atoms, encode in self._encoders:
                item = getattr(value, name)
                plain[name] = item if type(item) in atoms else encode(item, kept)
        except Misfit as misfit:
            misfit.within(f".{name}")
            raise
        except AttributeError as error:
            reason = f"has no {name!r}: set it, or give the field a default"
            raise Misfit(reason) from error
        return plain if kept is None else self._with_rest(plain, kept.get(id(value)))

    def _misfit(self, value: object) -> Misfit:
        misfit = unexpected(value, self._label)
        if not isinstance(value, self._kind):
            return misfit
        return Misfit(f"{misfit.reason}: what {type(value).__name__} adds would be lost")

    @staticmethod
    def _with_rest(plain: dict[str, Any], rest: Any) -> dict[str, Any]:
        return plain if rest is None else plain | copied(rest)

    def decode(self, plain: Any, found: Found) -> Any:
        """Return an instance made of *plain*."""
        given, rest = self._decoded(plain, found)
        if len(given) < len(self._encoders):
            self._refuse_missing(given)
        made = self._made(given)
        if rest:
            found.append((made, rest))
        return made

    def _decoded(
        self, plain: dict[Any, Any], found: Found
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        if type(plain) is not dict:
            raise unexpected(plain, self._label)
        given: dict[str, Any] = {}
        rest: dict[str, Any] = {}
        decoders = self._decoders
        name = ""
        try:
            for name, item in plain.items():
                if name in decoders:
                    atoms, decode = decoders[name]
                    given[name] = item if type(item) in atoms else decode(item, found)
                else:
                    rest[name] = item
        except Misfit as misfit:
            misfit.within(f".{name}")
            raise
        return given, rest

    def _refuse_missing(self, given: dict[str, Any]) -> None:
        missing = [repr(name) for name in self._required if name not in given]
        if missing:
            reason = f"lacks {', '.join(missing)}, and {self._label} has no default for it"
            raise Misfit(reason)

    def _made(self, given: dict[str, Any]) -> Any:
        later = {name: given.pop(name) for name in self._set_later if name in given}
        try:
            made = self._kind(**given)
        except Exception as error:
            reason = f"does not make a {self._label}: {type(error).__name__}: {error}"
            raise Misfit(reason) from error
        for name, item in later.items():
            object.__setattr__(made, name, item)  # frozen ones too
        return made


def is_required(field: Field[Any]) -> bool:
    """Return whether *field* has to be given to make an instance."""
    return field.init and field.default is MISSING and field.default_factory is MISSING


class Residue:
    """Stored fields that no dataclass knows, to be written back.

    They belong to the object they came with, wherever it goes.  If that object
    is gone, they belong to what stands in its place: ``replace(data, count=2)``
    keeps them.  A place in a list is none, since lists shift.
    """

    __slots__ = ("_by_id", "_by_path")

    def __init__(self, data: Any, found: Found) -> None:
        # The objects are held on to, so that nothing else can get their ids.
        self._by_id = {id(owner): (owner, rest) for owner, rest in found}
        self._by_path: dict[Path, int] = {
            path: id(owner)
            for path, owner in instances(data)
            if path is not None and id(owner) in self._by_id
        }

    def kept_for(self, data: Any) -> Kept:
        """Return what is to be written back with which objects of *data*."""
        kept = {known: rest for known, (_, rest) in self._by_id.items()}
        present = list(instances(data))
        still_there = {id(owner) for _, owner in present}
        for path, owner in present:
            former = self._by_path.get(path) if path is not None else None
            if former is not None and former not in still_there:
                kept.setdefault(id(owner), self._by_id[former][1])
        return kept


def instances(data: Any) -> Iterator[tuple[Path | None, Any]]:
    """Yield the dataclass instances in *data* once each, with their paths; None within lists."""
    seen: set[int] = set()
    pending: list[tuple[Path | None, Any]] = [((), data)]
    while pending:
        path, value = pending.pop()
        if id(value) in seen:
            continue
        if is_dataclass(value):
            yield path, value
        parts = list(_parts(value))
        if parts:
            seen.add(id(value))
        for step, part in parts:
            pending.append((None if path is None or step is None else (*path, step), part))


def _parts(value: Any) -> Iterator[tuple[Any, Any]]:
    if is_dataclass(value):
        for field in fields(value):
            yield field.name, getattr(value, field.name, None)
    elif isinstance(value, dict):
        yield from value.items()  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:  # pyright: ignore[reportUnknownVariableType]
            yield None, item

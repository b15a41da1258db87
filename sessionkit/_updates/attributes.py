"""Reading items and attributes of anything, as quickly as its class allows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import WrapperDescriptorType
from typing import Any, Final, TypeAlias, cast
from weakref import ProxyTypes

_MOST_CLASSES: Final = 1024

Reader: TypeAlias = Callable[[Any, str, None], Any]
"""Takes a holder, a name and None; returns its item or attribute of that name, else None."""


class _Readers(dict[type, Reader]):
    """How to read objects of a class: found out once, for that takes longer than reading."""

    def __init__(self, find: Callable[[type], Reader]) -> None:
        super().__init__()
        self._find = find

    def __missing__(self, kind: type) -> Reader:
        if len(self) >= _MOST_CLASSES:  # somebody makes classes without end
            self.clear()
        reader = self[kind] = self._find(kind)
        return reader


def _reader_of_attributes(kind: type) -> Reader:
    is_model = getattr(getattr(kind, "__getattr__", None), "__module__", None) == "pydantic.main"
    return _model_reader(kind) if is_model and not _may_pretend(kind) else getattr


def _reader(kind: type) -> Reader:
    if kind is dict:
        return dict[str, Any].get
    if _may_pretend(kind):
        return _read_either
    return _read_item if issubclass(kind, Mapping) else ATTRIBUTES[kind]


def _reader_of_likely(kind: type) -> Reader:
    reader = READERS[kind]
    return getattr if reader is ATTRIBUTES[kind] else reader


def _may_pretend(kind: type) -> bool:
    """Whether its objects may say that they are of another class, as proxies and mocks do."""
    return (
        "__class__" in _declared_in(kind)
        or not isinstance(kind.__getattribute__, WrapperDescriptorType)
        or issubclass(kind, ProxyTypes)
    )


def _declared_in(kind: type) -> set[str]:
    return {name for base in kind.__mro__[:-1] for name in vars(base)}


def _read_either(holder: Any, name: str, default: None) -> Any:
    if isinstance(holder, Mapping):
        return _read_item(cast("Mapping[str, Any]", holder), name, default)
    return getattr(holder, name, default)


def _read_item(holder: Mapping[str, Any], name: str, _: None) -> Any:
    return holder.get(name)


def _model_reader(kind: Any) -> Reader:
    """What ``getattr`` does, but that pydantic takes two microseconds to miss an attribute."""
    known = _declared_in(kind).union(kind.model_fields)

    def read_field(model: Any, name: str, default: None) -> Any:
        if name in known or name in model.__dict__:
            return getattr(model, name, default)
        extra = getattr(model, "__pydantic_extra__", None)
        return extra.get(name, default) if extra else default

    return read_field


ATTRIBUTES: Final = _Readers(_reader_of_attributes)
"""How to read an attribute, even of a mapping."""

READERS: Final = _Readers(_reader)
"""How to read an item of a mapping, or else an attribute."""

LIKELY: Final = _Readers(_reader_of_likely)
"""The same for what is there most of the time: that is read quicker, and its absence slower."""


def read(holder: Any, name: str) -> Any:
    """Return the item or attribute *name* of *holder*, None if there is none."""
    return READERS[type(holder)](holder, name, None)

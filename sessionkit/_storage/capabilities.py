"""Methods that an object has only if what it wraps can do them."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import MethodType
from typing import TYPE_CHECKING, Any, Final, Protocol, Self, TypeVar, cast

if TYPE_CHECKING:
    from sessionkit.protocols import Clock

_INSTEAD: Final = {
    "backup": (
        "Back up with the own tool of the engine, or copy what iter_items() lists: "
        "python -m sessionkit export"
    ),
    **dict.fromkeys(
        ("supports_expiry", "iter_entries", "read_entries", "write_entries"),
        "The layout is another program's and has no room for an expiry beside a value: use "
        "enhance_storage(ttl=...), which keeps it within the value",
    ),
}

F = TypeVar("F", bound=Callable[..., Any])


class _HasCapabilities(Protocol):
    capabilities: frozenset[str]


class _Optional:
    def __init__(self, method: Callable[..., Any]) -> None:
        self._method = method
        self.__doc__ = method.__doc__

    def __get__(self, instance: _HasCapabilities | None, owner: type) -> Callable[..., Any]:
        if instance is None:
            return self._method
        require(instance, self._method.__name__)
        return MethodType(self._method, instance)


class Absent:
    """A method that a storage lacks, for which its users look: says what to do instead."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: object, owner: type) -> Self:
        if instance is None:
            return self
        msg = f"{owner.__name__!r} object has no attribute {self._name!r}. {_INSTEAD[self._name]}"
        raise AttributeError(msg)


def optional(method: F, /) -> F:
    """Let *method* be an attribute only of objects that have its name in ``capabilities``."""
    return cast("F", _Optional(method))


def clock_of(storage: object) -> Clock:
    """Return the clock by which what *storage* keeps expires."""
    clock: Clock = getattr(storage, "clock", getattr(storage, "_clock", time.time))
    return clock


def require(instance: _HasCapabilities, name: str) -> None:
    """Raise ``AttributeError``, as for any missing attribute, if *name* is not offered."""
    if name not in instance.capabilities:
        offered = ", ".join(sorted(instance.capabilities)) or "nothing"
        msg = (
            f"{type(instance).__name__!r} object has no attribute {name!r}: with the storage "
            f"inside and the options given it offers {offered} beside read, write and delete"
        )
        if name in _INSTEAD:
            msg = f"{msg}. {_INSTEAD[name]}"
        raise AttributeError(msg)

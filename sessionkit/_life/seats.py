"""Where on a context a session shows: a property, a plain attribute, or an item.

A class with a ``SessionProperty`` (the flavors) keeps every promise: it reports
closed and missing sessions, and a lazy session stays awaitable after an
assignment.  On other objects a plain attribute, on mappings an item, holds the
data for the handler's time and is put back after.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from enum import Enum
from functools import lru_cache
from typing import Any, Final, NoReturn, Protocol, cast

from sessionkit.errors import SessionClosedError


class _Missing(Enum):
    MISSING = "MISSING"


MISSING: Final = _Missing.MISSING
"""Nothing is there, not even None."""


class StandIn:
    """Sits where data would be, and raises as soon as it is used."""

    __slots__ = ("_error",)

    def __init__(self, error: Callable[[], Exception]) -> None:
        object.__setattr__(self, "_error", error)

    def __repr__(self) -> str:
        return f"<no session data: {_error_of(self)}>"


def _error_of(stand_in: StandIn) -> Exception:
    make: Callable[[], Exception] = object.__getattribute__(stand_in, "_error")
    return make()


def _raise(self: StandIn, *args: object) -> NoReturn:  # noqa: ARG001
    raise _error_of(self)


_USES = """
    getattr setattr delattr getitem setitem delitem contains iter len bool call await
    eq lt gt le ge add radd iadd sub rsub isub mul int float or ior and enter aenter
"""
for _name in _USES.split():
    setattr(StandIn, f"__{_name}__", _raise)


class Seat(Protocol):
    """One way to show a session on a context."""

    holds_data: bool

    def look(self, ctx: Any) -> Any:
        """What is there now, ``MISSING`` if nothing is."""
        ...

    def put(self, ctx: Any, value: Any) -> None:
        """Show *value*; ``MISSING`` takes away what is there."""
        ...


class _AttributeSeat:
    """A plain attribute."""

    holds_data = True

    def __init__(self, attribute: str) -> None:
        self._attribute = attribute

    def look(self, ctx: Any) -> Any:
        own: Mapping[str, Any] | None = getattr(ctx, "__dict__", None)
        if own is not None and self._attribute not in own and not _is_slot(ctx, self._attribute):
            return MISSING
        return getattr(ctx, self._attribute, MISSING)

    def put(self, ctx: Any, value: Any) -> None:
        if value is not MISSING:
            setattr(ctx, self._attribute, value)
        elif self.look(ctx) is not MISSING:
            delattr(ctx, self._attribute)


class _ItemSeat:
    """An item of a mapping."""

    holds_data = True

    def __init__(self, attribute: str) -> None:
        self._attribute = attribute

    def look(self, ctx: Any) -> Any:
        return ctx.get(self._attribute, MISSING)

    def put(self, ctx: Any, value: Any) -> None:
        if value is MISSING:
            ctx.pop(self._attribute, None)
        else:
            ctx[self._attribute] = value


class _PropertySeat:
    """A ``SessionProperty`` of the context's class: it asks the session itself."""

    holds_data = False

    def __init__(self, slot: str) -> None:
        self._slot = slot

    def look(self, ctx: Any) -> Any:
        return _dict_of(ctx).get(self._slot, MISSING)

    def put(self, ctx: Any, value: Any) -> None:
        _dict_of(ctx)[self._slot] = value


class Seated(Protocol):
    """An open session, strict or lazy, as its context sees it."""

    def shown(self) -> Any:
        """What ``ctx.session`` gives; raises if it cannot be had."""
        ...

    def assigned(self, value: Any, /) -> None:
        """``ctx.session = value``."""
        ...


class SessionProperty(property):
    """A property of a context class that shows the session open on a context.

    For authors of adapters: name it as the ``attribute=`` of the ``Sessions``.
    It stays with a context that outlives its session, so as to say so.
    A ``property``, because pydantic's models let nothing else be assigned to.
    """

    def __init__(self) -> None:
        super().__init__(doc="The session that is open on this context: its data.")

    def __set_name__(self, owner: type, name: str) -> None:
        self.slot: str = f"_sessionkit_{name}"

    def __get__(self, ctx: Any, owner: type | None = None, /) -> Any:
        return self if ctx is None else self._session(ctx).shown()

    def __set__(self, ctx: Any, value: Any, /) -> None:
        self._session(ctx).assigned(value)

    def __delete__(self, ctx: Any, /) -> None:
        self._session(ctx).assigned(None)

    def _session(self, ctx: Any) -> Seated:
        session: Seated | None = _dict_of(ctx).get(self.slot)
        if session is None:
            msg = (
                f"no session was opened on this {type(ctx).__name__}: handle it inside "
                "'await sessions(ctx, handler)', or open one: async with sessions.open(ctx)"
            )
            raise SessionClosedError(msg)
        return session


def seat_for(ctx: Any, attribute: str) -> Seat:
    """How a context shows sessions.

    Raises:
        TypeError: It cannot: it is immutable, or a model that would export them.
    """
    return _seat_of_class(class_of(ctx), attribute)  # type: ignore[arg-type]  # classes are hashable


@lru_cache(maxsize=1024)
def _seat_of_class(kind: type[object], attribute: str) -> Seat:
    seat = property_seat(kind, attribute)
    if seat is not None:
        return seat
    if issubclass(kind, MutableMapping):
        return _ItemSeat(attribute)
    if hasattr(kind, "__pydantic_complete__"):
        raise cannot_attach(kind, attribute)
    return _AttributeSeat(attribute)


def property_seat(kind: type, attribute: str) -> Seat | None:
    """The seat of a context class with a ``SessionProperty``, None for others."""
    found = getattr(kind, attribute, None)
    return _PropertySeat(found.slot) if isinstance(found, SessionProperty) else None


def cannot_attach(kind: type, attribute: str) -> TypeError:
    """The error for a context that takes no attribute."""
    return TypeError(
        f"{kind.__name__} takes no attribute {attribute!r}. Open the session beside it: "
        "async with sessions.open(ctx) as s: ..., with the data in s.data"
    )


def _is_slot(ctx: Any, attribute: str) -> bool:
    return hasattr(getattr(class_of(ctx), attribute, None), "__set__")


def class_of(ctx: object) -> type[object]:
    return type(ctx)


def _dict_of(ctx: object) -> dict[str, Any]:
    return vars(ctx)


def own_attributes(ctx: object) -> dict[str, Any]:
    """The attributes of *ctx* itself, without its class; none if it has no room for any."""
    own = getattr(ctx, "__dict__", None)
    return cast("dict[str, Any]", own) if isinstance(own, dict) else {}


@lru_cache(maxsize=1024)
def is_plain_object(kind: type, attribute: str) -> bool:
    """Whether *attribute* of such a context is nothing but an instance attribute."""
    return (
        not any("__setattr__" in vars(base) for base in kind.__mro__[:-1])
        and kind.__dictoffset__ != 0
        and not hasattr(kind, attribute)
        and not hasattr(kind, "__getattr__")
        and not issubclass(kind, Mapping)
    )

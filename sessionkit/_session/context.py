"""Where sessions show on their contexts, which is open where, and what was there before.

A class with a ``SessionProperty`` (the flavors) keeps every promise: it reports
closed and missing sessions, and a lazy session stays awaitable after an
assignment.  On other objects a plain attribute, on mappings an item, holds the
data for the handler's time and is put back after.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine, Mapping, MutableMapping
from threading import Lock
from typing import TYPE_CHECKING, Any, NoReturn, Protocol
from weakref import WeakSet

from sessionkit._session.flavors import SessionProperty, attributes_of, class_of
from sessionkit._session.serializer import MISSING
from sessionkit.errors import SessionError


class StandIn:
    """Takes the place of data that is not there, and raises as soon as it is used."""

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


# Where it shows


class ContextSlot(Protocol):
    """One way to show a session on a context.

    Attributes:
        holds_data: Whether the context itself holds the data, so that it is looked up there.
        may_refuse: Whether ``put`` may raise: then that is found out before anything is read.
        plain: The name of a plain attribute, for which ``getattr`` and ``setattr`` do, so that
            the way of an update need not call ``look`` and ``put``; None for others.
    """

    @property
    def plain(self) -> str | None: ...
    @property
    def holds_data(self) -> bool: ...
    @property
    def may_refuse(self) -> bool: ...

    def look(self, ctx: Any) -> Any:
        """What is there now, ``MISSING`` if nothing is."""
        ...

    def put(self, ctx: Any, value: Any) -> None:
        """Show *value*; ``MISSING`` takes away what is there."""
        ...


class _PlainAttribute:
    """An attribute that lives in the instance alone."""

    __slots__ = ("_name", "plain")

    holds_data = True
    may_refuse = False

    def __init__(self, attribute: str) -> None:
        self.plain: str | None = attribute
        self._name = attribute

    def look(self, ctx: Any) -> Any:
        return getattr(ctx, self._name, MISSING)

    def put(self, ctx: Any, value: Any) -> None:
        if value is not MISSING:
            setattr(ctx, self._name, value)
        elif getattr(ctx, self._name, MISSING) is not MISSING:
            delattr(ctx, self._name)


class _Attribute:
    """An attribute of a class with a say in it: a default, a slot, a ``__setattr__``."""

    plain = None
    holds_data = True
    may_refuse = True

    def __init__(self, attribute: str) -> None:
        self._attribute = attribute

    def look(self, ctx: Any) -> Any:
        own: Mapping[str, Any] | None = getattr(ctx, "__dict__", None)
        if own is not None and self._attribute not in own and not self._is_slot(ctx):
            return MISSING
        return getattr(ctx, self._attribute, MISSING)

    def put(self, ctx: Any, value: Any) -> None:
        if value is not MISSING:
            setattr(ctx, self._attribute, value)
        elif self.look(ctx) is not MISSING:
            delattr(ctx, self._attribute)

    def _is_slot(self, ctx: Any) -> bool:
        return hasattr(getattr(class_of(ctx), self._attribute, None), "__set__")


class _Item:
    """An item of a mapping."""

    plain = None
    holds_data = True
    may_refuse = True

    def __init__(self, attribute: str) -> None:
        self._attribute = attribute

    def look(self, ctx: Any) -> Any:
        return ctx.get(self._attribute, MISSING)

    def put(self, ctx: Any, value: Any) -> None:
        if value is MISSING:
            ctx.pop(self._attribute, None)
        else:
            ctx[self._attribute] = value


class PropertySlot:
    """A ``SessionProperty`` of the context's class: it asks the session itself."""

    plain = None
    holds_data = False
    may_refuse = False

    def __init__(self, slot: str) -> None:
        self._slot = slot

    def look(self, ctx: Any) -> Any:
        return attributes_of(ctx).get(self._slot, MISSING)

    def put(self, ctx: Any, value: Any) -> None:
        attributes_of(ctx)[self._slot] = value


class Slots(Protocol):
    """By the class of a context, how it shows sessions; None if it does not."""

    def __getitem__(self, kind: type, /) -> ContextSlot | None: ...


class ContextSlots(dict[type, ContextSlot]):
    """By the class of a context, how it shows the sessions of one attribute.

    Looking one up raises ``TypeError`` for a class that cannot show any.
    """

    def __init__(self, attribute: str) -> None:
        super().__init__()
        self.attribute: str = attribute
        self.properties: _Properties = _Properties(attribute)

    def __missing__(self, kind: Any) -> ContextSlot:
        slot = self[kind] = _slot_for(kind, self.attribute)
        return slot


class _Properties(dict[type, PropertySlot | None]):
    """By the class of a context, its ``SessionProperty``; None if it has none."""

    def __init__(self, attribute: str) -> None:
        super().__init__()
        self._attribute = attribute

    def __missing__(self, kind: Any) -> PropertySlot | None:
        slot = self[kind] = property_slot(kind, self._attribute)
        return slot


def property_slot(kind: type, attribute: str) -> PropertySlot | None:
    """The slot of a context class with a ``SessionProperty``, None for others."""
    found = getattr(kind, attribute, None)
    return PropertySlot(found.slot) if isinstance(found, SessionProperty) else None


def _slot_for(kind: type[object], attribute: str) -> ContextSlot:
    slot = property_slot(kind, attribute)
    if slot is not None:
        return slot
    if _is_subclass(kind, MutableMapping):
        return _Item(attribute)
    if hasattr(kind, "__pydantic_complete__"):  # it would export the session as a field
        raise _cannot_show(kind, attribute)
    return _PlainAttribute(attribute) if _is_plain(kind, attribute) else _Attribute(attribute)


def _is_subclass(kind: type[object], other: type[Any]) -> bool:
    return issubclass(kind, other)


def _is_plain(kind: type, attribute: str) -> bool:
    return (
        not any("__setattr__" in vars(base) for base in kind.__mro__[:-1])
        and kind.__dictoffset__ != 0
        and not hasattr(kind, attribute)
        and not hasattr(kind, "__getattr__")
        and not _is_subclass(kind, Mapping)
    )


def _cannot_show(kind: type, attribute: str) -> TypeError:
    return TypeError(
        f"{kind.__name__} takes no attribute {attribute!r}. Open the session beside it: "
        "async with sessions.open(ctx) as s: ..., with the data in s.data"
    )


# Which is open where


class Registry(Protocol):
    """The sessions of one ``Sessions`` that are open on contexts."""

    @property
    def slots(self) -> ContextSlots: ...
    @property
    def open_on(self) -> dict[int, Any]:
        """The open sessions, by ``id`` of their contexts."""
        ...

    def __hash__(self) -> int: ...


_registries: WeakSet[Registry] = WeakSet()
_mutex = Lock()  # a WeakSet that grows cannot be iterated over


def _renew_mutex() -> None:  # pragma: no cover (in a child)
    global _mutex  # noqa: PLW0603 (a thread of the parent may hold it)
    _mutex = Lock()


if hasattr(os, "register_at_fork"):  # pragma: no branch (everywhere but on Windows)
    os.register_at_fork(after_in_child=_renew_mutex)


def register(registry: Registry) -> None:
    """Let other ``Sessions`` see on which contexts these are open."""
    with _mutex:
        _registries.add(registry)


def _all_registries() -> list[Registry]:
    with _mutex:
        return list(_registries)


def sessions_on(ctx: object) -> list[Any]:
    """All sessions that are open on *ctx*, of whatever ``Sessions``."""
    found = (registry.open_on.get(id(ctx)) for registry in _all_registries())
    return [session for session in found if session is not None]


def _is_taken(ctx: object, registry: Registry) -> bool:
    """Whether sessions of another ``Sessions`` are open on this attribute of *ctx*."""
    return any(
        other.slots.attribute == registry.slots.attribute
        and other.open_on is not registry.open_on
        and id(ctx) in other.open_on
        for other in _all_registries()
    )


class Attached:
    """A session while it is open on a context; base of all kinds of sessions."""

    __slots__ = ("_before", "_ctx", "_plain", "_slot")

    _ctx: Any
    _slot: ContextSlot | None
    """Set where the context holds the data."""
    _plain: str | None
    """The name of the attribute, where a plain one holds the data that was not there before."""
    _before: Any

    def _attach(self, registry: Registry, slots: Slots) -> None:
        """Register on the context, and show there, if *slots* say how.

        ``registry.slots`` do for all contexts that can show a session at all, their
        ``properties`` only for those with a ``SessionProperty``.

        Raises:
            TypeError: The context cannot show it.
            SessionError: Another session shows there.
        """
        ctx = self._ctx
        slot = slots[class_of(ctx)]
        if slot is not None:
            name = slot.plain
            if name is not None and getattr(ctx, name, MISSING) is MISSING:
                self._slot, self._plain, self._before = slot, name, MISSING
            else:
                self._attach_to(slot, registry)
        registry.open_on[id(ctx)] = self

    def _attach_to(self, slot: ContextSlot, registry: Registry) -> None:
        before = slot.look(self._ctx)
        if before is not MISSING:
            self._refuse_if_taken(registry)
        if not slot.holds_data:
            slot.put(self._ctx, self)
            return
        if slot.may_refuse:
            self._try_out(slot, registry.slots.attribute)
        self._slot, self._before = slot, before

    def _refuse_if_taken(self, registry: Registry) -> None:
        if _is_taken(self._ctx, registry):
            msg = (
                f"{registry.slots.attribute!r} of this {type(self._ctx).__name__} shows another "
                "session already: give one of them attribute='another_name'"
            )
            raise SessionError(msg)

    def _try_out(self, slot: ContextSlot, attribute: str) -> None:
        try:
            slot.put(self._ctx, self._first_shown())
        except (AttributeError, TypeError, ValueError) as error:
            raise _cannot_show(class_of(self._ctx), attribute) from error

    def _before_pause(self) -> Coroutine[Any, Any, None] | None:
        """Get hold of all that is to be saved before a pause."""
        return None

    def _hide(self) -> None:
        """Be out of reach for the time of a pause, for those that hold no key."""

    def _unhide(self) -> None:
        """Be at hand again after a pause."""

    if TYPE_CHECKING:

        def _shown(self) -> Any:
            """What ``ctx.session`` gives."""
            ...

    def _first_shown(self) -> Any:
        """What a context shows until the session has begun."""
        return self._shown()

    def _detach(self, open_on: dict[int, Any]) -> None:
        """Put back what was on the context before."""
        ctx, slot = self._ctx, self._slot
        if open_on.get(id(ctx)) is self:
            del open_on[id(ctx)]
        if slot is not None:
            slot.put(ctx, self._before)
            self._slot = self._plain = None

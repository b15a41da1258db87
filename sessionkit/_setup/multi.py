"""Multi sessions: fragments with a storage, key and prefix each, under one ``ctx.session``."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import chain
from typing import (
    Any,
    ClassVar,
    Concatenate,
    Generic,
    NoReturn,
    ParamSpec,
    Self,
    TypeAlias,
    TypeVar,
    cast,
    overload,
)

from sessionkit._drive import is_awaitable
from sessionkit._life.attach import Attached, open_on, register
from sessionkit._life.lazy import LazySession
from sessionkit._life.opening import Opening, Target
from sessionkit._life.seats import MISSING
from sessionkit._life.settings import Settings
from sessionkit._life.strict import Session
from sessionkit._life.together import begin_all, end_all
from sessionkit._setup.handlers import injected
from sessionkit._setup.sessions import AnySessions
from sessionkit.errors import SessionClosedError, SessionError

C = TypeVar("C")
P = ParamSpec("P")
R = TypeVar("R")
M = TypeVar("M", bound="MultiSession")

AnyKind: TypeAlias = AnySessions[Any, Any, Any]
Fragment: TypeAlias = Session[Any] | LazySession[Any]


@dataclass(eq=False)
class _Seating:
    attribute: str
    seated: dict[int, Any] = field(default_factory=dict[int, Any])


class MultiSession(Attached):
    """Base of a declared multi session: a class whose attributes are ``Sessions``.

        class Shop(MultiSession):
            cart = session(Cart, get_session_key=keys.user, prefix="cart:")
            prefs = lazy_session(Prefs)

    ``multi_session(Shop)`` makes the middleware; in a handler ``ctx.session`` is
    a ``Shop``: ``ctx.session.cart`` is a ``Cart``, ``await ctx.session.prefs``
    gives the ``Prefs``.  Assigning to a fragment replaces its data, None deletes.
    """

    __slots__ = ("_fragments", "_seating")

    _fragments: dict[AnyKind, Fragment]
    _seating: _Seating
    _names: ClassVar[dict[str, AnyKind]] = {}

    def __init_subclass__(cls) -> None:
        found = {name: getattr(cls, name) for base in cls.__mro__[::-1] for name in vars(base)}
        cls._names = {
            name: value for name, value in found.items() if isinstance(value, AnySessions)
        }
        for name in cls._names:
            if name.startswith("_") or hasattr(MultiSession, name):
                msg = f"a fragment cannot be called {name!r}: that name has a meaning already"
                raise TypeError(msg)

    def __init__(self, fragments: dict[AnyKind, Fragment], seating: _Seating) -> None:
        object.__setattr__(self, "_fragments", fragments)
        object.__setattr__(self, "_seating", seating)
        object.__setattr__(self, "_seat", None)
        object.__setattr__(self, "_ctx", None)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {', '.join(self._names)}>"

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(self._no_fragment(name))

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self._names and name not in Attached.__slots__:
            raise AttributeError(self._no_fragment(name))
        object.__setattr__(self, name, value)

    def _no_fragment(self, name: str) -> str:
        return f"there is no fragment {name!r} in {type(self).__name__}: {', '.join(self._names)}"

    def _fragment(self, sessions: AnyKind) -> Any:
        return self._fragments[sessions]

    def shown(self) -> MultiSession:
        """What ``ctx.session`` gives."""
        return self

    def assigned(self, value: Any) -> None:
        """``ctx.session = value``: assigns the fragments of a mapping; None deletes all."""
        if value is None:
            for fragment in self._fragments.values():
                if fragment.has_key:
                    fragment.assigned(None)
            return
        if value is self:
            return
        if not isinstance(value, Mapping):
            names = ", ".join(self._names)
            msg = f"a multi session takes a mapping of {names}, or None, not {value!r}"
            raise TypeError(msg)
        values = cast("Mapping[str, Any]", value)
        for name in values:
            if name not in self._names:
                raise AttributeError(self._no_fragment(name))
            self._fragments[self._names[name]]._use()  # all, or none
        for name, data in values.items():
            self._fragments[self._names[name]].assigned(data)

    # Attach, begin, end

    def _settle_on(self, ctx: Any, *, show: bool) -> None:
        for name, sessions in self._names.items():
            if open_on(ctx, sessions._settings) is not None:
                msg = (
                    f"the session of the fragment {name!r} is open on this {type(ctx).__name__} "
                    "already: use these sessions by themselves, or in a multi session"
                )
                raise SessionError(msg)
        self._attach(ctx, self._seating, self, show=show)
        for sessions, fragment in self._fragments.items():
            sessions._settings.seated[id(ctx)] = fragment
            fragment._ctx = ctx

    def _holders(self) -> Iterable[object]:
        return chain.from_iterable(each._holders() for each in self._fragments.values())

    def _leave(self) -> None:
        for sessions in self._fragments:
            sessions._settings.seated.pop(id(self._ctx), None)
        self._detach(self._seating.seated)

    def _strict(self) -> list[Session[Any]]:
        return [fragment for fragment in self._fragments.values() if isinstance(fragment, Session)]

    def _lazy(self) -> list[LazySession[Any]]:
        return [each for each in self._fragments.values() if isinstance(each, LazySession)]

    async def _begin(self) -> None:
        await begin_all(self._strict())

    async def _end(self, error: BaseException | None = None) -> None:
        try:
            self._take_assigned(error)
            for fragment in self._lazy():
                await fragment._take_last_assignment(error)
        except BaseException as failure:
            error = failure
            raise
        finally:
            self._leave()
            opened = self._strict() + [lazy._record for lazy in self._lazy() if lazy._finish()]
            await end_all(opened, error, [self._name_of(session) for session in opened])

    def _take_assigned(self, error: BaseException | None) -> None:
        """Take over what was assigned to a plain attribute."""
        if self._seat is None:
            return
        value = self._seat.look(self._ctx)
        try:
            self.assigned(None if value is MISSING else value)
        except Exception:
            if error is None:  # otherwise the handler's own error is the one to see
                raise

    def _name_of(self, session: Session[Any]) -> str:
        fragments = self._fragments
        return next(
            name
            for name, sessions in self._names.items()
            if session in (fragments[sessions], getattr(fragments[sessions], "_record", None))
        )


class MultiSessions(Generic[M]):
    """Several sessions under one name.  Made by ``multi_session()``."""

    def __init__(self, declared: type[M], attribute: str) -> None:
        self._declared = declared
        self._seating = _Seating(attribute)
        register(self._seating)

    def __repr__(self) -> str:
        return f"<MultiSessions of {', '.join(self._declared._names)}>"

    @overload
    def __call__(
        self, ctx: C, handler: Callable[[C], Awaitable[R]], /
    ) -> Coroutine[Any, Any, R]: ...
    @overload
    def __call__(self, ctx: C, handler: Callable[[C], R], /) -> Coroutine[Any, Any, R]: ...
    def __call__(self, ctx: Any, handler: Callable[[Any], Any], /) -> Coroutine[Any, Any, Any]:
        """Run *handler* with all fragments of *ctx* open, as a middleware does."""
        return self._run(ctx, handler)

    def open(self, ctx: object, /) -> Opening[M, M]:
        """Open all fragments of a context: ``async with``, or in threads ``with``.

        By key, open a fragment: ``Shop.cart.open(5)``.

        Raises:
            TypeError: *ctx* is a key.
        """
        if ctx is None or isinstance(ctx, str | int):
            msg = f"fragments have keys of their own: open one of them, as Shop.cart.open({ctx!r})"
            raise TypeError(msg)
        return self._opening(ctx, show=False)

    def of(self, ctx: object, /) -> M:
        """Return the multi session that is open on *ctx*.

        Raises:
            SessionClosedError: None is.
        """
        session: M | None = self._seating.seated.get(id(ctx))
        if session is None:
            msg = f"no session of these is open on this {type(ctx).__name__}"
            raise SessionClosedError(msg)
        return session

    def inject(
        self, function: Callable[Concatenate[C, M, P], R], /
    ) -> Callable[Concatenate[C, P], R]:
        """Decorate a function of a context to get the open multi session as second argument.

        See ``Sessions.inject``.
        """
        return injected(function, self.open)

    async def close(self) -> None:
        """Close the storages that fragments opened themselves, from URLs."""
        async with AsyncExitStack() as stack:  # all of them, even if one fails
            for sessions in self._declared._names.values():
                stack.push_async_callback(sessions.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    def _opening(self, ctx: Any, *, show: bool) -> Opening[M, M]:
        async def make(*, blocking: bool) -> Any:
            fragments = list(self._declared._names.values())
            settings = [each._settings_for(blocking=blocking) for each in fragments]
            keys = await _keys(fragments, settings, Target(ctx))
            sessions = [
                each._kind(own, key)
                for each, own, key in zip(fragments, settings, keys, strict=True)
            ]
            return self._declared(dict(zip(fragments, sessions, strict=True)), self._seating)

        return Opening(make, _itself, ctx, self._seating, show=show)

    async def _run(self, ctx: Any, handler: Callable[[Any], Any]) -> Any:
        async with self._opening(ctx, show=True):
            result = handler(ctx)
            return await result if is_awaitable(result) else result


@overload
def multi_session(declared: type[M], /, *, attribute: str = ...) -> MultiSessions[M]: ...
@overload
def multi_session(*, attribute: str = ..., **fragments: AnyKind) -> MultiSessions[Any]: ...
def multi_session(
    declared: type[Any] | None = None, /, *, attribute: str = "session", **fragments: AnyKind
) -> MultiSessions[Any]:
    """Make multi sessions from a ``MultiSession`` class, or from fragments by name.

    Strict fragments are locked in sorted order and loaded side by side; all are
    encoded before one is written.  A fragment without a key raises when it is touched.

    Raises:
        TypeError: There are no fragments, or one is no ``Sessions``.
        ValueError: Two fragments share storage and prefix.
    """
    if declared is None:
        for name, fragment in fragments.items():
            if not isinstance(fragment, AnySessions):
                msg = f"{name}= must be session(...) or lazy_session(...), not {fragment!r}"
                raise TypeError(msg)
        declared = type("MultiSession", (MultiSession,), dict(fragments))
    elif fragments:
        msg = "multi_session() takes a MultiSession class, or fragments by name, not both"
        raise TypeError(msg)
    elif not (isinstance(declared, type) and issubclass(declared, MultiSession)):
        msg = f"multi_session() takes a MultiSession class, or fragments by name, not {declared!r}"
        raise TypeError(msg)
    if not declared._names:
        msg = "a multi session needs fragments: name = session(...)"
        raise TypeError(msg)
    _check_apart(declared._names)
    return MultiSessions(declared, attribute)


def _check_apart(fragments: Mapping[str, AnyKind]) -> None:
    places: dict[tuple[int, str], str] = {}
    for name, sessions in fragments.items():
        place = id(sessions._settings.locks), sessions._settings.prefix
        if place in places:
            msg = (
                f"the fragments {places[place]!r} and {name!r} share storage and prefix and would "
                f"overwrite each other: give one of them prefix='{name}:'"
            )
            raise ValueError(msg)
        places[place] = name


async def _keys(
    fragments: list[AnyKind], settings: list[Settings], target: Target
) -> list[str | None]:
    pairs = list(zip(fragments, settings, strict=True))
    if settings[0].backend.blocking:
        return [await each._key_for(own, target) for each, own in pairs]
    return list(await asyncio.gather(*(each._key_for(own, target) for each, own in pairs)))


def _itself(session: M) -> M:
    return session

"""``multi_session()``, and what it returns."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar, cast, overload

from sessionkit._api.fragments import AnyKind, MultiRecord, MultiRegistry, MultiSession
from sessionkit._api.sessions import AnySessions
from sessionkit._api.signatures import injected
from sessionkit._api.threads import run_in_thread
from sessionkit._session.context import ContextSlots, register
from sessionkit._session.lifecycle import COROUTINE, UNASKED, run
from sessionkit._session.opening import Opening
from sessionkit.errors import SessionClosedError

C = TypeVar("C")
P = ParamSpec("P")
R = TypeVar("R")
M = TypeVar("M", bound="MultiSession")


class MultiSessions(Generic[M]):
    """Several sessions under one name.  Made by ``multi_session()``."""

    def __init__(self, declared: type[M], attribute: str) -> None:
        self._declared = declared
        self._registry = MultiRegistry(ContextSlots(attribute))
        self._factories = tuple(declared._names.values())
        self._kind = _kind_of(declared)
        register(self._registry)

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
        return run(self, ctx, handler)

    def open(self, ctx: object, /) -> Opening[M, M]:
        """Open all fragments of a context: ``async with``, or in threads ``with``.

        By key, open a fragment: ``Shop.cart.open(5)``.

        Raises:
            TypeError: *ctx* is a key.
        """
        if ctx is None or isinstance(ctx, str | int):
            msg = f"fragments have keys of their own: open one of them, as Shop.cart.open({ctx!r})"
            raise TypeError(msg)
        return Opening(self, ctx, UNASKED)

    def of(self, ctx: object, /) -> M:
        """Return the multi session that is open on *ctx*.

        Raises:
            SessionClosedError: None is.
        """
        record = self._registry.open_on.get(id(ctx))
        if record is None:
            msg = f"no session of these is open on this {type(ctx).__name__}"
            raise SessionClosedError(msg)
        return self._handle(record)

    def inject(
        self, function: Callable[Concatenate[C, M, P], R], /
    ) -> Callable[Concatenate[C, P], R]:
        """Decorate a function of a context to get the open multi session as second argument.

        See ``Sessions.inject``.
        """
        return injected(function, self.open)

    def with_storage(self, storage: Any = None, /, **storages: Any) -> MultiSessions[M]:
        """Return the same multi sessions over another storage: for tests.

        Or over several, by the names of all fragments: ``with_storage(cart=a, prefs=b)``.

        Raises:
            TypeError: Fragments are left without a storage, or there are none of these names.
            ValueError: Two fragments would share storage and prefix.
        """
        fragments = self._declared._names
        if storage is not None:
            storages = dict.fromkeys(fragments, storage) | storages
        if storages.keys() != fragments.keys():
            names = "=..., ".join(fragments)
            msg = f"give one storage, or one for each fragment: with_storage({names}=...)"
            raise TypeError(msg)
        others = {name: each.with_storage(storages[name]) for name, each in fragments.items()}
        declared = cast("type[M]", type(self._declared.__name__, (self._declared,), others))
        return multi_session(declared, attribute=self._registry.slots.attribute)

    @property
    def sync(self) -> SyncMultiSessions[M]:
        """The same for threads that run no event loop."""
        return SyncMultiSessions(self)

    async def close(self) -> None:
        """Close the storages that fragments opened themselves, from URLs."""
        async with AsyncExitStack() as stack:  # all of them, even if one fails
            for sessions in self._declared._names.values():
                stack.push_async_callback(sessions.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    def _make(self, ctx: Any, key: Any, /) -> Any:
        made = [each._make(ctx, key) for each in self._factories]
        return self._make_later(ctx, made) if COROUTINE in map(type, made) else self._of(ctx, made)

    async def _make_later(self, ctx: Any, made: list[Any]) -> MultiRecord:
        return self._of(ctx, await asyncio.gather(*map(_made, made)))

    def _make_in_thread(self, ctx: Any, key: Any, /) -> Any:
        made = [each._make_in_thread(ctx, key) for each in self._factories]
        if COROUTINE in map(type, made):
            return self._make_one_by_one(ctx, made)
        return self._of(ctx, made)

    async def _make_one_by_one(self, ctx: Any, made: list[Any]) -> MultiRecord:
        return self._of(ctx, [await _made(each) for each in made])

    def _of(self, ctx: Any, fragments: Sequence[Any]) -> MultiRecord:
        pairs = zip(self._factories, fragments, strict=True)
        kind = self._kind  # as a method it takes longer to call
        return kind(self._declared, dict(pairs), self._registry, ctx)

    def _handle(self, record: MultiRecord, /) -> M:
        return cast("M", record._shown())

    def _view(self, handle: M, /) -> M:
        return handle


class SyncMultiSessions(Generic[M]):
    """The same multi sessions for threads: same locks, same storages, no ``await``.

    Each method does what the method of that name of ``MultiSessions`` does.  On a
    thread whose event loop is running they raise ``RuntimeError``.
    """

    def __init__(self, sessions: MultiSessions[M]) -> None:
        self._sessions = sessions

    def __repr__(self) -> str:
        return f"{self._sessions!r}.sync"

    def __call__(self, ctx: C, handler: Callable[[C], R], /) -> R:
        """Run *handler* with all fragments of *ctx* open, as a middleware does."""
        return run_in_thread(self._sessions, ctx, handler)

    def open(self, ctx: object, /) -> Opening[M, M]:
        """Open all fragments of a context: ``with sessions.sync.open(ctx) as session``."""
        return self._sessions.open(ctx)

    def of(self, ctx: object, /) -> M:
        """Return the multi session that is open on *ctx*.

        Raises:
            SessionClosedError: None is.
        """
        return self._sessions.of(ctx)

    def close(self) -> None:
        """Close the storages that fragments opened themselves."""
        with ExitStack() as stack:  # all of them, even if one fails
            for sessions in self._sessions._declared._names.values():
                stack.callback(sessions.sync.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


@overload
def multi_session(declared: type[M], /, *, attribute: str = ...) -> MultiSessions[M]: ...
@overload
def multi_session(*, attribute: str = ..., **fragments: AnyKind) -> MultiSessions[Any]: ...
def multi_session(
    declared: type[Any] | None = None, /, *, attribute: str = "session", **fragments: AnyKind
) -> MultiSessions[Any]:
    """Make multi sessions from a ``MultiSession`` class, or from fragments by name.

    Strict fragments are locked in sorted order and loaded concurrently; all are
    encoded before one is written.  A fragment without a key raises when it is touched.

    Raises:
        TypeError: There are no fragments, or one is not a ``Sessions``.
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


async def _made(fragment: Any) -> Any:
    return await fragment if type(fragment) is COROUTINE else fragment


def _kind_of(declared: type[MultiSession]) -> Callable[..., MultiRecord]:
    """What makes the records of multi sessions: another class if a fragment has ``once=``."""
    for sessions in declared._names.values():
        if sessions._settings.once is not None:
            from sessionkit._api.once import carrying  # noqa: PLC0415 (only these need it)

            return carrying(sessions)
    return MultiRecord

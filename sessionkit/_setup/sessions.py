"""``Sessions`` and ``LazySessions``: what ``session()`` and ``lazy_session()`` return."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import replace
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Generic,
    NoReturn,
    ParamSpec,
    Self,
    TypeVar,
    cast,
    overload,
)

from sessionkit._drive import is_awaitable, resolve
from sessionkit._life.attach import open_on, register
from sessionkit._life.lazy import UNASKED, LazySession, may_be_asked_late
from sessionkit._life.opening import Opening, Target
from sessionkit._life.settings import Settings, checked
from sessionkit._life.strict import Session
from sessionkit._life.sync import SyncLazySession, SyncSession
from sessionkit._locks.whereabouts import lifecycle
from sessionkit._setup import by_key
from sessionkit._setup.by_key import OpenMany
from sessionkit._setup.chats import move_chat
from sessionkit._setup.claims import claim
from sessionkit._setup.express import General, Handler, Middleware, lazy_express, strict_express
from sessionkit._setup.handlers import injected
from sessionkit.errors import SessionClosedError

if TYPE_CHECKING:
    from sessionkit._setup.multi import MultiSession
    from sessionkit._setup.sync_sessions import SyncSessions

S = TypeVar("S")
C = TypeVar("C")
P = ParamSpec("P")
R = TypeVar("R")
A = TypeVar("A")
B = TypeVar("B")


class AnySessions(Generic[S, A, B]):
    """What strict and lazy sessions share; A and B are an open one's types, async and sync."""

    _asks_late = False

    def __init__(
        self,
        settings: Settings,
        kind: Callable[[Settings, str | None], A],
        view: Callable[[A], B],
        express: Callable[[Settings, General], Middleware],
    ) -> None:
        self._settings = settings
        self._kind = kind
        self._view = view
        self._blocking: Settings | None = None
        self._owned: Any = None
        claim(settings)
        register(settings)
        self._run = express(settings, self._general)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} in {self._settings.backend.storage!r}>"

    def __getitem__(self, name: object) -> NoReturn:
        msg = "this is the factory; in a handler use ctx.session or the session argument"
        raise TypeError(msg)

    @property
    def storage(self) -> Any:
        """The storage these sessions are kept in."""
        return self._settings.backend.storage

    @overload
    def __call__(
        self, ctx: C, handler: Callable[[C], Awaitable[R]], /
    ) -> Coroutine[Any, Any, R]: ...
    @overload
    def __call__(self, ctx: C, handler: Callable[[C], R], /) -> Coroutine[Any, Any, R]: ...
    def __call__(self, ctx: Any, handler: Callable[[Any], Any], /) -> Coroutine[Any, Any, Any]:
        """Run *handler* with the session of *ctx* open, as a middleware does.

        Its data shows as ``ctx.session`` for the handler's time.  An error of
        the handler is raised on, and nothing is written since the last ``save()``.
        """
        return self._run(ctx, handler)

    def open(self, target: object = None, /, *, key: str | int | None = None) -> Opening[A, B]:
        """Open the session of a context, or of a key (a ``str`` or ``int``).

        ``async with sessions.open(ctx) as session`` where a loop runs, ``with``
        in threads.  On a context whose session is open already, join it.
        """
        return self._opening(Target(target, key))

    def of(self, ctx: object, /) -> A:
        """Return the session that is open on *ctx*: the ``Session`` behind ``ctx.session``.

        Raises:
            SessionClosedError: None of these sessions is open on *ctx*.
        """
        session: A | None = open_on(ctx, self._settings)
        if session is None:
            msg = (
                f"no session of these is open on this {type(ctx).__name__}: handle it inside "
                "'await sessions(ctx, handler)', or 'async with sessions.open(ctx)'"
            )
            raise SessionClosedError(msg)
        return session

    async def get(self, target: object = None, /, *, key: str | int | None = None) -> S:
        """Return a copy of the data of a context or key: no lock, and nothing is written.

        Where nothing is stored that is what ``initial`` gives.

        Raises:
            NoSessionKeyError: The context has no key.
            NoInitialDataError: Nothing is stored, and there is no ``initial``.
        """
        data: S = await by_key.get(self._settings, Target(target, key))
        return data

    async def update(self, key: str | int, change: Callable[[S], S | Awaitable[S]], /) -> S:
        """Read, let *change* make new data of it, write; again on a clash.

        Returns:
            The new data.

        Raises:
            TypeError: *change* returned None.
            SessionConflictError: Others were quicker, a hundred times.
        """
        return await by_key.update(self._settings, Target(None, key), change)

    async def delete(self, target: object = None, /, *, key: str | int | None = None) -> None:
        """Delete what is stored for a context or key, under its lock; a no-op if nothing is."""
        await by_key.delete(self._settings, Target(target, key))

    def keys(self, *, chat: int | None = None, user: int | None = None) -> AsyncIterator[str]:
        """Iterate over the keys of what is stored: all, or those of a *chat* or *user*.

        A number alone is a chat, and in a private chat the user, too.

        Without prefix, expired ones left out, in no certain order.

        Raises:
            TypeError: The storage cannot list.
        """
        return by_key.keys(self._settings, chat, user)

    def items(
        self, *, chat: int | None = None, user: int | None = None
    ) -> AsyncIterator[tuple[str, S]]:
        """Iterate over pairs of key and a copy of the data, otherwise as ``keys``."""
        return by_key.items(self._settings, chat, user)

    async def move(
        self,
        old_key: str | int,
        new_key: str | int,
        merge: Callable[[S, S], S] | None = None,
    ) -> bool:
        """Store the data of *old_key* under *new_key* instead.

        Both are locked, in sorted order.  *merge* is called with what is stored
        under *new_key* and what is under *old_key*, where both have data.

        Returns:
            Whether there was anything under *old_key*.

        Raises:
            SessionConflictError: Both have data, and there is no *merge*.
        """
        return await by_key.move(
            self._settings, Target(None, old_key), Target(None, new_key), merge
        )

    async def move_chat(
        self, old_chat: int, new_chat: int, merge: Callable[[S, S], S] | None = None
    ) -> int:
        """Move the sessions of a group that became a supergroup; see ``keys.migration``.

        All that ``keys.parse`` finds to be of *old_chat*: the chat's own, and
        those of its users if the storage can list.  Updates of the old chat
        that are still under way, in this program, go on in the new one.  Call
        it before a session of either chat is open; a no-op the second time.

        Returns:
            How many sessions had data in the old chat.

        Raises:
            SessionConflictError: Both chats have data, and there is no *merge*
                (see ``move``).  Both were kept; the other sessions were moved.
        """
        return await move_chat(self._settings, old_chat, new_chat, merge)

    def open_many(self, *keys: str | int) -> OpenMany[S]:
        """Open several keys at once, locked in sorted order; gives sessions in the given order.

        Raises:
            SessionReentrancyError: A key is given twice.
        """
        return OpenMany(self._settings_for, [Target(None, key) for key in keys])

    async def purge_expired(self) -> int:
        """Remove what has expired from the whole storage; return how many values that were.

        Raises:
            TypeError: The storage cannot purge.
        """
        purged: int = await self._settings.backend.call("purge_expired")
        return purged

    @overload
    def inject(
        self, function: Callable[Concatenate[C, A, P], Coroutine[Any, Any, R]], /
    ) -> Callable[Concatenate[C, P], Coroutine[Any, Any, R]]: ...
    @overload
    def inject(
        self, function: Callable[Concatenate[C, B, P], R], /
    ) -> Callable[Concatenate[C, P], R]: ...
    def inject(self, function: Callable[..., Any], /) -> Callable[..., Any]:
        """Decorate a function of a context (or key) to get its open session as second argument.

        The session is saved when the function returns.  The parameter does not
        show in the function's signature, for frameworks that look at it.
        """
        return injected(function, self.open)

    def with_storage(self, storage: Any) -> Self:
        """Return the same sessions over another storage: for tests."""
        make = cast("Callable[[Settings], Self]", type(self))
        return make(self._settings.over(storage))

    @property
    def sync(self) -> SyncSessions[S, A, B]:
        """The same for threads that run no event loop."""
        from sessionkit._setup.sync_sessions import SyncSessions  # noqa: PLC0415 (it needs this module)

        return SyncSessions(self)

    async def close(self) -> None:
        """Close the storage if these sessions opened it themselves, from a URL."""
        owned, self._owned = self._owned, None
        if owned is not None:
            await resolve(owned.close())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    def _opening(self, target: Target, *, show: bool = False) -> Opening[A, B]:
        async def make(*, blocking: bool) -> Any:
            settings = self._settings_for(blocking=blocking)
            return self._kind(settings, await self._key_for(settings, target))

        return Opening(make, self._view, target.ctx, self._settings, show=show)

    async def _key_for(self, settings: Settings, target: Target) -> Any:
        late = self._asks_late and target.asks
        return UNASKED if late else await target.key_by(settings)

    def _settings_for(self, *, blocking: bool) -> Settings:
        if not blocking:
            return self._settings
        if self._blocking is None:
            backend = self._settings.backend.blocking_view()
            self._blocking = replace(self._settings, backend=backend)
        return self._blocking

    @lifecycle
    async def _general(self, ctx: Any, handler: Handler, given: Any = UNASKED) -> Any:
        """The middleware where there is no express lane, or it gave up."""
        settings = self._settings
        if open_on(ctx, settings) is not None:  # joins: the outer one saves
            return await resolve(handler(ctx))
        key: Any = settings.get_key(ctx) if given is UNASKED and not self._asks_late else given
        if key is not UNASKED and (type(key) is not str or not key):
            key = await checked(key)
        session: Any = self._kind(settings, key)
        session._settle_on(ctx, show=True)
        try:
            await session._begin(seen=True)
        except BaseException:
            session._leave()
            raise
        try:
            result = handler(ctx)
            if is_awaitable(result):
                result = await result
        except BaseException as error:
            await session._end(error)
            raise
        await session._end()
        return result


class Sessions(AnySessions[S, Session[S], SyncSession[S]]):
    """Strict sessions: loaded before the handler, saved after it.  Made by ``session()``."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, Session, SyncSession, strict_express)

    @overload
    def __get__(self, obj: None, owner: type, /) -> Self: ...
    @overload
    def __get__(self, obj: MultiSession, owner: type, /) -> S: ...
    def __get__(self, obj: MultiSession | None, owner: type, /) -> Self | S:
        return self if obj is None else obj._fragment(self).shown()

    def __set__(self, obj: MultiSession, value: S | None, /) -> None:
        obj._fragment(self).assigned(value)

    def __delete__(self, obj: MultiSession, /) -> None:
        obj._fragment(self).assigned(None)


class LazySessions(AnySessions[S, LazySession[S], SyncLazySession[S]]):
    """Lazy sessions: loaded when first awaited.  Made by ``lazy_session()``."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, LazySession.for_key, SyncLazySession, lazy_express)
        self._asks_late = may_be_asked_late(settings.get_key)

    @overload
    def __get__(self, obj: None, owner: type, /) -> Self: ...
    @overload
    def __get__(self, obj: MultiSession, owner: type, /) -> LazySession[S]: ...
    def __get__(self, obj: MultiSession | None, owner: type, /) -> Self | LazySession[S]:
        return self if obj is None else obj._fragment(self).shown()

    def __set__(self, obj: MultiSession, value: S | Awaitable[S] | None, /) -> None:
        obj._fragment(self).assigned(value)

    def __delete__(self, obj: MultiSession, /) -> None:
        obj._fragment(self).assigned(None)

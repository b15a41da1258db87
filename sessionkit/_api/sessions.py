"""``Sessions`` and ``LazySessions``: what ``session()`` and ``lazy_session()`` return."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import replace
from typing import (
    Any,
    Concatenate,
    Generic,
    NoReturn,
    ParamSpec,
    Protocol,
    Self,
    TypeVar,
    cast,
    overload,
)

from sessionkit._api import by_key
from sessionkit._api.by_key import OpenMany
from sessionkit._api.prefixes import claim, release_claim
from sessionkit._api.signatures import injected
from sessionkit._api.threads import SyncSessions
from sessionkit._session.context import register
from sessionkit._session.lazy import (
    LazySession,
    lazy_handle_of,
    may_be_asked_late,
)
from sessionkit._session.lifecycle import UNASKED, run
from sessionkit._session.opening import Opening, target_of
from sessionkit._session.settings import Settings
from sessionkit._session.strict import Session, handle_of
from sessionkit._session.threads import SyncLazySession, SyncSession
from sessionkit._storage.sync_or_async import is_awaitable, resolve
from sessionkit.errors import SessionClosedError

S = TypeVar("S")
C = TypeVar("C")
P = ParamSpec("P")
R = TypeVar("R")
A = TypeVar("A")
B = TypeVar("B")


class HasFragments(Protocol):
    """A multi session, as the ``Sessions`` that are its fragments see it."""

    def _fragment(self, sessions: Any, /) -> Any: ...


class AnySessions(Generic[S, A, B]):
    """What strict and lazy sessions share; A and B are an open one's types, async and sync."""

    def __init__(
        self,
        settings: Settings,
        kind: Callable[[Settings, Any, Any], Any],
        handle: Callable[[Any], A],
        view: Callable[[A], B],
        *,
        asks_late: bool,
    ) -> None:
        self._settings = self._registry = settings
        self._kind = kind
        self._handle = handle
        self._view = view
        self._asks_late = asks_late
        self._blocking: Settings | None = None
        self._owned: Any = None
        claim(settings)
        register(settings)

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

        Its data is ``ctx.session`` while the handler runs.  An error of
        the handler propagates, and nothing is written since the last ``save()``.
        """
        return run(self, ctx, handler)

    def open(self, target: object = None, /, *, key: str | int | None = None) -> Opening[A, B]:
        """Open the session of a context, or of a key (a ``str`` or ``int``).

        ``async with sessions.open(ctx) as session`` where a loop runs, ``with``
        in threads.  On a context whose session is open already, join it.
        """
        ctx, key = target_of(target, key)
        return Opening(self, ctx, key)

    def of(self, ctx: object, /) -> A:
        """Return the session that is open on *ctx*: the ``Session`` behind ``ctx.session``.

        Raises:
            SessionClosedError: None of these sessions is open on *ctx*.
        """
        session = self._registry.open_on.get(id(ctx))
        if session is None:
            msg = (
                f"no session of these is open on this {type(ctx).__name__}: handle it inside "
                "'await sessions(ctx, handler)', or 'async with sessions.open(ctx)'"
            )
            raise SessionClosedError(msg)
        return self._handle(session)

    async def get(self, target: object = None, /, *, key: str | int | None = None) -> S:
        """Return a copy of the data of a context or key: no lock, and nothing is written.

        Where nothing is stored that is what ``initial`` gives.

        Raises:
            NoSessionKeyError: The context has no key.
            NoInitialDataError: Nothing is stored, and there is no ``initial``.
        """
        data: S = await by_key.get(self._settings, *target_of(target, key))
        return data

    async def update(self, target: object, change: Callable[[S], S | Awaitable[S]], /) -> S:
        """Read the data of a context or key, let *change* make new data of it, write it.

        Under the key's lock, and again if another process wrote in between.

        Returns:
            The new data.

        Raises:
            TypeError: *change* returned None.
            SessionConflictError: Others were quicker, a hundred times.
        """
        data: S = await by_key.update(self._settings, *target_of(target, None), change)
        return data

    async def delete(self, target: object = None, /, *, key: str | int | None = None) -> None:
        """Delete what is stored for a context or key, under its lock; a no-op if nothing is."""
        await by_key.delete(self._settings, *target_of(target, key))

    async def exists(self, target: object = None, /, *, key: str | int | None = None) -> bool:
        """Return whether something is stored for a context or key, and has not expired: no lock.

        Raises:
            NoSessionKeyError: The context has no key.
        """
        return await by_key.exists(self._settings, *target_of(target, key))

    async def count(self) -> int:
        """Return how many sessions of this prefix are stored and have not expired.

        Raises:
            TypeError: The storage cannot list.
        """
        return await by_key.count(self._settings)

    def keys(self, *, chat: int | None = None, user: int | None = None) -> AsyncIterator[str]:
        """Iterate over the keys of what is stored: all, or those of a *chat* or *user*.

        A number alone is a chat, and in a private chat the user, too.

        Without prefix, expired ones left out, in any order.

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
        under *new_key* and what is under *old_key*, where both have data; again if
        another process wrote to *old_key* in between.

        Returns:
            Whether there was anything under *old_key*.

        Raises:
            SessionConflictError: Both have data, and there is no *merge*.
        """
        return await by_key.move(self._settings, old_key, new_key, merge)

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
        return await by_key.move_chat(self._settings, old_chat, new_chat, merge)

    def open_many(self, *keys: str | int) -> OpenMany[S]:
        """Open several keys at once, locked in sorted order; gives sessions in the given order.

        Raises:
            SessionReentrancyError: A key is given twice.
        """
        return OpenMany(self._settings_for, keys)

    async def purge_expired(self) -> int:
        """Remove what has expired from the whole storage; return how many values that were.

        Raises:
            TypeError: The storage cannot purge.
        """
        return await by_key.purge_expired(self._settings)

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
        """Return the same sessions over another storage: for tests.

        Timeouts and migrations belong to the storage that is replaced, and go with it.
        """
        make = cast("Callable[[Settings], Self]", type(self))
        return make(self._settings.over(storage))

    @property
    def sync(self) -> SyncSessions[S, A, B]:
        """The same for threads that run no event loop."""
        return SyncSessions(self, self._settings_for)

    async def close(self) -> None:
        """Close the storage if these sessions opened it themselves, from a URL.

        Sessions with another type of data may have the prefix from now on.
        """
        release_claim(self._settings)
        owned, self._owned = self._owned, None
        if owned is not None:
            await resolve(owned.close())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    def _make_in_thread(self, ctx: Any, key: Any, /) -> Any:
        return self._make(ctx, key, self._settings_for(blocking=True))

    def _make(self, ctx: Any, key: Any, in_thread: Settings | None = None, /) -> Any:
        settings = in_thread or self._settings
        make = self._kind  # as a method it takes longer to call
        if key is UNASKED and not self._asks_late:
            get_key = settings.get_key
            key = get_key(ctx)
            if type(key) is not str or not key or settings.moved:
                key = settings.checked(key)
                if is_awaitable(key):
                    return self._make_later(settings, key, ctx)
        return make(settings, key, ctx)

    async def _make_later(self, settings: Settings, key: Awaitable[str | None], ctx: Any) -> Any:
        return self._kind(settings, await key, ctx)

    def _settings_for(self, *, blocking: bool) -> Settings:
        if not blocking:
            return self._settings
        if self._blocking is None:
            backend = self._settings.backend.blocking_view()
            once = None if self._settings.once is None else self._settings.once.over(backend)
            self._blocking = replace(self._settings, backend=backend, view=self._view, once=once)
        return self._blocking


class Sessions(AnySessions[S, Session[S], SyncSession[S]]):
    """Strict sessions: loaded before the handler, saved after it.  Made by ``session()``."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, settings.record, handle_of, SyncSession, asks_late=False)

    @overload
    def __get__(self, obj: None, owner: type, /) -> Self: ...
    @overload
    def __get__(self, obj: HasFragments, owner: type, /) -> S: ...
    def __get__(self, obj: HasFragments | None, owner: type, /) -> Self | S:
        return self if obj is None else obj._fragment(self)._shown()

    def __set__(self, obj: HasFragments, value: S | None, /) -> None:
        obj._fragment(self)._assign(value)

    def __delete__(self, obj: HasFragments, /) -> None:
        obj._fragment(self)._assign(None)


class LazySessions(AnySessions[S, LazySession[S], SyncLazySession[S]]):
    """Lazy sessions: loaded when first awaited.  Made by ``lazy_session()``."""

    def __init__(self, settings: Settings) -> None:
        late = may_be_asked_late(settings.get_key)
        kind = settings.lazy_record
        super().__init__(settings, kind, lazy_handle_of, SyncLazySession, asks_late=late)

    @overload
    def __get__(self, obj: None, owner: type, /) -> Self: ...
    @overload
    def __get__(self, obj: HasFragments, owner: type, /) -> LazySession[S]: ...
    def __get__(self, obj: HasFragments | None, owner: type, /) -> Self | LazySession[S]:
        return self if obj is None else obj._fragment(self)._shown()

    def __set__(self, obj: HasFragments, value: S | Awaitable[S] | None, /) -> None:
        obj._fragment(self)._assign(value)

    def __delete__(self, obj: HasFragments, /) -> None:
        obj._fragment(self)._assign(None)

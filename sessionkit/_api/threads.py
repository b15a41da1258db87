"""``sessions.sync``: everything a ``Sessions`` does, for threads that run no event loop."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Any, Generic, TypeVar

from sessionkit._api import by_key
from sessionkit._api.by_key import OpenMany
from sessionkit._api.prefixes import release_claim
from sessionkit._session.lifecycle import Factory, run
from sessionkit._session.opening import Opening, refuse_loop, target_of
from sessionkit._session.settings import Settings, SettingsFor
from sessionkit._storage.sync_or_async import discard, is_awaitable, resolve, run_sync

S = TypeVar("S")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
R = TypeVar("R")


class SyncSessions(Generic[S, A, B]):
    """The same sessions for threads: same locks, same storage, no ``await``.

    Each method does what the method of that name of ``Sessions`` does.  On a
    thread whose event loop is running they raise ``RuntimeError``.
    """

    def __init__(self, sessions: Any, settings_for: SettingsFor) -> None:
        self._sessions = sessions
        self._settings_for = settings_for

    def __repr__(self) -> str:
        return f"{self._sessions!r}.sync"

    def __call__(self, ctx: C, handler: Callable[[C], R], /) -> R:
        """Run *handler* with the session of *ctx* open, as a middleware does."""
        return run_in_thread(self._sessions, ctx, handler)

    def open(self, target: object = None, /, *, key: str | int | None = None) -> Opening[A, B]:
        """Open the session of a context or key: ``with sessions.sync.open(...) as session``."""
        opening: Opening[A, B] = self._sessions.open(target, key=key)
        return opening

    def of(self, ctx: object, /) -> B:
        """Return the session that is open on *ctx*.

        Raises:
            SessionClosedError: None of these sessions is open on *ctx*.
        """
        view: B = self._sessions._view(self._sessions.of(ctx))
        return view

    def open_many(self, *keys: str | int) -> OpenMany[S]:
        """Open several keys at once: ``with sessions.sync.open_many(...) as (one, other)``."""
        many: OpenMany[S] = self._sessions.open_many(*keys)
        return many

    def get(self, target: object = None, /, *, key: str | int | None = None) -> S:
        """Return a copy of the data of a context or key."""
        data: S = run_sync(by_key.get(self._settings(), *target_of(target, key)))
        return data

    def update(self, target: object, change: Callable[[S], S], /) -> S:
        """Read, let *change* make new data of it, write; again on a clash."""
        data: S = run_sync(by_key.update(self._settings(), *target_of(target, None), change))
        return data

    def delete(self, target: object = None, /, *, key: str | int | None = None) -> None:
        """Delete what is stored for a context or key."""
        run_sync(by_key.delete(self._settings(), *target_of(target, key)))

    def exists(self, target: object = None, /, *, key: str | int | None = None) -> bool:
        """Return whether something is stored for a context or key."""
        return run_sync(by_key.exists(self._settings(), *target_of(target, key)))

    def count(self) -> int:
        """Return how many sessions of this prefix are stored."""
        return run_sync(by_key.count(self._settings()))

    def keys(self, *, chat: int | None = None, user: int | None = None) -> Iterator[str]:
        """Iterate over the keys of what is stored."""
        return _iterate(by_key.keys(self._settings(), chat, user))

    def items(self, *, chat: int | None = None, user: int | None = None) -> Iterator[tuple[str, S]]:
        """Iterate over pairs of key and a copy of the data."""
        return _iterate(by_key.items(self._settings(), chat, user))

    def move(
        self,
        old_key: str | int,
        new_key: str | int,
        merge: Callable[[S, S], S] | None = None,
    ) -> bool:
        """Store the data of *old_key* under *new_key* instead."""
        return run_sync(by_key.move(self._settings(), old_key, new_key, merge))

    def move_chat(
        self, old_chat: int, new_chat: int, merge: Callable[[S, S], S] | None = None
    ) -> int:
        """Move the sessions of a group that became a supergroup."""
        return run_sync(by_key.move_chat(self._settings(), old_chat, new_chat, merge))

    def purge_expired(self) -> int:
        """Remove what has expired; return how many values that were."""
        purged: int = run_sync(self._settings().backend.call("purge_expired"))
        return purged

    def close(self) -> None:
        """Close the storage if these sessions opened it themselves."""
        refuse_loop()
        release_claim(self._settings_for(blocking=False))
        owned, self._sessions._owned = self._sessions._owned, None
        if owned is not None:
            run_sync(resolve(getattr(owned, "sync", owned).close()))

    def __enter__(self) -> SyncSessions[S, A, B]:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _settings(self) -> Settings:
        refuse_loop()
        return self._settings_for(blocking=True)


def run_in_thread(factory: Factory, ctx: C, handler: Callable[[C], R]) -> R:
    """Run a handler with its session open, as ``lifecycle.run`` does where a loop runs."""
    refuse_loop()

    def handle(ctx: C) -> R:
        return _at_once(handler(ctx))

    result: R = run_sync(
        run(factory, ctx, handle, None, (), True)  # noqa: FBT003 (see there)
    )
    return result


def _at_once(result: R) -> R:
    """Return what a handler gave.

    Raises:
        TypeError: It is async.
    """
    if is_awaitable(result):
        discard(result)
        msg = "the handler is async, and there is no event loop here: await sessions(ctx, handler)"
        raise TypeError(msg)
    return result


def _iterate(entries: AsyncGenerator[Any, None]) -> Iterator[Any]:
    try:
        while True:
            yield run_sync(_next(entries))
    except StopAsyncIteration:
        return
    finally:
        run_sync(_close(entries))


async def _next(entries: AsyncGenerator[Any, None]) -> Any:
    return await anext(entries)


async def _close(entries: AsyncGenerator[Any, None]) -> None:
    await entries.aclose()

"""What can be done with sessions outside an update, by key."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, Final, Generic, TypeVar

from sessionkit._drive import resolve, run_sync
from sessionkit._life.backend import Found
from sessionkit._life.forms import taken_over
from sessionkit._life.opening import Target, refuse_loop
from sessionkit._life.record import OPEN
from sessionkit._life.settings import Settings, SettingsFor
from sessionkit._life.strict import Session
from sessionkit._life.sync import SyncSession
from sessionkit._life.together import begin_all, end_all
from sessionkit._setup.claims import is_foreign
from sessionkit.errors import (
    InvalidSessionKeyError,
    SessionConflictError,
    SessionReentrancyError,
)
from sessionkit.keys import ParsedKey, parse

S = TypeVar("S")

_UPDATE_TRIES: Final = 100


async def session_for(settings: Settings, target: Target) -> Session[Any]:
    """A session of a key or context, not begun yet; raises if the context has no key."""
    session: Session[Any] = Session(settings, await target.key_by(settings))
    if session.key is None:
        session._ctx = target.ctx
        await session._begin()
        session._use()
    return session


async def get(settings: Settings, target: Target) -> Any:
    """Return a copy of the data; no lock, no write."""
    session = await session_for(settings, target)
    await session._load()
    session._state = OPEN
    return session.data


async def update(settings: Settings, target: Target, change: Callable[[S], S | Awaitable[S]]) -> S:
    """Read, change, write; again whenever somebody else wrote in between."""
    settings = replace(settings, on_conflict="raise")
    for attempt in range(1, _UPDATE_TRIES + 1):
        session = await session_for(settings, target)
        await session._begin()
        try:
            data = await _changed(session, change)
            if await _is_saved(session, last=attempt == _UPDATE_TRIES):
                return data
        finally:
            session.fail()  # what is to be written has been
            await session._end()
    raise AssertionError  # pragma: no cover


async def _changed(session: Session[Any], change: Callable[[S], S | Awaitable[S]]) -> S:
    data = await resolve(change(session.data))
    if data is None:
        msg = "the function given to update() returned None: return the data; to delete, delete()"
        raise TypeError(msg)
    session.data = data
    return data


async def _is_saved(session: Session[Any], *, last: bool) -> bool:
    try:
        await session._save()
    except SessionConflictError:
        if last:
            raise
        return False
    return True


async def delete(settings: Settings, target: Target) -> None:
    """Delete what is stored, whatever it is, under the lock."""
    session = await session_for(settings, target)
    await session._begin_unread()
    session._show(None)
    await session._end()


async def keys(settings: Settings, chat: int | None, user: int | None) -> AsyncGenerator[str, None]:
    """Yield the keys of what is stored, without prefix."""
    async for full_key in settings.backend.listing("iter_keys", settings.prefix):
        if _is_wanted(settings, full_key, chat, user):
            yield full_key.removeprefix(settings.prefix)


async def items(
    settings: Settings, chat: int | None, user: int | None
) -> AsyncGenerator[tuple[str, Any], None]:
    """Yield keys, without prefix, and data."""
    async for full_key, value in settings.backend.listing("iter_items", settings.prefix):
        if _is_wanted(settings, full_key, chat, user):
            key = full_key.removeprefix(settings.prefix)
            yield key, taken_over(settings, full_key, Found(value, None)).data


def _is_wanted(settings: Settings, full_key: str, chat: int | None, user: int | None) -> bool:
    if is_foreign(settings, full_key):
        return False
    if chat is None and user is None:
        return True
    try:
        parsed = parse(full_key.removeprefix(settings.prefix))
    except InvalidSessionKeyError:
        return False
    return chat in (None, parsed.chat) and user in (None, _user_of(parsed))


def _user_of(parsed: ParsedKey) -> int | None:
    """The user of a key; a private chat has the number of its user."""
    if parsed.user is None and parsed.chat > 0:
        return parsed.chat
    return parsed.user


async def move(
    settings: Settings,
    old: Target,
    new: Target,
    merge: Callable[[Any, Any], Any] | None,
    *,
    for_good: bool = False,
) -> bool:
    """Store the data of one key under another instead; return whether there was any.

    With *for_good*, updates that still have the old key get the session of the new one.
    """
    if old.key == new.key:
        return False

    def same(*, blocking: bool) -> Settings:  # noqa: ARG001 (they are the right ones already)
        return settings

    many: OpenMany[Any] = OpenMany(same, [old, new])
    source, target = await many.begin()
    try:
        moved = not source.is_new
        await source._move_into(target, merge)
        if for_good:  # before the locks are let go of
            settings.follow(str(old.key), str(new.key))
    finally:
        source.fail()  # what is to be written has been
        target.fail()
        await many.close()
    return moved


class OpenMany(Generic[S]):
    """Several keys open at once: ``async with`` where a loop runs, ``with`` in threads."""

    def __init__(self, settings: SettingsFor, targets: Sequence[Target]) -> None:
        self._settings = settings
        self._targets = targets
        self._sessions: tuple[Session[S], ...] = ()
        doubles = {str(t.key) for t in targets if sum(t.key == u.key for u in targets) > 1}
        if doubles:
            msg = f"open_many() was given {', '.join(sorted(doubles))} twice"
            raise SessionReentrancyError(msg)

    async def begin(self) -> tuple[Session[S], ...]:
        """Lock all in sorted order, and load them."""
        return await self._begin(self._settings(blocking=False))

    async def close(self, error: BaseException | None = None) -> None:
        """Write what changed, unless there was an error, and let go of all."""
        sessions, self._sessions = self._sessions, ()
        await end_all(sessions, error, [session._full_key for session in sessions])

    async def _begin(self, settings: Settings) -> tuple[Session[S], ...]:
        sessions = tuple(Session[S](settings, target.key) for target in self._targets)
        await begin_all(sessions)
        self._sessions = sessions
        return sessions

    async def __aenter__(self) -> tuple[Session[S], ...]:
        return await self.begin()

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        await self.close(error)

    def __enter__(self) -> tuple[SyncSession[S], ...]:
        refuse_loop()
        return tuple(map(SyncSession, run_sync(self._begin(self._settings(blocking=True)))))

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        run_sync(self.close(error))

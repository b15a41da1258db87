"""What can be done with sessions outside an update, by key."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from sessionkit import keys as key_functions
from sessionkit._api.prefixes import is_foreign
from sessionkit._locks.owners import disown, holds_session, own
from sessionkit._session.group import Group, begin_all, end_all
from sessionkit._session.lifecycle import COROUTINE, UNASKED
from sessionkit._session.moving import ChangedMeanwhileError, move_data
from sessionkit._session.opening import refuse_loop
from sessionkit._session.record import Record
from sessionkit._session.settings import Settings, SettingsFor, required_key
from sessionkit._session.stored import OPEN, Rest, wait_for
from sessionkit._session.strict import Session, handle_of
from sessionkit._session.threads import SyncSession
from sessionkit._storage.listing import LeftOut
from sessionkit._storage.sync_or_async import is_awaitable, resolve, run_sync
from sessionkit.errors import (
    InvalidSessionKeyError,
    SessionConflictError,
    SessionError,
    SessionListingError,
    SessionReentrancyError,
)
from sessionkit.keys import ParsedKey, parse
from sessionkit.protocols import MaybeAwaitable

if TYPE_CHECKING:
    from types import FrameType

S = TypeVar("S")

_UPDATE_TRIES: Final = 100
_FORGOT_RETURN: Final = (
    "the function given to update() returned None: return the data; to delete, delete()"
)


def _session_for(settings: Settings, ctx: Any, key: Any) -> MaybeAwaitable[Record[Any]]:
    """A session of a key or context, not begun yet."""
    if key is UNASKED:
        return _session_of(settings, ctx)
    return settings.record(settings, key)  # type: ignore[no-any-return]  # a Record


async def _session_of(settings: Settings, ctx: Any) -> Record[Any]:
    key = await resolve(settings.key_of(ctx))
    session: Record[Any] = settings.record(settings, key)
    if key is None:
        session._ctx = ctx
        raise session._unusable()
    return session


async def get(settings: Settings, ctx: Any, key: Any) -> Any:
    """Return a copy of the data; no lock, no write."""
    session = await resolve(_session_for(settings, ctx, key))
    await wait_for(session._load())
    session._state = OPEN
    return session._shown()


async def exists(settings: Settings, ctx: Any, key: Any) -> bool:
    """Return whether something is stored; no lock, no write."""
    session = await resolve(_session_for(settings, ctx, key))
    backend = settings.backend
    has = getattr(backend.storage, "has", None)
    if settings.once is not None:  # what was deleted may have left ids behind
        await wait_for(session._load())
        return session._stored
    if callable(has):
        return bool(await backend.answer(has(session._full_key)))
    return await backend.answer(backend.storage.read(session._full_key)) is not None


@holds_session
async def update(  # noqa: C901 (calls take longer)
    settings: Settings, ctx: Any, key: Any, change: Callable[[Any], Any]
) -> Any:
    """Read, change, write; again whenever another process wrote in between."""
    attempts = 0
    while True:
        attempts += 1
        session: Any = _session_for(settings, ctx, key)
        if type(session) is COROUTINE:
            session = await session
        rest = session._begin()
        if rest is not None:
            await rest
        try:
            former = session._shown()
            data: Any = change(former)
            if is_awaitable(data):
                data = await data
            if data is None:
                raise TypeError(_FORGOT_RETURN)
            if session._unknown is not None:
                session._unknown.follow(former, data)
            session._show(data)
            try:
                rest = session._save(settles=False)
                if rest is not None:
                    await rest
            except SessionConflictError:
                if attempts < _UPDATE_TRIES:
                    continue
                raise
            return data
        finally:
            session._discarded = True  # what is to be written has been
            rest = session._end()
            if rest is not None:
                await rest


async def delete(settings: Settings, ctx: Any, key: Any) -> None:
    """Delete what is stored, under the lock."""
    session = await resolve(_session_for(settings, ctx, key))
    await _delete(session)


@holds_session
async def _delete(session: Record[Any]) -> None:
    await wait_for(session._begin_unread())
    session._show(None)
    await wait_for(session._end())


# Listing


async def keys(settings: Settings, chat: int | None, user: int | None) -> AsyncGenerator[str, None]:
    """Yield the keys of what is stored, without prefix."""
    if settings.once is not None:
        async for key, _ in items(settings, chat, user):
            yield key
        return
    async for full_key in settings.backend.listing("iter_keys", settings.prefix):
        if _is_wanted(settings, full_key, chat, user):
            yield full_key.removeprefix(settings.prefix)


async def items(
    settings: Settings, chat: int | None, user: int | None
) -> AsyncGenerator[tuple[str, Any], None]:
    """Yield keys, without prefix, and data; report at the end what could not be read."""
    left_out = LeftOut()
    try:
        async for full_key, value in settings.backend.listing("iter_items", settings.prefix):
            if not _is_wanted(settings, full_key, chat, user):
                continue
            try:
                data = settings.data_of(value, full_key)
            except SessionError as error:
                left_out.add(error, full_key)
            else:
                if data is not None:  # deleted, and something was left beside the data
                    yield full_key.removeprefix(settings.prefix), data
    except SessionListingError as error:
        wanted = (key for key in error.keys if _is_wanted(settings, key, chat, user))
        left_out.add(error.__cause__ or error, *wanted)
    left_out.report()


async def count(settings: Settings) -> int:
    """Return how many sessions are stored, under the prefix."""
    number = 0
    async for _ in keys(settings, None, None):
        number += 1
    return number


async def purge_expired(settings: Settings) -> int:
    """Remove what has expired; return how many values that were."""
    backend, once = settings.backend, settings.once
    swept: int = 0 if once is None else await once.sweep(settings.prefix)
    if once is not None and once.sweeps and not hasattr(backend.storage, "purge_expired"):
        return swept
    purged: int = await backend.call("purge_expired")
    return purged + swept


def _is_wanted(settings: Settings, full_key: str, chat: int | None, user: int | None) -> bool:
    if is_foreign(settings, full_key):
        return False
    if chat is None and user is None:
        return True
    try:
        parsed = parse(full_key.removeprefix(settings.prefix))
    except InvalidSessionKeyError:
        return False
    return chat in (None, _chat_of(parsed)) and user in (None, _user_of(parsed))


def _chat_of(parsed: ParsedKey) -> int | None:
    """The chat of a key; that of a guest only happens to have the number of one."""
    return None if parsed.guest else parsed.chat


def _user_of(parsed: ParsedKey) -> int | None:
    """The user of a key; a private chat has the number of its user."""
    chat = _chat_of(parsed)
    if parsed.user is None and chat is not None and chat > 0:
        return chat
    return parsed.user


# Several at once


class OpenMany(Generic[S]):
    """Several keys open at once: ``async with`` where a loop runs, ``with`` in threads."""

    def __init__(self, settings: SettingsFor, keys: Sequence[str | int]) -> None:
        self._settings = settings
        self._keys = [required_key(key) for key in keys]
        self._group = Group[Record[S]](())
        self._place: FrameType | None = None
        doubles = {key for key in self._keys if self._keys.count(key) > 1}
        if doubles:
            msg = f"open_many() was given {', '.join(sorted(doubles))} twice"
            raise SessionReentrancyError(msg)

    async def begin(self) -> tuple[Session[S], ...]:
        """Lock all in sorted order, and load them."""
        await wait_for(self._begin(self._settings(blocking=False)))
        return self._sessions()

    async def close(self, error: BaseException | None = None) -> None:
        """Write what changed, unless there was an error, and unlock all."""
        await self._close(error)

    def _begin(self, settings: Settings) -> Rest:
        self._group = Group(tuple(settings.record(settings, key) for key in self._keys))
        return begin_all(self._group.sessions)

    def _sessions(self) -> tuple[Session[S], ...]:
        return tuple(map(handle_of, self._group.sessions))

    def _close(self, error: BaseException | None) -> Coroutine[Any, Any, None]:
        group, self._group = self._group, Group[Record[S]](())
        place, self._place = self._place, None
        if place is not None:
            disown(group, place)
        return _end_group(group, error)

    async def __aenter__(self) -> tuple[Session[S], ...]:
        sessions = await self.begin()
        self._place = own(self._group, sys._getframe(1))  # pyright: ignore[reportPrivateUsage]
        return sessions

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        await self.close(error)

    def __enter__(self) -> tuple[SyncSession[S], ...]:
        refuse_loop()
        rest = self._begin(self._settings(blocking=True))
        if rest is not None:
            run_sync(rest)
        self._place = own(self._group, sys._getframe(1))  # pyright: ignore[reportPrivateUsage]
        return tuple(map(SyncSession, self._sessions()))

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        run_sync(self._close(error))


@holds_session
async def _end_group(session: Group[Record[Any]], error: BaseException | None) -> None:
    names = [record._full_key for record in session.sessions]
    await wait_for(end_all(session.sessions, error, names))


# Moving


async def move(
    settings: Settings,
    old: str | int,
    new: str | int,
    merge: Callable[[Any, Any], Any] | None,
    *,
    for_good: bool = False,
) -> bool:
    """Store the data of one key under another instead; return whether there was any.

    With *for_good*, updates that still use the old key get the session of the new one.
    """
    old_key, new_key = required_key(old), required_key(new)
    if old_key == new_key:
        return False
    for _ in range(1, _UPDATE_TRIES):
        try:
            return await _move_once(settings, old_key, new_key, merge, for_good=for_good)
        except ChangedMeanwhileError:
            continue
    return await _move_once(settings, old_key, new_key, merge, for_good=for_good)


@holds_session
async def _move_once(
    settings: Settings,
    old_key: str,
    new_key: str,
    merge: Callable[[Any, Any], Any] | None,
    *,
    for_good: bool,
) -> bool:
    source: Record[Any] = settings.record(settings, old_key)
    target: Record[Any] = settings.record(settings, new_key)
    session = Group((source, target))
    await wait_for(begin_all(session.sessions))
    try:
        moved = source._stored
        await move_data(source, target, merge)
        if for_good:  # before the locks are let go of
            settings.follow(old_key, new_key)
    finally:
        source._discarded = target._discarded = True  # what is to be written has been
        await wait_for(end_all(session.sessions, None, (old_key, new_key)))
    return moved


async def move_chat(
    settings: Settings, old: int, new: int, merge: Callable[[Any, Any], Any] | None
) -> int:
    """Move all sessions of a chat; return how many had data."""
    moved = 0
    conflict: SessionConflictError | None = None
    for key in [key async for key in _keys_of(settings, old)]:
        new_key = str(replace(parse(key), chat=new))
        try:
            moved += await move(settings, key, new_key, merge, for_good=True)
        except SessionConflictError as error:
            conflict = conflict or error
    if conflict is not None:
        raise conflict
    return moved


async def _keys_of(settings: Settings, chat: int) -> AsyncIterator[str]:
    """The keys of a chat's sessions; the chat's own is last: moving it redirects later updates."""
    own_key = str(chat)
    only_own = settings.get_key in (key_functions.chat, key_functions.chat_or_user)
    if not only_own and hasattr(settings.backend.storage, "iter_keys"):
        async for key in keys(settings, chat, None):
            if key != own_key:
                yield key
    yield own_key

"""What aiogram's FSM and Scenes remember, in any storage of sessionkit."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from aiogram import exceptions
from aiogram.fsm.state import State
from aiogram.fsm.storage.base import (
    DEFAULT_DESTINY,
    BaseEventIsolation,
    BaseStorage,
    StateType,
    StorageKey,
)

from sessionkit import MemorySessionStorage, keys, lazy_session, session, storage_from_url
from sessionkit.adapters import PersonalSource, pause_along
from sessionkit.protocols import SessionLock, Storage

if TYPE_CHECKING:
    from datetime import timedelta

# aiogram 3.20 does not have it yet
_NotDictLikeError: Final[type[Exception]] = getattr(exceptions, "DataNotDictLikeError", TypeError)


class FSMStorage(BaseStorage):
    """Keeps states and data of FSM and Scenes in a storage of sessionkit.

    Keys distinguish bots, business connections, topics and destinies, whatever the
    strategy.  Data is held to what the storage gives back equal.  ``update_data``
    loses no update, not even of another process if the storage has conditional
    writes.  For timeouts wrap the storage by ``enhance_storage``.

    Args:
        storage: An object with ``read``, ``write`` and ``delete``, or a URL such as
            ``"sqlite:///bot.db"``; it may be that of sessions as well.
        prefix: Begins all keys in the storage.

    Attributes:
        wrapped: The storage.

    Raises:
        TypeError: *storage* is not a storage.
        ValueError: The URL is wrong.
    """

    def __init__(self, storage: Storage[Any] | str, *, prefix: str = "fsm/") -> None:
        self._is_owner = isinstance(storage, str)
        self.wrapped: Any = storage_from_url(storage) if isinstance(storage, str) else storage
        self._prefix = prefix
        self._states = lazy_session(
            str,
            initial=None,
            storage=self.wrapped,
            get_session_key=fsm_key,
            prefix=f"{prefix}state/",
        )
        self._data = lazy_session(
            dict[str, Any],
            storage=self.wrapped,
            get_session_key=fsm_key,
            prefix=f"{prefix}data/",
        )

    async def set_state(self, key: StorageKey, state: StateType = None) -> None:
        """Store the state of *key*; None removes it."""
        async with self._states.open(fsm_key(key)) as stored:
            stored.data = state.state if isinstance(state, State) else state

    async def get_state(self, key: StorageKey) -> str | None:
        """Return the state of *key*, None if it has none."""
        return await self._states.get(fsm_key(key))

    async def set_data(self, key: StorageKey, data: Mapping[str, Any]) -> None:
        """Replace the data of *key*; an empty mapping removes it.

        Raises:
            DataNotDictLikeError: *data* is not a mapping.
            SessionEncodeError: It would not come back equal; nothing was written.
        """
        _check_mapping(data)
        async with self._data.open(fsm_key(key)) as stored:
            stored.data = dict(data) or None

    async def get_data(self, key: StorageKey) -> dict[str, Any]:
        """Return a copy of the data of *key*, empty if it has none."""
        return await self._data.get(fsm_key(key))

    async def update_data(self, key: StorageKey, data: Mapping[str, Any]) -> dict[str, Any]:
        """Update the data of *key* as ``dict.update`` does, in one step; return all of it.

        Raises:
            DataNotDictLikeError: *data* is not a mapping.
            SessionEncodeError: It would not come back equal; nothing was written.
        """
        _check_mapping(data)
        return await self._data.update(fsm_key(key), lambda stored: {**stored, **data})

    def personal_data(self) -> list[PersonalSource]:
        """Return what is kept of users: for ``sessionkit.personal_data``, and the command line."""
        return [PersonalSource(each, _parsed) for each in (self._states, self._data)]

    def create_isolation(
        self,
        *,
        lock: SessionLock | None = None,
        lock_timeout: timedelta | float | None = 60,
    ) -> EventIsolation:
        """Make the ``EventIsolation`` of this storage."""
        return EventIsolation(
            self.wrapped, prefix=self._prefix, lock=lock, lock_timeout=lock_timeout
        )

    async def close(self) -> None:
        """Close the storage if it was given by URL: what you made you close."""
        if self._is_owner:
            await self.wrapped.close()


class EventIsolation(BaseEventIsolation):
    """Lets the updates of one FSM key wait for each other, first come, first served.

    Nothing is left behind when nobody holds a key.  Where waiting would never end
    it raises ``SessionDeadlockError`` at once, and ``SessionLockTimeoutError`` after
    *lock_timeout*.

    Args:
        storage: Isolations of one storage keep each other out.
        prefix: Begins all keys, as in ``FSMStorage``.
        lock: A lock that holds between processes as well.
        lock_timeout: How long to wait, as ``timedelta`` or seconds; None: no limit.
    """

    def __init__(
        self,
        storage: Storage[Any] | None = None,
        *,
        prefix: str = "fsm/",
        lock: SessionLock | None = None,
        lock_timeout: timedelta | float | None = 60,
    ) -> None:
        self._locks = session(
            initial=None,
            storage=_Locks(storage),
            get_session_key=fsm_key,
            prefix=f"{prefix}lock/",
            lock=lock or True,
            lock_timeout=lock_timeout,
        )
        pause_along(self._locks)

    @asynccontextmanager
    async def lock(self, key: StorageKey) -> AsyncGenerator[None, None]:
        """Hold *key* while the ``async with`` lasts."""
        async with self._locks.open(fsm_key(key)):
            yield

    async def close(self) -> None:
        """Do nothing: there is nothing to let go of."""


class _Locks(MemorySessionStorage):
    """Stays empty: its sessions are nothing but locks, in the table of another storage."""

    def __init__(self, wrapped: object) -> None:
        super().__init__()
        self.wrapped = wrapped


def fsm_key(key: StorageKey) -> str:
    """Return the session key: ``42/3/-100`` for user 3 in chat -100 of bot 42.

    In topic 12 of the business connection x, for the destiny d:
    ``42/bx/3/-100/t12/@d``.
    """
    segments = [str(key.bot_id)]
    if key.business_connection_id is not None:
        segments.append(f"b{quote(key.business_connection_id, safe='')}")
    segments += [str(key.user_id), str(key.chat_id)]
    if key.thread_id is not None:
        segments.append(f"t{key.thread_id}")
    if key.destiny != DEFAULT_DESTINY:
        segments.append(f"@{quote(key.destiny, safe='')}")
    return "/".join(segments)


def _parsed(key: str) -> keys.ParsedKey:
    return keys.parse(f"@{key.partition('/@')[0]}")


def _check_mapping(data: object) -> None:
    if not isinstance(data, Mapping):
        msg = f"FSM data must be a dict or dict-like object, not {type(data).__name__}"
        raise _NotDictLikeError(msg)

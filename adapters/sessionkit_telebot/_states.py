"""What telebot's states remember, in any storage of sessionkit."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeAlias
from urllib.parse import quote

from telebot.asyncio_storage.base_storage import StateStorageBase as AsyncStateStorageBase
from telebot.storage.base_storage import StateStorageBase

from sessionkit import InvalidSessionKeyError, LazySessions, Sessions, keys, lazy_session, session
from sessionkit.adapters import PersonalSource
from sessionkit.protocols import Storage

Data: TypeAlias = dict[str, Any]
Id: TypeAlias = int | None


class _States:
    """Two kinds of sessions under keys of telebot: the states, and the data beside them.

    Keys tell bots, business connections and topics apart.
    """

    def __init__(self, storage: Storage[Any] | str, *, prefix: str = "telebot/") -> None:
        super().__init__()
        self._data: Sessions[Data] = session(
            dict[str, Any], storage=storage, prefix=f"{prefix}data/"
        )
        self._states: LazySessions[Any] = lazy_session(
            initial=None,
            storage=self._data.storage,
            prefix=f"{prefix}state/",
        )

    @property
    def wrapped(self) -> Any:
        """The storage."""
        return self._data.storage

    def personal_data(self) -> list[PersonalSource]:
        """Return what is kept of users: for ``sessionkit.personal_data``, and the command line."""
        return [PersonalSource(self._states, _parsed), PersonalSource(self._data, _parsed)]


class AsyncStateStorage(_States, AsyncStateStorageBase):
    """Keeps the states of an ``AsyncTeleBot``, and their data, in a storage of sessionkit.

    ``AsyncTeleBot(token, state_storage=AsyncStateStorage("sqlite:///states.db"))``

    Data is held to what the storage gives back equal.  No change of it is lost where
    updates come at the same time: ``async with state.data() as data`` holds its key
    until the block ends, and saves then, unless the block raises.  Within it, use *data*
    only; to ask the storage for the same data again raises ``SessionReentrancyError``.

    Args:
        storage: An object with ``read``, ``write`` and ``delete``, or a URL.
        prefix: Begins all keys in the storage.

    Raises:
        TypeError: *storage* is not a storage.
        ValueError: The URL is wrong.
    """

    async def set_state(
        self, chat_id: Id, user_id: Id, state: object, *where: Any, **named: Any
    ) -> bool:
        """Store a state, a ``State`` by its name."""
        async with self._states.open(state_key(chat_id, user_id, *where, **named)) as stored:
            stored.data = getattr(state, "name", state)
        return True

    async def get_state(self, chat_id: Id, user_id: Id, *where: Any, **named: Any) -> Any:
        """Return the state, None if there is none."""
        return await self._states.get(state_key(chat_id, user_id, *where, **named))

    async def delete_state(self, chat_id: Id, user_id: Id, *where: Any, **named: Any) -> bool:
        """Delete state and data; return whether there was a state."""
        key = state_key(chat_id, user_id, *where, **named)
        existed = await self._states.get(key) is not None
        await self._states.delete(key)
        await self._data.delete(key)
        return existed

    async def set_data(
        self,
        chat_id: int | None,
        user_id: int | None,
        key: str,
        value: Any,
        *where: Any,
        **named: Any,
    ) -> bool:
        """Store one value beside the state."""
        async with self.get_interactive_data(chat_id, user_id, *where, **named) as data:
            data[key] = value
        return True

    async def get_data(self, chat_id: Id, user_id: Id, *where: Any, **named: Any) -> Data:
        """Return a copy of the data, empty if there is none."""
        return await self._data.get(state_key(chat_id, user_id, *where, **named))

    async def reset_data(self, chat_id: Id, user_id: Id, *where: Any, **named: Any) -> bool:
        """Delete the data; return whether there was any."""
        key = state_key(chat_id, user_id, *where, **named)
        async with self._data.open(key) as stored:
            existed = not stored.is_new
            del stored.data
        return existed

    @asynccontextmanager
    async def get_interactive_data(
        self, chat_id: Id, user_id: Id, *where: Any, **named: Any
    ) -> AsyncGenerator[Data, None]:
        """Give the data to change: ``async with``."""
        async with self._data.open(state_key(chat_id, user_id, *where, **named)) as stored:
            yield stored.data

    async def save(self, chat_id: Id, user_id: Id, data: Data, *where: Any, **named: Any) -> bool:
        """Replace the data."""
        async with self._data.open(state_key(chat_id, user_id, *where, **named)) as stored:
            stored.data = data
        return True

    async def close(self) -> None:
        """Close the storage if it was given by URL: what you made you close."""
        await self._data.close()


class StateStorage(_States, StateStorageBase):
    """The same for the threads of a ``TeleBot``: ``with state.data() as data``."""

    def set_state(self, chat_id: Id, user_id: Id, state: object, *where: Any, **named: Any) -> bool:
        """Store a state, a ``State`` by its name."""
        with self._states.open(state_key(chat_id, user_id, *where, **named)) as stored:
            stored.data = getattr(state, "name", state)
        return True

    def get_state(self, chat_id: Id, user_id: Id, *where: Any, **named: Any) -> Any:
        """Return the state, None if there is none."""
        return self._states.sync.get(state_key(chat_id, user_id, *where, **named))

    def delete_state(self, chat_id: Id, user_id: Id, *where: Any, **named: Any) -> bool:
        """Delete state and data; return whether there was a state."""
        key = state_key(chat_id, user_id, *where, **named)
        existed = self._states.sync.get(key) is not None
        self._states.sync.delete(key)
        self._data.sync.delete(key)
        return existed

    def set_data(
        self,
        chat_id: int | None,
        user_id: int | None,
        key: str,
        value: Any,
        *where: Any,
        **named: Any,
    ) -> bool:
        """Store one value beside the state."""
        with self.get_interactive_data(chat_id, user_id, *where, **named) as data:
            data[key] = value
        return True

    def get_data(self, chat_id: Id, user_id: Id, *where: Any, **named: Any) -> Data:
        """Return a copy of the data, empty if there is none."""
        return self._data.sync.get(state_key(chat_id, user_id, *where, **named))

    def reset_data(self, chat_id: Id, user_id: Id, *where: Any, **named: Any) -> bool:
        """Delete the data; return whether there was any."""
        with self._data.open(state_key(chat_id, user_id, *where, **named)) as stored:
            existed = not stored.is_new
            del stored.data
        return existed

    @contextmanager
    def get_interactive_data(
        self, chat_id: Id, user_id: Id, *where: Any, **named: Any
    ) -> Generator[Data, None, None]:
        """Give the data to change: ``with``."""
        with self._data.open(state_key(chat_id, user_id, *where, **named)) as stored:
            yield stored.data

    def save(self, chat_id: Id, user_id: Id, data: Data, *where: Any, **named: Any) -> bool:
        """Replace the data."""
        with self._data.open(state_key(chat_id, user_id, *where, **named)) as stored:
            stored.data = data
        return True

    def close(self) -> None:
        """Close the storage if it was given by URL: what you made you close."""
        self._data.sync.close()


def state_key(
    chat_id: Id,
    user_id: Id,
    business_connection_id: str | None = None,
    message_thread_id: int | None = None,
    bot_id: int | None = None,
) -> str:
    """Return the session key: ``42/3/-100`` for user 3 in chat -100 of bot 42.

    In topic 12 of the business connection x: ``42/bx/3/-100/t12``.  An inline query
    has no chat: there it is the user's private chat, as telebot takes it to set a state.
    """
    chat, user = (chat_id, user_id) if chat_id is not None else (user_id, user_id)
    segments = [] if bot_id is None else [str(bot_id)]
    if business_connection_id is not None:
        segments.append(f"b{quote(business_connection_id, safe='')}")
    segments += [str(chat if user is None else user), str(chat)]
    if message_thread_id is not None:
        segments.append(f"t{message_thread_id}")
    return "/".join(segments)


def _parsed(key: str) -> keys.ParsedKey:
    try:
        return keys.parse(key)
    except InvalidSessionKeyError:
        return keys.parse(f"@{key}")

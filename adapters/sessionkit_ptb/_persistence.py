"""PTB's own persistence over any storage: conversations, and data that is no session."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import MutableMapping
from typing import Any, Final, TypeAlias, cast

from telegram.ext import BasePersistence, PersistenceInput

from sessionkit import Sessions, Storage, session

Data: TypeAlias = dict[Any, Any]
ConversationKey: TypeAlias = tuple[int | str, ...]
CallbackData: TypeAlias = tuple[list[tuple[str, float, dict[str, Any]]], dict[str, str]]

_BOT_DATA: Final = "data"
_CALLBACK_DATA: Final = "callback_data"


class SessionPersistence(BasePersistence[Data, Data, Data]):
    """Keeps ``chat_data``, ``user_data``, ``bot_data`` and conversations in a storage.

    PTB decides when they are written: every *update_interval* seconds, and at the
    end.  What a bot must not lose belongs in a session.  Data has to be plain
    (``dict`` with ``str`` keys, ``list``, ``str``, ``int``, ``float``, ``bool``,
    None), unless the storage takes any value.

    Args:
        storage: An object with ``read``, ``write`` and ``delete``, or a URL such as
            ``"sqlite:///bot.db"``; what a URL opened is closed when the application
            shuts down.
        prefix: Goes before each key, which begins with the bot's id.
        preload: Load all chats and users at start, as PTB's own persistences do, so
            that ``application.chat_data`` has them all.  Without, each is loaded when
            a handler first matches one of its updates.
        store_data: What is kept; all by default.
        update_interval: Seconds between two runs of writing.

    Raises:
        TypeError: *storage* is no storage.
        ValueError: No storage is known for the URL.
    """

    def __init__(
        self,
        storage: Storage[Any] | str,
        *,
        prefix: str = "ptb:",
        preload: bool = False,
        store_data: PersistenceInput | None = None,
        update_interval: float = 60,
    ) -> None:
        super().__init__(store_data, update_interval)
        given: Any = storage
        if given is None:  # from an environment variable, say: memory would persist nothing
            msg = "SessionPersistence needs a storage: SessionPersistence('sqlite:///bot.db')"
            raise TypeError(msg)
        self._storage = storage
        self._prefix = prefix
        self._preload = preload
        self._stores: dict[str, Sessions[Data]] = {}
        self._loaded: dict[str, set[int]] = defaultdict(set)
        self._root: Sessions[Data] | None = self._opened()

    # Chats and users

    async def get_user_data(self) -> dict[int, Data]:
        """Return the data of all users with *preload*, else nothing."""
        return await self._all("user")

    async def get_chat_data(self) -> dict[int, Data]:
        """Return the data of all chats with *preload*, else nothing."""
        return await self._all("chat")

    async def refresh_user_data(self, user_id: int, user_data: Data) -> None:
        """Load a user's data into *user_data* at the first use; a no-op after that."""
        await self._load("user", user_id, user_data)

    async def refresh_chat_data(self, chat_id: int, chat_data: Data) -> None:
        """Load a chat's data into *chat_data* at the first use; a no-op after that."""
        await self._load("chat", chat_id, chat_data)

    async def update_user_data(self, user_id: int, data: Data) -> None:
        """Write a user's data if it changed."""
        await self._write("user", user_id, data)

    async def update_chat_data(self, chat_id: int, data: Data) -> None:
        """Write a chat's data if it changed."""
        await self._write("chat", chat_id, data)

    async def drop_user_data(self, user_id: int) -> None:
        """Delete a user's data."""
        await self._drop("user", user_id)

    async def drop_chat_data(self, chat_id: int) -> None:
        """Delete a chat's data."""
        await self._drop("chat", chat_id)

    # The bot

    async def get_bot_data(self) -> Data:
        """Return the bot's data."""
        return await self._store("bot").get(_BOT_DATA)

    async def refresh_bot_data(self, bot_data: Data) -> None:
        """Do nothing: it was loaded at start."""

    async def update_bot_data(self, data: Data) -> None:
        """Write the bot's data if it changed."""
        await self._store("bot").update(_BOT_DATA, lambda _: data)

    async def get_callback_data(self) -> CallbackData | None:
        """Return what inline keyboards with arbitrary callback data refer to, None if nothing."""
        stored = await self._store("bot").get(_CALLBACK_DATA)
        if not stored:
            return None
        keyboards = [(uuid, time, dict(data)) for uuid, time, data in stored["keyboards"]]
        return keyboards, dict(stored["queries"])

    async def update_callback_data(self, data: CallbackData) -> None:
        """Write what inline keyboards refer to, if it changed."""
        keyboards, queries = data
        plain = {"keyboards": [list(keyboard) for keyboard in keyboards], "queries": queries}
        await self._store("bot").update(_CALLBACK_DATA, lambda _: plain)

    # Conversations

    async def get_conversations(self, name: str) -> dict[ConversationKey, object]:
        """Return the states of a ``ConversationHandler``'s conversations."""
        stored = await self._store("conversation").get(name)
        return {tuple(json.loads(key)): state for key, state in stored.items()}

    async def update_conversation(
        self, name: str, key: ConversationKey, new_state: object | None
    ) -> None:
        """Write the state of one conversation; None removes it."""

        def changed(states: Data) -> Data:
            others = {other: state for other, state in states.items() if other != json.dumps(key)}
            return others if new_state is None else {**others, json.dumps(key): new_state}

        await self._store("conversation").update(name, changed)

    async def flush(self) -> None:
        """Close what was opened for a URL; the next use opens it again."""
        root, self._root = self._root, None
        self._stores.clear()
        if root is not None:
            await root.close()

    # Storage

    def _opened(self) -> Sessions[Data]:
        return session(initial=dict, storage=self._storage, prefix=self._prefix)

    def _store(self, kind: str) -> Sessions[Data]:
        if self._root is None:
            self._root = self._opened()
        if kind not in self._stores:
            self._stores[kind] = session(
                initial=dict,
                storage=self._root.storage,
                prefix=f"{self._prefix}{self.bot.id}/{kind}/",
                lock_timeout=None,
            )
        return self._stores[kind]

    async def _all(self, kind: str) -> dict[int, Data]:
        self._loaded[kind].clear()  # there may be another application than before
        if not self._preload:
            return {}
        return {int(number): data async for number, data in self._store(kind).items()}

    def _is_loaded(self, kind: str, number: int) -> bool:
        return self._preload or number in self._loaded[kind]

    async def _load(self, kind: str, number: int, data: object) -> None:
        if not isinstance(data, MutableMapping):
            msg = (
                f"SessionPersistence keeps dicts, and {kind}_data is a {type(data).__name__}: "
                "put data of your own types in a session, install(builder, sessions)"
            )
            raise TypeError(msg)
        if self._is_loaded(kind, number):
            return
        stored = await self._store(kind).get(number)
        if self._is_loaded(kind, number):  # by another update, and changed since then
            return
        mine = cast("Data", data)
        for name, value in stored.items():
            mine.setdefault(name, value)
        self._loaded[kind].add(number)

    async def _write(self, kind: str, number: int, data: Data) -> None:
        """Write what is in memory; beside what is stored if that was never loaded."""
        whole = self._is_loaded(kind, number)
        await self._store(kind).update(number, lambda stored: data if whole else {**stored, **data})

    async def _drop(self, kind: str, number: int) -> None:
        await self._store(kind).delete(number)
        self._loaded[kind].add(number)

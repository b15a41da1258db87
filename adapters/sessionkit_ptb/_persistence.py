"""PTB's own persistence over any storage: conversations, and data that is not a session."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, MutableMapping
from copy import deepcopy
from functools import partial
from typing import Any, Final, TypeAlias

from telegram.ext import BasePersistence, PersistenceInput

from sessionkit import InvalidSessionKeyError, SessionEncodeError, Sessions, keys, session
from sessionkit.adapters import PersonalSource
from sessionkit.protocols import Storage
from sessionkit_ptb._drops import AnyApplication, calling_application
from sessionkit_ptb._stored import (
    Buttons,
    CallbackData,
    DictConverter,
    is_mapping,
    with_bot,
    writing,
)

Data: TypeAlias = dict[Any, Any]
ConversationKey: TypeAlias = tuple[int | str, ...]

_BOT_DATA: Final = "data"
_CALLBACK_DATA: Final = "callback_data"


class SessionPersistence(BasePersistence[Data, Data, Any]):
    """Keeps ``chat_data``, ``user_data``, ``bot_data`` and conversations in a storage.

    PTB decides when they are written: every *update_interval* seconds, and at the
    end.  What a bot must not lose belongs in a session.  Data has to be plain
    (``dict`` with ``str`` keys, ``list``, ``str``, ``int``, ``float``, ``bool``,
    None), unless the storage takes any value.  ``bot_data`` may be a dataclass.

    What cannot be written is given to the error handlers, and written by the next
    run; data that cannot be stored at all, when it is next used.

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
        TypeError: *storage* is not a storage.
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
        self._application: AnyApplication | None = None
        self._stores: dict[str, Sessions[Any]] = {}
        self._loaded: dict[str, set[int]] = defaultdict(set)
        self._root: Sessions[Data] | None = self._opened()
        self._any_value: bool = getattr(self._root.storage, "any_value", False)
        self._buttons = Buttons(any_value=self._any_value)

    # Chats and users

    async def get_user_data(self) -> dict[int, Data]:
        """Return the data of all users with *preload*, else nothing.

        Raises:
            TypeError: ``user_data`` is of a type of the bot's own; or the storage cannot list.
        """
        return await self._all("user")

    async def get_chat_data(self) -> dict[int, Data]:
        """Return the data of all chats with *preload*, else nothing.

        Raises:
            TypeError: ``chat_data`` is of a type of the bot's own; or the storage cannot list.
        """
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

    def is_loaded(self, kind: str, number: int) -> bool:
        """Whether the application has all the data of a chat or user ("chat", "user")."""
        return self._preload or number in self._loaded[kind]

    def dropped(self, kind: str, number: int) -> None:
        """Load nothing more of a chat or user: its data is what the application has."""
        self._loaded[kind].add(number)

    # The bot

    async def get_bot_data(self) -> Any:
        """Return the bot's data.

        Raises:
            TypeError: ``bot_data`` is of a type that this storage cannot hold.
        """
        self._find_application()
        return with_bot(await self._own_bot_data().get(_BOT_DATA), self.bot)

    async def refresh_bot_data(self, bot_data: Any) -> None:
        """Do nothing: it was loaded at start."""

    async def update_bot_data(self, data: Any) -> None:
        """Write the bot's data if it changed."""
        with writing("bot_data"):
            await self._own_bot_data().update(_BOT_DATA, lambda _: data)

    async def get_callback_data(self) -> CallbackData | None:
        """Return what inline keyboards with arbitrary callback data refer to, None if nothing."""
        stored = await self._store("bot").get(_CALLBACK_DATA)
        if not stored:
            return None
        keyboards = [(uuid, time, dict(data)) for uuid, time, data in stored["keyboards"]]
        return with_bot((keyboards, dict(stored["queries"])), self.bot)

    async def update_callback_data(self, data: CallbackData) -> None:
        """Write what inline keyboards refer to, if it changed.

        Raises:
            SessionEncodeError: Some buttons cannot be stored; the others were.
        """
        try:
            await self._write_callback_data(data)
        except SessionEncodeError:
            keyboards, queries = data
            kept, faults = await self._buttons.storable(keyboards)
            await self._write_callback_data((kept, queries))
            if faults:
                msg = (
                    f"{len(faults)} inline button(s) will not be valid after a restart, all others "
                    f"were stored: {' '.join(faults)}"
                )
                raise SessionEncodeError(msg) from None

    # Conversations

    async def get_conversations(self, name: str) -> dict[ConversationKey, object]:
        """Return the states of a ``ConversationHandler``'s conversations."""
        stored = await self._store("conversation").get(name)
        states = {tuple(json.loads(key)): state for key, state in stored.items()}
        return with_bot(states, self.bot)

    async def update_conversation(
        self, name: str, key: ConversationKey, new_state: object | None
    ) -> None:
        """Write the state of one conversation; None removes it."""

        def changed(states: Data) -> Data:
            others = {other: state for other, state in states.items() if other != json.dumps(key)}
            return others if new_state is None else {**others, json.dumps(key): new_state}

        def again() -> None:
            if self._application is not None:
                self._application._conversation_handler_conversations[name].mark_as_accessed(key)

        with writing(f"the conversations of {name!r}: ", again):
            await self._store("conversation").update(name, changed)

    def personal_data(self) -> list[PersonalSource]:
        """Return what is kept of users: for ``sessionkit.personal_data``, and the command line.

        An application that runs has it in memory as well, and writes it again: stop it, or
        call ``application.drop_user_data``.
        """
        self._root = self._root or self._opened()
        return [PersonalSource(self._root, _parsed, _left, whole=True)]

    async def flush(self) -> None:
        """Close what was opened for a URL; the next use opens it again."""
        root, self._root = self._root, None
        self._stores.clear()
        if root is not None:
            await root.close()

    # Storage

    def _opened(self) -> Sessions[Data]:
        return session(initial=dict, storage=self._storage, prefix=self._prefix)

    def _sessions(self, kind: str, data_type: Any = None, **options: Any) -> Sessions[Any]:
        if self._root is None:
            self._root = self._opened()
        return session(
            data_type,
            storage=self._root.storage,
            prefix=f"{self._prefix}{self.bot.id}/{kind}/",
            lock_timeout=None,
            **options,
        )

    def _store(self, kind: str) -> Sessions[Data]:
        if kind not in self._stores:
            self._stores[kind] = self._sessions(kind, initial=dict)
        return self._stores[kind]

    def _own_bot_data(self) -> Sessions[Any]:
        if "bot_data" not in self._stores:
            kind = self._type_of("bot_data")
            try:
                self._stores["bot_data"] = self._sessions("bot", **self._kept_as(kind))
            except TypeError as error:
                msg = (
                    f"bot_data is of type {kind.__name__}, which this storage cannot hold: make it "
                    f"a dataclass, or give the storage codec=PickleCodec(). {error}"
                )
                raise TypeError(msg) from error
        return self._stores["bot_data"]

    def _kept_as(self, kind: Any) -> dict[str, Any]:
        if kind is dict or self._any_value:
            return {"initial": kind}
        if is_mapping(kind):
            return {"initial": kind, "converter": DictConverter(kind)}
        return {"initial": kind, "data_type": kind}

    # Application

    def _find_application(self) -> None:
        self._application = calling_application(self) or self._application

    def _type_of(self, name: str) -> Any:
        """What the bot chose as type of ``chat_data``, ``user_data`` or ``bot_data``."""
        return getattr(self._application and self._application.context_types, name, dict)

    def _in_memory(self, kind: str) -> Mapping[int, Any]:
        data: Mapping[int, Any] = getattr(self._application, f"{kind}_data", {})
        return data

    def _write_again(self, kind: str, number: int) -> None:
        """Let the next run write or delete what could not be written or deleted now."""
        application: Any = self._application
        if number in self._in_memory(kind):
            application.mark_data_for_update_persistence(**{f"{kind}_ids": number})
        elif application is not None:
            getattr(application, f"drop_{kind}_data")(number)

    # One chat or user

    async def _all(self, kind: str) -> dict[int, Any]:
        self._find_application()
        own = self._type_of(f"{kind}_data")
        if not is_mapping(own):
            msg = (
                f"SessionPersistence keeps dicts, and {kind}_data is a {own.__name__}: "
                "put data of your own types in a session, install(builder, sessions)"
            )
            raise TypeError(msg)
        self._loaded[kind].clear()  # there may be another application than before
        if not self._preload:
            return {}
        make = DictConverter(own).decode
        stored = {int(number): make(data) async for number, data in self._store(kind).items()}
        return with_bot(stored, self.bot)

    async def _load(self, kind: str, number: int, data: MutableMapping[Any, Any]) -> None:
        if self.is_loaded(kind, number):
            return
        stored = await self._store(kind).get(number)
        if self.is_loaded(kind, number):  # by another update and changed since then, or dropped
            return
        for name, value in with_bot(stored, self.bot).items():
            data.setdefault(name, value)
        self._loaded[kind].add(number)

    async def _write(self, kind: str, number: int, data: Mapping[Any, Any]) -> None:
        """Write what is in memory; beside what is stored if that was never loaded."""

        def changed(stored: Data) -> Data:
            return dict(data) if self.is_loaded(kind, number) else {**stored, **data}

        with writing(f"{kind}_data[{number}]", partial(self._write_again, kind, number)):
            await self._store(kind).update(number, changed)

    async def _drop(self, kind: str, number: int) -> None:
        """Delete what is stored, or replace it by what the bot has put there since the drop."""
        self.dropped(kind, number)
        if now := self._in_memory(kind).get(number):
            await self._write(kind, number, deepcopy(now))
            return
        with writing(f"{kind}_data[{number}]", partial(self._write_again, kind, number)):
            await self._store(kind).delete(number)

    async def _write_callback_data(self, data: CallbackData) -> None:
        keyboards, queries = data
        plain = {"keyboards": [list(keyboard) for keyboard in keyboards], "queries": queries}
        await self._store("bot").update(_CALLBACK_DATA, lambda _: plain)


def _parsed(key: str) -> keys.ParsedKey:
    bot, _, rest = key.partition("/")
    kind, _, number = rest.partition("/")
    if kind not in {"user", "chat"}:
        msg = f"{key!r} is of no single chat or user"
        raise InvalidSessionKeyError(msg, key=key)
    return keys.parse(f"@{bot}/{number}")


def _left(key: str, data: Data, user: int) -> Any:
    """Return the states of conversations without those of *user*."""
    if "/conversation/" not in key:
        return NotImplemented
    # Of a key, chat and user come first, and a message may be last
    return {each: state for each, state in data.items() if user not in json.loads(each)[:2]}

"""Write what other libraries keep, by these libraries themselves.

Run by the tests in an environment with the version of today, and once for each older
version, whose files are kept in ``data/``: ``python written.py KIND PATH_OR_URL``.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
from pathlib import Path
from typing import Any


def ptb_pickle(where: str, *, single_file: bool = True) -> None:
    """``PicklePersistence``: users, chats, the bot, conversations, buttons."""
    from telegram import User
    from telegram.ext import ExtBot, PicklePersistence

    async def write() -> None:
        persistence: Any = PicklePersistence(where, single_file=single_file)
        bot: Any = ExtBot("42:token", arbitrary_callback_data=True)
        bot._bot_user = User(42, "bot", is_bot=True)
        persistence.set_bot(bot)
        for name in ("user_data", "chat_data", "bot_data", "callback_data"):
            await getattr(persistence, f"get_{name}")()
        await persistence.get_conversations("order")
        await persistence.update_user_data(3, {"name": "Ann 🍕", "tags": [1, None, 2.5]})
        await persistence.update_user_data(4, {"set": {1}, "who": User(4, "Bob", is_bot=False)})
        await persistence.update_user_data(5, {})
        await persistence.update_chat_data(-100, {"count": 7, "nested": {"a": [True]}})
        await persistence.update_chat_data(-200, {"seen": (1, 2)})
        await persistence.update_bot_data({"admins": [3]})
        await persistence.update_callback_data(([("id", 1.5, {"button": "data"})], {"q": "id"}))
        await persistence.update_conversation("order", (-100, 3), "size")
        await persistence.flush()

    asyncio.run(write())


def ptb_pickles(where: str) -> None:
    """The same in one file for each part."""
    ptb_pickle(where, single_file=False)


def ptb_json(where: str) -> None:
    """``DictPersistence``, as its own JSON."""
    from telegram.ext import DictPersistence

    async def write() -> None:
        persistence: Any = DictPersistence(
            user_data_json='{"3": {"name": "Ann"}}',
            bot_data_json='{"admins": [3]}',
            callback_data_json='[[["id", 1.5, {"button": "data"}]], {"q": "id"}]',
        )
        await persistence.update_chat_data(-100, {"count": 7})
        await persistence.update_conversation("order", (-100, 3), 1)
        names = ("user_data", "chat_data", "bot_data", "callback_data", "conversations")
        parts = {name: getattr(persistence, f"{name}_json") for name in names}
        Path(where).write_text(json.dumps(parts))

    asyncio.run(write())


def aiogram_redis(url: str) -> None:
    """``RedisStorage`` with its default keys, and with all that they can have."""
    from aiogram.fsm.storage import redis as storages
    from aiogram.fsm.storage.base import StorageKey

    made: Any = storages  # where the builder of keys was, and can still be found
    RedisStorage, DefaultKeyBuilder = made.RedisStorage, made.DefaultKeyBuilder

    async def write() -> None:
        plain = RedisStorage.from_url(url, state_ttl=3600)
        await plain.set_state(StorageKey(42, -100, 3), "Order:size")
        await plain.set_data(StorageKey(42, -100, 3), {"name": "Ann 🍕", "n": [1, None]})
        await plain.set_data(StorageKey(42, -100, 3, thread_id=12), {"topic": 1})
        options: Any = {"with_bot_id": True, "with_destiny": True}
        if hasattr(StorageKey(1, 1, 1), "business_connection_id"):
            options["with_business_connection_id"] = True
        full = RedisStorage.from_url(url, key_builder=DefaultKeyBuilder(**options))
        await full.set_state(StorageKey(42, 5, 5, thread_id=7, destiny="history"), "a")
        if "with_business_connection_id" in options:
            await full.set_state(StorageKey(42, 5, 5, business_connection_id="Bc"), "b")
        await plain.close()
        await full.close()

    asyncio.run(write())


def aiogram_mongodb(url: str) -> None:
    """``PyMongoStorage``, or ``MongoStorage`` where there is only that, with both kinds of keys."""
    from aiogram.fsm.storage.base import DefaultKeyBuilder, StorageKey

    made: Any
    try:
        made = importlib.import_module("aiogram.fsm.storage.pymongo").PyMongoStorage
    except ImportError:
        made = importlib.import_module("aiogram.fsm.storage.mongo").MongoStorage

    async def write() -> None:
        plain = made.from_url(url)
        await plain.set_state(StorageKey(42, -100, 3), "Order:size")
        await plain.set_data(StorageKey(42, -100, 3), {"name": "Ann 🍕", "n": [1, None, 3e9]})
        await plain.update_data(StorageKey(42, -100, 3, thread_id=12), {"topic": 1})
        await plain.set_data(StorageKey(42, 9, 9), {"gone": 1})
        await plain.set_data(StorageKey(42, 9, 9), {})
        options: Any = {"with_bot_id": True, "with_destiny": True}
        options["with_business_connection_id"] = True
        full = made.from_url(url, key_builder=DefaultKeyBuilder(**options))
        await full.set_state(StorageKey(42, 5, 5, thread_id=7, destiny="history"), "a")
        await full.set_state(StorageKey(42, 5, 5, business_connection_id="Bc"), "b")
        await full.set_data(StorageKey(42, 6, 6), {"raw": b"x"})
        await plain.close()
        await full.close()

    asyncio.run(write())


def fill_telebot(states: Any, **more: Any) -> None:
    states.set_state(-100, 3, "size", **more)
    states.set_data(-100, 3, "name", "Ann 🍕", **more)
    states.set_state(5, 5, "done", **more)


def telebot_pickle(where: str) -> None:
    """``StatePickleStorage``, with ids of the bot where it knows them."""
    from telebot import storage

    states: Any = storage.StatePickleStorage(file_path=where)
    if hasattr(states, "separator"):
        fill_telebot(states, bot_id=42)
        states.set_state(-100, 4, "size", message_thread_id=12, business_connection_id="Bc")
    else:  # the old format, which is converted when it is opened
        fill_telebot(states)


def telebot_redis(url: str) -> None:
    """``StateRedisStorage``, likewise."""
    from telebot import storage

    host, _, port = url.removeprefix("redis://").removesuffix("/0").partition(":")
    states: Any = storage.StateRedisStorage(host=host, port=int(port))
    fill_telebot(states, **({"bot_id": 42} if hasattr(states, "separator") else {}))


if __name__ == "__main__":
    globals()[sys.argv[1]](sys.argv[2])

"""telebot's own states in a storage of sessionkit, on a loop and in threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
import telebot
from telebot.async_telebot import AsyncTeleBot
from telebot.asyncio_filters import StateFilter as AsyncStateFilter
from telebot.custom_filters import StateFilter
from telebot.states import State, StatesGroup
from telebot.types import Update

from sessionkit import MemorySessionStorage, SessionClosedError, SessionReentrancyError
from sessionkit_telebot import AsyncStateStorage, StateStorage
from tests.adapters.driver import BOT_ID, TOKEN, message
from tests.core import Oops, make_storage

if TYPE_CHECKING:
    from pathlib import Path

CHAT, USER = -55, 3

update_type: Any = Update  # telebot is not typed throughout
filter_in_threads: Any = StateFilter
filter_on_loop: Any = AsyncStateFilter


class Order(StatesGroup):
    size = State()
    done = State()


class Sync:
    """A ``TeleBot``, whose methods are awaited as those of the other."""

    def __init__(self, storage: Any) -> None:
        self.kept = StateStorage(storage)
        self.bot: Any = telebot.TeleBot(TOKEN, threaded=False, state_storage=self.kept)
        self.bot.add_custom_filter(filter_in_threads(self.bot))

    async def call(self, name: str, *arguments: Any, **named: Any) -> Any:
        return await asyncio.to_thread(getattr(self.bot, name), *arguments, **named)

    async def ask(self, name: str, *arguments: Any, **named: Any) -> Any:
        return await asyncio.to_thread(getattr(self.kept, name), *arguments, **named)

    async def change(self, change: Callable[[Any], None]) -> None:
        def in_thread() -> None:
            with self.bot.retrieve_data(USER, CHAT) as data:
                change(data)

        await asyncio.to_thread(in_thread)

    async def feed(self, text: str) -> None:
        update = update_type.de_json(message(text, chat=CHAT, user=USER))
        await asyncio.to_thread(self.bot.process_new_updates, [update])

    async def close(self) -> None:
        await asyncio.to_thread(self.kept.close)


class Async:
    """An ``AsyncTeleBot``."""

    def __init__(self, storage: Any) -> None:
        self.kept = AsyncStateStorage(storage)
        self.bot: Any = AsyncTeleBot(TOKEN, state_storage=self.kept)
        self.bot.add_custom_filter(filter_on_loop(self.bot))

    async def call(self, name: str, *arguments: Any, **named: Any) -> Any:
        return await getattr(self.bot, name)(*arguments, **named)

    async def ask(self, name: str, *arguments: Any, **named: Any) -> Any:
        return await getattr(self.kept, name)(*arguments, **named)

    async def change(self, change: Callable[[Any], None]) -> None:
        async with self.bot.retrieve_data(USER, CHAT) as data:
            await asyncio.sleep(0)
            change(data)

    async def feed(self, text: str) -> None:
        await self.bot.process_new_updates(
            [update_type.de_json(message(text, chat=CHAT, user=USER))]
        )

    async def close(self) -> None:
        await self.kept.close()


both = pytest.mark.parametrize("make", [Sync, Async])


@both
@pytest.mark.parametrize("kind", ["memory", "file", "sqlite"])
def test_states_and_data_survive_a_restart(make: Any, kind: str, tmp_path: Path) -> None:
    storage = make_storage(kind, tmp_path)

    async def main() -> None:
        first: Any = make(storage)
        await first.call("set_state", USER, Order.size, CHAT)
        await first.call("add_data", USER, CHAT, size="large", more=[1, None])
        again: Any = make(storage)
        assert await again.call("get_state", USER, CHAT) == "Order:size"
        seen: list[Any] = []

        def shrink(data: Any) -> None:
            data["size"] = "small"
            seen.append(dict(data))

        await again.change(shrink)
        assert seen == [{"size": "small", "more": [1, None]}]

    try:
        asyncio.run(main())
    finally:
        storage.sync.close()


@both
def test_what_is_deleted_or_was_never_there(make: Any) -> None:
    storage = MemorySessionStorage()

    async def main() -> None:
        bot = make(storage)
        assert await bot.call("get_state", USER, CHAT) is None
        for method in ("delete_state", "reset_data"):
            assert await bot.call(method, USER, CHAT) is False
        await bot.call("set_state", USER, 7, CHAT)
        await bot.call("add_data", USER, CHAT, n=1)
        assert await bot.call("reset_data", USER, CHAT) is True
        assert await bot.call("get_state", USER, CHAT) == 7
        await bot.call("add_data", USER, CHAT, n=2)
        assert await bot.call("delete_state", USER, CHAT) is True
        assert list(storage.iter_keys()) == []

    asyncio.run(main())


@both
def test_chats_topics_businesses_and_bots_are_distinguished(make: Any) -> None:
    storage = MemorySessionStorage()
    places: list[dict[str, Any]] = [
        {},
        {"chat_id": CHAT},
        {"chat_id": CHAT, "message_thread_id": 12},
        {"chat_id": CHAT, "business_connection_id": "x/y"},
        {"chat_id": CHAT, "bot_id": 43},
    ]

    async def main() -> None:
        bot = make(storage)
        for number, place in enumerate(places):
            await bot.call("set_state", USER, number, **place)
        found = [await bot.call("get_state", USER, **place) for place in places]
        assert found == list(range(len(places)))

    asyncio.run(main())
    assert set(storage.iter_keys("telebot/state/")) == {
        f"telebot/state/{key}"
        for key in (
            f"{BOT_ID}/3/3",
            f"{BOT_ID}/3/-55",
            f"{BOT_ID}/3/-55/t12",
            f"{BOT_ID}/bx%2Fy/3/-55",
            "43/3/-55",
        )
    }


def test_an_inline_query_has_the_state_of_the_private_chat() -> None:
    async def main() -> None:
        kept = AsyncStateStorage(MemorySessionStorage())
        await kept.set_state(USER, USER, "asked", bot_id=BOT_ID)
        assert await kept.get_state(None, USER, bot_id=BOT_ID) == "asked"
        assert await kept.get_state(CHAT, None, bot_id=BOT_ID) is None

    asyncio.run(main())


@both
def test_no_change_is_lost_where_many_come_at_once(make: Any) -> None:
    async def main() -> None:
        bot = make(MemorySessionStorage())

        def count(data: Any) -> None:
            data["n"] = data.get("n", 0) + 1

        await asyncio.gather(*(bot.change(count) for _ in range(100)))
        assert await bot.ask("get_data", CHAT, USER, bot_id=BOT_ID) == {"n": 100}

    asyncio.run(main())


@both
def test_a_block_that_raises_changes_nothing(make: Any) -> None:
    storage = MemorySessionStorage()

    def fail(data: Any) -> None:
        data["n"] = 1
        raise Oops

    async def main() -> None:
        with pytest.raises(Oops):
            await make(storage).change(fail)

    asyncio.run(main())
    assert list(storage.iter_keys()) == []


def test_within_a_block_the_state_is_free_and_the_data_is_not() -> None:
    async def main() -> None:
        bot = Async(MemorySessionStorage()).bot
        async with bot.retrieve_data(USER, CHAT) as data:
            await bot.set_state(USER, Order.done, CHAT)
            data["n"] = 1
            with pytest.raises(SessionReentrancyError):
                await bot.add_data(USER, CHAT, n=2)
        assert await bot.get_state(USER, CHAT) == "Order:done"

    asyncio.run(main())


def test_handlers_are_chosen_by_the_stored_state(tmp_path: Path) -> None:
    """In threads and on a loop, one after the other, over the same file."""
    url = f"sqlite:///{tmp_path / 'states.db'}"
    seen: list[str] = []

    async def main() -> None:
        threads = Sync(url)

        def order(message: Any) -> None:
            threads.bot.set_state(message.from_user.id, Order.size, message.chat.id)

        threads.bot.register_message_handler(order, commands=["order"])
        await threads.feed("/order")
        await threads.close()
        loop = Async(url)

        async def size(message: Any) -> None:
            seen.append(message.text)
            await loop.bot.delete_state(message.from_user.id, message.chat.id)

        loop.bot.register_message_handler(size, state=Order.size)
        for text in ("small", "nobody asks any more"):
            await loop.feed(text)
        await loop.close()
        with pytest.raises(SessionClosedError):
            await loop.kept.wrapped.read("key")

    asyncio.run(main())
    assert seen == ["small"]


@both
def test_the_data_can_be_had_and_replaced_as_a_whole(make: Any) -> None:
    async def main() -> None:
        bot = make(storage := MemorySessionStorage())
        assert await bot.ask("save", CHAT, USER, {"n": 1}, bot_id=BOT_ID) is True
        assert storage.read(f"telebot/data/{BOT_ID}/3/-55") == {"n": 1}
        assert await bot.ask("get_data", CHAT, USER, bot_id=BOT_ID) == {"n": 1}

    asyncio.run(main())

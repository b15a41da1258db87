"""What other libraries count when updates are delivered one to three times; run as a script.

    python -m tests.once.others [UPDATES]

Each library keeps a counter for each chat, in the way that its documentation shows, and
gets the same deliveries, one after the other.
"""

from __future__ import annotations

import asyncio
import random
import sys
from typing import Any

from aiogram import Bot, Dispatcher
from aiogram.fsm.context import FSMContext  # noqa: TC002 (aiogram looks at annotations)
from aiogram.fsm.storage.memory import MemoryStorage, SimpleEventIsolation
from aiogram.types import Message  # noqa: TC002
from telegram.ext import MessageHandler, filters

from sessionkit import session
from sessionkit_aiogram import install
from tests.adapters.driver import TOKEN, Raw, message
from tests.adapters.ptb_bot import bare, feed
from tests.core import zero
from tests.grammy.bridge import Grammy
from tests.grammy.install import install_or_skip
from tests.grammy.steps import Increment

CHATS = range(1, 51)


def deliveries(updates: int) -> list[Raw]:
    """So many updates, each one to three times, in any order."""
    pick = random.Random(0)
    each = [message("🍕", chat=pick.choice(CHATS)) for _ in range(updates)]
    found = [update for update in each for _ in range(pick.randint(1, 3))]
    pick.shuffle(found)
    return found


async def aiogram_counts(delivered: list[Raw]) -> int:
    async def count(_: Message, state: FSMContext) -> None:
        data = await state.get_data()
        await state.update_data(n=data.get("n", 0) + 1)

    storage = MemoryStorage()
    dp = Dispatcher(storage=storage, events_isolation=SimpleEventIsolation())
    dp.message.register(count)
    async with Bot(TOKEN).context() as bot:
        for update in delivered:
            await dp.feed_raw_update(bot, update)
    return sum(record.data["n"] for record in storage.storage.values())


async def ptb_counts(delivered: list[Raw]) -> int:
    async def count(_: object, context: Any) -> None:
        context.chat_data["n"] = context.chat_data.get("n", 0) + 1

    app: Any = bare().build()
    app.add_handler(MessageHandler(filters.TEXT, count))
    async with app:
        await feed(app, *delivered)
    return sum(data["n"] for data in app.chat_data.values())


def grammy_counts(delivered: list[Raw]) -> int:
    with Grammy(install_or_skip()) as grammy:
        bot = grammy.bot("strict", initial={"n": 0})
        for update in delivered:
            bot.update([Increment("n")], raw=update)
        storage: Any = bot.storages[""]
        stored: dict[str, dict[str, int]] = storage.dump()
    return sum(data["n"] for data in stored.values())


async def sessionkit_counts(delivered: list[Raw]) -> int:
    async def count(_: Message, session: Any) -> None:
        session.data["n"] += 1

    sessions, dp = session(initial=zero, once=True), Dispatcher()
    install(dp, sessions)
    dp.message.register(count)
    async with Bot(TOKEN).context() as bot:
        for update in delivered:
            await dp.feed_raw_update(bot, update)
    return sum([data["n"] async for _, data in sessions.items()])


def main() -> None:
    updates = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    delivered = deliveries(updates)
    print(f"{updates} updates, {len(delivered)} deliveries")
    print("aiogram", asyncio.run(aiogram_counts(delivered)))
    print("python-telegram-bot", asyncio.run(ptb_counts(delivered)))
    print("grammY", grammy_counts(delivered))
    print("sessionkit", asyncio.run(sessionkit_counts(delivered)))


if __name__ == "__main__":
    main()

"""The pizza bot in aiogram: it counts pizzas, and still knows after a restart.

Send it a message with a pizza emoji, ask ``/hunger``, start again with ``/reset``::

    python -m pip install "<checkout>[aiogram]"
    BOT_TOKEN=... python examples/aiogram_pizza.py

``SESSIONS`` says where the sessions are stored, ``BOT_API`` where the Bot API is served.
"""

# aiogram does not type start_polling() throughout
# pyright: reportUnknownMemberType=false

import asyncio
import os
from dataclasses import dataclass

from aiogram import Bot, Dispatcher, F
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.filters import Command
from aiogram.types import Message

from sessionkit import Session, session
from sessionkit_aiogram import install


@dataclass
class Pizza:
    count: int = 0


dp = Dispatcher()

sessions = session(Pizza, storage=os.environ.get("SESSIONS", "sqlite:///pizza.db"))
install(dp, sessions)


@dp.message(Command("hunger"))
async def hunger(message: Message, session: Session[Pizza]) -> None:
    await message.answer(f"Your hunger level is {session.data.count}!")


@dp.message(Command("reset"))
async def reset(_: Message, session: Session[Pizza]) -> None:
    session.reset()


@dp.message(F.text.contains("🍕"))
async def count_pizza(_: Message, session: Session[Pizza]) -> None:
    session.data.count += 1


async def main() -> None:
    api = TelegramAPIServer.from_base(os.environ.get("BOT_API", "https://api.telegram.org"))
    bot = Bot(os.environ["BOT_TOKEN"], session=AiohttpSession(api=api))
    async with sessions:  # closes the database
        await dp.start_polling(bot)


if __name__ == "__main__":
    asyncio.run(main())

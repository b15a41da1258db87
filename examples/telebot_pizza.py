"""The pizza bot on pyTelegramBotAPI, async: it counts pizzas, and still knows after a restart.

Send it a message with a pizza emoji, ask ``/hunger``, start again with ``/reset``::

    python -m pip install "<checkout>[telebot]"
    BOT_TOKEN=... python examples/telebot_pizza.py

``SESSIONS`` says where the sessions are stored, ``BOT_API`` where the Bot API is served.
"""

# telebot is not typed throughout
# mypy: disable-error-code="no-untyped-call, untyped-decorator"
# pyright: basic

import asyncio
import os
from dataclasses import dataclass

from telebot import asyncio_helper
from telebot.async_telebot import AsyncTeleBot
from telebot.types import Message

from sessionkit import Session, session
from sessionkit_telebot import install


@dataclass
class Pizza:
    count: int = 0


asyncio_helper.API_URL = os.environ.get("BOT_API", "https://api.telegram.org") + "/bot{0}/{1}"

bot = AsyncTeleBot(os.environ["BOT_TOKEN"])

sessions = session(Pizza, storage=os.environ.get("SESSIONS", "sqlite:///pizza.db"))
install(bot, sessions)


@bot.message_handler(commands=["hunger"])
async def hunger(message: Message, session: Session[Pizza]) -> None:
    await bot.send_message(message.chat.id, f"Your hunger level is {session.data.count}!")


@bot.message_handler(commands=["reset"])
async def reset(_: Message, session: Session[Pizza]) -> None:
    session.reset()


@bot.message_handler(regexp="🍕")
async def count_pizza(_: Message, session: Session[Pizza]) -> None:
    session.data.count += 1


async def main() -> None:
    async with sessions:  # closes the database
        await bot.infinity_polling()


if __name__ == "__main__":
    asyncio.run(main())

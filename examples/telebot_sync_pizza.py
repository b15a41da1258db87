"""The pizza bot on pyTelegramBotAPI, in threads: it counts pizzas, and still knows after a restart.

Send it a message with a pizza emoji, ask ``/hunger``, start again with ``/reset``::

    python -m pip install "<checkout>[telebot]"
    BOT_TOKEN=... python examples/telebot_sync_pizza.py

``SESSIONS`` says where the sessions are stored, ``BOT_API`` where the Bot API is served.
"""

# telebot is not typed throughout
# mypy: disable-error-code="assignment, no-untyped-call, untyped-decorator"
# pyright: basic

import os
from dataclasses import dataclass

from telebot import TeleBot, apihelper
from telebot.types import Message

from sessionkit import SyncSession, session
from sessionkit_telebot import install


@dataclass
class Pizza:
    count: int = 0


apihelper.API_URL = os.environ.get("BOT_API", "https://api.telegram.org") + "/bot{0}/{1}"

bot = TeleBot(os.environ["BOT_TOKEN"])

sessions = session(Pizza, storage=os.environ.get("SESSIONS", "sqlite:///pizza.db"))
install(bot, sessions)


@bot.message_handler(commands=["hunger"])
def hunger(message: Message, session: SyncSession[Pizza]) -> None:
    bot.send_message(message.chat.id, f"Your hunger level is {session.data.count}!")


@bot.message_handler(commands=["reset"])
def reset(_: Message, session: SyncSession[Pizza]) -> None:
    session.reset()


@bot.message_handler(regexp="🍕")
def count_pizza(_: Message, session: SyncSession[Pizza]) -> None:
    session.data.count += 1


def main() -> None:
    with sessions.sync:  # closes the database
        bot.infinity_polling()
        bot.stop_bot()  # waits for the handlers


if __name__ == "__main__":
    main()

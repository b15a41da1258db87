"""The pizza bot on python-telegram-bot: it counts pizzas, and still knows after a restart.

Send it a message with a pizza emoji, ask ``/hunger``, start again with ``/reset``::

    python -m pip install "<checkout>[ptb]"
    BOT_TOKEN=... python examples/ptb_pizza.py

``SESSIONS`` says where the sessions are stored, ``BOT_API`` where the Bot API is served.
"""

import os
from dataclasses import dataclass
from typing import Any

from telegram import Update
from telegram.ext import Application, CommandHandler, MessageHandler, filters

from sessionkit import session
from sessionkit_ptb import SessionContext, install


@dataclass
class Pizza:
    count: int = 0


sessions = session(Pizza, storage=os.environ.get("SESSIONS", "sqlite:///pizza.db"))


async def hunger(update: Update, context: SessionContext[Pizza]) -> None:
    if update.message:
        await update.message.reply_text(f"Your hunger level is {context.session.count}!")


async def reset(_: Update, context: SessionContext[Pizza]) -> None:
    sessions.of(context).reset()


async def count_pizza(_: Update, context: SessionContext[Pizza]) -> None:
    context.session.count += 1


async def close(_: Application[Any, Any, Any, Any, Any, Any]) -> None:
    await sessions.close()


def main() -> None:
    builder = (
        Application.builder()
        .token(os.environ["BOT_TOKEN"])
        .base_url(os.environ.get("BOT_API", "https://api.telegram.org") + "/bot")
        .concurrent_updates(256)  # chats side by side; updates of one chat take turns
    )
    app = install(builder, sessions).build()
    app.post_shutdown = close
    app.add_handler(CommandHandler("hunger", hunger))
    app.add_handler(CommandHandler("reset", reset))
    app.add_handler(MessageHandler(filters.Regex("🍕"), count_pizza))
    app.run_polling()


if __name__ == "__main__":
    main()

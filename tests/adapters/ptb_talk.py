"""A bot that remembers a conversation by ``SessionPersistence``: to be killed and started again.

    python -m tests.adapters.ptb_talk sqlite:///talk.db

Takes texts from standard input, one a line, and prints what it answers, then
"saved" when PTB has written all of it.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from telegram.ext import CommandHandler, ConversationHandler, MessageHandler, filters

from sessionkit_ptb import SessionPersistence
from tests.adapters.driver import message
from tests.adapters.ptb_bot import bare, feed

NAME, AGE = "name", "age"


async def start(update: Any, context: Any) -> str:
    context.chat_data["steps"] = 1
    print("What is your name?", flush=True)
    return NAME


async def take_name(update: Any, context: Any) -> str:
    context.chat_data["steps"] += 1
    context.user_data["name"] = update.message.text
    print("How old are you?", flush=True)
    return AGE


async def take_age(update: Any, context: Any) -> int:
    context.chat_data["steps"] += 1
    context.bot_data["known"] = [*context.bot_data.get("known", []), context.user_data["name"]]
    name, steps = context.user_data["name"], context.chat_data["steps"]
    print(f"{name} is {update.message.text}, known after {steps} steps", flush=True)
    return ConversationHandler.END


async def who(update: Any, context: Any) -> None:
    print(context.bot_data.get("known", []), flush=True)


def application(storage: Any, **options: Any) -> Any:
    text = filters.TEXT & ~filters.COMMAND
    app = bare().persistence(SessionPersistence(storage, **options)).build()
    app.add_handler(
        ConversationHandler(
            entry_points=[CommandHandler("start", start)],
            states={NAME: [MessageHandler(text, take_name)], AGE: [MessageHandler(text, take_age)]},
            fallbacks=[],
            name="talk",
            persistent=True,
        )
    )
    app.add_handler(CommandHandler("who", who))
    return app


async def main(storage: str) -> None:
    app = application(storage)
    await app.initialize()
    for line in iter(sys.stdin.readline, ""):
        await feed(app, message(line.strip()))
        await app.update_persistence()
        print("saved", flush=True)
    await app.shutdown()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))

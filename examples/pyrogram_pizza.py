"""The pizza bot on pyrogram or one of its forks: it counts pizzas, and remembers them.

Send it a message with a pizza emoji, ask ``/hunger``, start again with ``/reset``::

    python -m pip install "<checkout>[pyrogram]"
    API_ID=... API_HASH=... BOT_TOKEN=... python examples/pyrogram_pizza.py

``SESSIONS`` says where the sessions are stored.  pyrogram talks to Telegram itself, not to
the Bot API: it needs an id and a hash from https://my.telegram.org.
"""

# pyrogram does not type its methods throughout, nor say what it exports
# mypy: disable-error-code="attr-defined"
# pyright: reportPrivateImportUsage=false
# pyright: reportUnknownMemberType=false, reportUntypedFunctionDecorator=false

import os
from dataclasses import dataclass

from pyrogram import Client, filters, idle
from pyrogram.types import Message

from sessionkit import Session, session
from sessionkit_pyrogram import install


@dataclass
class Pizza:
    count: int = 0


app = Client(
    "pizza",
    api_id=int(os.environ["API_ID"]),
    api_hash=os.environ["API_HASH"],
    bot_token=os.environ["BOT_TOKEN"],
    in_memory=True,
)

sessions = session(Pizza, storage=os.environ.get("SESSIONS", "sqlite:///pizza.db"))
install(app, sessions)


@app.on_message(filters.command("hunger"))
async def hunger(_: Client, message: Message, session: Session[Pizza]) -> None:
    await message.reply_text(f"Your hunger level is {session.data.count}!")


@app.on_message(filters.command("reset"))
async def reset(_: Client, __: Message, session: Session[Pizza]) -> None:
    session.reset()


@app.on_message(filters.regex("🍕"))
async def count_pizza(_: Client, __: Message, session: Session[Pizza]) -> None:
    session.data.count += 1


async def main() -> None:
    async with sessions, app:  # at the end the client stops, then the database is closed
        await idle()


if __name__ == "__main__":
    app.run(main())

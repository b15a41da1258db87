"""Count messages for good: answers "Free Storage" of grammY's page.

There it is a server that needs no setup; here it is a file, which needs no server
either.  Run this twice: the count goes on, in ``message_count.db``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from _bot import Bot, Context

from sessionkit import SessionFlavor, session


# Define the session structure.
@dataclass
class SessionData:
    count: int = 0


class MyContext(Context, SessionFlavor[SessionData]):
    pass


# Create the bot and register the session middleware.
bot = Bot(MyContext)
sessions = session(SessionData, storage="sqlite:///message_count.db")


async def catch(ctx: MyContext, handler: Callable[[MyContext], Awaitable[object]]) -> None:
    try:
        await handler(ctx)
    except Exception:
        logging.exception("this update failed, and its session is as it was last saved")


bot.use(catch)
bot.use(sessions)


# Use persistent session data in update handlers.
@bot.on_message
async def count(ctx: MyContext) -> None:
    ctx.session.count += 1
    await sessions.of(ctx).save()  # first store, then answer
    await ctx.reply(f"Message count: {ctx.session.count}")


async def main() -> None:
    async with sessions:
        await bot.receive("Hello!")
        await bot.receive("Anybody there?")


if __name__ == "__main__":
    asyncio.run(main())

"""Annotate an enhanced storage: answers "Types for Storage Enhancements" of grammY's page.

There is nothing to annotate: the shape that an enhanced storage stores is its own
affair, and the type of the session is named once.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from _bot import Bot, Context

from sessionkit import MemorySessionStorage, SessionFlavor, enhance_storage, session


@dataclass
class SessionData:
    count: int = 0


class MyContext(Context, SessionFlavor[SessionData]):
    pass


bot = Bot(MyContext)
storage = MemorySessionStorage()
bot.use(session(SessionData, storage=enhance_storage(storage, ttl=60)))


@bot.on_message
async def count(ctx: MyContext) -> None:
    await ctx.reply(f"Chat count is {ctx.session.count}")
    ctx.session.count += 1


async def main() -> None:
    await bot.receive("Hello!")
    await bot.receive("Hello again!")
    print("stored:", storage.read("424242"))


if __name__ == "__main__":
    asyncio.run(main())

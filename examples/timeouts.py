"""Forget what is old: answers "Storage Enhancements" and "Timeouts" of grammY's page.

The data of a chat is gone once it has not been changed for half an hour.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from datetime import timedelta

from _bot import Bot, Context

from sessionkit import MemorySessionStorage, SessionFlavor, enhance_storage, session


class Clock:
    """The time, which this example does not want to wait for."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


@dataclass
class SessionData:
    order: list[str] = field(default_factory=list[str])


class MyContext(Context, SessionFlavor[SessionData]):
    pass


clock = Clock()
storage = MemorySessionStorage()  # adjust this

enhanced = enhance_storage(
    storage,
    ttl=timedelta(minutes=30),
    clock=clock,  # leave this out
    # more config here
)

# Use the enhanced storage adapter.
bot = Bot(MyContext)
sessions = session(SessionData, storage=enhanced)
bot.use(sessions)


@bot.command("order")
async def show_order(ctx: MyContext) -> None:
    await ctx.reply(", ".join(ctx.session.order) or "Nothing yet.")


@bot.on_message
async def add(ctx: MyContext) -> None:
    ctx.session.order.append(ctx.text)


async def main() -> None:
    await bot.receive("pizza")
    for minutes in (29, 29, 30):
        clock.now += 60 * minutes
        print(f"{minutes} minutes later")
        await bot.receive("/order")
        if minutes == 29:
            await bot.receive("more pizza")
    # What has expired is missing at once; the room it takes is freed when you say so.
    print("expired and removed:", await sessions.purge_expired())


if __name__ == "__main__":
    asyncio.run(main())

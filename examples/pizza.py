"""Count pizzas: answers "What Are Sessions?" and "Example Usage" of grammY's page.

The bot counts the messages of each chat that contain a pizza emoji.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from _bot import Bot, Context

from sessionkit import SessionFlavor, session


# Define the shape of our session; its defaults are the initial data.
@dataclass
class SessionData:
    pizza_count: int = 0


# Flavor the context type to include sessions.
class MyContext(Context, SessionFlavor[SessionData]):
    pass


bot = Bot(MyContext)

# Install session middleware.
sessions = session(SessionData)
bot.use(sessions)


@bot.command("hunger")
async def hunger(ctx: MyContext) -> None:
    count = ctx.session.pizza_count
    await ctx.reply(f"Your hunger level is {count}!")


@bot.hears("🍕")
async def count_pizza(ctx: MyContext) -> None:
    ctx.session.pizza_count += 1


async def main() -> None:
    await bot.receive("🍕")
    await bot.receive("I could do with 🍕🍕, or 🍕.")
    await bot.receive("Who else wants some 🍕?", chat=987654)
    await bot.receive("I do.", chat=987654)
    await bot.receive("/hunger")
    await bot.receive("/hunger", chat=987654)
    print("stored:", {key: data async for key, data in sessions.items()})


if __name__ == "__main__":
    asyncio.run(main())

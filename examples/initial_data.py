"""Begin with something: answers "Initial Session Data" and "Sharing Objects" of grammY's page."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from _bot import Bot, Context

from sessionkit import NoInitialDataError, Sessions, session


# Creates a new object that will be used as initial session data.
def create_initial_session_data() -> dict[str, Any]:
    return {
        "pizza_count": 0,
        # more data here
    }


spelled_out = session(initial=create_initial_session_data)

# Same but much shorter:
short = session(initial=lambda: {"pizza_count": 0})


# Or let the type of the data say it: every field has its default.
@dataclass
class SessionData:
    pizza_count: int = 0
    toppings: list[str] = field(default_factory=list[str])


typed = session(SessionData)

# Where grammY says DANGER, BAD, WRONG, STOP: here each chat gets a copy, none is shared.
initial_data = {"pizza_count": 0}
shared = session(initial=lambda: initial_data)

# Without initial data, reading a chat that has none raises.
without = session()


class MyContext(Context):
    session: Any


def bot_with(sessions: Sessions[Any]) -> Bot[MyContext]:
    bot = Bot(MyContext)
    bot.use(sessions)

    @bot.hears("🍕")
    async def count(ctx: MyContext) -> None:
        ctx.session["pizza_count"] += 1
        await sessions.of(ctx).save()  # first store, then answer
        await ctx.reply(f"{ctx.session['pizza_count']} so far")

    return bot


async def main() -> None:
    for sessions in (spelled_out, short, shared):
        bot = bot_with(sessions)
        await bot.receive("🍕")
        await bot.receive("🍕")
        await bot.receive("🍕", chat=987654)
    print("what the chats began with is as it was:", initial_data)
    print("a dataclass begins with its defaults:", await typed.get(424242))
    try:
        await bot_with(without).receive("🍕")
    except NoInitialDataError as error:
        print("without initial data:", error)


if __name__ == "__main__":
    asyncio.run(main())

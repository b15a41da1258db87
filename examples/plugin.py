"""Write a plugin for strict and lazy sessions: answers "Plugins That Need Sessions".

``await session_data(ctx)`` gives the data of either kind, as ``await ctx.session``
does in grammY.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from _bot import Bot, Context

from sessionkit import LazySessions, Sessions, lazy_session, session
from sessionkit.adapters import session_data


# The plugin, by somebody who knows neither the bot nor its sessions.
async def count_commands(ctx: Context, handler: Callable[[Any], Awaitable[object]]) -> None:
    if ctx.text.startswith("/"):
        data = await session_data(ctx)
        data["commands"] = data.get("commands", 0) + 1
    await handler(ctx)


# The bot
class MyContext(Context):
    session: Any


def bot_with(sessions: Sessions[Any] | LazySessions[Any]) -> Bot[MyContext]:
    bot = Bot(MyContext)
    bot.use(sessions)
    bot.use(count_commands)
    return bot


async def main() -> None:
    for sessions in (session(initial=dict[str, Any]), lazy_session(initial=dict[str, Any])):
        bot = bot_with(sessions)
        await bot.receive("/start")
        await bot.receive("just talking")
        await bot.receive("/help")
        print(f"{type(sessions).__name__}: {await sessions.get(424242)}")


if __name__ == "__main__":
    asyncio.run(main())

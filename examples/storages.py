"""Choose where data is kept: answers "Storing Your Data" and "Known Storage Adapters".

That is RAM by default, a file or folder of your own, or whatever an adapter connects
to.  Nothing but the option changes.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from _bot import Bot, Context

from sessionkit import (
    FileSessionStorage,
    MemorySessionStorage,
    Sessions,
    SQLiteSessionStorage,
    session,
)


class MyContext(Context):
    session: dict[str, int]


def initial() -> dict[str, int]:
    return {"pizza_count": 0}


def bot_with(sessions: Sessions[Any]) -> Bot[MyContext]:
    bot = Bot(MyContext)
    bot.use(sessions)

    @bot.hears("🍕")
    async def count(ctx: MyContext) -> None:
        ctx.session["pizza_count"] += 1
        await sessions.of(ctx).save()  # first store, then answer
        await ctx.reply(f"{ctx.session['pizza_count']} so far")

    return bot


async def restart_between_messages(storage: Any, again: Any) -> list[str]:
    """Return the replies of a bot before and after a restart."""
    first, second = (session(initial=initial, storage=each) for each in (storage, again))
    return [*await replies_with(first), *await replies_with(second)]


async def replies_with(sessions: Sessions[Any]) -> list[str]:
    """Return the replies of a bot with these sessions, which are closed after it."""
    async with sessions:
        return await bot_with(sessions).receive("🍕")


async def main() -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)

        print("RAM, the default: gone with the process")
        await replies_with(session(initial=initial))
        await replies_with(session(initial=initial))
        await restart_between_messages(MemorySessionStorage(), MemorySessionStorage())

        print("an SQLite file: still there")
        async with (
            SQLiteSessionStorage(folder / "bot.db") as before,
            SQLiteSessionStorage(folder / "bot.db") as after,
        ):
            await restart_between_messages(before, after)

        print("a folder of JSON files, by URL, as each storage can be named")
        url = f"file:{folder.as_posix()}/sessions"
        await restart_between_messages(url, url)
        stored = await FileSessionStorage(folder / "sessions").read("424242")
        print("in sessions/42/424242.json:", stored)


if __name__ == "__main__":
    asyncio.run(main())

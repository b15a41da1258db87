"""Keep fragments apart: answers "Multi Sessions" of grammY's page.

Each fragment has a storage, a key and a prefix of its own, and is loaded and stored
by itself.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from _bot import Bot, Context

from sessionkit import (
    MemorySessionStorage,
    MultiSession,
    SessionFlavor,
    keys,
    multi_session,
    session,
)


@dataclass
class Bar:
    prop: int = 0


@dataclass
class Baz:
    width: float | None = None
    height: float | None = None


class SessionData(MultiSession):
    foo = session(
        str,
        # these are also the default values, but for initial: a str would begin as ""
        storage=MemorySessionStorage(),
        initial=None,
        get_session_key=keys.chat,
        prefix="",
    )
    bar = session(
        Bar,
        initial=lambda: Bar(prop=0),
        storage="sqlite:///multi_sessions.db",
    )
    baz = session(Baz)
    # Some data per chat, and some data per user:
    visits = session(int, get_session_key=keys.user)


class MyContext(Context, SessionFlavor[SessionData]):
    pass


bot = Bot(MyContext)
bot.use(multi_session(SessionData))


@bot.on_message
async def change_all(ctx: MyContext) -> None:
    data = ctx.session
    data.foo = ctx.text
    data.bar.prop += 1
    data.baz.width = (data.baz.width or 0) + 0.5
    data.visits += 1
    await ctx.reply(f"{data.foo=} {data.bar=} {data.baz=} {data.visits=}")


async def main() -> None:
    async with SessionData.bar:
        await bot.receive("one", chat=-100, user=3)
        await bot.receive("two", chat=-100, user=4)
        await bot.receive("three", chat=3, user=3)
        for fragment in (SessionData.foo, SessionData.bar, SessionData.baz, SessionData.visits):
            print(fragment.storage, {key: data async for key, data in fragment.items()})


if __name__ == "__main__":
    asyncio.run(main())

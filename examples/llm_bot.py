"""Let /stop get through to a slow handler: what grammY's page does not answer.

Updates of one chat wait for each other, so that none overwrites what another wrote.
A handler that waits for a language model would hold up the whole chat: ``paused()``
lets other updates get through meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from _bot import Bot, Context

from sessionkit import SessionFlavor, session


@dataclass
class SessionData:
    generating: bool = False
    history: list[str] = field(default_factory=list[str])


class MyContext(Context, SessionFlavor[SessionData]):
    pass


async def language_model(question: str) -> AsyncIterator[str]:
    """In place of a model that never ends."""
    while True:
        for word in ("Well,", *question.split()):
            await asyncio.sleep(0.001)
            yield word


bot = Bot(MyContext)
sessions = session(SessionData)
bot.use(sessions)


@bot.command("ask")
async def ask(ctx: MyContext) -> None:
    question = ctx.text.removeprefix("/ask ")
    ctx.session.generating = True
    ctx.session.history.append(question)

    words: list[str] = []
    async with sessions.of(ctx).paused():  # saved, and open to others
        async for word in language_model(question):
            words.append(word)
            if not (await sessions.get(ctx)).generating:
                break

    # Locked and loaded again: what others changed meanwhile is there.
    ctx.session.history.append(f"{words[0]} ... (stopped)")
    await sessions.of(ctx).save()  # first store, then answer
    await ctx.reply(ctx.session.history[-1])


@bot.command("stop")
async def stop(ctx: MyContext) -> None:
    ctx.session.generating = False
    ctx.session.history.append("/stop")
    await sessions.of(ctx).save()
    await ctx.reply("I stop.")


async def main() -> None:
    async with asyncio.TaskGroup() as updates:
        updates.create_task(bot.receive("/ask what is a session"))
        await asyncio.sleep(0.05)
        updates.create_task(bot.receive("/stop"))
    print(await sessions.get(424242))


if __name__ == "__main__":
    asyncio.run(main())

"""Choose whose session it is: answers "Session Keys" and "Session Keys and Webhooks".

A key function gets the context and returns a ``str``, an ``int``, or None for "no
session".  ``sessionkit.keys`` has all three of grammY's page ready to use, as
``keys.chat``, ``keys.user`` and ``keys.user_in_chat``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from _bot import Bot, Context

from sessionkit import NoSessionKeyError, SessionFlavor, Sessions, keys, session


@dataclass
class SessionData:
    messages: int = 0


class MyContext(Context, SessionFlavor[SessionData]):
    pass


# Stores data per chat (default).
def per_chat(ctx: Context) -> int | None:
    # Let all users in a group chat share the same session,
    # but give an independent private one to each user in private chats
    return ctx.chat_id


# Stores data per user.
def per_user(ctx: Context) -> int | None:
    # Give every user their personal session storage
    # (will be shared across groups and in their private chat)
    return ctx.user_id


# Stores data per user-chat combination.
def per_user_in_chat(ctx: Context) -> str | None:
    # Give every user their one personal session storage per chat with the bot
    # (an independent session for each group and their private chat)
    if ctx.user_id is None or ctx.chat_id is None:
        return None
    return f"{ctx.user_id}/{ctx.chat_id}"


KeyFunction = Callable[[Context], int | str | None]


def sessions_by(get_session_key: KeyFunction, prefix: str = "") -> Sessions[SessionData]:
    return session(SessionData, get_session_key=get_session_key, prefix=prefix)


def bot_with(sessions: Sessions[SessionData]) -> Bot[MyContext]:
    bot = Bot(MyContext)
    bot.use(sessions)

    @bot.on_message
    async def count(ctx: MyContext) -> None:
        if not sessions.of(ctx).has_key:
            await ctx.reply("No session here.")
            return
        ctx.session.messages += 1
        await asyncio.sleep(0)  # other updates come in between

    return bot


async def talk(bot: Bot[MyContext]) -> None:
    """Let two users write to a group and to the bot, many updates at a time."""
    async with asyncio.TaskGroup() as updates:
        for chat, user in ((-100, 3), (-100, 4), (3, 3), (-100, 3)):
            updates.create_task(bot.receive("hello", chat=chat, user=user))


async def stored(sessions: Sessions[SessionData]) -> dict[str, int]:
    """Return the counts by storage key, which is the session key behind its prefix."""
    return {key: data["messages"] for key, data in sessions.storage.iter_items()}


async def main() -> None:
    for title, get_session_key in (
        ("per chat", per_chat),
        ("per user", per_user),
        ("per user in chat", per_user_in_chat),
    ):
        sessions = sessions_by(get_session_key)
        await talk(bot_with(sessions))
        print(f"{title}: {await stored(sessions)}\n")

    # A prefix keeps keys of different kinds apart in one storage.
    with_prefix = sessions_by(keys.user, prefix="user-")
    await bot_with(with_prefix).receive("hello", user=424242)
    print(f"per user, with a prefix: {await stored(with_prefix)}\n")

    # A poll has no chat, so there is no session: handlers run, and touching it raises.
    by_chat = sessions_by(keys.chat)
    await bot_with(by_chat).receive("a poll was closed", chat=None, user=None)
    try:
        await by_chat(MyContext("a poll", None, None), lambda ctx: ctx.session.messages)
    except NoSessionKeyError as error:
        print(error)


if __name__ == "__main__":
    asyncio.run(main())

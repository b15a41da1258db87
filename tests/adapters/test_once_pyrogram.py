"""Updates that come again, in pyrogram: they have no ids, and a handler can end them."""

from __future__ import annotations

from typing import Any

import pytest

from sessionkit import Once
from tests.adapters.driver import CHAT, message
from tests.adapters.pyrogram_bot import Offline, in_loop
from tests.adapters.pyrogram_raw import PACKAGE
from tests.once.updates import counting

# isort: split
from sessionkit_pyrogram import install, with_session

handlers: Any = PACKAGE.handlers


def by_message(message: Any) -> str:
    return f"{message.chat.id}:{message.id}"


@in_loop
async def test_an_identity_is_required() -> None:
    for refused in (lambda: install(Offline().app, counting()), lambda: with_session(counting())):
        with pytest.raises(TypeError, match=r"updates have no id here: give once=Once\(identity"):
            refused()


@in_loop
async def test_a_repeat_ends_before_all_later_groups() -> None:
    await check(installed=True)
    await check(installed=False)


async def check(*, installed: bool) -> None:
    async def count(client: Any, message: Any, session: Any) -> None:
        session.data["n"] += 1

    def count_in_executor(client: Any, message: Any, session: Any) -> None:
        session.data["n"] += 10

    async def later(client: Any, message: Any) -> None:
        seen.append(message.id)

    seen: list[int] = []
    bot, sessions = Offline(), counting(once=Once(identity=by_message))
    if installed:
        install(bot.app, sessions)
    counting_handlers: list[Any] = [count, count_in_executor]
    for group, handler in enumerate(counting_handlers):
        wrapped = handler if installed else with_session(sessions)(handler)
        bot.app.add_handler(handlers.MessageHandler(wrapped), group)
    bot.app.add_handler(handlers.MessageHandler(later), 2)
    again = message("count")
    async with bot:
        await bot.feed(again)
        await bot.feed(again)

    assert await sessions.get(CHAT) == {"n": 11}
    assert len(seen) == 1
    assert bot.errors == []

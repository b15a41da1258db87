"""Updates that come again, in what only python-telegram-bot has: groups, tasks, jobs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from telegram.ext import MessageHandler, filters

from sessionkit_ptb import install, with_session
from tests.adapters.driver import CHAT, message
from tests.adapters.ptb_bot import bare, feed
from tests.once.updates import counting

lazy_or_not = pytest.mark.parametrize("lazy", [False, True], ids=["strict", "lazy"])


class Bot:
    def __init__(self, app: Any) -> None:
        self.app = app
        self.errors: list[object] = []
        self.later_groups = 0
        app.add_handler(MessageHandler(filters.TEXT, self.later), group=1)
        app.add_error_handler(self.note)

    async def later(self, update: object, context: Any) -> None:
        self.later_groups += 1

    async def note(self, update: object, context: Any) -> None:
        self.errors.append(context.error)

    async def twice(self) -> None:
        again = message("count")
        async with self.app:
            await self.app.start()
            await feed(self.app, again, again)
            await self.app.stop()


@lazy_or_not
@pytest.mark.parametrize("block", [True, False])
def test_a_repeat_ends_before_all_later_groups(lazy: bool, block: bool) -> None:
    async def count(update: object, context: Any) -> None:
        data = await context.session if lazy else context.session
        data["n"] += 1

    sessions = counting(lazy=lazy)
    builder = bare()
    install(builder, sessions)
    bot = Bot(builder.build())
    bot.app.add_handler(MessageHandler(filters.TEXT, count, block=block))

    asyncio.run(bot.twice())

    assert asyncio.run(sessions.get(CHAT)) == {"n": 1}
    assert bot.errors == []
    assert bot.later_groups == (2 if lazy and not block else 1)  # nobody had waited for it


@lazy_or_not
def test_a_decorated_handler_ends_the_update(lazy: bool) -> None:
    async def count(update: object, context: Any, session: Any) -> None:
        data = await session if lazy else session.data
        data["n"] += 1

    sessions = counting(lazy=lazy)
    bot = Bot(bare().build())
    bot.app.add_handler(MessageHandler(filters.TEXT, with_session(sessions)(count)))

    asyncio.run(bot.twice())

    assert asyncio.run(sessions.get(CHAT)) == {"n": 1}
    assert (bot.errors, bot.later_groups) == ([], 1)


def test_a_job_carries_no_id() -> None:
    async def tick(context: Any, session: Any) -> None:
        session.data["n"] += 1
        assert session.update_id is None

    class Job:
        chat_id, user_id = CHAT, None

    class Context:
        job, bot = Job, None

    sessions = counting()
    asyncio.run(with_session(sessions)(tick)(Context()))
    asyncio.run(with_session(sessions)(tick)(Context()))

    assert asyncio.run(sessions.get(CHAT)) == {"n": 2}

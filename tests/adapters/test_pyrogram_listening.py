"""Handlers that wait for the next message: ``listen`` and ``ask`` of pyrofork and hydrogram."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sessionkit import session
from tests.adapters.driver import GROUP, PATIENCE, message
from tests.adapters.pyrogram_bot import Offline, begins_with, in_loop
from tests.adapters.pyrogram_raw import PACKAGE

# isort: split
from sessionkit_pyrogram import install, session_filter

pytestmark = pytest.mark.skipif(
    not hasattr(PACKAGE.Client, "listen"),
    reason=f"{PACKAGE.__name__} {PACKAGE.__version__} has no listen()",
)


class Interview:
    """A bot that asks for names, and counts all else."""

    def __init__(self) -> None:
        self.bot = Offline()
        self.texts = session(list[str])
        self.asked = asyncio.Event()
        install(self.bot.app, self.texts)
        self.bot.app.send_message = self._send

    def add(self, handler: Any, *filters: Any) -> None:
        self.bot.app.add_handler(PACKAGE.handlers.MessageHandler(handler, *filters))

    async def answer(self, *updates: Any) -> None:
        """Feed a question, and *updates* once it is asked."""
        question = asyncio.create_task(self.bot.feed(message("/name", chat=GROUP)))
        async with asyncio.timeout(PATIENCE):
            await self.asked.wait()
            await asyncio.sleep(0)  # now it listens
        await self.bot.feed(*updates)
        await question

    async def _send(self, chat: int, text: str) -> Any:
        self.asked.set()


@in_loop
async def test_a_handler_that_asks_gets_the_answer_though_its_session_is_open() -> None:
    interview = Interview()

    async def name(client: Any, message: Any, session: Any) -> None:
        answer = await client.ask(message.chat.id, "Your name?", timeout=PATIENCE)
        session.data.append(str(answer.text))

    async def other(client: Any, message: Any, session: Any) -> None:
        session.data.append(f"other: {message.text}")

    interview.add(name, begins_with("/name"))
    interview.add(other, ~begins_with("/"))
    async with interview.bot:
        await interview.answer(message("Ann", chat=GROUP))
        await interview.bot.feed(message("more", chat=GROUP))

    assert not interview.bot.errors
    assert await interview.texts.get(GROUP) == ["Ann", "other: more"]


@in_loop
async def test_who_pauses_around_the_question_lets_the_others_of_the_chat_through() -> None:
    interview = Interview()
    others_served = asyncio.Event()

    async def name(client: Any, message: Any, session: Any) -> None:
        async with session.paused():
            answer = await client.ask(
                message.chat.id, "Your name?", filters=begins_with("A"), timeout=PATIENCE
            )
            await others_served.wait()
        session.data.append(str(answer.text))

    async def other(client: Any, message: Any, session: Any) -> None:
        session.data.append(f"other: {message.text}")
        others_served.set()

    interview.add(name, begins_with("/name"))
    interview.add(other, ~begins_with("/"))
    async with interview.bot:
        await interview.answer(message("Bob", chat=GROUP), message("Ann", chat=GROUP))

    assert not interview.bot.errors
    assert await interview.texts.get(GROUP) == ["other: Bob", "Ann"]


@in_loop
async def test_an_answer_reaches_its_question_past_a_filter_that_reads_the_session() -> None:
    interview = Interview()

    async def name(client: Any, message: Any, session: Any) -> None:
        answer = await client.ask(message.chat.id, "Your name?", timeout=PATIENCE)
        session.data.append(str(answer.text))

    interview.add(name, session_filter(interview.texts, lambda texts: not texts))
    async with interview.bot:
        await interview.answer(message("Ann", chat=GROUP))

    assert not interview.bot.errors
    assert await interview.texts.get(GROUP) == ["Ann"]

"""Handlers of pyrogram and its forks: all sorts of callables, in coroutines and in threads."""

from __future__ import annotations

import asyncio
import inspect
import threading
from functools import partial
from typing import Any

import pytest

from sessionkit import NoSessionKeyError, Session, SyncSession, lazy_session, session
from tests.adapters.driver import CHAT, inline_query, message
from tests.adapters.pyrogram_bot import Offline, begins_with, in_loop
from tests.adapters.pyrogram_raw import PACKAGE

# isort: split
from sessionkit_pyrogram import install, with_session

handlers: Any = PACKAGE.handlers


async def fed(handler: Any, times: int = 1, *, sessions: Any = None) -> tuple[Any, Offline]:
    """Feed messages to one handler; what is stored then, and the bot."""
    numbers = sessions or session(int)
    bot = Offline()
    install(bot.app, numbers)
    bot.app.add_handler(handlers.MessageHandler(handler))
    async with bot:
        await bot.feed(*(message() for _ in range(times)))
    return await numbers.get(CHAT), bot


# --- callables ----------------------------------------------------------------------------


class Counter:
    """Has handlers of each sort."""

    async def method(self, client: Any, message: Any, session: Any) -> None:
        session.data += 1

    async def __call__(self, client: Any, message: Any, session: Any) -> None:
        session.data += 1


async def step(size: int, client: Any, message: Any, session: Any) -> None:
    session.data += size


async def keyword_only(client: Any, message: Any, *, session: Any) -> None:
    session.data += 1


async def optional(client: Any, message: Any, session: Any = None) -> None:
    session.data += 1


@pytest.mark.parametrize(
    "handler",
    [Counter().method, Counter(), partial(step, 1), keyword_only, optional],
    ids=["method", "object", "partial", "keyword", "optional"],
)
def test_what_can_be_called_can_be_a_handler(handler: Any) -> None:
    stored, bot = asyncio.run(fed(handler))

    assert not bot.errors
    assert stored == 1


@in_loop
async def test_the_argument_is_the_session_and_is_open_on_the_update() -> None:
    numbers = session(int)
    seen: list[Any] = []

    async def look(client: Any, message: Any, session: Any) -> None:
        seen.extend([type(session), session is numbers.of(message), client])

    _, bot = await fed(look, sessions=numbers)

    assert not bot.errors
    assert seen == [Session, True, bot.app]


@in_loop
async def test_a_message_is_not_changed_by_its_session() -> None:
    """Messages print, compare and pickle all attributes that they have."""
    seen: list[Any] = []

    async def look(client: Any, message: Any, session: Any) -> None:
        seen.append("session" in vars(message))

    await fed(look)

    assert seen == [False]


# --- threads ------------------------------------------------------------------------------


@in_loop
async def test_handlers_that_are_not_async_get_a_session_for_threads() -> None:
    seen: list[Any] = []

    def count(client: Any, message: Any, session: Any) -> None:
        session.data += 1
        seen.append((type(session), threading.current_thread().name.startswith("Handler")))

    stored, bot = await fed(count)

    assert not bot.errors
    assert (stored, seen) == (1, [(SyncSession, True)])


@in_loop
async def test_handlers_in_threads_and_in_the_loop_wait_for_each_other() -> None:
    numbers = session(int)
    bot = Offline()
    install(bot.app, numbers)

    async def count(client: Any, message: Any, session: Any) -> None:
        n = session.data
        await asyncio.sleep(0)
        session.data = n + 1

    def count_in_thread(client: Any, message: Any, session: Any) -> None:
        session.data += 1

    bot.app.add_handler(handlers.MessageHandler(count, begins_with("a")))
    bot.app.add_handler(handlers.MessageHandler(count_in_thread, begins_with("b")))
    async with bot:
        await bot.feed(*(message(text) for text in "ab" * 20))

    assert not bot.errors
    assert await numbers.get(CHAT) == 40


@pytest.mark.parametrize("signal", ["StopPropagation", "ContinuePropagation"])
def test_signals_from_threads_are_saved(signal: str) -> None:
    def count_and_signal(client: Any, message: Any, session: Any) -> None:
        session.data += 1
        raise getattr(PACKAGE, signal)

    stored, bot = asyncio.run(fed(count_and_signal))

    assert not bot.errors
    assert stored == 1


@in_loop
async def test_an_error_in_a_thread_is_not_saved() -> None:
    def fail(client: Any, message: Any, session: Any) -> None:
        session.data += 1
        raise RuntimeError("the kitchen is on fire")

    stored, bot = await fed(fail)

    assert [str(error) for error in bot.errors] == ["the kitchen is on fire"]
    assert stored == 0


# --- pauses -------------------------------------------------------------------------------


@in_loop
async def test_a_paused_session_lets_other_updates_of_the_chat_through() -> None:
    numbers = session(int)
    bot = Offline()
    install(bot.app, numbers)
    stopped = asyncio.Event()

    async def slow(client: Any, message: Any, session: Any) -> None:
        async with session.paused(), asyncio.timeout(60):
            await stopped.wait()
        session.data += 1

    async def stop(client: Any, message: Any, session: Any) -> None:
        session.data = 10
        stopped.set()

    bot.app.add_handler(handlers.MessageHandler(slow, begins_with("/slow")))
    bot.app.add_handler(handlers.MessageHandler(stop, begins_with("/stop")))
    async with bot:
        await bot.feed(message("/slow"), message("/stop"))

    assert not bot.errors
    assert await numbers.get(CHAT) == 11


# --- with_session -------------------------------------------------------------------------


@in_loop
async def test_a_decorated_handler_needs_no_install() -> None:
    numbers, bot = session(int), Offline()

    @with_session(numbers)
    async def count(client: Any, message: Any, session: Any) -> None:
        session.data += 1

    bot.app.on_message()(count)
    async with bot:
        await bot.feed(message())

    assert not bot.errors
    assert await numbers.get(CHAT) == 1
    assert list(inspect.signature(count).parameters) == ["client", "message"]
    assert count.__name__ == "count"


@in_loop
async def test_a_decorated_handler_may_run_in_a_thread() -> None:
    numbers, bot = session(int), Offline()

    @with_session(numbers)
    def count(client: Any, message: Any, session: Any) -> None:
        session.data += 1
        assert threading.current_thread() is not threading.main_thread()

    bot.app.on_message()(count)
    async with bot:
        await bot.feed(message())

    assert not bot.errors
    assert await numbers.get(CHAT) == 1


@in_loop
async def test_a_decorated_handler_can_be_called_by_a_test() -> None:
    numbers = session(int)

    @with_session(numbers)
    def count(client: Any, message: Any, session: Any) -> int:
        session.data += 1
        return int(session.data)

    assert await count(None, message_in(5)) == 1


def message_in(chat: int) -> Any:
    """A message as a test of a handler makes it."""
    private = PACKAGE.enums.ChatType.PRIVATE
    return PACKAGE.types.Message(id=1, chat=PACKAGE.types.Chat(id=chat, type=private))


@in_loop
async def test_installed_and_decorated_sessions_may_meet_in_one_handler() -> None:
    numbers, memories, bot = session(int), lazy_session(int), Offline()
    install(bot.app, numbers)

    @with_session(memory=memories)
    async def count(client: Any, message: Any, session: Any, memory: Any) -> None:
        session.data += 1
        memory.data = session.data + await memory.data

    bot.app.on_message()(count)
    async with bot:
        await bot.feed(message(), message())

    assert not bot.errors
    assert [await numbers.get(CHAT), await memories.get(CHAT)] == [2, 3]


@in_loop
async def test_signals_of_a_decorated_handler_are_saved() -> None:
    numbers, bot = session(int), Offline()

    @with_session(numbers, name="number")
    async def count(client: Any, message: Any, number: Any) -> None:
        number.data += 1
        raise PACKAGE.StopPropagation

    bot.app.on_message()(count)
    async with bot:
        await bot.feed(message())

    assert not bot.errors
    assert await numbers.get(CHAT) == 1


def test_a_decorated_handler_has_to_ask() -> None:
    with pytest.raises(TypeError, match=r"asks for no session: give it a parameter session"):

        @with_session(session(int))
        async def forgot(client: Any, message: Any) -> None:
            """Take no session."""


def test_a_decorated_handler_takes_the_session_last() -> None:
    with pytest.raises(TypeError, match=r"let it be .*wrong\(client, update, session\)"):

        @with_session(session(int))
        async def wrong(client: Any, session: Any) -> None:
            """Take it for the message."""


@in_loop
async def test_without_a_chat_a_session_can_be_asked_whether_it_is_there() -> None:
    bot = Offline()
    seen: list[Any] = []
    install(bot.app, session(int))

    async def look(client: Any, query: Any, session: Any) -> None:
        seen.append(session.has_key)
        with pytest.raises(NoSessionKeyError, match="inline_query has no chat"):
            session.data += 1

    bot.app.add_handler(handlers.InlineQueryHandler(look))
    async with bot:
        await bot.feed(inline_query())

    assert not bot.errors
    assert seen == [False]

"""Updates that come again, in what only aiogram has: routers, error handlers, web hooks."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiogram import Bot, Dispatcher, Router
from aiogram.types import ErrorEvent, Message

from sessionkit import SessionError
from sessionkit_aiogram import SessionMiddleware, install, with_session
from tests.adapters.aiogram_bot import feed
from tests.adapters.driver import CHAT, TOKEN, message
from tests.core import Oops
from tests.once.updates import counting


async def count(message: Message, session: Any) -> str:
    session.data["n"] += 1
    return f"{session.update_id} {session.data['n']}"


async def twice(dp: Dispatcher) -> list[Any]:
    """Deliver an update twice, as two updates that are equal."""
    again = message("count")
    return await feed(dp, again, again)


def test_an_inner_middleware_of_a_router_finds_the_update() -> None:
    sessions, router, dp = counting(), Router(), Dispatcher()
    router.message.middleware(SessionMiddleware(sessions))
    router.message.register(count)
    dp.include_router(router)

    first, repeat = asyncio.run(twice(dp))

    assert first.startswith("42:")
    assert repeat is None
    assert asyncio.run(sessions.get(CHAT)) == {"n": 1}


@pytest.mark.parametrize("is_async", [True, False])
def test_a_decorated_handler_is_left_out(is_async: bool) -> None:
    def count_in_thread(message: Message, session: Any) -> str:
        session.data["n"] += 1
        return f"{session.update_id} {session.data['n']}"

    sessions, dp = counting(), Dispatcher()
    handler: Any = count if is_async else count_in_thread
    dp.message.register(with_session(sessions)(handler))

    first, repeat = asyncio.run(twice(dp))

    assert first.startswith("42:")
    assert repeat is None
    assert asyncio.run(sessions.get(CHAT)) == {"n": 1}


def test_a_bare_event_is_refused() -> None:
    sessions = counting()
    handler: Any = with_session(sessions)(count)

    async def call() -> None:
        async with Bot(TOKEN).context() as bot:
            event = Message.model_validate(message("count")["message"], context={"bot": bot})
            await handler(event)

    with pytest.raises(SessionError, match="no update_id in this Message"):
        asyncio.run(call())


def test_an_update_whose_error_was_handled_runs_again() -> None:
    async def fail(message: Message, session: Any) -> None:
        session.data["n"] += 1
        raise Oops

    async def on_error(event: ErrorEvent, session: Any) -> None:
        session.data["n"] += 10
        assert session.update_id is None

    sessions, dp = counting(), Dispatcher()
    install(dp, sessions)
    dp.message.register(fail)
    dp.errors.register(on_error)

    asyncio.run(twice(dp))

    assert asyncio.run(sessions.get(CHAT)) == {"n": 20}


def test_of_two_installs_the_first_carries_the_id() -> None:
    async def both(message: Message, session: Any, other: Any) -> tuple[Any, Any]:
        session.data["n"] += 1
        other.data["n"] += 1
        return session.update_id, other.update_id

    first, second, dp = counting(), counting(prefix="o:"), Dispatcher()
    install(dp, first)
    install(dp, second, name="other")
    dp.message.register(both)

    (carried, elsewhere), repeat = asyncio.run(twice(dp))

    assert carried.startswith("42:")
    assert elsewhere is None
    assert repeat is None

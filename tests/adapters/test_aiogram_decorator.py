"""``with_session``: one handler gets sessions, and all others know nothing of them."""

from __future__ import annotations

import asyncio
import inspect
from functools import partial
from typing import Any

import pytest
from aiogram import Dispatcher, F, flags
from aiogram.dispatcher.event.bases import SkipHandler
from aiogram.dispatcher.flags import get_flag
from aiogram.fsm.scene import Scene, on
from aiogram.fsm.scene import SceneRegistry as Scenes
from aiogram.types import ErrorEvent, Message, Update

from sessionkit import SyncSession, keys
from sessionkit_aiogram import install, with_session
from tests.adapters.aiogram_bot import feed
from tests.adapters.driver import CHAT, GROUP, message, migrate_to
from tests.contexts import Spy, assert_nothing_left
from tests.core import Oops, counters

counting = partial(counters, get_session_key=keys.chat)


def test_the_decorated_handler_alone_has_a_session() -> None:
    spy = Spy()
    dp = Dispatcher()

    @dp.message(F.text == "count")
    @with_session(counting(spy))
    async def count(message: Message, session: Any) -> None:
        session.data["n"] += 1

    @dp.message()
    async def other(message: Message) -> None: ...

    asyncio.run(feed(dp, message("other"), message("count")))

    assert spy.log == ["R 11", "W 11"]


def test_a_failing_handler_is_not_saved_and_a_skipping_one_is() -> None:
    sessions = counting()
    dp = Dispatcher()

    @dp.message()
    @with_session(sessions)
    async def skip(message: Message, session: Any) -> None:
        session.data["n"] += 1
        raise SkipHandler

    @dp.message()
    @with_session(sessions)
    async def fail(message: Message, session: Any) -> None:
        session.data["n"] += 10
        raise Oops

    with pytest.raises(Oops):
        asyncio.run(feed(dp, message("go")))
    assert asyncio.run(sessions.get(CHAT)) == {"n": 1}
    assert_nothing_left(sessions)


def test_a_handler_in_a_thread_has_a_session_for_threads() -> None:
    sessions = counting()
    dp = Dispatcher()

    @dp.message()
    @with_session(sessions)
    def count(message: Message, session: SyncSession[Any]) -> None:
        assert isinstance(session, SyncSession)
        session.data["n"] += 1

    async def main() -> None:
        await asyncio.gather(*(feed(dp, message("count")) for _ in range(20)))

    asyncio.run(main())
    assert asyncio.run(sessions.get(CHAT)) == {"n": 20}


def test_it_joins_the_session_that_is_installed_whatever_the_handler_takes() -> None:
    spy = Spy()
    sessions = counting(spy)
    dp = Dispatcher()
    install(dp, sessions)

    @dp.message(F.text == "all")
    @with_session(sessions)
    async def takes_all(message: Message, session: Any, **data: Any) -> None:
        assert data["event_update"].message is message
        session.data["n"] += 1

    @dp.message(F.text == "update")
    @with_session(sessions)
    async def takes_update(message: Message, session: Any, event_update: Update) -> None:
        assert event_update.message is message
        session.data["n"] += 1

    @dp.message()
    @with_session(sessions)
    async def takes_nothing_else(message: Message, session: Any) -> None:
        session.data["n"] += 1

    asyncio.run(feed(dp, message("all"), message("update"), message("nothing")))

    assert spy.log == ["R 11", "W 11"] * 3
    assert spy.data == {"11": {"n": 3}}


def test_several_are_asked_for_by_name() -> None:
    carts, prefs = Spy(), Spy()
    dp = Dispatcher()

    @dp.message()
    @with_session(cart=counting(carts), prefs=counting(prefs, prefix="prefs:"))
    async def count(message: Message, cart: Any) -> None:
        cart.data["n"] += 1

    asyncio.run(feed(dp, message("count")))

    assert (carts.counts, prefs.counts) == ("R1 W1 D0", "R0 W0 D0")


def test_error_handlers_get_a_session_of_the_update_that_failed() -> None:
    sessions = counting()
    dp = Dispatcher()

    @dp.message()
    async def fail(message: Message) -> None:
        raise Oops

    @dp.errors()
    @with_session(sessions)
    async def on_error(event: ErrorEvent, session: Any) -> None:
        session.data["n"] += 1

    asyncio.run(feed(dp, message("fail")))

    assert asyncio.run(sessions.get(CHAT)) == {"n": 1}


def test_methods_of_scenes_get_sessions() -> None:
    sessions = counting()

    class Order(Scene, state="order"):
        @on.message()
        @with_session(sessions)
        async def count(self, message: Message, session: Any) -> None:
            session.data["n"] += 1

    dp = Dispatcher()
    scenes = Scenes(dp)
    scenes.add(Order)
    dp.message.register(Order.as_handler(), F.text == "order")

    asyncio.run(feed(dp, message("order"), message("count")))

    assert asyncio.run(sessions.get(CHAT)) == {"n": 1}


def test_the_session_follows_a_group_that_tells_such_a_handler() -> None:
    sessions = counting()
    dp = Dispatcher()

    @dp.message()
    @with_session(sessions)
    async def count(message: Message, session: Any) -> None:
        session.data["n"] += 1

    asyncio.run(feed(dp, message("count", chat=GROUP), migrate_to(), message("count", chat=GROUP)))

    assert asyncio.run(sessions.get("-1001000000077")) == {"n": 3}


def test_aiogram_sees_flags_and_no_session() -> None:
    @with_session(counting())
    @flags.rate_limit(5)
    async def count(message: Message, session: Any, bot: Any = None) -> None: ...

    dp = Dispatcher()
    dp.message.register(count)

    assert list(inspect.signature(count).parameters) == ["message", "bot", "event_update"]
    assert get_flag({"handler": dp.message.handlers[0]}, "rate_limit") == 5
    assert count.__name__ == "count"


def test_a_test_calls_the_handler_with_an_event() -> None:
    sessions = counting()

    @with_session(sessions)
    async def count(message: Message, session: Any) -> None:
        session.data["n"] += 1

    @with_session(sessions)
    async def method(self: object, message: Message, session: Any) -> None:
        session.data["n"] += 1

    async def main() -> None:
        await count(Message.model_validate(message("count")["message"]))
        await count({"chat": {"id": CHAT}})
        await method(object(), Message.model_validate(message("count")["message"]))
        assert await sessions.get(CHAT) == {"n": 3}

    asyncio.run(main())


def test_a_handler_that_asks_for_no_session_is_refused() -> None:
    async def handler(message: Message) -> None: ...

    with pytest.raises(TypeError, match=r"handler\(\) asks for no session: give it a parameter"):
        with_session(counting())(handler)

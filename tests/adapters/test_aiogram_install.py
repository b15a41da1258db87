"""What ``install`` and ``SessionMiddleware`` do beyond the scenarios that all frameworks share."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from aiogram import BaseMiddleware, Bot, Dispatcher, F, Router
from aiogram.dispatcher.event.bases import UNHANDLED, CancelHandler, SkipHandler
from aiogram.handlers import MessageHandler
from aiogram.types import CallbackQuery, ErrorEvent, Message, TelegramObject, Update

from sessionkit import (
    MemorySessionStorage,
    SessionClosedError,
    SessionError,
    keys,
    lazy_session,
    multi_session,
)
from sessionkit_aiogram import SessionMiddleware, install
from tests.adapters.aiogram_bot import feed
from tests.adapters.driver import CHAT, TOKEN, inline_query, message, pressed, update
from tests.contexts import Spy, assert_nothing_left
from tests.core import Oops, counters, total

if TYPE_CHECKING:
    from collections.abc import Callable

counting = partial(counters, get_session_key=keys.chat)


async def count(message: Message, session: Any) -> None:
    session.data["n"] += 1


async def fail(message: Message, session: Any) -> None:
    session.data["n"] += 1
    raise Oops


def dispatcher(sessions: Any, handler: Callable[..., Any] = count) -> Dispatcher:
    dp = Dispatcher()
    install(dp, sessions)
    dp.message.register(handler)
    return dp


# --- set-up -------------------------------------------------------------------------------


def test_only_a_dispatcher_is_installed_on() -> None:
    for target in (Router(), Bot(TOKEN), None):
        with pytest.raises(TypeError, match=r"takes the Dispatcher.*router\.message\.middleware"):
            install(target, counting())  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["state", "bot", "event_update", "event", "handler"])
def test_a_name_that_aiogram_gives_to_handlers_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"'{name}' is taken, an argument that aiogram gives"):
        install(Dispatcher(), counting(), name=name)


def test_a_name_in_the_workflow_data_is_refused() -> None:
    dp = Dispatcher(session="that of a database")

    with pytest.raises(ValueError, match="'session' is taken, workflow data: 'that of a database'"):
        install(dp, counting())
    install(dp, counting(), name="memory")


def test_a_name_is_installed_once() -> None:
    dp = Dispatcher()
    install(dp, cart=counting(), prefs=counting(prefix="prefs:"))

    with pytest.raises(ValueError, match="'cart' is taken, installed already"):
        install(dp, counting(), name="cart")
    install(dp, counting())


def test_two_installs_must_not_share_storage_and_prefix() -> None:
    storage = MemorySessionStorage()
    dp = dispatcher(counting(storage))

    with pytest.raises(ValueError, match="'other' and 'session', installed before, share storage"):
        install(dp, other=counting(storage))
    install(dp, other=counting(storage, prefix="other:"))


def test_a_name_taken_later_is_refused_at_startup() -> None:
    dp = dispatcher(counting())
    dp["session"] = "that of a database"

    async def main() -> None:
        with pytest.raises(SessionError, match=r"handlers get something else as session.*name="):
            await dp.emit_startup(**dp.workflow_data)

    asyncio.run(main())


def test_a_name_taken_without_a_startup_is_refused_at_the_first_update() -> None:
    dp = dispatcher(counting())
    dp["session"] = "that of a database"

    with pytest.raises(SessionError, match="handlers get something else as session"):
        asyncio.run(feed(dp, message("count")))


def test_startup_passes_if_nothing_is_taken() -> None:
    dp = dispatcher(counting())
    dp["database"] = "postgres"

    asyncio.run(dp.emit_startup(**dp.workflow_data))


def test_wrong_sessions_are_refused() -> None:
    with pytest.raises(TypeError, match="session must be what"):
        install(Dispatcher(), {})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="give sessions, or several by name"):
        install(Dispatcher())
    with pytest.raises(TypeError, match="migrate_chats must be"):
        SessionMiddleware(cart=counting(), prefs=counting(prefix="prefs:"), migrate_chats=total)


def test_without_aiogram_the_error_names_the_extra() -> None:
    code = "import sys; sys.modules['aiogram'] = None; import sessionkit_aiogram"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert 'python -m pip install "<checkout>[aiogram]"' in done.stderr.splitlines()[-1]


# --- ways to be fed -----------------------------------------------------------------------


def test_every_way_to_feed_an_update_leads_through_the_session() -> None:
    sessions = counting()
    dp = dispatcher(sessions)

    async def main() -> None:
        async with Bot(TOKEN).context() as bot:
            await dp.feed_raw_update(bot, message("count"))
            await dp.feed_update(bot, Update.model_validate(message("count")))
            await dp.feed_webhook_update(bot, message("count"))
            assert await dp.feed_webhook_update(bot, message("count"), _timeout=0) is None
            await asyncio.sleep(0)
        assert await sessions.get(CHAT) == {"n": 4}

    asyncio.run(main())


def test_a_session_ends_when_a_webhook_has_answered_long_ago() -> None:
    sessions = counting()
    go_on = asyncio.Event()
    done = asyncio.Event()

    async def slow(message: Message, session: Any) -> None:
        await go_on.wait()
        session.data["n"] += 1
        asyncio.get_running_loop().call_soon(done.set)

    async def main() -> None:
        dp = dispatcher(sessions, slow)
        async with Bot(TOKEN).context() as bot:
            assert await dp.feed_webhook_update(bot, message("count"), _timeout=0.001) is None
            go_on.set()
            await done.wait()
            assert await sessions.get(CHAT) == {"n": 1}

    asyncio.run(main())
    assert_nothing_left(sessions)


def test_an_event_propagated_by_hand_has_a_session_from_a_router_only() -> None:
    sessions = counting()
    dp = Dispatcher()
    dp.message.middleware(SessionMiddleware(sessions))
    dp.message.register(count)

    async def main() -> None:
        event = Message.model_validate(message("count")["message"])
        await dp.propagate_event("message", event)
        assert await sessions.get(CHAT) == {"n": 1}

    asyncio.run(main())


# --- who gets it --------------------------------------------------------------------------


def test_filters_and_other_middlewares_get_the_session() -> None:
    sessions = counting()
    seen: list[int] = []

    async def is_new(message: Message, session: Any) -> bool:
        return bool(session.data["n"] == 0)

    class Note(BaseMiddleware):
        async def __call__(self, handler: Any, event: TelegramObject, data: dict[str, Any]) -> Any:
            seen.append(data["session"].data["n"])
            return await handler(event, data)

    dp = Dispatcher()
    install(dp, sessions)
    dp.message.middleware(Note())
    dp.message.register(count, is_new)

    assert asyncio.run(feed(dp, message("a"), message("b"))) == [None, UNHANDLED]
    assert seen == [0]
    assert asyncio.run(sessions.get(CHAT)) == {"n": 1}


def test_handlers_of_sub_routers_classes_and_threads_get_the_session() -> None:
    sessions = counting()
    dp, sub = Dispatcher(), Router()
    install(dp, sessions)
    dp.include_router(sub)

    @sub.message(F.text == "class")
    class Handler(MessageHandler):
        async def handle(self) -> None:
            self.data["session"].data["n"] += 1

    @sub.message(F.text == "thread")
    def in_thread(message: Message, session: Any) -> None:
        session.data["n"] += 10

    asyncio.run(feed(dp, message("class"), message("thread")))

    assert asyncio.run(sessions.get(CHAT)) == {"n": 11}


def test_a_generator_as_a_handler_is_refused() -> None:
    async def yields(message: Message, session: Any) -> Any:
        session.data["n"] += 1
        yield

    with pytest.raises(TypeError, match=r"yields\(\) has a yield"):
        asyncio.run(feed(dispatcher(counting(), yields), message("count")))


def test_multi_sessions_are_one_argument() -> None:
    shop = multi_session(cart=counting(), prefs=lazy_session(dict, prefix="prefs:"))

    async def handler(message: Message, session: Any) -> None:
        session.cart["n"] += 1
        session.prefs = {"language": "en"}

    async def main() -> None:
        await feed(dispatcher(shop, handler), message("count"))
        async with shop.open(Update.model_validate(message())) as opened:
            assert opened.cart == {"n": 1}
            assert await opened.prefs == {"language": "en"}

    asyncio.run(main())


def test_the_session_is_open_on_the_update() -> None:
    sessions = counting()

    async def join(message: Message, event_update: Update, session: Any) -> None:
        assert sessions.of(event_update) is session
        async with sessions.open(event_update) as joined:
            joined.data["n"] += 1

    asyncio.run(feed(dispatcher(sessions, join), message("join")))

    assert asyncio.run(sessions.get(CHAT)) == {"n": 1}
    assert_nothing_left(sessions)


@pytest.mark.parametrize("with_message", [True, False])
def test_the_session_is_open_on_a_button_and_its_message(with_message: bool) -> None:
    sessions = counting(get_session_key=keys.user)

    async def join(query: CallbackQuery, session: Any) -> None:
        parts = [query, query.message] if with_message else [query]
        for part in parts:
            assert sessions.of(part) is session
        session.data["n"] += 1

    dp = Dispatcher()
    install(dp, sessions)
    dp.callback_query.register(join)
    asyncio.run(feed(dp, pressed(message()["message"] if with_message else None)))

    assert asyncio.run(sessions.get(CHAT)) == {"n": 1}


def test_an_update_younger_than_aiogram_passes() -> None:
    with pytest.warns(RuntimeWarning, match="unknown update type"):
        asyncio.run(feed(dispatcher(counting()), update("telepathy", thought="🍕")))


# --- on a router --------------------------------------------------------------------------


def test_on_a_router_nothing_is_read_for_updates_that_no_handler_takes() -> None:
    spy = Spy()
    dp = Dispatcher()
    dp.message.middleware(SessionMiddleware(counting(spy)))
    dp.message.register(count, F.text == "count")

    asyncio.run(feed(dp, message("something else"), inline_query()))
    assert spy.log == []

    asyncio.run(feed(dp, message("count")))
    assert spy.log == ["R 11", "W 11"]


def test_on_a_router_below_an_install_it_joins() -> None:
    spy = Spy()
    sessions = counting(spy)
    dp = dispatcher(sessions)
    dp.message.middleware(SessionMiddleware(sessions))

    asyncio.run(feed(dp, message("count")))

    assert spy.log == ["R 11", "W 11"]


def test_on_a_router_below_an_install_filters_after_a_skip_still_get_it() -> None:
    sessions = counting()

    async def skip(message: Message) -> None:
        raise SkipHandler

    async def is_new(message: Message, session: Any) -> bool:
        return bool(session.data["n"] == 0)

    dp = dispatcher(sessions, skip)
    dp.message.middleware(SessionMiddleware(sessions))
    dp.message.register(count, is_new)

    asyncio.run(feed(dp, message("count")))

    assert asyncio.run(sessions.get(CHAT)) == {"n": 1}


def test_on_a_router_other_sessions_of_the_same_name_are_refused() -> None:
    first, second = Spy(), Spy()
    dp = dispatcher(counting(first))
    dp.message.middleware(SessionMiddleware(counting(second)))

    with pytest.raises(SessionError, match="handlers get something else as session"):
        asyncio.run(feed(dp, message("count")))
    assert (first.counts, second.counts) == ("R1 W0 D0", "R1 W0 D0")


def test_on_a_router_each_handler_that_skips_is_saved() -> None:
    spy = Spy()
    dp = Dispatcher()
    dp.message.middleware(SessionMiddleware(counting(spy)))

    async def count_and_skip(message: Message, session: Any) -> None:
        session.data["n"] += 1
        raise SkipHandler

    dp.message.register(count_and_skip)
    dp.message.register(count)

    asyncio.run(feed(dp, message("go")))

    assert spy.log == ["R 11", "W 11", "R 11", "W 11"]
    assert spy.data == {"11": {"n": 2}}


# --- errors -------------------------------------------------------------------------------


def test_an_error_handler_has_a_session_of_its_own_which_is_saved() -> None:
    spy = Spy()
    sessions = counting(spy)
    dp = dispatcher(sessions, fail)

    @dp.errors()
    async def on_error(event: ErrorEvent, session: Any) -> str:
        assert isinstance(event.exception, Oops)
        assert sessions.of(event.update) is session
        assert session.data["n"] == 0
        session.data["errors"] = 1
        return "handled"

    assert asyncio.run(feed(dp, message("fail"))) == ["handled"]
    assert spy.log == ["R 11", "R 11", "W 11"]
    assert spy.data == {"11": {"n": 0, "errors": 1}}
    assert_nothing_left(sessions)


def test_nothing_is_read_for_error_handlers_that_ask_for_no_session() -> None:
    spy = Spy()
    dp = dispatcher(counting(spy), fail)

    @dp.errors(F.exception)
    async def on_error(event: ErrorEvent) -> str:
        return "handled"

    assert asyncio.run(feed(dp, message("fail"))) == ["handled"]
    assert spy.log == ["R 11"]


def test_an_error_handler_that_takes_everything_gets_a_session() -> None:
    spy = Spy()
    dp = dispatcher(counting(spy), fail)

    @dp.errors()
    async def on_error(event: ErrorEvent, **data: Any) -> None:
        data["session"].data["n"] = 100

    asyncio.run(feed(dp, message("fail")))

    assert spy.data == {"11": {"n": 100}}


def test_nothing_is_read_where_there_is_no_error_handler() -> None:
    spy = Spy()

    with pytest.raises(Oops):
        asyncio.run(feed(dispatcher(counting(spy), fail), message("fail")))
    assert spy.log == ["R 11"]


def test_error_handlers_keep_what_other_middlewares_gave_but_not_the_closed_session() -> None:
    seen: dict[str, Any] = {}

    class Share(BaseMiddleware):
        async def __call__(self, handler: Any, event: TelegramObject, data: dict[str, Any]) -> Any:
            data["shared"] = 1
            return await handler(event, data)

    dp = dispatcher(counting(), fail)
    dp.update.outer_middleware(Share())

    async def look(event: ErrorEvent, shared: int, session: Any = None) -> bool:
        seen.update(shared=shared, session=session)
        return False

    dp.errors.register(look, look)
    with pytest.raises(Oops):
        asyncio.run(feed(dp, message("fail")))

    assert seen == {"shared": 1, "session": None}


def test_as_outer_middleware_on_errors_filters_get_it() -> None:
    sessions = counting()
    dp = dispatcher(sessions, fail)
    dp.errors.outer_middleware(SessionMiddleware(sessions))

    async def is_first(event: ErrorEvent, session: Any) -> bool:
        return bool(session.data["n"] == 0)

    @dp.errors(is_first)
    async def on_error(event: ErrorEvent, session: Any) -> None:
        session.data["n"] = 100

    asyncio.run(feed(dp, message("fail")))

    assert asyncio.run(sessions.get(CHAT)) == {"n": 100}
    assert_nothing_left(sessions)


def test_cancel_handler_saves_and_leaves_as_it_does_in_aiogram() -> None:
    sessions = counting()

    async def count_and_cancel(message: Message, session: Any) -> None:
        session.data["n"] += 1
        raise CancelHandler

    with pytest.raises(CancelHandler):
        asyncio.run(feed(dispatcher(sessions, count_and_cancel), message("cancel")))
    assert asyncio.run(sessions.get(CHAT)) == {"n": 1}


def test_a_handler_that_is_cancelled_changes_nothing() -> None:
    sessions = counting()

    async def main() -> None:
        begun = asyncio.Event()

        async def wait(message: Message, session: Any) -> None:
            session.data["n"] += 1
            begun.set()
            await asyncio.Event().wait()

        task = asyncio.create_task(feed(dispatcher(sessions, wait), message("wait")))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await sessions.get(CHAT) == {"n": 0}

    asyncio.run(main())
    assert_nothing_left(sessions)


def test_a_session_kept_beyond_its_update_says_that_it_is_closed() -> None:
    kept: list[Any] = []

    async def keep(message: Message, session: Any) -> None:
        kept.append(session)

    asyncio.run(feed(dispatcher(counting(), keep), message("keep")))

    with pytest.raises(SessionClosedError):
        kept[0].data["n"] += 1

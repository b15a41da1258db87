"""When a session begins and ends in python-telegram-bot, whatever its handlers do."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from telegram.ext import (
    ApplicationHandlerStop,
    ContextTypes,
    Defaults,
    StringCommandHandler,
    TypeHandler,
)
from telegram.warnings import PTBUserWarning

from sessionkit import (
    SessionClosedError,
    SessionLockTimeoutError,
    SessionReentrancyError,
    Sessions,
    keys,
    session,
)
from sessionkit_ptb import SessionContextMixin
from sessionkit_ptb import install as typed_install
from tests.adapters.driver import GROUP, SUPERGROUP, message, migrate_from, pressed
from tests.adapters.ptb_bot import bare, feed, update_of
from tests.contexts import AsyncSpy, Spy, assert_nothing_left
from tests.core import Data, Oops, counters, until

install: Any = typed_install  # what users see of its types is checked in tests/typing


def counts(storage: Any = None, **options: Any) -> Sessions[Data]:
    return counters(storage, get_session_key=keys.chat, **options)


class Bot:
    """An application that is fed update by update."""

    def __init__(self, sessions: Any, builder: Any = None) -> None:
        self.sessions = sessions
        self.app: Any = install(builder or bare(), sessions).build()
        self.errors: list[Exception] = []
        self.app.add_error_handler(self._note)

    def on(self, callback: Any, group: int = 0, **options: Any) -> None:
        self.app.add_handler(TypeHandler(object, callback, **options), group)

    async def _note(self, update: object, context: Any) -> None:
        self.errors.append(context.error)

    async def __aenter__(self) -> Bot:
        await self.app.initialize()
        await self.app.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.app.stop()
        await self.app.shutdown()
        assert_nothing_left(self.sessions)
        assert not self.app._sessions_under_way

    async def feed(self, *updates: Any) -> None:
        await feed(self.app, *(updates or [message()]))

    async def stored(self, chat: int = 11) -> int:
        data: Data = await self.sessions.get(chat)
        return int(data["n"])


async def count(update: object, context: Any) -> None:
    context.session["n"] += 1


async def fail(update: object, context: Any) -> None:
    context.session["n"] = 99
    raise Oops


# --- one session for all groups -----------------------------------------------------------


def test_the_groups_of_handlers_share_one_session_saved_once() -> None:
    storage = Spy()

    async def main() -> None:
        bot = Bot(counts(storage))
        for group in range(3):
            bot.on(count, group)
        async with bot:
            await bot.feed()

    asyncio.run(main())
    assert storage.log == ["R 11", "W 11"]
    assert storage.data == {"11": {"n": 3}}


def test_the_open_session_is_found_by_context_and_by_update() -> None:
    async def main() -> None:
        bot = Bot(counts())
        contexts: list[Any] = []

        async def look(update: Any, context: Any) -> None:
            assert bot.sessions.of(context) is bot.sessions.of(update)
            assert bot.sessions.of(context).data is context.session
            contexts.append(context)

        bot.on(look)
        async with bot:
            await bot.feed()
        assert not bot.errors
        with pytest.raises(SessionClosedError, match="no session of these is open"):
            bot.sessions.of(contexts[0])
        with pytest.raises(SessionClosedError, match="the update that owned '11' has ended"):
            _ = contexts[0].session

    asyncio.run(main())


def test_an_error_in_one_group_undoes_all_and_the_next_group_still_runs() -> None:
    async def main() -> None:
        bot = Bot(counts())
        seen: list[int] = []

        async def look(update: Any, context: Any) -> None:
            seen.append(context.session["n"])

        bot.on(count, 0)
        bot.on(fail, 1)
        bot.on(look, 2)
        async with bot:
            await bot.feed()
            assert (seen, await bot.stored()) == ([99], 0)

    asyncio.run(main())


# --- errors -------------------------------------------------------------------------------


def test_an_error_handler_sees_what_the_handler_left_and_nothing_is_saved() -> None:
    async def main() -> None:
        bot = Bot(counts())
        seen: list[Any] = []

        async def handle(update: Any, context: Any) -> None:
            seen.append((context.session["n"], bot.sessions.of(context).key))
            context.session["n"] = 100

        bot.on(fail)
        bot.app.add_error_handler(handle)
        async with bot:
            await bot.feed()
            assert (seen, await bot.stored()) == ([(99, "11")], 0)

    asyncio.run(main())


def test_an_error_handler_can_save_by_itself() -> None:
    async def main() -> None:
        bot = Bot(counts())

        async def handle(update: Any, context: Any) -> None:
            session = bot.sessions.of(context)
            session.revert()
            session.data["errors"] = 1
            await session.save()

        bot.on(fail)
        bot.app.add_error_handler(handle)
        async with bot:
            await bot.feed()
            assert await bot.sessions.get(11) == {"n": 0, "errors": 1}

    asyncio.run(main())


def test_save_on_error_saves_what_it_covers() -> None:
    async def main() -> None:
        async with Bot(counts(save_on_error=Oops)) as bot:
            bot.on(fail)
            await bot.feed()
            assert await bot.stored() == 99

    asyncio.run(main())


def test_an_error_before_any_handler_matched_has_no_session() -> None:
    storage = Spy()

    class Broken(TypeHandler[Any, Any, Any]):
        def check_update(self, update: object) -> bool:
            raise Oops

    async def main() -> None:
        bot = Bot(counts(storage))
        said: list[str] = []

        async def handle(update: Any, context: Any) -> None:
            with pytest.raises(SessionClosedError) as caught:
                _ = context.session
            said.append(str(caught.value))

        bot.app.add_handler(Broken(object, count))
        bot.app.add_error_handler(handle)
        async with bot:
            await bot.feed()
        assert said
        assert "has no open session" in said[0]
        assert "sessions.open(update)" in said[0]

    asyncio.run(main())
    assert storage.log == []


def test_a_cancelled_update_saves_nothing_and_lets_go() -> None:
    async def main() -> None:
        bot = Bot(counts())
        reached = asyncio.Event()

        async def wait(update: Any, context: Any) -> None:
            context.session["n"] = 5
            reached.set()
            await asyncio.Event().wait()

        bot.on(wait)
        async with bot:
            task = asyncio.create_task(bot.feed())
            await reached.wait()
            task.cancel()
            await asyncio.wait([task])
            assert (task.cancelled(), await bot.stored()) == (True, 0)

    asyncio.run(main())


# --- storages that fail -------------------------------------------------------------------


def test_if_the_session_cannot_be_read_no_handler_runs() -> None:
    storage = Spy(_11={"n": 7})

    async def main() -> None:
        bot = Bot(counts(storage))
        for group in range(2):
            bot.on(fail, group)
        storage.broken.add("R")
        async with bot:
            await bot.feed()
        assert [str(error) for error in bot.errors] == ["R 11 failed"]

    asyncio.run(main())
    assert storage.data == {"11": {"n": 7}}
    assert storage.log == ["R 11"]


def test_a_failed_write_goes_to_the_error_handlers_and_updates_are_fetched_on() -> None:
    storage = Spy()

    async def main() -> None:
        bot = Bot(counts(storage))
        bot.on(count)
        storage.broken.add("W")
        async with bot:
            await bot.app.update_queue.put(update_of(message(), bot.app))
            await bot.app.update_queue.join()
            storage.broken.clear()
            await bot.app.update_queue.put(update_of(message(), bot.app))
            await bot.app.update_queue.join()
        assert [str(error) for error in bot.errors] == ["W 11 failed"]

    asyncio.run(main())
    assert storage.data == {"11": {"n": 1}}


def test_a_group_that_cannot_be_moved_now_stops_nothing() -> None:
    storage = Spy(**{str(GROUP): {"n": 5}})

    async def main() -> None:
        bot = Bot(counts(storage))
        storage.broken.add("R")
        async with bot:
            await bot.feed(migrate_from())
            storage.broken.clear()
            await bot.feed(migrate_from())
        assert len(bot.errors) == 1

    asyncio.run(main())
    assert storage.data == {str(SUPERGROUP): {"n": 5}}


def test_a_group_that_cannot_be_moved_for_a_handler_is_reported_once() -> None:
    storage = Spy(**{str(GROUP): {"n": 5}})

    async def main() -> None:
        bot = Bot(counts(storage))
        bot.on(fail)
        storage.broken.add("R")
        async with bot:
            await bot.feed(migrate_from())
        assert [str(error) for error in bot.errors] == [f"R {SUPERGROUP} failed"]

    asyncio.run(main())


# --- work beside the update ---------------------------------------------------------------


async def slow_count(update: Any, context: Any) -> None:
    await asyncio.sleep(0)
    context.session["n"] += 1


NON_BLOCKING = [
    pytest.param({}, {"block": False}, id="handler"),
    pytest.param({"defaults": Defaults(block=False)}, {}, id="defaults"),
]


@pytest.mark.parametrize(("settings", "options"), NON_BLOCKING)
def test_a_handler_that_does_not_block_is_saved_when_it_ends(settings: Any, options: Any) -> None:
    storage = Spy()

    async def main() -> None:
        builder = bare()
        for name, value in settings.items():
            getattr(builder, name)(value)
        bot = Bot(counts(storage), builder)
        gate = asyncio.Event()

        async def wait(update: Any, context: Any) -> None:
            await gate.wait()
            await slow_count(update, context)

        bot.on(wait, **options)
        async with bot:
            await bot.feed()
            assert storage.log == ["R 11"]
            gate.set()
            await until(lambda: not bot.app._sessions_under_way)
            assert storage.data == {"11": {"n": 1}}

    asyncio.run(main())


def test_stop_waits_until_late_handlers_are_saved() -> None:
    storage = AsyncSpy()

    async def main() -> None:
        bot = Bot(counts(storage))
        bot.on(slow_count, block=False)
        await bot.app.initialize()
        await bot.app.start()
        await bot.feed()
        storage.gate.clear()
        asyncio.get_running_loop().call_later(0.01, storage.gate.set)
        await bot.app.stop()
        assert storage.data == {"11": {"n": 1}}
        await bot.app.shutdown()

    asyncio.run(main())


def test_shutdown_waits_for_what_a_webhook_left_behind() -> None:
    storage = AsyncSpy()

    async def main() -> None:
        bot = Bot(counts(storage))
        tasks: list[asyncio.Task[Any]] = []

        async def start(update: Any, context: Any) -> None:
            with pytest.warns(PTBUserWarning, match="won't be automatically awaited"):
                tasks.append(context.application.create_task(slow_count(update, context), update))

        bot.on(start)
        await bot.app.initialize()
        await bot.feed()
        storage.gate.clear()
        await asyncio.wait(tasks)
        asyncio.get_running_loop().call_later(0.01, storage.gate.set)
        await asyncio.sleep(0)
        await bot.app.shutdown()
        assert storage.data == {"11": {"n": 1}}

    asyncio.run(main())


@pytest.mark.filterwarnings("ignore:Tasks created via:telegram.warnings.PTBUserWarning")
@pytest.mark.parametrize("block", [True, False])
@pytest.mark.parametrize("concurrent", [1, 256])
def test_stop_waits_for_a_task_that_a_handler_starts_while_it_waits(
    block: bool, concurrent: int
) -> None:
    async def main() -> None:
        bot = Bot(counts(), bare().concurrent_updates(concurrent))
        begun, stopping, baked = (asyncio.Event() for _ in range(3))

        async def bake(context: Any) -> None:
            await baked.wait()
            context.session["n"] += 1

        async def start(update: Any, context: Any) -> None:
            begun.set()
            await stopping.wait()
            context.session["n"] += 1
            context.application.create_task(bake(context), update=update)

        bot.on(start, block=block)
        async with bot:
            await bot.app.update_queue.put(update_of(message(), bot.app))
            await begun.wait()
            stop = asyncio.create_task(bot.app.stop())
            await until(lambda: not bot.app.running)
            stopping.set()
            for _ in range(50):
                await asyncio.sleep(0)
            assert not stop.done()
            baked.set()
            await stop
            assert await bot.stored() == 2
            await bot.app.start()  # which the test stops

    asyncio.run(main())


@pytest.mark.filterwarnings("ignore:Tasks created via:telegram.warnings.PTBUserWarning")
def test_a_task_of_an_update_does_not_wait_for_itself_to_shut_the_application_down() -> None:
    async def main() -> None:
        bot = Bot(counts())
        tasks: list[asyncio.Task[None]] = []

        async def shut_down(context: Any) -> None:
            context.session["n"] += 1
            await context.application.shutdown()

        async def start(update: Any, context: Any) -> None:
            tasks.append(context.application.create_task(shut_down(context), update))

        bot.on(start)
        await bot.app.initialize()
        await bot.feed()
        async with asyncio.timeout(30):
            await tasks[0]
            await until(lambda: not bot.app._sessions_under_way)
        assert await bot.stored() == 1

    asyncio.run(main())


def test_a_warning_about_a_task_names_the_line_that_starts_it() -> None:
    async def main() -> None:
        bot = Bot(counts())

        async def start(update: Any, context: Any) -> None:
            with pytest.warns(PTBUserWarning, match="won't be automatically awaited") as caught:
                await context.application.create_task(slow_count(update, context), update)
            assert [each.filename for each in caught] == [__file__]

        bot.on(start)
        await bot.app.initialize()
        await bot.feed()
        await bot.app.shutdown()
        assert await bot.stored() == 1

    asyncio.run(main())


def test_all_who_share_an_update_end_it_together() -> None:
    storage = Spy()

    async def main() -> None:
        bot = Bot(counts(storage))
        bot.on(slow_count, 0, block=False)
        bot.on(count, 1)
        bot.on(slow_count, 2, block=False)
        async with bot:
            await bot.feed()

    asyncio.run(main())
    assert storage.log == ["R 11", "W 11"]
    assert storage.data == {"11": {"n": 3}}


def test_an_error_in_a_late_handler_saves_nothing_and_its_error_handler_sees_why() -> None:
    async def main() -> None:
        bot = Bot(counts())
        seen: list[int] = []

        async def fail_late(update: Any, context: Any) -> None:
            await asyncio.sleep(0)
            await fail(update, context)

        async def handle(update: Any, context: Any) -> None:
            await asyncio.sleep(0)
            seen.append(context.session["n"])
            assert context.coroutine is not None

        bot.on(fail_late, 0, block=False)
        bot.on(count, 1)
        bot.app.add_error_handler(handle)
        async with bot:
            await bot.feed()
            await until(lambda: not bot.app._sessions_under_way)
            assert (seen, await bot.stored()) == ([99], 0)
        assert [type(error) for error in bot.errors] == [Oops]

    asyncio.run(main())


def test_a_write_that_fails_late_goes_to_the_error_handlers() -> None:
    storage = Spy()
    storage.broken.add("W")

    async def main() -> None:
        bot = Bot(counts(storage))
        bot.on(slow_count, block=False)
        async with bot:
            await bot.feed()
        assert [str(error) for error in bot.errors] == ["W 11 failed"]

    asyncio.run(main())


def test_a_task_of_the_update_keeps_the_session_open() -> None:
    async def main() -> None:
        bot = Bot(counts())

        async def start(update: Any, context: Any) -> None:
            context.application.create_task(slow_count(update, context), update=update)

        bot.on(start)
        async with bot:
            await bot.feed()
        assert await bot.stored() == 1

    asyncio.run(main())


def test_a_task_of_its_own_finds_the_session_closed_and_says_so() -> None:
    async def main() -> None:
        bot = Bot(counts())
        gate = asyncio.Event()

        async def late(update: Any, context: Any) -> None:
            await gate.wait()
            context.session["n"] += 1

        async def start(update: Any, context: Any) -> None:
            context.application.create_task(late(update, context))

        bot.on(start)
        async with bot:
            await bot.feed()
            gate.set()
        (error,) = bot.errors
        assert isinstance(error, SessionClosedError)
        assert "async with sessions.open('11')" in str(error)

    asyncio.run(main())


@pytest.mark.parametrize("begun", [False, True])
def test_a_task_that_is_cancelled_saves_nothing_and_lets_go(begun: bool) -> None:
    async def main() -> None:
        bot = Bot(counts())

        async def wait(context: Any) -> None:
            context.session["n"] = 5
            await asyncio.Event().wait()

        async def start(update: Any, context: Any) -> None:
            work = wait(context)
            task = context.application.create_task(work, update)
            if begun:
                await asyncio.sleep(0)
            task.cancel()
            if not begun:
                work.close()

        bot.on(start)
        async with bot:
            await bot.feed()
            await until(lambda: not bot.app._sessions_under_way)
            assert await bot.stored() == 0

    asyncio.run(main())


def test_the_next_update_of_the_chat_waits_for_a_late_handler() -> None:
    async def main() -> None:
        bot = Bot(counts(), bare().concurrent_updates(2))
        order: list[str] = []

        async def late(update: Any, context: Any) -> None:
            order.append("begin")
            await asyncio.sleep(0.01)
            context.session["n"] += 1
            order.append("end")

        bot.on(late, block=False)
        async with bot:
            for _ in range(2):
                await bot.app.update_queue.put(update_of(message(), bot.app))
            await bot.app.update_queue.join()
        assert (order, await bot.stored()) == (["begin", "end"] * 2, 2)

    asyncio.run(main())


def test_the_timeout_error_names_the_handler_that_does_not_block() -> None:
    async def main() -> None:
        bot = Bot(counts(lock_timeout=0.01), bare().concurrent_updates(2))
        gate = asyncio.Event()

        async def bake_slowly(update: Any, context: Any) -> None:
            await gate.wait()

        bot.on(bake_slowly, block=False)
        async with bot:
            await bot.feed(message(), message())
            gate.set()
        (error,) = bot.errors
        assert isinstance(error, SessionLockTimeoutError)
        assert "held by task 'bake_slowly' (test_ptb_handlers.py:" in str(error)

    asyncio.run(main())


def test_a_late_handler_that_opens_its_own_key_raises_at_once() -> None:
    async def main() -> None:
        bot = Bot(counts())

        async def again(update: Any, context: Any) -> None:
            async with bot.sessions.open(11):
                raise AssertionError

        bot.on(again, block=False)
        async with bot:
            await bot.feed()
        assert [type(error) for error in bot.errors] == [SessionReentrancyError]

    asyncio.run(main())


def test_one_by_one_the_fetcher_waits_as_well_and_nobody_deadlocks() -> None:
    async def main() -> None:
        bot = Bot(counts())
        bot.on(slow_count, block=False)
        async with bot:
            for _ in range(3):
                await bot.app.update_queue.put(update_of(message(), bot.app))
            await bot.app.update_queue.join()
        assert (await bot.stored(), bot.errors) == (3, [])

    asyncio.run(main())


def test_a_late_handler_that_stops_further_ones_is_saved() -> None:
    async def main() -> None:
        bot = Bot(counts())

        async def stop(update: Any, context: Any) -> None:
            await slow_count(update, context)
            raise ApplicationHandlerStop

        bot.on(stop, block=False)
        async with bot:
            with pytest.warns(PTBUserWarning, match="not supported with handlers running non-bl"):
                await bot.feed()
                await until(lambda: not bot.app._sessions_under_way)
        assert await bot.stored() == 1

    asyncio.run(main())


def test_an_error_handler_that_stops_the_update_stops_it() -> None:
    async def main() -> None:
        bot = Bot(counts())

        async def stop(update: Any, context: Any) -> None:
            raise ApplicationHandlerStop

        async def never(update: Any, context: Any) -> None:
            raise AssertionError

        bot.on(fail)
        bot.on(never, 1)
        bot.app.add_error_handler(stop)
        async with bot:
            await bot.feed()
        assert [type(error) for error in bot.errors] == [Oops]

    asyncio.run(main())


# --- other ways in ------------------------------------------------------------------------


def test_an_update_handled_again_from_within_shares_the_session() -> None:
    storage = Spy()

    async def main() -> None:
        bot = Bot(counts(storage))
        seen: list[Any] = []

        async def again(update: Any, context: Any) -> None:
            await count(update, context)
            seen.append(context)
            if len(seen) == 1:
                await context.application.process_update(update)

        bot.on(again)
        async with bot:
            await bot.feed()
        assert not bot.errors

    asyncio.run(main())
    assert storage.log == ["R 11", "W 11"]
    assert storage.data == {"11": {"n": 2}}


def test_an_update_within_an_open_session_joins_it() -> None:
    async def main() -> None:
        async with Bot(counts()) as bot:
            bot.on(count)
            update = update_of(message(), bot.app)
            async with bot.sessions.open(update) as opened:
                await bot.app.process_update(update)
                assert (opened.data, await bot.stored()) == ({"n": 1}, 0)
            assert await bot.stored() == 1

    asyncio.run(main())


@pytest.mark.parametrize("with_message", [True, False])
def test_the_session_is_open_on_a_button_and_its_message(with_message: bool) -> None:
    async def main() -> None:
        sessions = counters(get_session_key=keys.user)

        async def join(update: Any, context: Any) -> None:
            query = update.callback_query
            for part in [query, query.message] if with_message else [query]:
                async with sessions.open(part) as joined:
                    joined.data["n"] += 1

        async with Bot(sessions) as bot:
            bot.on(join)
            await bot.feed(pressed(message()["message"] if with_message else None))
            assert (await bot.stored(), bot.errors) == (1 + with_message, [])

    asyncio.run(main())


class Payment:
    """An update of a user's own, from another service."""

    chat_id = 11


def test_updates_of_other_types_have_sessions_if_the_key_function_finds_one() -> None:
    async def main() -> None:
        async with Bot(counts()) as bot:
            bot.on(count)
            await bot.app.process_update(Payment())
            assert (await bot.stored(), bot.errors) == (1, [])

    asyncio.run(main())


def test_a_text_is_not_a_key() -> None:
    storage = Spy()

    async def main() -> None:
        bot = Bot(counts(storage))
        bot.app.add_handler(StringCommandHandler("say", count))
        async with bot:
            await bot.app.process_update("/say")
        (error,) = bot.errors
        assert isinstance(error, SessionClosedError)

    asyncio.run(main())
    assert storage.log == []


def test_an_application_that_was_not_initialized_says_so_as_ever() -> None:
    async def main() -> None:
        bot = Bot(counts())
        with pytest.raises(RuntimeError, match="not initialized"):
            await bot.app.process_update(update_of(message(), bot.app))
        assert not bot.app._sessions_under_way

    asyncio.run(main())


def test_key_functions_get_the_update() -> None:
    seen: list[Any] = []

    def by_text(update: Any) -> str:
        seen.append(update)
        return str(update.message.text)

    async def main() -> None:
        sessions = session(initial=lambda: {"n": 0}, get_session_key=by_text)
        async with Bot(sessions) as bot:
            bot.on(count)
            update = update_of(message("pizza"), bot.app)
            await bot.app.process_update(update)
            assert seen == [update]
            assert await sessions.get("pizza") == {"n": 1}

    asyncio.run(main())


def test_refreshing_a_context_later_opens_nothing() -> None:
    storage = Spy()

    async def main() -> None:
        bot = Bot(counts(storage))
        contexts: list[Any] = []

        class Broken(TypeHandler[Any, Any, Any]):
            def check_update(self, update: object) -> bool:
                raise Oops

        async def handle(update: Any, context: Any) -> None:
            contexts.append(context)

        bot.app.add_handler(Broken(object, count))
        bot.app.add_error_handler(handle)
        async with bot:
            await bot.feed()
            await contexts[0].refresh_data()

    asyncio.run(main())
    assert storage.log == []


def test_a_session_opened_late_shows_on_the_contexts_before_it() -> None:
    async def main() -> None:
        bot = Bot(counts())
        seen: list[int] = []

        class Broken(TypeHandler[Any, Any, Any]):
            def check_update(self, update: object) -> bool:
                raise Oops

        async def handle(update: Any, context: Any) -> None:
            await context.refresh_data()
            seen.append(context.session["n"])

        bot.app.add_handler(Broken(object, count))
        bot.app.add_error_handler(handle)
        async with bot:
            await bot.feed()
        assert seen == [0]

    asyncio.run(main())


class Early(SessionContextMixin[Any, Any, Any, Any]):
    """A context class of a user's own that looks at the session when the data is refreshed."""

    async def refresh_data(self) -> None:
        await super().refresh_data()
        session: Any = self
        session.session["n"] += 1


def test_a_context_class_can_build_on_the_session() -> None:
    async def main() -> None:
        bot = Bot(counts(), bare().context_types(ContextTypes(Early)))
        bot.on(count)
        async with bot:
            await bot.feed()
            assert (await bot.stored(), bot.errors) == (2, [])

    asyncio.run(main())

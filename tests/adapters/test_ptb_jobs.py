"""``with_session``: in jobs, in conversations that time out, and instead of ``install``."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from typing import Any

import pytest
from telegram.ext import (
    ApplicationHandlerStop,
    ConversationHandler,
    Job,
    MessageHandler,
    TypeHandler,
    filters,
)

from sessionkit import (
    LazySession,
    NoSessionKeyError,
    Session,
    SessionClosedError,
    Sessions,
    keys,
    lazy_session,
    session,
)
from sessionkit_ptb import install as typed_install
from sessionkit_ptb import with_session
from tests.adapters.driver import message
from tests.adapters.ptb_bot import bare, feed, offline
from tests.contexts import Spy, assert_nothing_left
from tests.core import Data, Oops, counters, until, zero

install: Any = typed_install  # what users see of its types is checked in tests/typing


def counts(storage: Any = None, **options: Any) -> Sessions[Data]:
    return counters(storage, **{"get_session_key": keys.chat, **options})


class Running:
    """An application with a job queue, whose errors are kept."""

    def __init__(self, builder: Any) -> None:
        self.app: Any = builder.build()
        self.errors: list[Exception] = []
        self.app.add_error_handler(self._note)

    async def _note(self, update: object, context: Any) -> None:
        self.errors.append(context.error)

    async def __aenter__(self) -> Running:
        await self.app.initialize()
        await self.app.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.app.stop()
        await self.app.shutdown()

    async def run(self, callback: Any, **options: Any) -> None:
        """Run a job now, to its end."""
        job: Any = self.app.job_queue.run_once(callback, 1000, **options)
        await job.run(self.app)
        job.schedule_removal()


# --- jobs ---------------------------------------------------------------------------------


def test_a_job_gets_the_session_of_its_chat() -> None:
    storage = Spy()
    sessions = counts(storage)

    @with_session(sessions)
    async def remind(context: Any, session: Session[Data]) -> None:
        assert context.job.chat_id == 11
        session.data["n"] += 1

    async def main() -> None:
        async with Running(install(offline(), sessions)) as bot:
            await bot.run(remind, chat_id=11)
            assert not bot.errors

    asyncio.run(main())
    assert storage.log == ["R 11", "W 11"]
    assert_nothing_left(sessions)


def test_a_job_gets_the_session_of_its_user() -> None:
    sessions = counts(get_session_key=keys.user_in_chat)

    @with_session(sessions)
    async def remind(context: Any, session: Session[Data]) -> None:
        session.data["n"] += 1

    async def main() -> None:
        async with Running(offline()) as bot:
            await bot.run(remind, chat_id=-5, user_id=3)
            assert await sessions.get("3/-5") == {"n": 1}

    asyncio.run(main())


def test_key_functions_find_the_job_itself() -> None:
    def by_room(run: Any) -> str:
        return str(run.job.data["room"])

    sessions = counts(get_session_key=by_room)

    @with_session(sessions)
    async def remind(context: Any, session: Session[Data]) -> None:
        session.data["n"] += 1

    async def main() -> None:
        async with Running(offline()) as bot:
            await bot.run(remind, data={"room": "kitchen"})
            assert await sessions.get("kitchen") == {"n": 1}

    asyncio.run(main())


def test_a_job_that_fails_changes_nothing() -> None:
    sessions = counts()

    @with_session(sessions)
    async def remind(context: Any, session: Session[Data]) -> None:
        session.data["n"] += 1
        raise Oops

    async def main() -> None:
        async with Running(offline()) as bot:
            await bot.run(remind, chat_id=11)
            assert await sessions.get(11) == {"n": 0}
            assert [type(error) for error in bot.errors] == [Oops]

    asyncio.run(main())
    assert_nothing_left(sessions)


def test_a_job_and_a_handler_of_one_chat_take_turns() -> None:
    sessions = counts()

    @with_session(sessions)
    async def remind(context: Any, session: Session[Data]) -> None:
        n = session.data["n"]
        await asyncio.sleep(0)
        session.data["n"] = n + 1

    async def on_text(update: Any, context: Any) -> None:
        n = context.session["n"]
        await asyncio.sleep(0)
        context.session["n"] = n + 1

    async def main() -> None:
        async with Running(install(offline(), sessions)) as bot:
            bot.app.add_handler(TypeHandler(object, on_text))
            await asyncio.gather(
                *(bot.run(remind, chat_id=11) for _ in range(5)),
                *(feed(bot.app, message()) for _ in range(5)),
            )
            assert await sessions.get(11) == {"n": 10}

    asyncio.run(main())


def test_runs_of_one_job_that_overlap_take_turns() -> None:
    sessions = counts()

    @with_session(sessions)
    async def remind(context: Any, session: Session[Data]) -> None:
        n = session.data["n"]
        await asyncio.sleep(0)
        session.data["n"] = n + 1

    async def main() -> None:
        async with Running(offline()) as bot:
            job: Job[Any] = bot.app.job_queue.run_once(remind, 1000, chat_id=11)
            await asyncio.gather(*(job.run(bot.app) for _ in range(5)))
            assert await sessions.get(11) == {"n": 5}
            assert not bot.errors

    asyncio.run(main())


def test_a_job_without_a_chat_says_so_if_its_session_is_touched() -> None:
    sessions = counts()

    @with_session(sessions)
    async def remind(context: Any, session: Session[Data]) -> None:
        session.data["n"] += 1

    async def main() -> None:
        async with Running(offline()) as bot:
            await bot.run(remind)
            (error,) = bot.errors
            assert isinstance(error, NoSessionKeyError)

    asyncio.run(main())


def test_the_attribute_of_a_job_that_is_not_decorated_says_what_to_do() -> None:
    async def remind(context: Any) -> None:
        context.session["n"] += 1

    async def main() -> None:
        async with Running(install(offline(), counts())) as bot:
            await bot.run(remind, chat_id=11)
            (error,) = bot.errors
            assert isinstance(error, SessionClosedError)
            assert "a job gets one by @with_session(sessions)" in str(error)

    asyncio.run(main())


reminders = counts()


class Reminders:
    """Jobs and handlers that are methods."""

    @with_session(reminders)
    async def remind(self, context: Any, session: Session[Data]) -> None:
        session.data["n"] += 1

    @with_session(reminders)
    async def on_text(self, update: Any, context: Any, session: Session[Data]) -> None:
        session.data["n"] += 10


def test_methods_can_be_decorated() -> None:
    methods = Reminders()

    async def main() -> None:
        async with Running(offline()) as bot:
            bot.app.add_handler(TypeHandler(object, methods.on_text))
            await bot.run(methods.remind, chat_id=11)
            await feed(bot.app, message())
            assert await reminders.get(11) == {"n": 11}

    asyncio.run(main())


# --- handlers -----------------------------------------------------------------------------


def test_a_decorated_handler_needs_no_install() -> None:
    storage = Spy()
    sessions = counts(storage)

    @with_session(sessions)
    async def on_text(update: Any, context: Any, session: Session[Data]) -> None:
        session.data["n"] += 1

    @with_session(sessions)
    async def stop(update: Any, context: Any, session: Session[Data]) -> None:
        session.data["n"] += 1
        raise ApplicationHandlerStop

    async def main() -> None:
        async with Running(bare()) as bot:
            bot.app.add_handler(TypeHandler(object, on_text), 0)
            bot.app.add_handler(TypeHandler(object, stop), 1)
            await feed(bot.app, message())
            assert not bot.errors

    asyncio.run(main())
    assert storage.log == ["R 11", "W 11"] * 2
    assert storage.data == {"11": {"n": 2}}


def test_where_sessions_are_installed_it_shares_the_one_of_the_update() -> None:
    storage = Spy()
    sessions = counts(storage)

    @with_session(sessions)
    async def on_text(update: Any, context: Any, session: Session[Data]) -> None:
        session.data["n"] += 1
        assert sessions.of(context) is session

    async def main() -> None:
        async with Running(install(bare(), sessions)) as bot:
            for group in range(2):
                bot.app.add_handler(TypeHandler(object, on_text), group)
            await feed(bot.app, message())
            assert not bot.errors

    asyncio.run(main())
    assert storage.log == ["R 11", "W 11"]


def test_an_error_handler_of_no_update_has_no_session() -> None:
    sessions = counts()
    has_key: list[bool] = []

    @with_session(sessions)
    async def handle(update: Any, context: Any, session: Session[Data]) -> None:
        has_key.append(session.has_key)

    async def main() -> None:
        async with Running(bare()) as bot:
            bot.app.add_error_handler(handle)
            await bot.app.process_error(None, Oops())
            await bot.app.process_error("a text", Oops())

    asyncio.run(main())
    assert has_key == [False, False]


def test_several_and_lazy_sessions() -> None:
    cart, prefs = counts(prefix="cart:"), lazy_session(initial=zero, prefix="prefs:")

    @with_session(cart=cart, prefs=prefs)
    async def shop(
        update: Any, context: Any, cart: Session[Data], prefs: LazySession[Data]
    ) -> None:
        cart.data["n"] += 1
        (await prefs)["n"] += 2

    async def main() -> None:
        async with Running(bare()) as bot:
            bot.app.add_handler(TypeHandler(object, shop))
            await feed(bot.app, message())
        assert await cart.get(11) == {"n": 1}
        assert await prefs.get(11) == {"n": 2}

    asyncio.run(main())


def test_a_handler_can_be_called_by_keywords_as_tests_do() -> None:
    sessions = counts()

    @with_session(sessions)
    async def on_text(update: Any, context: Any, session: Session[Data]) -> None:
        session.data["n"] += 1

    class Context:
        job = None

    async def main() -> None:
        call: Any = on_text
        await call(update=message(), context=Context())
        assert await sessions.get(11) == {"n": 1}

    asyncio.run(main())


def test_what_asks_for_no_session_is_refused() -> None:
    decorate: Any = with_session(counts())

    async def quiet(update: Any, context: Any) -> None: ...

    with pytest.raises(TypeError, match=r"quiet\(\) asks for no session: give it a parameter"):
        decorate(quiet)


def test_what_is_not_async_is_refused() -> None:
    decorate: Any = with_session(counts())

    def on_text(update: Any, context: Any, session: Any) -> None: ...

    with pytest.raises(TypeError, match="must be async"):
        decorate(on_text)


# --- conversations ------------------------------------------------------------------------

NAME = 1


def conversation(on_timeout: Any) -> ConversationHandler[Any]:
    async def ask(update: Any, context: Any) -> int:
        context.session["n"] += 1
        return NAME

    return ConversationHandler(
        entry_points=[MessageHandler(filters.Text(["/start"]), ask)],
        states={
            NAME: [MessageHandler(filters.TEXT, ask)],
            ConversationHandler.TIMEOUT: [MessageHandler(filters.ALL, on_timeout)],
        },
        fallbacks=[],
        conversation_timeout=0.01,
    )


def test_a_conversation_that_times_out_gets_a_session_by_the_decorator() -> None:
    sessions = counts()
    done = asyncio.Event()

    @with_session(sessions)
    async def on_timeout(update: Any, context: Any, session: Session[Data]) -> None:
        session.data["n"] += 10
        done.set()

    async def main() -> None:
        async with Running(install(offline(), sessions)) as bot:
            bot.app.add_handler(conversation(on_timeout))
            await feed(bot.app, message("/start"))
            await done.wait()
        assert await sessions.get(11) == {"n": 11}
        assert not bot.errors

    asyncio.run(main())
    assert_nothing_left(sessions)


def test_without_the_decorator_the_error_says_that_the_update_has_ended() -> None:
    sessions = counts()

    async def on_timeout(update: Any, context: Any) -> None:
        context.session["n"] += 10

    async def main() -> None:
        async with Running(install(offline(), sessions)) as bot:
            bot.app.add_handler(conversation(on_timeout))
            await feed(bot.app, message("/start"))
            async with asyncio.timeout(30):
                await until_slowly(bot.errors)
        assert await sessions.get(11) == {"n": 1}
        (error,) = bot.errors
        assert isinstance(error, SessionClosedError)
        assert "the update that owned '11' has ended" in str(error)

    asyncio.run(main())


async def until_slowly(something: list[Any]) -> None:
    while not something:
        await asyncio.sleep(0.01)


def test_a_conversation_whose_handlers_do_not_block_is_saved_when_they_end() -> None:
    sessions = counts()

    async def ask(update: Any, context: Any) -> int:
        await asyncio.sleep(0)
        context.session["n"] += 1
        return NAME

    talk = ConversationHandler[Any](
        entry_points=[MessageHandler(filters.Text(["/start"]), ask, block=False)],
        states={NAME: [MessageHandler(filters.TEXT, ask, block=False)]},
        fallbacks=[],
    )

    async def main() -> None:
        async with Running(install(bare(), sessions)) as bot:
            bot.app.add_handler(talk)
            for text in ("/start", "Ann"):
                await feed(bot.app, message(text))
                await until(lambda: not bot.app._sessions_under_way)
            assert await sessions.get(11) == {"n": 2}
            assert not bot.errors

    asyncio.run(main())


@pytest.mark.parametrize(
    ("make", "pauses", "order"),
    [
        (session, False, ["begin", "end", "waiting"]),
        (session, True, ["begin", "waiting", "end"]),
        (lazy_session, False, ["begin", "waiting", "end"]),
    ],
)
def test_the_handlers_of_waiting_run_meanwhile_if_no_session_is_in_their_way(
    make: Any, pauses: bool, order: list[str]
) -> None:
    sessions = make(initial=dict)
    seen: list[str] = []
    gate = asyncio.Event()

    async def slow(update: Any, context: Any) -> int:
        seen.append("begin")
        async with sessions.of(context).paused() if pauses else nullcontext():
            await gate.wait()
        seen.append("end")
        return NAME

    async def waiting(update: Any, context: Any) -> None:
        seen.append("waiting")

    talk = ConversationHandler[Any](
        entry_points=[MessageHandler(filters.Text(["/start"]), slow, block=False)],
        states={ConversationHandler.WAITING: [MessageHandler(filters.TEXT, waiting)]},
        fallbacks=[],
    )

    async def main() -> None:
        async with Running(install(bare(), sessions)) as bot:
            bot.app.add_handler(talk)
            await feed(bot.app, message("/start"))
            meanwhile = asyncio.create_task(feed(bot.app, message("Ann")))
            for _ in range(50):
                await asyncio.sleep(0)
            assert meanwhile.done() is (order[1] == "waiting")
            gate.set()
            await meanwhile
        assert (seen, bot.errors) == (order, [])

    asyncio.run(main())

"""Handlers of both bots: what they get, what is kept, and what nothing is done for."""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
from collections.abc import Callable
from typing import Any

import pytest
import telebot
from telebot import asyncio_handler_backends, handler_backends
from telebot.async_telebot import AsyncTeleBot

from sessionkit import Session, SyncSession, session
from sessionkit_telebot import install, with_session
from tests.adapters.driver import (
    CHAT,
    GROUP,
    SUPERGROUP,
    TOKEN,
    Raw,
    message,
    migrate_from,
    migrate_to,
)
from tests.adapters.telebot_bot import Recorder, made
from tests.core import Live, Oops, free


class Bot:
    """Either bot; it takes functions that are not async, and makes them what it calls."""

    on_loop: bool
    backends: Any
    """Where telebot has its signals."""

    def __init__(self) -> None:
        self.recorder: Any = Recorder()
        self.bot: Any = self.make()

    def make(self) -> Any:
        raise NotImplementedError

    def handler(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return function

    def add(self, function: Callable[..., Any], **options: Any) -> None:
        self.bot.register_message_handler(
            self.handler(function), **{"content_types": ["text"], **options}
        )

    def use(self, before: Callable[..., Any]) -> list[Any]:
        """Use a middleware; return what its "after" gets to see."""
        raise NotImplementedError

    def feed(self, *updates: Raw) -> None:
        raise NotImplementedError


class OnLoop(Bot):
    on_loop = True
    backends = asyncio_handler_backends

    def make(self) -> Any:
        return AsyncTeleBot(TOKEN, exception_handler=self.recorder)

    def handler(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        async def awaited(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        return awaited

    def use(self, before: Callable[..., Any]) -> list[Any]:
        after: list[Any] = []

        class Middleware(asyncio_handler_backends.BaseMiddleware):
            update_types = ("message",)

            async def pre_process(self, message: Any, data: Any) -> Any:
                return before(data)

            async def post_process(self, message: Any, data: Any, exception: Any) -> None:
                after.append(exception)

        middleware: Any = Middleware
        self.bot.setup_middleware(middleware())
        return after

    def feed(self, *updates: Raw) -> None:
        asyncio.run(self.bot.process_new_updates([made(raw) for raw in updates]))


class InThreads(Bot):
    on_loop = False
    backends = handler_backends
    classes = True

    def make(self) -> Any:
        return telebot.TeleBot(
            TOKEN,
            threaded=False,
            exception_handler=self.recorder,
            use_class_middlewares=self.classes,
        )

    def use(self, before: Callable[..., Any]) -> list[Any]:
        after: list[Any] = []

        class Middleware(handler_backends.BaseMiddleware):
            update_types = ("message",)

            def pre_process(self, message: Any, data: Any) -> Any:
                return before(data)

            def post_process(self, message: Any, data: Any, exception: Any) -> None:
                after.append(exception)

        middleware: Any = Middleware
        self.bot.setup_middleware(middleware())
        return after

    def feed(self, *updates: Raw) -> None:
        self.bot.process_new_updates([made(raw) for raw in updates])


class InThreadsPlain(InThreads):
    """With functions as middlewares, or none: handlers are called in another way."""

    classes = False


@pytest.fixture(params=[OnLoop, InThreads, InThreadsPlain], ids=lambda kind: kind.__name__)
def bot(request: pytest.FixtureRequest) -> Bot:
    made_bot: Bot = request.param()
    return made_bot


@pytest.fixture(params=[OnLoop, InThreads], ids=lambda kind: kind.__name__)
def classy(request: pytest.FixtureRequest) -> Bot:
    """A bot with classes as middlewares."""
    made_bot: Bot = request.param()
    return made_bot


@pytest.fixture
def storage() -> Live:
    return Live()


@pytest.fixture
def sessions(storage: Live) -> Any:
    return session(initial=lambda: {"n": 0}, storage=storage)


def count(message: Any, session: Any) -> None:
    session.data["n"] += 1


def pass_on(data: Any) -> None:
    """A middleware that does nothing."""


# --- what a handler gets ------------------------------------------------------------------


def test_the_argument_is_the_open_session(bot: Bot, sessions: Any, storage: Live) -> None:
    seen: list[Any] = []

    def on_text(message: Any, session: Any) -> None:
        assert sessions.of(message) is not None
        session.data["n"] += 1
        seen.append(type(session))

    install(bot.bot, sessions)
    bot.add(on_text)
    bot.feed(message("hi"))

    assert seen == [Session if bot.on_loop else SyncSession]
    assert storage.values == {str(CHAT): {"n": 1}}
    assert bot.recorder.errors == [] and free(sessions)


def test_handlers_added_before_get_it_too(bot: Bot, sessions: Any, storage: Live) -> None:
    bot.add(count)
    install(bot.bot, sessions)
    bot.feed(message("hi"))

    assert storage.values == {str(CHAT): {"n": 1}}


def test_methods_get_it_too(bot: Bot, sessions: Any, storage: Live) -> None:
    class Pizzeria:
        def on_text(self, message: Any, session: Any) -> None:
            session.data["n"] += 1

    install(bot.bot, sessions)
    bot.add(Pizzeria().on_text)
    bot.feed(message("hi"))

    assert storage.values == {str(CHAT): {"n": 1}}


def test_telebot_passes_the_bot_beside_it(bot: Bot, sessions: Any, storage: Live) -> None:
    given: list[Any] = []

    def on_text(message: Any, bot: Any, session: Any) -> None:
        session.data["n"] += 1
        given.append(bot)

    install(bot.bot, sessions)
    bot.add(on_text, pass_bot=True)
    bot.feed(message("hi"))

    assert given == [bot.bot]
    assert storage.values == {str(CHAT): {"n": 1}}


def test_what_middlewares_pass_comes_beside_it(classy: Bot, sessions: Any) -> None:
    given: list[Any] = []

    def on_text(message: Any, language: str, session: Any) -> None:
        session.data["n"] += 1
        given.append(language)

    def on_more(message: Any, data: Any, session: Any) -> None:
        given.append((data, session.data))

    def speak(data: Any) -> None:
        data.update(language="en")

    install(classy.bot, sessions)
    classy.use(speak)
    classy.add(on_text, commands=["one"])
    classy.add(on_more)
    classy.feed(message("/one"))
    classy.feed(message("two"))

    assert classy.recorder.errors == []
    assert given == ["en", ({"language": "en"}, {"n": 1})]


# --- what is kept -------------------------------------------------------------------------


def test_a_handler_that_fails_changes_nothing_and_telebot_gets_the_error(
    bot: Bot, sessions: Any, storage: Live
) -> None:
    error = Oops()

    def on_text(message: Any, session: Any) -> None:
        session.data["n"] = 99
        raise error

    install(bot.bot, sessions)
    bot.add(on_text)
    bot.feed(message("hi"))

    assert bot.recorder.errors == [error]
    assert storage.calls == [("read", str(CHAT))]
    assert free(sessions)


def test_one_that_lets_the_next_one_see_it_is_saved_first(
    bot: Bot, sessions: Any, storage: Live
) -> None:
    def first(message: Any, session: Any) -> Any:
        session.data["n"] += 1
        return bot.backends.ContinueHandling()

    def second(message: Any, session: Any) -> None:
        session.data["n"] *= 10
        raise Oops

    install(bot.bot, sessions)
    bot.add(first)
    bot.add(second)
    bot.feed(message("hi"))

    assert storage.values == {str(CHAT): {"n": 1}}


@pytest.mark.parametrize("answer", ["CancelUpdate", "SkipHandler"])
def test_an_update_that_a_middleware_cancels_leaves_nothing_behind(
    classy: Bot, sessions: Any, storage: Live, answer: str
) -> None:
    def signal(data: Any) -> Any:
        return getattr(classy.backends, answer)()

    install(classy.bot, sessions)
    classy.use(pass_on)
    classy.use(signal)
    classy.add(count)
    classy.feed(message("hi"))

    assert storage.calls == []
    assert free(sessions)


def test_a_middleware_sees_the_error_of_a_storage(classy: Bot) -> None:
    class Full(Live):
        def write(self, key: str, value: Any, /) -> None:
            raise OSError(key)

    sessions = session(initial=lambda: {"n": 0}, storage=Full())
    install(classy.bot, sessions)
    after = classy.use(pass_on)
    classy.add(count)
    classy.feed(message("hi"))

    assert [type(error) for error in after] == [OSError]
    assert classy.recorder.errors == after
    assert free(sessions)


def test_an_update_that_no_handler_takes_costs_nothing(
    bot: Bot, sessions: Any, storage: Live
) -> None:
    install(bot.bot, sessions)
    bot.add(count, commands=["count"])
    bot.feed(message("hi"))

    assert storage.calls == []


# --- groups that become supergroups -------------------------------------------------------


@pytest.mark.parametrize("told", [migrate_to, migrate_from])
def test_a_session_follows_its_group_though_no_handler_takes_the_news(
    bot: Bot, sessions: Any, storage: Live, told: Callable[[], Raw]
) -> None:
    install(bot.bot, sessions)
    bot.add(count)
    bot.feed(message("hi", chat=GROUP))
    bot.feed(told())

    assert storage.values == {str(SUPERGROUP): {"n": 1}}
    assert bot.recorder.errors == [] and free(sessions)


def test_it_follows_before_a_handler_that_was_there_before(
    bot: Bot, sessions: Any, storage: Live
) -> None:
    seen: list[Any] = []
    storage.values[str(GROUP)] = {"n": 5}

    def look(message: Any) -> None:
        seen.append(sorted(storage.values))

    bot.add(look, content_types=["migrate_to_chat_id"])
    install(bot.bot, sessions)
    bot.feed(migrate_to())

    assert seen == [[str(SUPERGROUP)]]


def test_a_function_merges_what_both_chats_have(bot: Bot, sessions: Any, storage: Live) -> None:
    install(
        bot.bot, sessions, migrate_chats=lambda theirs, mine: {"n": 100 * theirs["n"] + mine["n"]}
    )
    storage.values.update({str(GROUP): {"n": 1}, str(SUPERGROUP): {"n": 2}})
    bot.feed(migrate_from())

    assert storage.values == {str(SUPERGROUP): {"n": 201}}


def test_without_a_function_both_are_kept_and_it_is_said(
    bot: Bot, sessions: Any, storage: Live, caplog: pytest.LogCaptureFixture
) -> None:
    install(bot.bot, sessions)
    storage.values.update({str(GROUP): {"n": 1}, str(SUPERGROUP): {"n": 2}})
    bot.feed(migrate_to())

    assert storage.values == {str(GROUP): {"n": 1}, str(SUPERGROUP): {"n": 2}}
    told = [each for each in caplog.records if each.name == "sessionkit"]
    assert [each.levelno for each in told] == [logging.ERROR]


def test_sessions_stay_where_they_are_if_asked_for(bot: Bot, sessions: Any, storage: Live) -> None:
    install(bot.bot, sessions, migrate_chats=False)
    bot.add(count, content_types=["migrate_to_chat_id"])
    bot.feed(migrate_to())

    assert storage.values == {str(GROUP): {"n": 1}}


# --- a decorator for one handler ----------------------------------------------------------


def test_a_decorated_handler_needs_no_install(bot: Bot, sessions: Any, storage: Live) -> None:
    bot.bot.message_handler()(with_session(sessions)(bot.handler(count)))
    bot.feed(message("hi"))

    assert storage.values == {str(CHAT): {"n": 1}}
    assert bot.recorder.errors == [] and free(sessions)


def test_a_decorated_method_takes_the_session_of_the_message(
    bot: Bot, sessions: Any, storage: Live
) -> None:
    def method(self: Any, message: Any, session: Any) -> None:
        session.data["n"] += 1

    class Pizzeria:
        on_text = with_session(sessions)(bot.handler(method))

    bot.bot.register_message_handler(Pizzeria().on_text)
    bot.feed(message("hi"))

    assert storage.values == {str(CHAT): {"n": 1}}


def test_a_decorator_gives_sessions_that_are_not_installed(
    bot: Bot, sessions: Any, storage: Live
) -> None:
    log = Live()
    logs = session(initial=list[str], storage=log)
    seen: list[str] = []

    def on_text(message: Any, log: Any, session: Any) -> None:
        session.data["n"] += 1
        log.data.append(message.text)
        seen.extend(inspect.signature(decorated).parameters)

    decorated = with_session(log=logs)(bot.handler(on_text))
    install(bot.bot, sessions)
    bot.bot.register_message_handler(decorated)
    bot.feed(message("hi"))

    assert seen == ["message", "session"]
    assert (storage.values, log.values) == ({str(CHAT): {"n": 1}}, {str(CHAT): ["hi"]})


def test_a_decorated_handler_may_be_called_by_a_test(sessions: Any, storage: Live) -> None:
    @with_session(sessions, name="memory")
    def decorated(message: Any, memory: Any) -> Any:
        return memory.data

    assert decorated(made(message("hi")).message) == {"n": 0}


@pytest.mark.parametrize(("migrate", "where"), [(True, SUPERGROUP), (False, GROUP)])
def test_what_a_decorated_handler_gets_may_tell_of_a_supergroup(
    bot: Bot, sessions: Any, storage: Live, migrate: bool, where: int
) -> None:
    storage.values[str(GROUP)] = {"n": 5}

    def on_news(message: Any, session: Any) -> None:
        """Take the message that tells."""

    decorated = with_session(sessions, migrate_chats=migrate)(bot.handler(on_news))
    bot.bot.register_message_handler(decorated, content_types=["migrate_to_chat_id"])
    bot.feed(migrate_to())

    assert storage.values == {str(where): {"n": 5}}

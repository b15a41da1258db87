"""What ``install`` refuses, which handlers it reaches, and which keys they get."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import telebot
from telebot.async_telebot import AsyncTeleBot

from sessionkit import MemorySessionStorage, SyncSession, keys, session
from sessionkit_telebot import install, with_session
from tests.adapters.driver import TOKEN
from tests.adapters.telebot_bot import TelebotDriver, TelebotThreadsDriver, always, made
from tests.test_keys import CASES, Case

BOTS: list[Callable[..., Any]] = [AsyncTeleBot, partial(telebot.TeleBot, threaded=False)]
ON_LOOP, IN_THREADS = BOTS


@pytest.fixture(params=BOTS, ids=["AsyncTeleBot", "TeleBot"])
def bot(request: pytest.FixtureRequest) -> Any:
    return request.param(TOKEN)


def counts(**options: Any) -> Any:
    return session(initial=lambda: {"n": 0}, **options)


# --- what is refused ----------------------------------------------------------------------


@pytest.mark.parametrize("target", [None, TOKEN, AsyncTeleBot])
def test_what_is_not_a_bot_is_refused(target: Any) -> None:
    with pytest.raises(TypeError, match=r"needs a telebot\.TeleBot or an AsyncTeleBot, not"):
        install(target, counts())


def test_bots_on_a_loop_need_not_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "telebot.async_telebot")

    install(IN_THREADS(TOKEN), counts())
    with pytest.raises(TypeError, match="needs a telebot"):
        install(object(), counts())  # type: ignore[arg-type]  # that is refused

    assert "telebot.async_telebot" not in sys.modules


def test_a_bot_gets_its_sessions_once(bot: Any) -> None:
    install(bot, cart=counts())

    with pytest.raises(ValueError, match="has sessions already: give all in one install"):
        install(bot, prefs=counts())


@pytest.mark.parametrize("name", ["bot", "data"])
def test_names_of_telebot_itself_are_refused(bot: Any, name: str) -> None:
    with pytest.raises(ValueError, match=f"gives handlers the argument '{name}'"):
        install(bot, counts(), name=name)

    install(bot, counts())  # what was refused left nothing behind


def test_the_arguments_are_those_of_every_adapter(bot: Any) -> None:
    with pytest.raises(TypeError, match="several by name"):
        install(bot)
    with pytest.raises(TypeError, match="migrate_chats must be"):
        install(bot, counts(), migrate_chats=5)  # type: ignore[arg-type]  # that is refused


async def on_loop(message: Any, session: Any) -> None: ...
def in_thread(message: Any, session: Any) -> None: ...


WRONG_KIND = [
    pytest.param(ON_LOOP, in_thread, "AsyncTeleBot awaits its handlers: write async def", id="def"),
    pytest.param(IN_THREADS, on_loop, "TeleBot calls .* in threads: write def", id="async def"),
]


@pytest.mark.parametrize(("make", "handler", "advice"), WRONG_KIND)
def test_a_handler_of_the_other_kind_is_refused_where_it_is_added(
    make: Callable[..., Any], handler: Any, advice: str
) -> None:
    bot = make(TOKEN)
    install(bot, counts())

    with pytest.raises(TypeError, match=rf"{handler.__name__}\(\) asks for a session\. {advice}"):
        bot.register_message_handler(handler)


@pytest.mark.parametrize(("make", "handler", "advice"), WRONG_KIND)
def test_a_handler_of_the_other_kind_is_refused_by_install_if_added_before(
    make: Callable[..., Any], handler: Any, advice: str
) -> None:
    bot = make(TOKEN)
    bot.register_message_handler(handler)

    with pytest.raises(TypeError, match=advice):
        install(bot, counts())


def test_a_handler_that_asks_for_none_is_left_as_it_is(bot: Any) -> None:
    def quiet(message: Any) -> None: ...

    bot.register_message_handler(quiet)
    install(bot, counts(), migrate_chats=False)
    bot.register_message_handler(quiet)

    assert [each["function"] for each in bot.message_handlers] == [quiet, quiet]


def test_without_chats_that_migrate_no_handler_is_added(bot: Any) -> None:
    install(bot, counts(), migrate_chats=False)

    assert bot.message_handlers == []


def test_a_decorated_function_must_ask_for_a_session() -> None:
    with pytest.raises(TypeError, match=r"quiet\(\) asks for no session: give it a parameter cart"):

        @with_session(cart=counts())
        def quiet(message: Any) -> None: ...


# --- libraries that are missing -----------------------------------------------------------


@pytest.fixture
def unloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the adapter be imported again; afterwards it is as it was."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "sessionkit_telebot"]:
        monkeypatch.delitem(sys.modules, name)


@pytest.mark.usefixtures("unloaded")
def test_without_telebot_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "telebot", None)

    with pytest.raises(
        ImportError, match=r"extra 'telebot': .* \"<checkout>\[telebot\]\""
    ) as caught:
        importlib.import_module("sessionkit_telebot")
    assert caught.value.name == "telebot"


@pytest.mark.usefixtures("unloaded")
def test_threads_need_no_aiohttp(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "telebot.async_telebot")
    monkeypatch.setitem(sys.modules, "aiohttp", None)

    adapter = importlib.import_module("sessionkit_telebot")

    adapter.install(IN_THREADS(TOKEN), counts())


# --- every kind of update, and its key ----------------------------------------------------

KINDS = {"inline_query": "inline", "chosen_inline_result": "chosen_inline"}
"""What telebot calls the handlers of some kinds of updates."""


def add_handler(bot: Any, kind: str, handler: Any) -> None:
    add = getattr(bot, f"register_{KINDS.get(kind, kind)}_handler")
    everything: dict[str, Any] = {"func": always}
    if "content_types" in inspect.signature(add).parameters:
        everything["content_types"] = ["text", "poll"]
    add(handler, **everything)


def known_to(bot: Any) -> list[Any]:
    names = {each.kind: f"{KINDS.get(each.kind, each.kind)}_handler" for each in CASES}
    handled = [each for each in CASES if hasattr(bot, names[each.kind])]
    return [pytest.param(each, id=each.name) for each in handled]


def update_of(case: Case) -> Any:
    event = case.event
    if (
        case.kind == "purchased_paid_media"
    ):  # telebot 4.37 expects a name that Telegram does not use
        event = event | {"from_user": event["from"]}
    return made({"update_id": 1, case.kind: event})


@pytest.mark.parametrize("case", known_to(AsyncTeleBot))
def test_a_handler_of_every_kind_gets_the_session_of_its_key(case: Case) -> None:
    found: dict[str, Any] = {}
    bot = AsyncTeleBot(TOKEN)
    install(bot, **everyone_by_key())

    async def handler(event: Any, chat: Any, user: Any, user_in_topic: Any) -> None:
        found.update(chat=chat.key, user=user.key, user_in_topic=user_in_topic.key)

    add_handler(bot, case.kind, handler)
    asyncio.run(bot.process_new_updates([update_of(case)]))

    assert found == {name: getattr(case, name) for name in ("chat", "user", "user_in_topic")}


@pytest.mark.parametrize("case", known_to(telebot.TeleBot))
def test_in_threads_it_is_the_same_key(case: Case) -> None:
    found: dict[str, Any] = {}
    bot = telebot.TeleBot(TOKEN, threaded=False)
    install(bot, **everyone_by_key())

    def handler(event: Any, chat: SyncSession[Any], user: Any, user_in_topic: Any) -> None:
        found.update(chat=chat.key, user=user.key, user_in_topic=user_in_topic.key)

    add_handler(bot, case.kind, handler)
    bot.process_new_updates([update_of(case)])

    assert found == {name: getattr(case, name) for name in ("chat", "user", "user_in_topic")}


def everyone_by_key() -> dict[str, Any]:
    by = {"chat": keys.chat, "user": keys.user, "user_in_topic": keys.user_in_topic}
    return {
        name: counts(get_session_key=key, prefix=f"{name}:", storage=MemorySessionStorage())
        for name, key in by.items()
    }


def test_no_kind_of_handler_is_overlooked(bot: Any) -> None:
    install(bot, counts(), migrate_chats=False)
    handler = on_loop if isinstance(bot, AsyncTeleBot) else in_thread
    kinds = [name.removesuffix("s") for name, value in vars(bot).items() if value == []]
    adding = [kind for kind in kinds if hasattr(bot, f"register_{kind}")]

    for kind in adding:
        getattr(bot, f"register_{kind}")(handler, func=always)

    assert len(adding) >= 20
    for kind in adding:
        (added,) = getattr(bot, f"{kind}s")
        assert list(inspect.signature(added["function"]).parameters) == ["message"], kind


def test_drivers_say_which_bot_they_are() -> None:
    assert isinstance(TelebotDriver(counts()).bot, AsyncTeleBot)
    threads = TelebotThreadsDriver(counts())
    assert isinstance(threads.bot, telebot.TeleBot)
    threads.end()

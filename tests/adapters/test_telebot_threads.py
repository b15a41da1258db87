"""TeleBot's worker threads: updates of one chat at once, next steps and handlers of replies."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
import telebot

from sessionkit import MemorySessionStorage, SyncSession, lazy_session, session
from sessionkit.types import SyncLazySession
from sessionkit_telebot import install, with_session
from tests.adapters.driver import (
    CHAT,
    GROUP,
    PATIENCE,
    SUPERGROUP,
    TOKEN,
    message,
    migrate_to,
)
from tests.adapters.telebot_bot import TelebotThreadsDriver, always, made
from tests.core import Oops, free

if TYPE_CHECKING:
    from pathlib import Path

MANY = 200


def counts(storage: Any = None) -> Any:
    return session(initial=lambda: {"n": 0}, storage=storage or MemorySessionStorage())


@pytest.fixture
def sessions() -> Any:
    return counts()


@pytest.fixture
def driver(sessions: Any) -> Iterator[TelebotThreadsDriver]:
    made_driver = TelebotThreadsDriver(sessions)
    yield made_driver
    made_driver.end()


@pytest.fixture
def bot(driver: TelebotThreadsDriver) -> Any:
    return driver.bot


def stored(sessions: Any) -> dict[str, Any]:
    return dict(sessions.sync.items())


def count(message: Any, session: SyncSession[Any]) -> None:
    session.data["n"] += 1


# --- many at once -------------------------------------------------------------------------


def test_no_update_of_a_chat_is_lost_whatever_the_storage(storage: Any) -> None:
    sessions = counts(storage)
    driver = TelebotThreadsDriver(sessions)
    driver.bot.register_message_handler(count)

    driver.feed_threads(*(message("hi", chat=chat) for _ in range(MANY) for chat in (1, 2)))
    driver.end()

    assert driver.errors == []
    assert stored(sessions) == {"1": {"n": MANY}, "2": {"n": MANY}}
    assert free(sessions)


def test_many_chats_are_served_at_the_same_time(
    driver: TelebotThreadsDriver, sessions: Any
) -> None:
    all_inside = threading.Barrier(20)

    def on_text(message: Any, session: SyncSession[Any]) -> None:
        all_inside.wait(PATIENCE)
        session.data["n"] += 1

    driver.bot.register_message_handler(on_text)
    driver.feed_threads(*(message("hi", chat=chat) for chat in range(1, 21)))

    assert driver.errors == []
    assert stored(sessions) == {str(chat): {"n": 1} for chat in range(1, 21)}


def test_several_sessions_and_lazy_ones_are_opened_for_threads() -> None:
    carts, prefs = counts(), lazy_session(initial=lambda: {"n": 0})
    driver = TelebotThreadsDriver(cart=carts, prefs=prefs)

    def on_text(message: Any, cart: SyncSession[Any], prefs: SyncLazySession[Any]) -> None:
        assert (type(cart), type(prefs)) == (SyncSession, SyncLazySession)
        cart.data["n"] += 1
        prefs.data["n"] += 10

    driver.bot.register_message_handler(on_text)
    driver.feed_threads(*(message("hi") for _ in range(MANY)))
    driver.end()

    assert driver.errors == []
    assert stored(carts) == {str(CHAT): {"n": MANY}}
    assert stored(prefs) == {str(CHAT): {"n": 10 * MANY}}


def test_telebot_stops_as_ever(sessions: Any) -> None:
    bot: Any = telebot.TeleBot(TOKEN, num_threads=1)
    install(bot, sessions)
    bot.register_message_handler(count)
    bot.process_new_updates([made(message("hi"))])

    bot.stop_bot()

    assert stored(sessions) == {str(CHAT): {"n": 1}}


# --- next steps ---------------------------------------------------------------------------


def test_a_next_step_gets_the_session_and_its_own_arguments(
    driver: TelebotThreadsDriver, bot: Any, sessions: Any
) -> None:
    def on_text(message: Any, session: SyncSession[Any]) -> None:
        session.data["n"] += 1
        bot.register_next_step_handler(message, step, 10, twice=True)

    def step(message: Any, amount: int, session: SyncSession[Any], *, twice: bool) -> None:
        assert sessions.of(message).data == {"n": 1}
        session.data["n"] += amount * (1 + twice)

    bot.register_message_handler(on_text)
    driver.feed_threads(message("hi"))
    driver.feed_threads(message("hi again"))

    assert driver.errors == []
    assert stored(sessions) == {str(CHAT): {"n": 21}}
    assert free(sessions)


def test_a_next_step_that_fails_changes_nothing(
    driver: TelebotThreadsDriver, bot: Any, sessions: Any
) -> None:
    error = Oops()

    def step(message: Any, session: SyncSession[Any]) -> None:
        session.data["n"] = 99
        raise error

    bot.register_next_step_handler_by_chat_id(CHAT, step)
    driver.feed_threads(message("hi"))

    assert driver.errors == [error]
    assert stored(sessions) == {} and free(sessions)


def test_two_next_steps_of_one_message_are_two_uses(
    driver: TelebotThreadsDriver, bot: Any, sessions: Any
) -> None:
    given: list[Any] = []

    def step(message: Any, session: SyncSession[Any]) -> None:
        session.data["n"] += 1
        given.append(message)

    for _ in range(2):
        bot.register_next_step_handler_by_chat_id(CHAT, step)
    driver.feed_threads(message("hi"))

    assert driver.errors == []
    assert stored(sessions) == {str(CHAT): {"n": 2}}
    one, other = given
    assert one is not other and one.text == other.text  # or one would end the other's session


def test_a_next_step_must_be_a_function_for_threads(driver: TelebotThreadsDriver, bot: Any) -> None:
    async def step(message: Any, session: Any) -> None: ...

    bot.register_next_step_handler_by_chat_id(CHAT, step)
    driver.feed_threads(message("hi"))

    (error,) = driver.errors
    assert "TeleBot calls its handlers in threads: write def" in str(error)


decorated_sessions = counts()


@with_session(decorated_sessions)
def decorated_step(message: Any, session: SyncSession[Any]) -> None:
    session.data["n"] += 1


@pytest.mark.parametrize("step", [count, decorated_step])
def test_next_steps_survive_a_restart_in_the_file_of_telebot(
    driver: TelebotThreadsDriver, bot: Any, sessions: Any, step: Any, tmp_path: Path
) -> None:
    file = str(tmp_path / "steps" / "step.save")
    before: Any = telebot.TeleBot(TOKEN, threaded=False)
    install(before, sessions)
    before.enable_save_next_step_handlers(delay=0, filename=file)
    before.register_next_step_handler_by_chat_id(CHAT, step)

    bot.enable_save_next_step_handlers(delay=0, filename=file)
    bot.load_next_step_handlers(file)
    driver.feed_threads(message("hi"))

    assert driver.errors == []
    assert stored(decorated_sessions if step is decorated_step else sessions)[str(CHAT)]["n"] == 1


def test_a_session_follows_its_group_though_a_next_step_takes_the_news(
    driver: TelebotThreadsDriver, bot: Any, sessions: Any
) -> None:
    def step(message: Any) -> None:
        """What telebot hands the news to, and to nobody else."""

    with sessions.open(GROUP) as opened:
        opened.data["n"] += 1
    bot.register_next_step_handler_by_chat_id(GROUP, step)
    driver.feed_threads(migrate_to())

    assert driver.errors == []
    assert stored(sessions) == {str(SUPERGROUP): {"n": 1}}


# --- handlers of replies, and listeners -----------------------------------------------------


def test_a_handler_of_replies_and_one_of_messages_take_turns(
    driver: TelebotThreadsDriver, bot: Any, sessions: Any
) -> None:
    question, answer = message("?"), message("!")
    answer["message"]["reply_to_message"] = question["message"]
    bot.register_message_handler(count, func=always)
    bot.register_for_reply_by_message_id(question["message"]["message_id"], count)

    driver.feed_threads(answer)

    assert driver.errors == []
    assert stored(sessions) == {str(CHAT): {"n": 2}}
    assert free(sessions)


def test_listeners_get_their_list_of_messages(
    driver: TelebotThreadsDriver, bot: Any, sessions: Any
) -> None:
    heard: list[str] = []

    def listen(messages: list[Any]) -> None:
        heard.extend(each.text for each in messages)

    bot.set_update_listener(listen)
    driver.feed_threads(message("one"), message("two"))

    assert driver.errors == []
    assert heard == ["one", "two"]
    assert stored(sessions) == {}

"""Updates that come again, in what only telebot has: next steps, and decorators without a bot."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from sessionkit import Once
from sessionkit_telebot import with_session
from tests.adapters.driver import CHAT, message
from tests.adapters.telebot_bot import TelebotThreadsDriver, always
from tests.once.updates import counting


@pytest.fixture
def sessions() -> Any:
    return counting()


@pytest.fixture
def driver(sessions: Any) -> Iterator[TelebotThreadsDriver]:
    made_driver = TelebotThreadsDriver(sessions)
    yield made_driver
    made_driver.end()


def test_all_next_steps_of_one_delivery_run(driver: TelebotThreadsDriver, sessions: Any) -> None:
    answer = message("three")
    for _ in range(2):  # delivered again, when there are new steps
        for amount in (1, 10):
            driver.bot.register_next_step_handler_by_chat_id(CHAT, add, amount)
        driver.feed_threads(answer)

    assert sessions.sync.get(CHAT) == {"n": 11}
    assert driver.errors == []


def test_a_handler_of_replies_and_another_one_of_one_delivery_run(
    driver: TelebotThreadsDriver, sessions: Any
) -> None:
    def always_add(message: Any, session: Any) -> None:
        session.data["n"] += 1

    asked, answer = message("how many?"), message("three")
    answer["message"]["reply_to_message"] = asked["message"]
    driver.bot.register_message_handler(always_add, func=always)
    for _ in range(2):
        driver.bot.register_for_reply_by_message_id(asked["message"]["message_id"], add, 10)
        driver.feed_threads(answer)

    assert sessions.sync.get(CHAT) == {"n": 11}
    assert driver.errors == []


def add(message: Any, amount: int, session: Any) -> None:
    session.data["n"] += amount


def test_an_update_of_another_kind_counts_once(driver: TelebotThreadsDriver, sessions: Any) -> None:
    def edited(message: Any, session: Any) -> None:
        session.data["n"] += 1
        assert session.update_id == f"42:{raw['update_id']}"

    driver.bot.register_edited_message_handler(edited, func=always)
    raw = message("text")
    raw["edited_message"] = raw.pop("message")
    driver.feed_threads(raw)
    driver.feed_threads(raw)

    assert sessions.sync.get(CHAT) == {"n": 1}
    assert driver.errors == []


def test_a_decorator_alone_sees_no_updates() -> None:
    def handler(message: Any, session: Any) -> None:
        raise AssertionError

    with pytest.raises(TypeError, match=r"updates have no id here: give once=Once\(identity"):
        with_session(counting())
    with_session(counting(once=Once(identity=lambda message: message.message_id)))(handler)

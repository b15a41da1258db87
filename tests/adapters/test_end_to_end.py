"""The example bots, as users run them: real processes, real long polling, SIGKILL on the way.

Each bot gets 1,000 updates from 50 chats over a Bot API server on loopback, is
killed three times in the middle of a handler, and started again on the same
SQLite file.

What is promised.  Telegram delivers an update again until a ``getUpdates`` with
a higher offset confirms it, and never after.  All three frameworks ask for more
as soon as they *have* updates, not when they are through with them: aiogram and
AsyncTeleBot start tasks, TeleBot and python-telegram-bot fill queues.  So what a
process had when it was killed may have been confirmed, and is then lost if it was
not handled; or it may not, and then comes again, handled or not.  No more than
that may happen:

- an update that was delivered once, to a process that was not killed: handled once;
- delivered to a process that was killed, and not again: handled once or never,
  and never only if all later ones of its chat, delivered to the same process, were
  not handled either;
- delivered again: handled by each process that got it, by these same rules.

An update that was handled was stored, whole, before a later one of its chat was
answered.  ``histories`` spells that out; the replies and what is stored in the end
must be one of the histories that it allows, in each chat.
"""

from __future__ import annotations

import asyncio
import importlib.util
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sessionkit import SQLiteSessionStorage
from tests.adapters.bot_api_server import BotApi
from tests.adapters.driver import Raw, message
from tests.adapters.life import Life, life_of
from tests.profiles import thorough

EXAMPLES = Path(__file__).parents[2] / "examples"

CHATS = range(1, 51)
CHATS_AT_ONCE = 10
WAVES = 20
KILLED_IN = {3: "confirmed", 9: "not confirmed", 16: "confirmed"}
"""In which waves the bot is killed, and whether it could confirm the updates before."""
LEVEL = re.compile(r"Your hunger level is (\d+)!")


@dataclass(frozen=True)
class Example:
    """A bot in examples/.

    Attributes:
        name: Of the file.
        library: What it imports.
        workers: How many updates of one chat the framework begins before it waits
            for their turn: with two threads, the second may overtake the first.
    """

    name: str
    library: str
    workers: int = 1

    def __str__(self) -> str:
        return self.name


BOTS = [
    thorough(Example("aiogram_pizza", "aiogram")),
    Example("ptb_pizza", "telegram"),
    thorough(Example("telebot_pizza", "telebot")),
    Example("telebot_sync_pizza", "telebot", workers=2),
]


# --- which histories there may have been --------------------------------------------------


def histories(
    before: Iterable[int],
    texts: Sequence[str],
    replies: Sequence[int],
    *,
    killed: bool,
    workers: int,
) -> set[int]:
    """The counts that a chat may have at the end of a process of its bot.

    Args:
        before: The counts that it may have had at the beginning.
        texts: What was delivered to the process, in order.
        replies: The levels that the process reported, in order.
        killed: Whether it may have ended anywhere on the way.
        workers: How many updates it has in hand at a time, to be handled in any order.

    Returns:
        None at all if no history explains the replies.
    """
    states: set[tuple[int, tuple[str, ...], int, int]] = {(0, (), count, 0) for count in before}
    seen = set(states)
    while states:
        taken, in_hand, count, told = states.pop()
        following = [
            (taken, in_hand[:n] + in_hand[n + 1 :], *outcome)
            for n, text in enumerate(in_hand)
            for outcome in handled(text, count, told, replies)
        ]
        if taken < len(texts) and len(in_hand) < workers:
            following.append((taken + 1, (*in_hand, texts[taken]), count, told))
        states.update(state for state in following if state not in seen)
        seen.update(following)
    return {
        count
        for taken, _, count, told in seen
        if told == len(replies) and (killed or taken == len(texts))
    }


def handled(text: str, count: int, told: int, replies: Sequence[int]) -> list[tuple[int, int]]:
    """Count and number of replies after a message; nothing if the reply was not this one."""
    if text == "/hunger":
        return [(count, told + 1)] if list(replies[told : told + 1]) == [count] else []
    return [(0 if text == "/reset" else count + ("🍕" in text), told)]


ONE_OF_EACH = ("🍕", "hello", "/hunger")


@pytest.mark.parametrize(
    ("before", "texts", "replies", "killed", "workers", "after"),
    [
        ({0}, ONE_OF_EACH, [1], False, 1, {1}),
        ({0, 5}, ONE_OF_EACH, [6], False, 1, {6}),
        ({5}, ("🍕", "/reset", "🍕", "/hunger"), [1], False, 1, {1}),
        ({0}, ONE_OF_EACH, [0], False, 1, set[int]()),  # a lost update
        ({0}, ONE_OF_EACH, [2], False, 1, set[int]()),  # one counted twice
        ({0}, ONE_OF_EACH, [], True, 1, {0, 1}),  # killed at any time
        ({0}, ("🍕", "🍕", "/hunger", "🍕"), [2], True, 1, {2, 3}),
        ({0}, ("🍕", "🍕", "/hunger", "🍕"), [1], True, 1, set[int]()),  # a gap
        ({0}, ("🍕", "/hunger"), [0], False, 2, {0, 1}),  # overtaken by another thread
        ({0}, ("🍕", "🍕", "🍕", "/hunger"), [1], False, 2, set[int]()),  # by one, not by two
    ],
)
def test_histories_are_those_that_the_promise_allows(
    before: set[int],
    texts: Sequence[str],
    replies: Sequence[int],
    killed: bool,
    workers: int,
    after: set[int],
) -> None:
    assert histories(before, texts, replies, killed=killed, workers=workers) == after


# --- what a bot was sent, and what it said ------------------------------------------------


def text_of(update: Raw) -> str:
    return str(update["message"]["text"])


def levels(api: BotApi, token: str, chat: int | None = None) -> list[int]:
    """The hunger levels that a process reported, in order."""
    found = [
        LEVEL.fullmatch(sent.text)
        for sent in api.sent
        if sent.token == token and chat in {None, sent.chat}
    ]
    return [int(match[1]) for match in found if match]


def wave(number: int) -> list[Raw]:
    """Five messages from each of ten chats, all at the same time."""
    first = number * CHATS_AT_ONCE % len(CHATS)
    chats = CHATS[first : first + CHATS_AT_ONCE]
    third = {chat: "/reset" if (number + chat) % 4 == 0 else "hello" for chat in chats}
    texts: list[Callable[[int], str]] = [
        lambda chat: "🍕",
        lambda chat: "I want 🍕",
        lambda chat: third[chat],
        lambda chat: "more 🍕 please",
        lambda chat: "/hunger",
    ]
    return [message(text(chat), chat=chat) for chat in chats for text in texts]


def stored_in(database: Path) -> dict[int, int]:
    with SQLiteSessionStorage(database).sync as storage:
        stored: dict[str, dict[str, int]] = dict(storage.iter_items())
    return {int(chat): count for chat, data in stored.items() for count in data.values()}


def unexplained(life: Life, workers: int) -> dict[int, Any]:
    """What no history explains, by chat."""
    api, stored = life.api, stored_in(life.database)
    found: dict[int, Any] = {}
    for chat in CHATS:
        counts = {0}
        for token in life.tokens:
            mine = [each for each in api.delivered[token] if each["message"]["chat"]["id"] == chat]
            counts = histories(
                counts,
                [text_of(each) for each in mine],
                levels(api, token, chat),
                killed=token != life.tokens[-1],
                workers=workers,
            )
        if stored.get(chat, 0) not in counts:
            found[chat] = {"stored": stored.get(chat, 0), "possible": counts}
    return found


def has_answered(life: Life) -> bool:
    """Whether nothing waits, and each question that the process got was answered."""
    token = life.tokens[-1]
    asked = sum(text_of(each) == "/hunger" for each in life.api.delivered.get(token, []))
    return not life.api.waiting and len(levels(life.api, token)) == asked


@pytest.mark.parametrize("example", BOTS, ids=str)
def test_a_bot_that_is_killed_goes_on_with_what_it_knew(example: Example, tmp_path: Path) -> None:
    if importlib.util.find_spec(example.library) is None:
        pytest.skip(f"{example.library} is not installed")

    async def main() -> None:
        async with life_of(EXAMPLES / f"{example.name}.py", tmp_path) as life:
            for number in range(WAVES):
                if number in KILLED_IN:
                    await kill_in_wave(life, number)
                else:
                    await life.api.push(*wave(number))
                    await life.until(lambda: has_answered(life))
            await life.api.push(*(message("/hunger", chat=chat) for chat in CHATS))
            await life.until(lambda: has_answered(life))
        assert len(life.tokens) == 1 + len(KILLED_IN)
        assert unexplained(life, example.workers) == {}

    asyncio.run(main())


async def kill_in_wave(life: Life, number: int) -> None:
    """Kill the bot while a handler waits for Telegram, two replies into the wave."""
    api, updates, dying = life.api, wave(number), life.tokens[-1]
    confirms = KILLED_IN[number] == "confirmed"
    await api.hold_after(2)
    if not confirms:
        await life.until(lambda: api.asked > 0)
        api.lose_polls()
    await api.push(*updates)
    await life.until(lambda: api.held > 0 and confirms is not bool(api.waiting))
    await life.kill()
    await api.recover()
    await life.start()
    await life.until(lambda: has_answered(life))
    assert updates == api.delivered[dying][-len(updates) :]
    assert (updates == api.delivered.get(life.tokens[-1], [])) is not confirms

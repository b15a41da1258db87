"""``session_filter``: handlers chosen by what is stored."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sessionkit import lazy_session, multi_session, session
from tests.adapters.driver import CHAT, inline_query, message
from tests.adapters.pyrogram_bot import Offline, begins_with, in_loop
from tests.adapters.pyrogram_raw import PACKAGE
from tests.contexts import Spy

# isort: split
from sessionkit_pyrogram import install, session_filter

handlers: Any = PACKAGE.handlers


def many(count: int) -> bool:
    return count > 1


async def many_later(count: int) -> bool:
    await asyncio.sleep(0)
    return many(count)


async def texts_that_pass(chosen: Any, *texts: str) -> list[str]:
    seen: list[str] = []
    bot = Offline()

    async def note(client: Any, message: Any) -> None:
        seen.append(message.text)

    bot.app.add_handler(handlers.MessageHandler(note, chosen))
    async with bot:
        for text in texts:
            await bot.feed(message(text))
    assert not bot.errors
    return seen


@pytest.mark.parametrize("make", [session, lazy_session])
@pytest.mark.parametrize("predicate", [many, many_later])
def test_an_update_passes_if_its_session_satisfies_the_predicate(make: Any, predicate: Any) -> None:
    async def main() -> list[list[str]]:
        numbers = make(int)
        chosen = session_filter(numbers, predicate)
        seen = [await texts_that_pass(chosen, "early")]
        async with numbers.open(CHAT) as opened:
            opened.data = 2
        return [*seen, await texts_that_pass(chosen, "late")]

    assert asyncio.run(main()) == [[], ["late"]]


@in_loop
async def test_it_combines_with_filters_of_the_package() -> None:
    few = ~session_filter(session(int), many)

    assert await texts_that_pass(begins_with("a") & few, "a", "b") == ["a"]
    assert await texts_that_pass(few & begins_with("a"), "a", "b") == ["a"]
    assert await texts_that_pass(~few | begins_with("a"), "a", "b") == ["a"]


@in_loop
async def test_it_reads_and_does_nothing_else() -> None:
    spy = Spy()

    def change(data: dict[str, int]) -> bool:
        data["n"] = 7
        return True

    numbers = session(initial=lambda: {"n": 0}, storage=spy)
    assert await texts_that_pass(session_filter(numbers, change), "a") == ["a"]

    assert spy.log == ["R 11"]


@in_loop
async def test_it_does_not_wait_for_who_has_the_session_open() -> None:
    numbers = session(int)

    async with numbers.open(CHAT) as opened:
        opened.data = 5
        assert await texts_that_pass(session_filter(numbers, many), "a") == []


@in_loop
async def test_updates_without_a_key_do_not_pass() -> None:
    numbers, bot = session(int), Offline()
    seen: list[Any] = []
    install(bot.app, numbers)

    async def note(client: Any, query: Any) -> None:
        seen.append(query)

    everything = session_filter(numbers, lambda _: True)
    bot.app.add_handler(handlers.InlineQueryHandler(note, everything))
    async with bot:
        await bot.feed(inline_query())

    assert not bot.errors
    assert seen == []


@in_loop
async def test_a_storage_that_fails_is_reported() -> None:
    spy, bot = Spy(), Offline()
    spy.broken = {"R"}

    async def never(client: Any, message: Any) -> None:
        raise AssertionError("the filter failed")

    chosen = session_filter(session(int, storage=spy), many)
    bot.app.add_handler(handlers.MessageHandler(never, chosen))
    async with bot:
        await bot.feed(message())

    assert [str(error) for error in bot.errors] == ["R 11 failed"]


def test_several_sessions_are_refused() -> None:
    several: Any = multi_session(cart=session(int))

    with pytest.raises(TypeError, match="of multi sessions one fragment"):
        session_filter(several, many)

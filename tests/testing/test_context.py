"""A context for handlers under test."""

from __future__ import annotations

import asyncio
import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from unittest.mock import AsyncMock

import pytest

from sessionkit import MultiSession, keys, lazy_session, multi_session, session
from sessionkit.testing.context import FakeContext

if TYPE_CHECKING:
    from typing import assert_type

    from sessionkit.types import LazyData


@dataclass
class Pizza:
    count: int = 0


class Framework:
    """What a framework gives to handlers; it cannot be made in a test."""

    session: Pizza

    def __init__(self) -> None:
        raise RuntimeError("needs a bot token")

    async def reply(self, text: str) -> None:
        raise RuntimeError("needs a network")


async def on_pizza(ctx: Framework) -> None:
    ctx.session.count += 1


def test_a_handler_is_tested_in_three_lines() -> None:
    async def main() -> None:
        sessions = session(Pizza)

        ctx = FakeContext(chat_id=1)
        await sessions(ctx, on_pizza)
        assert (await sessions.get(1)).count == 1

    asyncio.run(main())


@pytest.mark.parametrize(
    ("key_function", "key"),
    [
        (keys.chat, "-100"),
        (keys.user, "3"),
        (keys.user_in_chat, "3/-100"),
        (keys.topic, "-100/t12"),
        (keys.user_in_topic, "3/-100/t12"),
        (keys.chat_or_user, "-100"),
        (keys.constant("all"), "all"),
    ],
)
def test_every_key_function_understands_it(key_function: Any, key: str) -> None:
    assert key_function(FakeContext(chat_id=-100, user_id=3, thread_id=12)) == key


def test_what_is_not_given_is_missing() -> None:
    ctx = FakeContext()

    key_functions = [keys.chat, keys.user, keys.user_in_chat, keys.topic, keys.chat_or_user]
    assert [key(ctx) for key in key_functions] == [None] * 5
    assert keys.why_no_key(keys.chat, ctx).startswith("FakeContext has no chat, so keys.chat gave")
    assert keys.chat_or_user(FakeContext(user_id=3)) == "3"


def test_it_takes_what_else_an_update_carries() -> None:
    business = FakeContext(chat_id=5, business_connection_id="x")
    raw = FakeContext(update={"update_id": 1, "message": {"chat": {"id": 7}}})

    assert keys.chat(business) == "bx/5"
    assert keys.chat(raw) == "7"


def test_it_has_what_the_handler_needs() -> None:
    async def handler(ctx: Framework) -> None:
        ctx.session.count += 1
        await ctx.reply("yummy")

    async def main() -> None:
        ctx = FakeContext(chat_id=1, reply=AsyncMock())

        await session(Pizza)(ctx, handler)

        ctx.reply.assert_awaited_once_with("yummy")

    asyncio.run(main())


def test_a_handler_can_be_called_without_sessions() -> None:
    ctx = FakeContext(chat_id=1, session=Pizza(count=4))

    asyncio.run(on_pizza(ctx))

    assert ctx.session.count == 5


def test_sessions_put_back_what_the_test_gave() -> None:
    given = Pizza(count=4)
    ctx = FakeContext(chat_id=1, session=given)

    asyncio.run(session(Pizza)(ctx, on_pizza))

    assert ctx.session is given
    assert given.count == 4


def test_lazy_and_multi_sessions_show_on_it() -> None:
    class Shop(MultiSession):
        cart = session(Pizza, prefix="cart:")

    shop, lazy = multi_session(Shop), lazy_session(Pizza)

    async def buy(ctx: FakeContext[Shop]) -> None:
        ctx.session.cart.count = 2

    async def read(ctx: FakeContext[LazyData[Pizza]]) -> int:
        return (await ctx.session).count

    async def main() -> None:
        await shop(FakeContext(chat_id=1), buy)

        assert (await Shop.cart.get(1)).count == 2
        assert await lazy(FakeContext(chat_id=1), read) == 0

    asyncio.run(main())


def test_a_session_under_another_name_shows_too() -> None:
    async def handler(ctx: FakeContext) -> None:
        ctx.memory.count = 3

    async def main() -> None:
        memory = session(Pizza, attribute="memory")

        await memory(FakeContext(chat_id=1), handler)

        assert (await memory.get(1)).count == 3

    asyncio.run(main())


def test_after_the_handler_it_says_where_the_data_is() -> None:
    ctx = FakeContext(chat_id=1)
    asyncio.run(session(Pizza)(ctx, on_pizza))

    with pytest.raises(AttributeError, match=r"look with await sessions\.get\(ctx\)"):
        _ = ctx.session


def test_what_the_handler_misses_is_named() -> None:
    with pytest.raises(AttributeError, match=r"has no 'text': give it one, FakeContext\(text="):
        _ = FakeContext().text


def test_it_shows_what_it_was_given() -> None:
    assert repr(FakeContext(chat_id=1, text="hi")) == "FakeContext(chat_id=1, text='hi')"


def test_it_can_be_copied() -> None:
    assert vars(copy.copy(FakeContext(chat_id=1, text="hi")))["text"] == "hi"


if TYPE_CHECKING:

    def check_what_checkers_infer(typed: FakeContext[Pizza]) -> None:
        assert_type(typed.session, Pizza)
        assert_type(FakeContext(chat_id=1, session=Pizza()).session, Pizza)
        assert_type(FakeContext(chat_id=1), FakeContext[Any])
        takes_a_framework: Framework = typed
        del takes_a_framework

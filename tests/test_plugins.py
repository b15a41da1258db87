"""``session_data`` gives the data whatever kind of session a bot has."""

from __future__ import annotations

from typing import Any

import pytest

from sessionkit import (
    MultiSession,
    NoSessionKeyError,
    SessionClosedError,
    SessionFlavor,
    keys,
    multi_session,
)
from sessionkit.adapters import session_data
from tests.contexts import NO_KEY, Ctx, Inline, lazy, run, strict, update


class FlavoredDict(dict[str, Any], SessionFlavor[Any]):
    chat = "1"


class Flavored(SessionFlavor[Any]):
    chat = "1"


def always_one(ctx: Any) -> str:
    return "1"


@pytest.mark.parametrize("make", [strict, lazy])
@pytest.mark.parametrize("ctx", [Ctx(), Flavored(), {"chat": "1"}, FlavoredDict(chat="1")])
def test_strict_and_lazy_sessions_give_their_data(make: Any, ctx: Any) -> None:
    sessions = make(get_session_key=always_one, initial=lambda: {"n": 1})

    async def plugin(ctx: Any) -> Any:
        (await session_data(ctx))["n"] += 1
        return await session_data(ctx)

    for number in (2, 3, 4):
        assert run(update(sessions, ctx, plugin)) == {"n": number}


def test_another_attribute_may_be_named() -> None:
    sessions = strict(attribute="memory")

    async def plugin(ctx: Any) -> Any:
        return await session_data(ctx, "memory")

    assert run(update(sessions, Ctx(), plugin)) == {}


@pytest.mark.parametrize("make", [strict, lazy])
def test_without_a_key_it_says_so(make: Any) -> None:
    with pytest.raises(NoSessionKeyError) as caught:
        run(update(make(get_session_key=keys.chat), Inline(), session_data))
    assert str(caught.value) == NO_KEY


def test_where_no_session_shows_it_raises_as_the_context_does() -> None:
    with pytest.raises(AttributeError):
        run(session_data(Ctx()))
    with pytest.raises(KeyError):
        run(session_data({}))
    with pytest.raises(SessionClosedError):
        run(session_data(Flavored()))


def test_of_a_multi_session_it_gives_the_fragments() -> None:
    class Shop(MultiSession):
        cart = strict()

    async def plugin(ctx: Any) -> Any:
        shop = await session_data(ctx)
        return shop.cart

    assert run(update(multi_session(Shop), Ctx(), plugin)) == {}

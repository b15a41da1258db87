"""A handler assigns and then fails: what is saved, and which error is seen."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sessionkit import MemorySessionStorage, lazy_session, multi_session, session


class Context:
    def __init__(self, chat_id: int | None) -> None:
        self.chat_id = chat_id


def no_or_chat(ctx: Context) -> int | None:
    return ctx.chat_id


async def assign_and_fail(ctx: Any) -> None:
    ctx.session = {"n": 1}
    raise ZeroDivisionError


@pytest.mark.parametrize("make", [session, lazy_session])
def test_without_a_key_the_handlers_error_is_seen_although_it_would_be_saved(make: Any) -> None:
    sessions = make(initial=dict, get_session_key=no_or_chat, save_on_error=True)

    with pytest.raises(ZeroDivisionError):
        asyncio.run(sessions(Context(None), assign_and_fail))


def test_fragments_assigned_at_once_are_saved_in_spite_of_an_error() -> None:
    storage = MemorySessionStorage()
    shop = multi_session(cart=session(dict, storage=storage, save_on_error=True))

    async def handler(ctx: Any) -> None:
        ctx.session = {"cart": {"n": 1}}
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        asyncio.run(shop(Context(7), handler))

    assert storage.read("7") == {"n": 1}


@pytest.mark.parametrize("value", [5, {"nonsense": {}}])
def test_nonsense_assigned_to_fragments_does_not_hide_the_handlers_error(value: Any) -> None:
    storage = MemorySessionStorage()
    shop = multi_session(cart=session(dict, storage=storage, save_on_error=True))

    async def handler(ctx: Any) -> None:
        ctx.session = value
        raise ZeroDivisionError

    async def careless(ctx: Any) -> None:
        ctx.session = value

    with pytest.raises(ZeroDivisionError):
        asyncio.run(shop(Context(7), handler))
    with pytest.raises((TypeError, AttributeError)):
        asyncio.run(shop(Context(7), careless))
    assert storage.read("7") is None

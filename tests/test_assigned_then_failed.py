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


def group(*errors: Exception) -> Exception:
    return ExceptionGroup("tasks", [ExceptionGroup("inside", list(errors))])


@pytest.mark.parametrize("kind", ["strict", "lazy", "multi"])
@pytest.mark.parametrize(
    ("types", "error", "saves"),
    [
        (ValueError, group(ValueError(), UnicodeError()), True),
        ((ValueError, KeyError), group(ValueError(), KeyError()), True),
        (ValueError, group(ValueError(), KeyError()), False),
        (KeyError, group(ValueError()), False),
        (True, group(ValueError()), True),
        (True, BaseExceptionGroup("tasks", [asyncio.CancelledError()]), True),
        (True, BaseExceptionGroup("tasks", [KeyboardInterrupt()]), False),
        (False, group(ValueError()), False),
    ],
)
def test_a_group_of_errors_counts_as_what_all_of_them_are(
    kind: str, types: Any, error: BaseException, *, saves: bool
) -> None:
    storage = MemorySessionStorage()
    options: Any = {"storage": storage, "save_on_error": types}
    make: Any = lazy_session if kind == "lazy" else session
    made = make(dict, **options)
    sessions: Any = multi_session(cart=made) if kind == "multi" else made

    async def handler(ctx: Any) -> None:
        ctx.session = {"cart": {"n": 1}} if kind == "multi" else {"n": 1}
        raise error

    with pytest.raises(type(error)):
        asyncio.run(sessions(Context(7), handler))
    assert storage.read("7") == ({"n": 1} if saves else None)

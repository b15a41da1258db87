"""What key functions may give, and what an update without a key meets."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sessionkit import InvalidSessionKeyError, NoSessionKeyError, keys
from tests.contexts import (
    NO_KEY,
    Ctx,
    Inline,
    Spy,
    assert_nothing_left,
    by_chat,
    lazy,
    run,
    strict,
    update,
)
from tests.test_middleware import count


@pytest.fixture(params=[strict, lazy])
def make(request: pytest.FixtureRequest) -> Any:
    return request.param


async def async_key(ctx: Any) -> Any:
    await asyncio.sleep(0)
    return ctx.chat


class Text(str):
    __slots__ = ()


@pytest.mark.parametrize("get_key", [by_chat, async_key])
@pytest.mark.parametrize(
    ("chat", "key"), [("1", "1"), (2, "2"), (-100, "-100"), (0, "0"), (Text("t"), "t")]
)
def test_keys_are_text_or_numbers(make: Any, get_key: Any, chat: Any, key: str) -> None:
    storage = Spy()
    sessions = make(storage=storage, get_session_key=get_key, prefix="p-")

    async def handler(ctx: Any) -> None:
        assert sessions.of(ctx).key == key
        assert type(sessions.of(ctx).key) is str
        ctx.session = {"n": 1}

    for _ in range(3):
        run(update(sessions, Ctx(chat), handler))
    assert storage.data == {f"p-{key}": {"n": 1}}
    assert_nothing_left(sessions)


@pytest.mark.parametrize("get_key", [by_chat, async_key])
@pytest.mark.parametrize("chat", ["", True, 1.0, b"1", ["1"]])
def test_what_is_not_a_key_is_refused_before_the_handler(
    make: Any, get_key: Any, chat: Any
) -> None:
    storage = Spy()
    sessions = make(storage=storage, get_session_key=get_key)
    what = "empty" if chat == "" else f"{chat!r} ({type(chat).__name__})"

    for _ in range(3):
        with pytest.raises(InvalidSessionKeyError) as caught:
            run(update(sessions, Ctx(chat), count))
        assert str(caught.value) == (
            f"a session key must be a non-empty str or an int, and this one is {what}; "
            "a key function returns None where there is no session"
        )
    assert storage.log == []
    assert_nothing_left(sessions)


def failing_key(ctx: Any) -> Any:
    raise LookupError("no such chat")


async def failing_async_key(ctx: Any) -> Any:
    raise LookupError("no such chat")


@pytest.mark.parametrize("get_key", [failing_key, failing_async_key])
def test_a_failing_key_function_is_raised_before_the_handler(make: Any, get_key: Any) -> None:
    storage = Spy()
    sessions = make(storage=storage, get_session_key=get_key)

    for _ in range(3):
        with pytest.raises(LookupError, match="no such chat"):
            run(update(sessions, Ctx(), count))
    assert storage.log == []
    assert_nothing_left(sessions)


@pytest.mark.parametrize("get_key", [by_chat, async_key])
def test_without_a_key_handlers_run_and_nothing_is_read(make: Any, get_key: Any) -> None:
    storage = Spy()
    sessions = make(storage=storage, get_session_key=get_key)

    async def handler(ctx: Any) -> str:
        opened = sessions.of(ctx)
        assert opened.key is None
        assert not opened.has_key
        with pytest.raises(NoSessionKeyError):
            await count(ctx)
        return "ran"

    for _ in range(3):
        assert run(update(sessions, Ctx(None), handler)) == "ran"
    assert storage.log == []
    assert_nothing_left(sessions)


def test_without_a_key_every_verb_tells_why() -> None:
    sessions = strict(get_session_key=keys.chat)

    async def handler(ctx: Any) -> None:
        opened = sessions.of(ctx)
        assert repr(opened) == "<Session None, without a key>"
        for verb in (opened.save, opened.reload, opened.revert, opened.reset, opened.paused):
            with pytest.raises(NoSessionKeyError) as caught:
                result = verb()
                await result
            assert str(caught.value) == NO_KEY

    run(update(sessions, Inline(), handler))

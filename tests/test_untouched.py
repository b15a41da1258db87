"""A lazy session on a plain object, until somebody looks at it: express leaves all undone."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from sessionkit import LazySessionFlavor, NoSessionKeyError, SessionClosedError, keys
from tests.contexts import Ctx, Spy, assert_nothing_left, by_chat, lazy, run, update


class Counting:
    """A context that counts how often it is asked where it came from."""

    session: Any

    def __init__(self) -> None:
        self.asked = 0

    @property
    def chat_id(self) -> int:
        self.asked += 1
        return 1

    @property
    def user_id(self) -> int:
        self.asked += 1
        return 1


class UnreadableError(Exception):
    pass


class Unreadable:
    session: Any

    @property
    def chat_id(self) -> int:
        raise UnreadableError


class Anonymous:
    session: Any


def nothing(ctx: Any) -> None:
    pass


PURE = (
    keys.chat,
    keys.chat_or_user,
    keys.topic,
    keys.user,
    keys.user_in_chat,
    keys.user_in_topic,
)


@pytest.mark.parametrize("get_key", PURE)
def test_functions_of_keys_are_asked_when_somebody_looks(get_key: Any) -> None:
    sessions = lazy(get_session_key=get_key)
    asked: list[int] = []

    async def looking(ctx: Any) -> None:
        asked.append(ctx.asked)
        await ctx.session
        asked.append(ctx.asked)
        await sessions.of(ctx).save()
        asked.append(ctx.asked)

    untouched = Counting()
    run(update(sessions, untouched, nothing))
    assert untouched.asked == 0

    run(update(sessions, Counting(), looking))
    before, once, again = asked
    assert before == 0 < once == again


@pytest.mark.parametrize("get_key", [by_chat, keys.constant("1")])
def test_other_functions_are_asked_before_the_handler(get_key: Any) -> None:
    asked: list[Any] = []

    def counted(ctx: Any) -> Any:
        asked.append(ctx)
        return get_key(ctx)

    sessions = lazy(get_session_key=counted)
    ctx = Ctx()

    run(update(sessions, ctx, lambda ctx: asked.append("handler")))

    assert asked == [ctx, "handler"]


def test_the_key_is_known_however_late_it_is_asked_for() -> None:
    sessions = lazy(get_session_key=keys.chat)
    kept: list[Any] = []

    def handler(ctx: Any) -> None:
        kept.append(ctx.session)

    run(update(sessions, Counting(), handler))

    assert kept[0].has_key
    assert kept[0].key == "1"
    assert repr(kept[0]) == "<LazySession '1', closed>"
    with pytest.raises(SessionClosedError, match="the update that owned '1' has ended"):
        run(kept[0]._get())


def test_the_key_is_asked_for_once() -> None:
    sessions = lazy(get_session_key=keys.chat)

    def handler(ctx: Any) -> None:
        assert ctx.session.key == "1"
        asked = ctx.asked
        assert ctx.session.key == "1"
        assert ctx.asked == asked

    run(update(sessions, Counting(), handler))


def test_without_a_key_it_says_so_as_soon_as_it_is_looked_at() -> None:
    sessions = lazy(get_session_key=keys.chat)
    kept: list[Any] = []

    async def handler(ctx: Any) -> None:
        kept.append(ctx.session)
        assert repr(ctx.session) == "<LazySession None, without a key>"
        assert not ctx.session.has_key
        with pytest.raises(NoSessionKeyError):
            await ctx.session

    run(update(sessions, Anonymous(), handler))
    run(update(sessions, Anonymous(), nothing))
    with pytest.raises(NoSessionKeyError):
        run(kept[0]._get())
    assert_nothing_left(sessions)


def test_without_a_key_the_handlers_own_error_goes_first() -> None:
    sessions = lazy(get_session_key=keys.chat, save_on_error=True)

    async def handler(ctx: Any) -> None:
        ctx.session = {"n": 1}
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        run(update(sessions, Anonymous(), handler))
    assert_nothing_left(sessions)


async def look(ctx: Any) -> None:
    await ctx.session


async def assign(ctx: Any) -> None:
    ctx.session = {"n": 1}


async def delete(ctx: Any) -> None:
    del ctx.session


@pytest.mark.parametrize("handler", [look, assign, delete])
def test_a_failing_key_leaves_the_context_as_it_was(handler: Any) -> None:
    sessions = lazy(get_session_key=keys.chat)
    ctx = Unreadable()

    run(update(sessions, ctx, nothing))
    with pytest.raises(UnreadableError):
        run(update(sessions, ctx, handler))

    assert not vars(ctx)
    assert_nothing_left(sessions)


@pytest.mark.parametrize("options", [{}, {"save_on_error": True}])
def test_a_handler_that_fails_untouched_asks_for_no_key(options: Any) -> None:
    sessions = lazy(get_session_key=keys.chat, **options)
    ctx = Unreadable()

    async def handler(ctx: Any) -> None:
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        run(update(sessions, ctx, handler))

    assert not vars(ctx)
    assert_nothing_left(sessions)


# Found on its context


def nested_in(sessions: Any, inner: Callable[[Any], Any]) -> Callable[[Any], Any]:
    async def handler(ctx: Any) -> Any:
        return await update(sessions, ctx, inner)

    return handler


@pytest.mark.parametrize("change", [assign, delete, nothing])
def test_it_is_found_whatever_became_of_the_attribute(change: Any) -> None:
    sessions = lazy()

    async def handler(ctx: Any) -> None:
        mine = ctx.session
        if (changing := change(ctx)) is not None:
            await changing
        async with sessions.open(ctx) as opened:
            assert opened is mine
        assert await asyncio.to_thread(sessions.of, ctx) is mine
        await update(sessions, ctx, lambda ctx: seen.append(sessions.of(ctx) is mine))

    seen: list[bool] = []
    run(update(sessions, Ctx(), handler))

    assert seen == [True]
    assert_nothing_left(sessions)


def test_after_a_deletion_a_nested_update_goes_on_with_it() -> None:
    storage = Spy(_1={"n": 1})
    sessions = lazy(storage=storage)

    async def handler(ctx: Any) -> None:
        del ctx.session
        await update(sessions, ctx, assign_two)

    async def assign_two(ctx: Any) -> None:
        ctx.session = {"n": 2}

    run(update(sessions, Ctx(), handler))

    assert storage.data == {"1": {"n": 2}}
    assert storage.counts == "R0 W1 D0"


def test_others_on_the_same_attribute_do_not_take_it_for_theirs() -> None:
    storage = Spy(_1={"n": 1}, _b1={"n": 1})
    first, second = lazy(storage=storage), lazy(storage=storage, prefix="b")

    async def handler(ctx: Any) -> None:
        mine = ctx.session
        del ctx.session
        with pytest.raises(SessionClosedError):
            second.of(ctx)
        await update(second, ctx, assign)
        assert first.of(ctx) is mine

    run(update(first, Ctx(), handler))

    assert storage.data == {"b1": {"n": 1}}
    assert_nothing_left(first, second)


def test_a_copy_of_the_context_is_another_context() -> None:
    sessions = lazy()

    async def handler(ctx: Any) -> None:
        twin = copy.copy(ctx)
        with pytest.raises(SessionClosedError):
            sessions.of(twin)
        async with sessions.open(twin) as opened:
            assert opened is not ctx.session
        assert sessions.of(ctx) is ctx.session

    run(update(sessions, Ctx(), handler))
    assert_nothing_left(sessions)


def test_it_can_be_held_beyond_whoever_joined_it() -> None:
    storage = Spy(_1={"n": 1})
    sessions = lazy(storage=storage)

    async def handler(ctx: Any) -> None:
        opening = sessions.open(ctx)
        await opening.begin()
        async with opening.hold():
            (await ctx.session)["n"] = 2
        await opening.close()

    run(update(sessions, Ctx(), handler))

    assert storage.data == {"1": {"n": 2}}
    assert_nothing_left(sessions)


# Where nothing goes by express


class Asked(Mapping[str, Any]):
    """An update that counts how often it is asked; it takes no session."""

    def __init__(self, chat: int = 1) -> None:
        message = {"chat": {"id": chat}, "from": {"id": 1}}
        self.raw: dict[str, Any] = {"update_id": 1, "message": message}
        self.asked = 0

    def __getitem__(self, name: str) -> Any:
        self.asked += 1
        return self.raw[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.raw)

    def __len__(self) -> int:
        return len(self.raw)


class Flavored(LazySessionFlavor[Any]):
    def __init__(self, update: Asked) -> None:
        self.update = update


async def opened_in_a_loop(sessions: Any, asked: Asked, look: Any) -> None:
    async with sessions.open(asked) as opened:
        await look(opened)


async def in_an_item(sessions: Any, asked: Asked, look: Any) -> None:
    await update(sessions, {"update": asked}, lambda ctx: look(ctx["session"]))


async def on_a_property(sessions: Any, asked: Asked, look: Any) -> None:
    await update(sessions, Flavored(asked), lambda ctx: look(ctx.session))


@pytest.mark.parametrize("get_key", PURE)
@pytest.mark.parametrize("way", [opened_in_a_loop, in_an_item, on_a_property])
def test_functions_of_keys_are_asked_late_by_other_ways_too(way: Any, get_key: Any) -> None:
    sessions = lazy(get_session_key=get_key)

    async def not_looking(session: Any) -> None:
        assert asked.asked == 0

    async def looking(session: Any) -> None:
        await not_looking(session)
        await session
        assert asked.asked > 0
        assert session.key

    asked = Asked()
    run(way(sessions, asked, not_looking))
    assert asked.asked == 0
    run(way(sessions, asked, looking))
    assert_nothing_left(sessions)


def test_functions_of_keys_are_asked_late_in_threads_too() -> None:
    sessions = lazy(get_session_key=keys.chat)
    asked = Asked()

    with sessions.open(asked):
        assert asked.asked == 0
    with sessions.open(asked) as opened:
        opened.data["n"] = 1
    with sessions.open(1) as opened:
        assert opened.key == "1"
        assert opened.data == {"n": 1}


def test_a_key_given_by_hand_is_known() -> None:
    sessions = lazy(get_session_key=keys.chat)
    asked = Asked()

    async def main() -> None:
        async with sessions.open(asked) as opened, sessions.open("2") as other:
            assert (other.key, opened.key) == ("2", "1")

    run(main())


def by_chat_of_my_own(ctx: Any) -> str | None:
    return keys.chat(ctx)


def by_async_chat(ctx: Any) -> Any:
    async def found() -> Any:
        return keys.chat(ctx)

    return found()


@pytest.mark.parametrize("get_key", [by_chat_of_my_own, by_async_chat])
def test_functions_of_the_users_own_are_asked_before_by_other_ways_too(get_key: Any) -> None:
    sessions = lazy(get_session_key=get_key)

    for way in (opened_in_a_loop, in_an_item, on_a_property):
        asked = Asked()
        seen: list[int] = []

        async def look(session: Any, asked: Asked = asked, seen: list[int] = seen) -> None:
            seen.append(asked.asked)
            assert session.key == "1"

        run(way(sessions, asked, look))
        assert seen[0] > 0


# Chats that move


@pytest.mark.parametrize("way", [opened_in_a_loop, in_an_item, on_a_property])
def test_the_key_of_a_chat_that_moved_is_the_new_one(way: Any) -> None:
    sessions = lazy(get_session_key=keys.chat)

    async def look(session: Any) -> None:
        assert session.key == "-1001"
        assert await session == {"n": 5}

    async def main() -> None:
        await update(sessions, {"chat_id": -1001}, fill)
        await sessions.move_chat(-55, -1001)
        await way(sessions, Asked(-55), look)

    async def fill(ctx: Any) -> None:
        ctx["session"] = {"n": 5}

    run(main())


def test_by_express_too() -> None:
    sessions = lazy(get_session_key=keys.chat)
    seen: list[str] = []

    async def main() -> None:
        await sessions.move_chat(1, -1001)
        await update(sessions, Counting(), lambda ctx: seen.append(ctx.session.key))

    run(main())
    assert seen == ["-1001"]


def test_whoever_asks_before_the_move_goes_on_in_the_new_chat() -> None:
    sessions = lazy(get_session_key=keys.chat)

    async def main() -> None:
        async with sessions.open(Asked(-55)) as opened:
            assert opened.key == "-55"
            await sessions.move_chat(-55, -1001)
            await opened
            assert opened.key == "-1001"

    run(main())

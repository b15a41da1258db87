"""Groups that become supergroups: their sessions follow, and so do updates under way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from sessionkit import (
    MemorySessionStorage,
    MultiSession,
    SessionConflictError,
    keys,
    lazy_session,
    multi_session,
    session,
)
from tests.core import Data, Live, counters, free, run

OLD, NEW = -55, -1001


def added(theirs: Data, mine: Data) -> Data:
    return {"n": theirs["n"] + mine["n"]}


def message(chat: int, user: int = 3) -> dict[str, Any]:
    return {"update_id": 1, "message": {"chat": {"id": chat}, "from": {"id": user}}}


async def keys_in(sessions: Any) -> set[str]:
    return {key async for key in sessions.keys()}  # noqa: SIM118 (they are not a mapping)


def by_room(ctx: Any) -> Any:
    return ctx["room"]


async def add_one(ctx: Any) -> None:
    ctx["session"]["n"] += 1


def test_a_chat_takes_its_session_along(storage: Any) -> None:
    async def main() -> None:
        sessions = counters(storage, prefix="p-")
        storage.sync.write("p--55", {"n": 5})
        assert await sessions.move_chat(OLD, NEW) == 1
        assert storage.sync.read("p--55") is None
        assert storage.sync.read("p--1001") == {"n": 5}
        assert await sessions.move_chat(OLD, NEW) == 0
        assert free(sessions)

    run(main())


def test_the_sessions_of_its_users_come_along(storage: Any) -> None:
    async def main() -> None:
        sessions = counters(storage, get_session_key=keys.user_in_chat)
        for key in ("3/-55", "7/-55", "3/-66", "-55"):
            storage.sync.write(key, {"n": 5})
        assert await sessions.move_chat(OLD, NEW) == 3
        assert await keys_in(sessions) == {"3/-1001", "7/-1001", "3/-66", "-1001"}

    run(main())


def test_without_listing_only_the_chat_itself_is_found() -> None:
    storage = Live(**{"-55": {"n": 5}, "3/-55": {"n": 5}})
    sessions = counters(storage, get_session_key=keys.user_in_chat)

    assert run(sessions.move_chat(OLD, NEW)) == 1
    assert storage.values.keys() == {"-1001", "3/-55"}


def test_nothing_is_listed_where_a_chat_has_one_session() -> None:
    class Unlisted(MemorySessionStorage):
        def iter_keys(self, prefix: str = "", /) -> Any:
            raise AssertionError("listed")

    storage = Unlisted()
    storage.write("-55", {"n": 5})

    assert run(counters(storage, get_session_key=keys.chat).move_chat(OLD, NEW)) == 1


def test_where_both_chats_have_data_it_is_merged(storage: Any) -> None:
    async def main() -> None:
        sessions = counters(storage)
        storage.sync.write("-55", {"n": 5})
        storage.sync.write("-1001", {"n": 1})
        with pytest.raises(SessionConflictError, match="both have data"):
            await sessions.move_chat(OLD, NEW)
        assert storage.sync.read("-55") == {"n": 5}
        assert await sessions.move_chat(OLD, NEW, added) == 1
        assert storage.sync.read("-1001") == {"n": 6}

    run(main())


def test_one_conflict_keeps_nobody_else_behind(storage: Any) -> None:
    async def main() -> None:
        sessions = counters(storage, get_session_key=keys.user_in_chat)
        for key in ("3/-55", "7/-55", "3/-1001"):
            storage.sync.write(key, {"n": 5})
        with pytest.raises(SessionConflictError, match="3/-55"):
            await sessions.move_chat(OLD, NEW)
        assert await keys_in(sessions) == {"3/-55", "7/-1001", "3/-1001"}

    run(main())


@pytest.mark.parametrize("make", [session, lazy_session])
@pytest.mark.parametrize("key", [keys.chat, keys.user_in_chat])
def test_an_update_of_the_old_chat_goes_on_in_the_new_one(
    make: Callable[..., Any], key: Callable[[Any], str | None]
) -> None:
    async def handler(ctx: Any) -> None:
        data = ctx["session"]
        data = await data if make is lazy_session else data
        data["n"] += 1

    async def main() -> None:
        old_key, new_key = key(message(OLD)), key(message(NEW))
        sessions = make(
            storage=MemorySessionStorage(), get_session_key=key, initial=lambda: {"n": 0}
        )
        sessions.storage.write(old_key, {"n": 5})
        await sessions.move_chat(OLD, NEW)
        await sessions(message(OLD), handler)
        async with sessions.open(message(OLD)) as opened:
            assert opened.key == new_key
        assert await sessions.get(message(OLD)) == {"n": 6}
        assert await keys_in(sessions) == {new_key}
        assert free(sessions)

    run(main())


@pytest.mark.parametrize("old", [-55, -10], ids=["new key locked first", "old key locked first"])
def test_updates_behind_the_move_in_the_queue_follow(old: int) -> None:
    """They had the key of the old chat already when it moved."""

    async def main() -> None:
        sessions = counters(MemorySessionStorage(), get_session_key=keys.chat)
        sessions.storage.write(str(old), {"n": 5})
        pair = multi_session(counts=sessions)

        async def add_in_pair(ctx: Any) -> None:
            ctx["session"].counts["n"] += 1

        async with sessions.open(old) as held:
            moving = asyncio.ensure_future(sessions.move_chat(old, NEW))
            await asyncio.sleep(0)
            waiting = [
                asyncio.ensure_future(sessions(message(old), add_one)),
                asyncio.ensure_future(pair(message(old), add_in_pair)),
            ]
            for _ in range(20):
                await asyncio.sleep(0)
            held.data["n"] += 10
        assert await moving == 1
        await asyncio.gather(*waiting)
        assert dict(sessions.storage.iter_items("")) == {"-1001": {"n": 17}}
        assert free(sessions)

    run(main())


def test_a_key_given_by_hand_is_taken_as_it_is() -> None:
    async def main() -> None:
        sessions = counters(MemorySessionStorage(), get_session_key=keys.chat)
        await sessions.move_chat(OLD, NEW)
        async with sessions.open(OLD) as opened:
            opened.data["n"] += 1
        assert sessions.storage.read("-55") == {"n": 1}

    run(main())


def test_keys_of_other_kinds_stay_what_they_are() -> None:
    async def main() -> None:
        sessions = counters(MemorySessionStorage(), get_session_key=by_room)
        await sessions.move_chat(OLD, NEW)
        for room in ("lobby", "-56"):
            await sessions({"room": room}, add_one)
        assert await keys_in(sessions) == {"lobby", "-56"}

    run(main())


def test_moving_back_and_forth_ends() -> None:
    async def main() -> None:
        sessions = counters(MemorySessionStorage(), get_session_key=keys.chat)
        await sessions(message(OLD), add_one)
        for old, new in ((OLD, NEW), (NEW, OLD), (OLD, NEW)):
            assert await sessions.move_chat(old, new) == 1
            await sessions(message(OLD), add_one)
            await sessions(message(NEW), add_one)
        assert dict(sessions.storage.iter_items("")) == {"-1001": {"n": 7}}

    run(main())


def test_sessions_over_another_storage_know_nothing_of_it() -> None:
    async def main() -> None:
        sessions = counters(MemorySessionStorage(), get_session_key=keys.chat)
        await sessions.move_chat(OLD, NEW)
        others = sessions.with_storage(MemorySessionStorage())
        async with others.open(message(OLD)) as opened:
            assert opened.key == "-55"

    run(main())


def test_in_threads(storage: Any) -> None:
    sessions = counters(storage, get_session_key=keys.chat)
    storage.sync.write("-55", {"n": 5})

    assert sessions.sync.move_chat(OLD, NEW) == 1
    with sessions.open(message(OLD)) as opened:
        opened.data["n"] += 1
    assert storage.sync.read("-1001") == {"n": 6}


def test_fragments_follow_one_by_one() -> None:
    class Shop(MultiSession):
        cart = session(dict[str, int], get_session_key=keys.chat, prefix="cart:")
        prefs = lazy_session(dict[str, int], get_session_key=keys.user_in_chat, prefix="prefs:")

    async def handler(ctx: Any) -> None:
        ctx["session"].cart["n"] = 1
        ctx["session"].prefs = {"n": 2}

    async def main() -> None:
        shop = multi_session(Shop)
        await shop(message(OLD), handler)
        for fragment in (Shop.cart, Shop.prefs):
            assert await fragment.move_chat(OLD, NEW) == 1
        async with shop.open(message(OLD)) as opened:
            assert opened.cart == {"n": 1}
            assert await opened.prefs == {"n": 2}

    run(main())


class Group:
    """A plain context."""

    session: Any

    def __init__(self, chat_id: int) -> None:
        self.chat_id = chat_id


async def add_one_here(ctx: Group) -> None:
    ctx.session["n"] += 1


@pytest.mark.parametrize("blocking", [False, True])
def test_updates_of_plain_contexts_follow_too(*, blocking: bool) -> None:
    async def main() -> None:
        for chat in (OLD, OLD, OLD):
            await sessions(Group(chat), add_one_here)
        if not blocking:
            await sessions.move_chat(OLD, NEW)

    async def after() -> None:
        for chat in (OLD, NEW, OLD):
            await sessions(Group(chat), add_one_here)

    sessions = counters(MemorySessionStorage(), get_session_key=keys.chat)
    run(main())
    if blocking:
        sessions.sync.move_chat(OLD, NEW)
    run(after())
    assert dict(sessions.storage.iter_items("")) == {"-1001": {"n": 6}}


def test_a_user_without_a_session_in_the_old_chat_begins_in_the_new_one() -> None:
    async def main() -> None:
        sessions = counters(MemorySessionStorage(), get_session_key=keys.user_in_chat)
        await sessions.move_chat(OLD, NEW)
        await sessions(message(OLD, user=9), add_one)
        assert await keys_in(sessions) == {"9/-1001"}

    run(main())


def test_a_lazy_session_opened_before_the_move_and_read_after_it_follows() -> None:
    async def main() -> None:
        sessions = lazy_session(
            initial=lambda: {"n": 0}, storage=MemorySessionStorage(), get_session_key=keys.chat
        )
        sessions.storage.write("-55", {"n": 5})
        async with sessions.open(message(OLD)) as opened:
            await sessions.move_chat(OLD, NEW)
            assert await opened == {"n": 5}
            assert opened.key == "-1001"

    run(main())

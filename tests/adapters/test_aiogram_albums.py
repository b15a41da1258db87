"""Albums: many updates, one call of a handler, one session."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from aiogram import Bot, Dispatcher, F

from sessionkit import MemorySessionStorage, keys
from sessionkit_aiogram import FSMStorage, gather_albums, install
from tests.adapters.driver import CHAT, TOKEN, Raw, inline_query, message
from tests.contexts import Spy
from tests.core import Oops, counters

if TYPE_CHECKING:
    from aiogram.types import Message

counting = partial(counters, get_session_key=keys.chat)
gather = partial(gather_albums, wait=0.01)


def photos(*numbers: int, group: str = "g", chat: int = CHAT) -> list[Raw]:
    """Messages of one album, by their numbers."""
    made = [message(chat=chat, media_group_id=group) for _ in numbers]
    for each, number in zip(made, numbers, strict=True):
        each["message"]["message_id"] = number
    return made


async def feed(dp: Dispatcher, *updates: Raw) -> list[Any]:
    """Dispatch all at once, as polling does."""
    async with Bot(TOKEN).context() as bot:
        fed = (dp.feed_raw_update(bot, update) for update in updates)
        return await asyncio.gather(*fed, return_exceptions=True)


def taking(dp: Dispatcher) -> list[list[int]]:
    """Let a handler take albums; return what is to hold the numbers of each."""
    taken: list[list[int]] = []

    async def take(message: Message, album: list[Message], session: Any) -> None:
        assert album[0] is message
        taken.append([each.message_id for each in album])
        session.data["n"] += len(album)

    dp.message.register(take)
    return taken


@pytest.mark.parametrize("first", [True, False])
def test_an_album_is_one_update_with_one_session(first: bool) -> None:
    spy, fsm = Spy(), FSMStorage(MemorySessionStorage())
    dp = Dispatcher(storage=fsm, events_isolation=fsm.create_isolation())
    if first:
        gather(dp)
    install(dp, counting(spy))
    if not first:
        gather(dp)
    taken = taking(dp)

    asyncio.run(feed(dp, *photos(3, 1, 4, 2), photos(1)[0]))  # one comes twice

    assert taken == [[1, 2, 3, 4]]
    assert spy.log == ["R 11", "W 11"]


def test_albums_and_chats_are_distinguished() -> None:
    dp = Dispatcher()
    install(dp, sessions := counting())
    gather(dp)
    taken = taking(dp)

    asyncio.run(
        feed(dp, *photos(1, 2), *photos(3, 4, group="h"), *photos(1, 2, chat=5), message(chat=5))
    )

    assert sorted(taken)[:3] == [[1, 2], [1, 2], [3, 4]]
    assert len(taken) == 4
    assert asyncio.run(sessions.get(CHAT)) == {"n": 4}
    assert asyncio.run(sessions.get(5)) == {"n": 3}


def test_a_full_album_waits_for_nothing_more() -> None:
    dp = Dispatcher()
    install(dp, counting())
    gather_albums(dp, wait=3600)
    taken = taking(dp)

    asyncio.run(asyncio.wait_for(feed(dp, *photos(*range(10))), 30))

    assert taken == [list(range(10))]


def test_what_has_no_message_passes() -> None:
    dp = Dispatcher()
    gather(dp)
    seen: list[str] = []

    async def note(query: Any) -> None:
        seen.append(query.id)

    dp.inline_query.register(note)
    asyncio.run(feed(dp, inline_query()))

    assert len(seen) == 1


def test_all_updates_of_an_album_fail_with_it() -> None:
    """So that a web hook which answers with an error gets all of them again."""
    dp = Dispatcher()
    install(dp, sessions := counting())
    gather(dp)

    async def fail(message: Message, session: Any) -> None:
        session.data["n"] += 1
        raise Oops

    dp.message.register(fail, F.media_group_id)
    errors = asyncio.run(feed(dp, *photos(1, 2, 3)))

    assert [type(error) for error in errors] == [Oops] * 3
    assert asyncio.run(sessions.get(CHAT)) == {"n": 0}


def test_an_album_that_is_cancelled_leaves_nothing_behind() -> None:
    dp = Dispatcher()
    gather_albums(dp, wait=3600)

    async def main() -> None:
        async with Bot(TOKEN).context() as bot:
            tasks = [asyncio.create_task(dp.feed_raw_update(bot, each)) for each in photos(1, 2)]
            await asyncio.sleep(0.01)
            tasks[0].cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            assert [type(error) for error in ended] == [asyncio.CancelledError] * 2
        albums: Any = dp.update.outer_middleware[0]
        assert albums._gathering == {}

    asyncio.run(main())


def test_the_name_can_be_another_if_it_is_free() -> None:
    dp = Dispatcher(photos="from a service")
    install(dp, counting())
    for name in ("photos", "session", "state"):
        with pytest.raises(ValueError, match="is taken"):
            gather_albums(dp, name=name)
    gather(dp, name="pictures")
    seen: list[int] = []

    async def note(message: Message, pictures: list[Message]) -> None:
        seen.append(len(pictures))

    dp.message.register(note)
    asyncio.run(feed(dp, *photos(1, 2)))

    assert seen == [2]

"""Which of the stored keys belong to one chat or user."""

from __future__ import annotations

import asyncio

import pytest

from sessionkit import MemorySessionStorage, Sessions, session

STORED = ("-100", "3/-100", "3/-100/t12", "-200", "global", "b7/3/-100")


def sessions_over(keys: tuple[str, ...]) -> Sessions[int]:
    storage = MemorySessionStorage()
    for key in keys:
        storage.write(f"count-{key}", 1)
    return session(int, storage=storage, prefix="count-")


async def keys_of(
    sessions: Sessions[int], chat: int | None = None, user: int | None = None
) -> set[str]:
    keys = {key async for key in sessions.keys(chat=chat, user=user)}
    assert {key async for key, _ in sessions.items(chat=chat, user=user)} == keys
    return keys


@pytest.mark.parametrize(
    ("chat", "user", "expected"),
    [
        (-100, None, {"-100", "3/-100", "3/-100/t12", "b7/3/-100"}),
        (None, 3, {"3/-100", "3/-100/t12", "b7/3/-100"}),
        (-200, 3, set[str]()),
        (None, None, set(STORED)),
    ],
)
def test_keys_that_name_no_chat_are_left_out_where_one_is_asked_for(
    chat: int | None, user: int | None, expected: set[str]
) -> None:
    assert asyncio.run(keys_of(sessions_over(STORED), chat, user)) == expected


def test_a_number_alone_is_a_private_chat_and_its_user() -> None:
    sessions = sessions_over(("3", "-3", "3/-100", "4"))

    assert asyncio.run(keys_of(sessions, user=3)) == {"3", "3/-100"}
    assert asyncio.run(keys_of(sessions, chat=3)) == {"3"}
    assert asyncio.run(keys_of(sessions, user=-3)) == set()


def test_the_chat_of_a_guest_is_neither_the_bot_s_own_nor_a_user() -> None:
    sessions = sessions_over(("g/5", "g/3/5", "@42/5", "@42/g/5"))

    assert asyncio.run(keys_of(sessions, chat=5)) == {"@42/5"}
    assert asyncio.run(keys_of(sessions, user=5)) == {"@42/5"}
    assert asyncio.run(keys_of(sessions, user=3)) == {"g/3/5"}

"""No update is lost: in one process, among threads and loops, among processes."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import product, starmap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sessionkit import LazySessions, Sessions, lazy_session, session
from tests import counting_worker
from tests.core import Ctx, by_chat, zero
from tests.counting_worker import add
from tests.profiles import thorough

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

TOTAL = 2000
IN_FLIGHT = 64
CHATS = 8

Kind = Sessions[dict[str, int]] | LazySessions[dict[str, int]]


async def handle(ctx: Any) -> None:
    ctx.session["n"] += 1


async def handle_lazily(ctx: Any) -> None:
    data = await ctx.session
    data["n"] += 1


def ways(storage: Any) -> dict[str, tuple[Kind, Callable[[int], Awaitable[Any]]]]:
    """Every way of counting one up."""
    strict = session(initial=zero, storage=storage, get_session_key=by_chat)
    lazy = lazy_session(initial=zero, storage=storage, get_session_key=by_chat)

    async def by_open(chat: int) -> None:
        async with strict.open(chat) as opened:
            opened.data["n"] += 1

    return {
        "strict": (strict, lambda chat: strict(Ctx(chat), handle)),
        "lazy": (lazy, lambda chat: lazy(Ctx(chat), handle_lazily)),
        "update": (strict, lambda chat: strict.update(chat, add)),
        "open": (strict, by_open),
    }


async def count(way: Callable[[int], Awaitable[Any]], times: int) -> None:
    """Count *times* up, with 64 updates under way at a time."""
    numbers = iter(range(times))

    async def work() -> None:
        for number in numbers:
            await way(number % CHATS)

    await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))


async def stored(sessions: Kind, chats: int = CHATS) -> int:
    return sum([(await sessions.get(chat))["n"] for chat in range(chats)])


@pytest.mark.parametrize("way", ["strict", "lazy", "update", "open"])
def test_2000_increments_with_64_in_flight_are_2000(storage: Any, way: str) -> None:
    async def main() -> None:
        sessions, one = ways(storage)[way]
        await count(one, TOTAL)
        assert await stored(sessions) == TOTAL
        assert not sessions._settings.locks.held

    asyncio.run(main())


def test_all_ways_at_once_exclude_each_other(storage: Any) -> None:
    async def main() -> None:
        together = ways(storage)
        await asyncio.gather(*(count(one, 200) for _, one in together.values()))
        assert await stored(together["strict"][0]) == 200 * len(together)

    asyncio.run(main())


def test_threads_and_loops_exclude_each_other(storage: Any) -> None:
    together = ways(storage)
    strict, way = together["strict"]

    def in_loop() -> None:
        asyncio.run(count(way, 200))

    def in_thread() -> None:
        for number in range(200):
            if number % 2:
                strict.sync.update(number % CHATS, add)
            else:
                with strict.open(number % CHATS) as opened:
                    opened.data["n"] += 1

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(job) for job in (in_loop, in_thread, in_loop, in_thread)]:
            done.result()
    assert asyncio.run(stored(strict)) == 800
    assert not strict._settings.locks.held


SQLITE, FILE = "sqlite:///{}/bot.db", "file:{}/folder"


@pytest.mark.parametrize(
    ("scheme", "way"),
    [
        *((SQLITE, "update"), (SQLITE, "raise"), (FILE, "merge"), (FILE, "fields")),
        *starmap(thorough, product([FILE], ["update", "raise"])),
        *starmap(thorough, product([SQLITE], ["merge", "fields"])),
    ],
)
def test_what_4_processes_counted_is_what_is_stored(tmp_path: Path, scheme: str, way: str) -> None:
    url = scheme.format(tmp_path)
    root = Path(__file__).parents[1]
    command = [sys.executable, "-m", counting_worker.__name__, url, way, "60"]
    env = {**os.environ, "PYTHONPATH": str(root)}
    workers = [
        subprocess.Popen(command, cwd=tmp_path, env=env, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    counted = [int(worker.communicate()[0]) for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * 4
    if way == "update":
        assert counted == [60] * 4

    async def main() -> None:
        async with session(initial=zero, storage=url) as sessions:
            assert await stored(sessions, counting_worker.CHATS) == sum(counted) > 0

    asyncio.run(main())

"""What other processes do in the tests of the lock between processes; run as a script."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

from sessionkit import session, storage_from_url

CHATS = 8


def counters(url: str) -> Any:
    return session(storage=storage_from_url(url), lock="file", initial=lambda: {"n": 0})


async def increment(url: str, times: int, in_flight: int = 16) -> None:
    """Count up, several updates at a time, going round the chats."""
    sessions = counters(url)
    left = iter(range(times))

    async def work() -> None:
        for number in left:
            async with sessions.open(number % CHATS) as s:
                s.data["n"] += 1

    await asyncio.gather(*(work() for _ in range(in_flight)))
    await sessions.storage.close()


def increment_in_threads(url: str, times: int) -> None:
    """Count up in this thread."""
    sessions = counters(url)
    for number in range(times):
        with sessions.open(number % CHATS) as s:
            s.data["n"] += 1
    sessions.sync.close()


async def increment_many(url: str, times: int) -> None:
    """Count up pairs of chats, named in both orders."""
    sessions = counters(url)
    for number in range(times):
        pair = [number % CHATS, (number + 1) % CHATS]
        async with sessions.open_many(*(pair if number % 2 else pair[::-1])) as both:
            for one in both:
                one.data["n"] += 1


def hold(url: str) -> None:
    """Have chat 1 open, and never close it."""
    with counters(url).open(1):
        os.write(1, b"held\n")
        sys.stdin.read()


def fork_holding(url: str) -> None:
    """Have chat 1 open in a process whose child lives on, with copies of its files."""
    with counters(url).open(1):
        if os.fork() == 0:  # type: ignore[attr-defined,unused-ignore]  # not on Windows
            os.write(1, b"held\n")
            sys.stdin.read()
            os._exit(0)
        os._exit(0)


if __name__ == "__main__":
    action, url, *rest = sys.argv[1:]
    outcome = globals()[action](url, *map(int, rest))
    if outcome is not None:
        asyncio.run(outcome)

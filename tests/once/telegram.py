"""Telegram, as it delivers updates to workers that die: one to three times each.

    python -m tests.once.telegram STORAGE [--way polls] [--updates 20000] [--chats 500]

STORAGE is a URL of one that all workers share.  Prints how many updates there were, how many
deliveries, kills and answers with an error, and the sum that is stored.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import sys
import time
from abc import ABC, abstractmethod
from collections import Counter
from contextlib import suppress
from itertools import cycle
from pathlib import Path
from typing import Any, ClassVar

import aiohttp

from sessionkit import session
from tests.adapters.bot_api_server import BotApi, serve
from tests.adapters.driver import Raw, message
from tests.core import zero

ROOT = Path(__file__).parents[2]
AT_ONCE = 24
LIFE = 100
"""How many updates are delivered to a worker that polls, on average, until it is killed."""
REFUSED = (aiohttp.ClientError, TimeoutError, OSError)


class Worker:
    """One process of the bot, started again whenever it was killed."""

    def __init__(self, *arguments: str) -> None:
        self._command = (sys.executable, "-m", "tests.once.worker", *arguments)
        self._process: Any = None
        self.said = ""
        """Its first line, when it is ready."""

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            cwd=ROOT,
            env={**os.environ, "NO_PROXY": "127.0.0.1"},
        )
        self.said = (await self._process.stdout.readline()).decode().strip()
        assert self.said, "the worker did not start"

    def go(self) -> None:
        self._process.stdin.write(b"\n")

    async def kill(self) -> None:
        self.said = ""
        self._process.kill()
        await self._process.wait()


class Telegram(ABC):
    """Delivers each update until it is acknowledged, one to three times over."""

    frameworks: ClassVar[tuple[str, ...]]
    texts: ClassVar[tuple[str, ...]]

    def __init__(self, updates: int, chats: int) -> None:
        self._random = random.Random(0)
        self.counts: Counter[str] = Counter(updates=updates)
        pick = self._random
        self._updates = [
            message(pick.choice(self.texts), chat=1 + number % chats, user=1 + number % chats)
            for number in range(updates)
        ]

    @abstractmethod
    async def run(self, storage: str, workers: int, kill_every: float) -> None:
        """Deliver all to so many workers, of which one is killed every so many seconds."""

    async def _start(self, workers: int, way: str, *arguments: str) -> list[Worker]:
        kinds = cycle(self.frameworks)
        started = [Worker(way, next(kinds), *arguments) for _ in range(workers)]
        await asyncio.gather(*(worker.start() for worker in started))
        return started

    async def _kill(self, worker: Worker) -> None:
        await worker.kill()
        self.counts["kills"] += 1

    def _about(self, seconds: float) -> float:
        return seconds * (0.5 + self._random.random())


class Hooks(Telegram):
    """Posts updates to web hooks, many at the same time."""

    frameworks = ("aiogram", "ptb")
    texts = ("count", "save", "count", "fail")

    async def run(self, storage: str, workers: int, kill_every: float) -> None:
        self._room = asyncio.Semaphore(AT_ONCE)
        self._workers = await self._start(workers, "hooks", storage)
        killing = asyncio.create_task(self._kill_some(kill_every))
        timeout = aiohttp.ClientTimeout(total=20)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as client,
                asyncio.TaskGroup() as to,
            ):
                for update in self._updates:
                    await self._room.acquire()
                    to.create_task(self._deliver(client, update))
        finally:
            killing.cancel()
            with suppress(asyncio.CancelledError):
                await killing
            await asyncio.gather(*(worker.kill() for worker in self._workers))

    async def _kill_some(self, every: float) -> None:
        """Kill one after the other; all but one may be on their way to be started again."""
        async with asyncio.TaskGroup() as starting:
            while True:
                await asyncio.sleep(self._about(every))
                alive = [worker for worker in self._workers if worker.said]
                if len(alive) > 1:
                    worker = self._random.choice(alive)
                    await self._kill(worker)
                    starting.create_task(worker.start())

    async def _deliver(self, client: aiohttp.ClientSession, update: Raw) -> None:
        times = self._random.randint(1, 3)
        try:
            if self._random.random() < 0.5:  # at the same time, as after a timeout
                await asyncio.gather(*(self._post(client, update) for _ in range(times)))
            else:
                for _ in range(times):
                    await self._post(client, update)
        finally:
            self._room.release()

    async def _post(self, client: aiohttp.ClientSession, update: Raw) -> None:
        """Post it again and again, until somebody acknowledges it."""
        while True:
            url = self._random.choice(self._workers).said
            if url:
                self.counts["deliveries"] += 1
                with suppress(*REFUSED):
                    async with client.post(url, json=update) as answer:
                        if answer.status < 300:
                            return
                        self.counts["errors"] += 1
            await asyncio.sleep(0.02 * self._random.random())


class Polls(Telegram):
    """Waits to be asked for updates: by one worker at a time, until that is killed.

    It forgets one in three confirmations.  No handler fails: frameworks that poll confirm
    what has failed.
    """

    frameworks = ("ptb", "telebot", "aiogram")  # the first are quick to start
    texts = ("count", "save")

    async def run(self, storage: str, workers: int, kill_every: float) -> None:
        """Deliver all; a worker lives for so many updates, however long they take."""
        async with serve() as api, asyncio.TaskGroup() as starting:
            api.most_at_once = 10
            api.forgets = lambda: self._random.random() < 1 / 3
            await api.push(*self._updates)
            started = await self._start(workers, "polls", storage, api.url)
            for worker in cycle(started):
                while not worker.said:
                    await asyncio.sleep(0.01)
                worker.go()
                if await self._are_confirmed_while_it_lives(api):
                    break
                await self._kill(worker)
                starting.create_task(worker.start())
        await asyncio.gather(*(worker.kill() for worker in started))
        self.counts["deliveries"] = sum(map(len, api.delivered.values()))

    async def _are_confirmed_while_it_lives(self, api: BotApi) -> bool:
        """Let a worker get some updates; return whether there are none left, or it is to die."""

        def delivered() -> int:
            return sum(map(len, api.delivered.values()))

        end = delivered() + self._random.randint(1, min(2 * LIFE, len(self._updates)))
        await api.until(lambda: not api.waiting or delivered() >= end)
        await asyncio.sleep(0.03 * self._random.random())  # in the middle of a handler, mostly
        return not api.waiting


WAYS: dict[str, type[Telegram]] = {"hooks": Hooks, "polls": Polls}


async def stored(storage: str) -> int:
    """The sum of all sessions."""
    async with session(initial=zero, storage=storage, once=True) as sessions:
        return sum([data["n"] async for _, data in sessions.items()])


async def deliver(
    way: str, storage: str, updates: int, chats: int, *, workers: int = 4, kill_every: float = 1.0
) -> Counter[str]:
    """Deliver so many updates; return what happened, and the sum that is stored."""
    telegram = WAYS[way](updates, chats)
    await telegram.run(storage, workers, kill_every)
    telegram.counts["stored"] = await stored(storage)
    return telegram.counts


def main() -> None:
    parser = argparse.ArgumentParser(description="Deliver updates to workers that die.")
    parser.add_argument("storage")
    parser.add_argument("--way", choices=WAYS, default="hooks")
    parser.add_argument("--updates", type=int, default=20_000)
    parser.add_argument("--chats", type=int, default=500)
    options = parser.parse_args()
    began = time.monotonic()
    course = deliver(options.way, options.storage, options.updates, options.chats)
    counts = asyncio.run(course)
    print(dict(counts), f"in {time.monotonic() - began:.0f} s")
    sys.exit(counts["stored"] != counts["updates"])


if __name__ == "__main__":
    main()

"""Telegram, as it delivers updates to web hooks, to workers that die: one to three times each.

    python -m tests.once.telegram STORAGE [--updates 20000] [--chats 500]

STORAGE is a URL of one that all workers share.  Prints how many updates there were, how many
deliveries, kills and answers with an error, and the sum that is stored.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp

from sessionkit import session
from tests.adapters.driver import Raw, message
from tests.core import zero

ROOT = Path(__file__).parents[2]
FRAMEWORKS = ("aiogram", "ptb", "aiogram", "ptb")
TEXTS = ("count", "save", "count", "fail")
AT_ONCE = 24
REFUSED = (aiohttp.ClientError, TimeoutError, OSError)


class Worker:
    """One process of the bot, started again whenever it was killed."""

    def __init__(self, framework: str, storage: str) -> None:
        self._command = ("-m", "tests.once.webhook_worker", framework, storage)
        self._process: Any = None
        self.url = ""

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            *self._command,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            cwd=ROOT,
        )
        port = await self._process.stdout.readline()
        self.url = f"http://127.0.0.1:{int(port)}/"

    async def kill(self) -> None:
        self.url = ""
        self._process.kill()
        await self._process.wait()


class Telegram:
    """Delivers each update until it is acknowledged, one to three times over."""

    def __init__(self, storage: str, updates: int, chats: int, workers: int) -> None:
        self._random = random.Random(0)
        self.counts: Counter[str] = Counter(updates=updates)
        self._workers = [Worker(framework, storage) for framework in FRAMEWORKS[:workers]]
        pick = self._random
        self._updates = [
            message(pick.choice(TEXTS), chat=1 + number % chats, user=1 + number % chats)
            for number in range(updates)
        ]
        self._room = asyncio.Semaphore(AT_ONCE)

    async def run(self, kill_every: float) -> None:
        """Deliver all, while a worker is killed every so many seconds."""
        await asyncio.gather(*(worker.start() for worker in self._workers))
        killing = asyncio.create_task(self._kill(kill_every))
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

    async def _kill(self, every: float) -> None:
        """Kill one after the other; all but one may be on their way to be started again."""
        async with asyncio.TaskGroup() as starting:
            while True:
                await asyncio.sleep(every * (0.5 + self._random.random()))
                alive = [worker for worker in self._workers if worker.url]
                if len(alive) > 1:
                    worker = self._random.choice(alive)
                    await worker.kill()
                    self.counts["kills"] += 1
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
            url = self._random.choice(self._workers).url
            if url:
                self.counts["deliveries"] += 1
                with suppress(*REFUSED):
                    async with client.post(url, json=update) as answer:
                        if answer.status < 300:
                            return
                        self.counts["errors"] += 1
            await asyncio.sleep(0.02 * self._random.random())


async def stored(storage: str) -> int:
    """The sum of all sessions."""
    async with session(initial=zero, storage=storage, once=True) as sessions:
        return sum([data["n"] async for _, data in sessions.items()])


async def deliver(
    storage: str, updates: int, chats: int, *, workers: int = 4, kill_every: float = 1.0
) -> Counter[str]:
    """Deliver so many updates; return what happened, and the sum that is stored."""
    telegram = Telegram(storage, updates, chats, workers)
    await telegram.run(kill_every)
    telegram.counts["stored"] = await stored(storage)
    return telegram.counts


def main() -> None:
    parser = argparse.ArgumentParser(description="Deliver updates to web hooks that die.")
    parser.add_argument("storage")
    parser.add_argument("--updates", type=int, default=20_000)
    parser.add_argument("--chats", type=int, default=500)
    options = parser.parse_args()
    began = time.monotonic()
    counts = asyncio.run(deliver(options.storage, options.updates, options.chats))
    print(dict(counts), f"in {time.monotonic() - began:.0f} s")
    sys.exit(counts["stored"] != counts["updates"])


if __name__ == "__main__":
    main()

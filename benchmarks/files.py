"""Durable sessions in files, as multiples of plain system calls and of another version.

    python benchmarks/files.py                          # some minutes; one table
    python benchmarks/files.py --rounds 3               # quicker, noisier
    git worktree add /tmp/before <commit>
    python benchmarks/files.py --against /tmp/before    # and how far this has come since

An update reads the session of one chat, adds to its count and stores it; when it is
through, the disk has it.  The peer does what makes a file durable and whole, and nothing
else: write a new file, flush it, rename it, flush the folder; on 16 threads if there are
several in flight.  It neither locks, nor notices clashes, nor compares.

The bots take turns in short slices, each in a process of its own, in changing order: the
speed of a shared disk drifts, so a figure is the median over the rounds of

    updates per second of sessionkit / updates per second of the other

in the same round.  Absolute figures are given for orientation only.  Name a folder of the
disk in question with --folder: in /dev/shm nothing is flushed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Any

CHATS = 500
DATA: dict[str, Any] = {"count": 1, "name": "Ann", "latest": list(range(10))}
IN_FLIGHT = {1: 150, 64: 2000}
HERE = Path(__file__).parents[1]

Update = Callable[[int], Awaitable[Any]]


def plain(folder: Path) -> Update:
    """The system calls alone."""
    folder.mkdir()

    def update(chat: int) -> None:
        file = folder / f"{chat % 100:02}" / f"{chat}.json"
        file.parent.mkdir(exist_ok=True)
        data = json.loads(file.read_bytes()) if file.exists() else dict(DATA)
        data["count"] += 1
        unfinished = folder / f"{chat}.new"
        with unfinished.open("wb") as new:
            new.write(json.dumps(data).encode())
            new.flush()
            os.fsync(new.fileno())
        unfinished.replace(file)
        descriptor = os.open(file.parent, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)

    pool = ThreadPoolExecutor(16)

    async def update_on_thread(chat: int) -> None:
        await asyncio.get_running_loop().run_in_executor(pool, update, chat)

    return update_on_thread


def chat_key(chat: int) -> int:
    return chat


def sessionkit(folder: Path) -> Update:
    """The sessionkit that is first on the path."""
    from sessionkit import FileSessionStorage, session  # noqa: PLC0415 (of the path given)

    storage = FileSessionStorage(folder)
    sessions = session(dict[str, Any], storage=storage, get_session_key=chat_key)

    async def update(chat: int) -> None:
        async with sessions.open(chat) as s:
            s.data["count"] = s.data.get("count", 1) + 1
            s.data["name"], s.data["latest"] = DATA["name"], DATA["latest"]

    return update


async def rate(update: Update, in_flight: int, updates: int) -> tuple[float, float]:
    """Updates per second, and microseconds of processor time for each."""
    for chats in (CHATS, updates):  # at first, the files are made
        left = iter(range(chats))

        async def work(left: Any = left) -> None:
            for number in left:
                await update(1000 + number % CHATS)

        begun, busy = perf_counter(), process_time()
        await asyncio.gather(*(work() for _ in range(in_flight)))
    return updates / (perf_counter() - begun), (process_time() - busy) / updates * 1e6


def run_slice(bot: str, folder: Path) -> None:
    """Print the figures of one slice, for the process that asked for it."""
    make = {"plain": plain, "sessionkit": sessionkit}[bot]
    figures = {}
    with TemporaryDirectory(dir=folder) as scratch:
        for in_flight, updates in IN_FLIGHT.items():
            update = make(Path(scratch, str(in_flight)))
            figures[in_flight] = asyncio.run(rate(update, in_flight, updates))
    print(json.dumps(figures))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--against", type=Path, help="a checkout of another version")
    parser.add_argument("--folder", type=Path, help="where to keep the sessions")
    parser.add_argument("--slice", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.slice:
        run_slice(options.slice, options.folder)
        return
    bots = {"now": ("sessionkit", HERE), "plain calls": ("plain", HERE)}
    if options.against:
        bots["before"] = ("sessionkit", options.against)
    results: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for _ in range(options.rounds):
        for name in random.sample(sorted(bots), len(bots)):
            bot, path = bots[name]
            command = [sys.executable, __file__, "--slice", bot]
            command += ["--folder", str(options.folder)] if options.folder else []
            environment = {**os.environ, "PYTHONPATH": str(path)}
            done = subprocess.run(command, env=environment, capture_output=True, check=True)
            for in_flight, figures in json.loads(done.stdout).items():
                results.setdefault((name, in_flight), []).append(tuple(figures))
    for in_flight in map(str, IN_FLIGHT):
        now = results["now", in_flight]
        for name in bots:
            theirs = results[name, in_flight]
            ratio = statistics.median(a / b for (a, _), (b, _) in zip(now, theirs, strict=True))
            speed, cost = (statistics.median(column) for column in zip(*theirs, strict=True))
            told = f"{speed:6.0f} updates/s, {cost:5.0f} us of processor time each"
            print(f"{in_flight:>3} in flight, {name:12} {told}; now: {ratio:.2f} times that")


if __name__ == "__main__":
    main()

"""Durable sessions in SQLite, as multiples of what the drivers' documentation shows.

    python -m pip install aiosqlite
    python benchmarks/sqlite.py              # some minutes; one table
    python benchmarks/sqlite.py --quick      # less than a minute, noisier

An update reads the session of one chat, adds to its count and stores it; when
it is through, the disk has it (write-ahead log, synchronous = FULL, for all).
The peers do what their documentation recommends, one connection, and one commit
per update; they neither lock chats, nor notice clashes, nor compare.  On one
connection of aiosqlite the transactions of tasks run into each other: one commits,
or rolls back, what another has half written.  "aiosqlite" keeps them apart by an
asyncio.Lock around write and commit; "aiosqlite, mixed up" does not, and thereby
shares commits.  The bots take turns in short
slices within one run, in changing order: the speed of a shared disk drifts, so
a figure is the median over the rounds of

    time of the peer / time of sessionkit

in the same round.  Absolute times are given for orientation only.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import random
import sqlite3
import statistics
import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter_ns
from typing import Any

import aiosqlite

from sessionkit import SQLiteSessionStorage, session

FEW, MANY = 1_000, 1_000_000
DATA: dict[str, Any] = {"count": 1, "name": "Ann", "latest": list(range(10))}

Update = Callable[[int], Awaitable[Any]]


@dataclass
class Person:
    count: int = 0
    name: str = "Ann"
    latest: list[int] = field(default_factory=list[int])


def chat_key(chat: int) -> int:
    return chat


# The peers


READ = "SELECT value FROM sessions WHERE key = ?"
WRITE = """
    INSERT INTO sessions (key, value) VALUES (?, ?)
    ON CONFLICT (key) DO UPDATE SET value = excluded.value
"""


def prepared(path: Path) -> Path:
    """A file with a table of the usual kind, and as many chats in it."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE sessions (key TEXT PRIMARY KEY, value TEXT NOT NULL)")
    connection.execute("BEGIN")
    text = json.dumps(DATA)
    connection.executemany(WRITE, ((str(chat), text) for chat in range(FEW)))
    connection.execute("COMMIT")
    connection.close()
    return path


async def over_aiosqlite(stack: AsyncExitStack, path: Path, *, mixed_up: bool = False) -> Update:
    database = await stack.enter_async_context(aiosqlite.connect(prepared(path)))
    await database.execute("PRAGMA synchronous = FULL")
    transaction: AbstractAsyncContextManager[Any] = nullcontext() if mixed_up else asyncio.Lock()

    async def update(chat: int) -> None:
        async with database.execute(READ, (str(chat),)) as cursor:
            row = await cursor.fetchone()
        assert row is not None
        data = json.loads(row[0])
        data["count"] += 1
        async with transaction:
            await database.execute(WRITE, (str(chat), json.dumps(data)))
            await database.commit()

    return update


async def over_sqlite3(stack: AsyncExitStack, path: Path) -> Update:
    """The standard library's driver, which stops the event loop at each commit."""
    connection = sqlite3.connect(prepared(path), isolation_level=None)
    stack.callback(connection.close)
    connection.execute("PRAGMA synchronous = FULL")

    async def update(chat: int) -> None:
        row = connection.execute(READ, (str(chat),)).fetchone()
        data = json.loads(row[0])
        data["count"] += 1
        connection.execute(WRITE, (str(chat), json.dumps(data)))

    return update


# sessionkit


async def filled(stack: AsyncExitStack, path: Path, chats: int) -> SQLiteSessionStorage:
    async with SQLiteSessionStorage(path, durable=False) as storage:
        for first in range(0, chats, 10_000):
            part = range(first, min(first + 10_000, chats))
            await storage.write_many({str(chat): {**DATA, "count": chat} for chat in part})
    return await stack.enter_async_context(SQLiteSessionStorage(path))


async def over_sessions(
    stack: AsyncExitStack, path: Path, chats: int, data_type: Any = dict
) -> Update:
    storage = await filled(stack, path, chats)
    sessions = session(data_type, storage=storage, get_session_key=chat_key)

    async def update_dict(chat: int) -> None:
        async with sessions.open(chat) as opened:
            opened.data["count"] += 1

    async def update_person(chat: int) -> None:
        async with sessions.open(chat) as opened:
            opened.data.count += 1

    return update_dict if data_type is dict else update_person


# Measuring


async def slice_of(update: Update, chats: list[int], in_flight: int) -> float:
    """Nanoseconds per update, *in_flight* of them at a time."""
    left = iter(chats)

    async def lane() -> None:
        for chat in left:
            await update(chat)

    begin = perf_counter_ns()
    async with asyncio.TaskGroup() as lanes:
        for _ in range(in_flight):
            lanes.create_task(lane())
    return (perf_counter_ns() - begin) / len(chats)


class Times(dict[tuple[str, int], list[float]]):
    """Nanoseconds per update, by bot and updates in flight, a figure for each round."""

    def ratio(self, peer: str, bot: str, in_flight: int) -> list[float]:
        rows = zip(self[peer, in_flight], self[bot, in_flight], strict=True)
        return sorted(one / other for one, other in rows)


async def measure(folder: Path, rounds: int, many: int) -> Times:
    times = Times()
    async with AsyncExitStack() as stack:
        bots: dict[str, tuple[Update, int]] = {
            "aiosqlite": (await over_aiosqlite(stack, folder / "aiosqlite.db"), FEW),
            "aiosqlite, mixed up": (
                await over_aiosqlite(stack, folder / "mixed.db", mixed_up=True),
                FEW,
            ),
            "sqlite3, blocking": (await over_sqlite3(stack, folder / "sqlite3.db"), FEW),
            "sessionkit": (await over_sessions(stack, folder / "few.db", FEW), FEW),
            "dataclass": (await over_sessions(stack, folder / "typed.db", FEW, Person), FEW),
            "many chats": (await over_sessions(stack, folder / "many.db", many), many),
        }
        for turn in range(-2, rounds):  # two rounds to warm up
            names = list(bots) if turn % 2 else list(bots)[::-1]
            for in_flight, size in ((1, 150), (64, 1280)):
                for name in names:
                    update, chats = bots[name]
                    chosen = [random.randrange(chats) for _ in range(size)]
                    time = await slice_of(update, chosen, in_flight)
                    if turn >= 0:
                        times.setdefault((name, in_flight), []).append(time)
    return times


ROWS = (
    # the peer, our bot, updates in flight, the goal
    ("aiosqlite", "sessionkit", 64, 8.0),
    ("aiosqlite", "sessionkit", 1, 1.2),
    ("aiosqlite, mixed up", "sessionkit", 64, None),
    ("aiosqlite, mixed up", "sessionkit", 1, None),
    ("sqlite3, blocking", "sessionkit", 64, None),
    ("sqlite3, blocking", "sessionkit", 1, None),
    ("sessionkit", "dataclass", 64, 1 / 1.1),
    ("sessionkit", "dataclass", 1, 1 / 1.1),
    ("sessionkit", "many chats", 64, 1 / 1.2),
    ("sessionkit", "many chats", 1, 1 / 1.2),
)


def table(times: Times) -> str:
    lines = [
        "| peer | in flight | us/update | of | us/update | times as fast (quartiles) | goal |",
        "|---|---|---|---|---|---|---|",
    ]
    for peer, bot, in_flight, goal in ROWS:
        low, middle, high = statistics.quantiles(times.ratio(peer, bot, in_flight), n=4)
        theirs, ours = (statistics.median(times[name, in_flight]) / 1000 for name in (peer, bot))
        verdict = "" if goal is None else f">= {goal:.2f}{'' if middle >= goal else ' MISSED'}"
        lines.append(
            f"| {peer} | {in_flight} | {theirs:.0f} | {bot} | {ours:.0f} "
            f"| {middle:.2f} ({low:.2f} to {high:.2f}) | {verdict} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer rounds, fewer chats")
    parser.add_argument("--folder", default=".", help="on the disk to measure")
    options = parser.parse_args()
    rounds, many = (8, MANY // 10) if options.quick else (40, MANY)
    print(
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {sys.platform}; "
        f"{rounds} rounds; {FEW} chats, and {many}\n"
    )
    with TemporaryDirectory(dir=options.folder) as folder:
        print(table(asyncio.run(measure(Path(folder), rounds, many))))


if __name__ == "__main__":
    main()

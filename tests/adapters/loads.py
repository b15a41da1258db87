"""Loads for the storages over servers, and what has to come of them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from sessionkit import SessionConflictError, SessionError, SessionWriteError

WORKER = Path(__file__).with_name("server_worker.py")


def zero() -> dict[str, int]:
    return {"n": 0}


async def increments(sessions: Any, count: int, chats: int, at_once: int = 64) -> Counter[str]:
    """Add one so many times; return how often which error came of it."""
    turn = asyncio.Semaphore(at_once)
    ended: Counter[str] = Counter()

    async def add_one(number: int) -> None:
        async with turn:
            try:
                async with sessions.open(number % chats) as opened:
                    opened.data["n"] += 1
            except SessionError as error:
                ended[type(error).__name__] += 1
            else:
                ended["ok"] += 1

    await asyncio.gather(*map(add_one, range(count)))
    return ended


async def total(storage: Any, prefix: str = "") -> int:
    return sum([value["n"] async for _, value in storage.iter_items(prefix)])


async def through_a_crash(server: Any, sessions: Any, storage: Any) -> None:
    """Kill the server in a load of 10,000, and start it again: what was acknowledged is there."""
    load = asyncio.ensure_future(increments(sessions, 10_000, 100))
    while await total(storage) < 2000:
        await asyncio.sleep(0.05)
    await asyncio.to_thread(server.kill)
    await asyncio.sleep(0.2)
    assert not load.done()
    await asyncio.to_thread(server.start)
    ended = await load
    stored = await total(storage)

    assert sum(ended.values()) == 10_000
    assert set(ended) <= {"ok", "SessionError", "SessionWriteError"}
    assert ended["ok"] <= stored <= ended["ok"] + ended["SessionWriteError"]


async def through_cuts(
    between: Any,
    writers: list[Any],
    direct: Any,
    count: int = 150,
    *,
    blocking: bool,
    cut: float = 0.2,
) -> None:
    """Write to two keys while replies are lost: none of it is taken for a clash."""
    between.cut = cut
    ended: Counter[str] = Counter()
    courses = [_write(writer, direct, ended, count, blocking=blocking) for writer in writers]
    await asyncio.gather(*courses)
    between.cut = 0.0
    stored = await total(direct)
    for writer in writers:
        closing = writer.close()
        if closing is not None:
            await closing

    assert between.cuts > count / 10
    assert ended["ok"] > count / 2
    assert ended["false conflict"] == 0
    assert ended["ok"] <= stored <= ended["ok"] + ended["unknown"]


async def _write(
    writer: Any, direct: Any, ended: Counter[str], count: int, *, blocking: bool
) -> None:
    """Add one to one of two keys, on condition; what it reads, it reads past the proxy."""
    for number in range(count):
        key = str(number % 2)
        value, revision = await direct.read_with_revision(key)
        new = {"n": 1 if value is None else value["n"] + 1}
        try:
            if blocking:
                token = await asyncio.to_thread(writer.write_if, key, new, revision)
            else:
                token = await writer.write_if(key, new, revision)
        except SessionConflictError:
            found = await direct.read_with_revision(key)
            ended["false conflict" if found[1] == revision else "conflict"] += 1
        except SessionWriteError as error:
            assert error.unknown == (key,)
            ended["unknown"] += 1
        except SessionError:
            ended["not written"] += 1
        else:
            assert token is not None
            ended["ok"] += 1


def by_processes(
    kind: str, url: str, name: str, *, lock: bool = False, each: int = 500
) -> tuple[int, int]:
    """Let four processes add so many each; return how often that went well, and clashed."""
    command = [sys.executable, str(WORKER), kind, url, name, str(int(lock)), str(each)]
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    workers: list[Any] = [subprocess.Popen(command, **pipes) for _ in range(4)]
    for worker in workers:
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        worker.stdin.write("go\n")
        worker.stdin.flush()
    ended = [worker.communicate(timeout=300)[0].split() for worker in workers]
    successes, clashes = (sum(int(counts[place]) for counts in ended) for place in (0, 1))
    return successes, clashes

"""How the benchmarks of databases compare: cases take turns in short slices within one run.

In changing order, because the speed of a shared machine drifts; ratios are medians over
rounds of

    time of the other one / time of sessionkit

in the same round.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import perf_counter_ns
from typing import Any, TypeAlias

from pinned import SMALL

from sessionkit import session

CHATS = 10_000
OURS = "sessionkit, open()"
Slice: TypeAlias = Callable[[int, int], Awaitable[int]]


class Ours:
    """Sessions over a storage."""

    def __init__(self, storage: Any) -> None:
        self.storage = storage
        self._sessions = session(initial=SMALL.copy, storage=storage)

    async def open(self, chat: int) -> None:
        async with self._sessions.open(chat) as opened:
            opened.data["count"] += 1

    async def middleware(self, chat: int) -> None:
        await self._sessions(Context(chat), count)


class Context:
    """As much of an update as the middleware needs."""

    def __init__(self, chat: int) -> None:
        self.chat_id = chat
        self.session: Any = None


async def count(ctx: Context) -> None:
    ctx.session["count"] += 1


def in_slices(update: Callable[[int], Awaitable[None]]) -> Slice:
    numbers = iter(range(10**12))

    async def run(count: int, workers: int) -> int:
        left = iter(range(count))

        async def work() -> None:
            for _ in left:
                await update(next(numbers) % CHATS)

        began = perf_counter_ns()
        await asyncio.gather(*(work() for _ in range(workers)))
        return perf_counter_ns() - began

    return run


class GrammY:
    """A Node process that does the same."""

    def __init__(self, folder: Path, kind: str, url: str) -> None:
        script = Path(__file__).with_name("grammy_peer.mjs")
        arguments = [str(folder / "package.json"), kind, url, str(CHATS)]
        self._process = subprocess.Popen(
            ["node", str(script), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    async def run(self, count: int, workers: int) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{count} {workers}\n")
        self._process.stdin.flush()
        return int(await asyncio.to_thread(self._process.stdout.readline))

    def end(self) -> None:
        self._process.communicate()


async def measure(
    cases: dict[str, Slice], workers: int, rounds: int, span: float
) -> dict[str, list[float]]:
    """Return microseconds per update, by case and round."""
    counts: dict[str, int] = {}
    for name, run in cases.items():
        await run(500, workers)
        counts[name] = max(64, int(500 * span * 1e9 / await run(500, workers)))
    found: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name in random.sample(list(cases), len(cases)):
            took = await cases[name](counts[name], workers)
            found[name].append(took / counts[name] / 1000)
    return found


def show(found: dict[str, list[float]], workers: int) -> None:
    print(f"\n{workers} in flight: time per update, and beside {OURS}")
    for name, times in found.items():
        ratios = [theirs / ours for theirs, ours in zip(times, found[OURS], strict=True)]
        low, _, high = statistics.quantiles(ratios, n=4)
        ratio = statistics.median(ratios)
        print(
            f"  {name:32} {statistics.median(times):8.1f} us   "
            f"{ratio:5.2f} times [{low:.2f}-{high:.2f}]"
        )


def install(*packages: str) -> Path | None:
    """Install *packages* from npm for this run; None without npm."""
    if shutil.which("npm") is None:
        return None
    folder = Path(tempfile.mkdtemp(prefix="sessionkit-bench-"))
    (folder / "package.json").write_text("{}")
    subprocess.run(["npm", "i", "--silent", *packages], cwd=folder, check=True)
    return folder

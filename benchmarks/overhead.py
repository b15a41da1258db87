"""What a session adds to an update, for every way to use one, beside another version and grammY.

    python benchmarks/overhead.py --against aca89ee            # all rows; twenty minutes
    python benchmarks/overhead.py --against aca89ee --quick    # three minutes, noisier
    python benchmarks/overhead.py --against aca89ee --calls    # calls and files per update

*Added* is the processor time of a way less that of the same handler without
sessions, in the same round.  The unit of most rows, the *lane*, is what strict
sessions over an explicit ``MemorySessionStorage`` add in the other version, for the
same data (without ``--against``: in this one).  Each version, and grammY if Node is
there, is a process of its own that stays warm and is asked for slices in turn, in
changing order, because the speed of a shared machine drifts.  A figure is the
median of the rounds' ratios, with quartiles.  Time is that of the processor, in all
threads of the process: waiting, for a disk or for other programs, does not count.
Garbage collector on, 10,000 chats.  ``--calls`` counts what runs on the thread of the
update, not on a storage's own.

A commit against itself is the noise: about 0.95 to 1.05, over SQLite 0.75 to 1.1.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from pinned import PINNED

HERE: Final = Path(__file__).parent
GRAMMY: Final = "grammy@1.46.0"
CHATS: Final = 10_000

THIS, OTHER, PEER = "this", "other", "grammY"
LANE, COPIES, AWAIT, BEFORE, OFF = "lane", "copies", "await", "before", "without"

MEMORY = "isolation, lock, dirty check"
ALL = "isolation, lock, dirty check, JSON check"


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes:
        way: Its name in overhead_ways.
        bare: The same handler without sessions.
        promises: Which are on.
        goals: For small and medium data, in units.
        unit: What the goal is a multiple of.
        of: With the unit ``AWAIT``, the way with ``await``; with ``OFF``, that without the option.
        peer: grammY's counterpart and the bare bot it has.
        peer_goals: Multiples of what grammY adds.
    """

    name: str
    way: str
    bare: str
    promises: str
    goals: tuple[float, float] | None = None
    unit: str = LANE
    of: str = ""
    peer: tuple[str, str] | None = None
    peer_goals: tuple[float, float] | None = None


SESSION = ("session", "bare")
IGNORING = ("lazy untouched", "bare ignoring")

ROWS: Final[dict[str, tuple[Row, ...]]] = {
    "alone": (
        Row("strict, dict, explicit memory storage", "strict", "bare", MEMORY,
            (1.1, 1.1), peer=SESSION, peer_goals=(0.9, 1.5)),
        Row("strict, dict, no storage given", "default", "bare", ALL, (1.55, 1.5), peer=SESSION),
        Row("strict, dataclass, no storage given", "dataclass", "bare field", ALL,
            (1.85, 1.85), peer=SESSION),
        Row("strict, nothing stored, nothing changed", "nothing", "bare ignoring", ALL,
            (1.15, 1.15), peer=("nothing", "bare ignoring")),
        Row("open(ctx)", "open", "bare", MEMORY, (1.85, 1.85), peer=SESSION),
        Row("open(key)", "open key", "bare", MEMORY, (1.85, 1.85), peer=SESSION),
        Row("update(key, f)", "update", "bare", MEMORY, (1.85, 1.85), peer=SESSION),
        Row("lazy, untouched, own key function", "lazy untouched", "bare ignoring",
            "nothing to do", (0.4, 0.4), peer=IGNORING, peer_goals=(0.4, 0.4)),
        Row("lazy, untouched, keys.chat", "lazy untouched keys.chat", "bare ignoring",
            "nothing to do", (0.4, 0.4), peer=IGNORING, peer_goals=(0.4, 0.4)),
        Row("lazy, read and changed", "lazy", "bare", MEMORY, (1.95, 1.95),
            peer=("lazy", "bare")),
        Row("memory storage with ttl", "ttl", "bare", MEMORY, (1.8, 1.8), peer=("ttl", "bare")),
        Row("enhance_storage, ttl and two migrations", "enhanced", "bare", MEMORY, (3.2, 3.2),
            peer=("enhanced", "bare")),
        Row("two fragments (multi)", "two", "bare two", MEMORY, (4.6, 4.6),
            peer=("two", "bare two")),
        Row("Binding.run, dict", "binding", "bare", MEMORY),
        Row("Binding.run, dataclass", "binding dataclass", "bare field", ALL),
        Row("in threads: sync(ctx, handler)", "sync", "bare sync", MEMORY, (1.5, 1.5),
            unit=AWAIT, of="strict"),
        Row("in threads: with open(ctx)", "sync open", "bare sync", MEMORY, (1.5, 1.5),
            unit=AWAIT, of="open"),
        Row("once=True, strict, dict, explicit memory storage", "once", "bare", MEMORY, (1.5, 1.5),
            unit=OFF, of="strict"),
        Row("once=True, strict, dict, no storage given", "once default", "bare", ALL, (1.5, 1.5),
            unit=OFF, of="default"),
        Row("once=True, strict, dataclass, no storage given", "once dataclass", "bare field", ALL,
            (1.5, 1.5), unit=OFF, of="dataclass"),
        Row("strict, dict, SQLite", "SQLite", "bare", ALL, unit=BEFORE),
        Row("once=True, strict, dict, SQLite", "once SQLite", "bare", ALL, unit=OFF, of="SQLite"),
    ),
    "through_aiogram": (
        Row("aiogram, install, dict in memory", "install", "bare", MEMORY, (1.6, 1.6),
            unit=COPIES),
        Row("aiogram, install, dataclass in memory", "install dataclass", "bare", ALL,
            (2.5, 2.5), unit=COPIES),
        Row("aiogram, install, dataclass over SQLite (README)", "README", "bare", ALL,
            unit=BEFORE),
    ),
    "through_ptb": (
        Row("python-telegram-bot, install, dataclass in memory", "install dataclass", "bare",
            ALL, unit=BEFORE),
        Row("python-telegram-bot, install, dataclass over SQLite", "README", "bare", ALL,
            unit=BEFORE),
    ),
}  # fmt: skip


class Worker:
    """A process that answers lines of JSON."""

    def __init__(self, command: list[str], stack: ExitStack, **env: str) -> None:
        self._process = stack.enter_context(
            subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, **env},
            )
        )
        first = self._read()
        self.house = first.get("house", "")
        self.ways: list[str] = first["ways"]
        stack.callback(self._end)

    def ask(self, way: str, **question: Any) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"way": way, **question}) + "\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            sys.exit(f"a worker ended before it answered: {self._process.args!r}")
        return json.loads(line)

    def _end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()


def start(tree: Path, group: str, size: str, stack: ExitStack) -> Worker:
    path = os.pathsep.join(map(str, (tree, tree / "adapters", HERE)))
    command = [sys.executable, "-P", "-m", "overhead_ways", group, size]
    worker = Worker(command, stack, PYTHONPATH=path, PYTHONHASHSEED="0")
    assert Path(worker.house) == tree, worker.house
    return worker


@contextmanager
def checkout(revision: str) -> Generator[Path, None, None]:
    """Unpack the package of another commit into a folder."""
    with TemporaryDirectory() as folder:
        tree = Path(folder).resolve()
        command = ["git", "archive", revision, "sessionkit", "adapters"]
        archive = subprocess.run(command, cwd=HERE.parent, check=False, stdout=subprocess.PIPE)
        if archive.returncode:
            sys.exit(f"git cannot unpack {revision!r}: is it a commit of this repository?")
        subprocess.run(["tar", "-x", "-C", str(tree)], input=archive.stdout, check=True)
        yield tree


def grammy() -> Path | str:
    """Return the folder that grammY is installed in, or why it is not."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        return "without grammY: node and npm are not there"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "sessionkit-benchmarks" / GRAMMY
    if not (folder / "node_modules" / "grammy" / "package.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--silent", "--no-audit", "--prefix", str(folder), GRAMMY]
        if subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode:
            return "without grammY: npm could not install it"
    return folder


Times = dict[tuple[str, str], list[float]]


def measure(workers: dict[str, Worker], rounds: int, size: int) -> Times:
    """Return nanoseconds per update, by round, of each way of each worker."""
    names = list(dict.fromkeys(way for worker in workers.values() for way in worker.ways))
    times: Times = defaultdict(list)
    for turn in range(-3, rounds):  # three rounds to warm up
        shift = turn % len(names)
        order = names[shift:] + names[:shift]
        for way in order if turn % 2 else order[::-1]:
            for who in list(workers) if turn // 2 % 2 else reversed(workers):
                if way in workers[who].ways:
                    spent = workers[who].ask(way, begin=turn * size % CHATS, size=size)
                    if turn >= 0:
                        times[who, way].append(spent)
    return times


def added(times: Times, who: str, way: str, bare: str) -> list[float]:
    return [one - other for one, other in zip(times[who, way], times[who, bare], strict=True)]


def ratios(mine: list[float], unit: list[float]) -> list[float]:
    return [one / other for one, other in zip(mine, unit, strict=True) if other > 0]


def quartiles(values: list[float]) -> str:
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:.2f} ({low:.2f}-{high:.2f})"


def judged(values: list[float], goal: float | None) -> str:
    if goal is None:
        return ""
    return f"<= {goal}{'' if statistics.median(values) <= goal else ' **missed**'}"


def unit_of(row: Row, times: Times, who: str, *, against: bool) -> list[float] | None:
    if row.unit == LANE:
        return added(times, OTHER if against else THIS, "strict", "bare")
    if row.unit == COPIES:
        return added(times, who, "copies", "bare")
    if row.unit in {AWAIT, OFF}:
        return added(times, who, row.of, "bare")
    return added(times, OTHER, row.way, row.bare) if against else None


def line(row: Row, which: int, times: Times, *, against: bool) -> str:
    mine = added(times, THIS, row.way, row.bare)
    goal = None if row.goals is None else row.goals[which]
    both = against and bool(times[OTHER, row.way])  # an older version lacks some ways
    us = [f"{statistics.median(mine) / 1000:.2f}"]
    before, change = "", ""
    if both:
        others = added(times, OTHER, row.way, row.bare)
        us.insert(0, f"{statistics.median(others) / 1000:.2f}")
        change = quartiles(ratios(mine, others))
        unit = unit_of(row, times, OTHER, against=True)
        before = quartiles(ratios(others, unit)) if unit and row.unit != BEFORE else ""
    unit = unit_of(row, times, THIS, against=against)
    now, verdict = "", ""
    if unit and row.unit != BEFORE:
        now, verdict = quartiles(ratios(mine, unit)), judged(ratios(mine, unit), goal)
        if row.unit == LANE and not against:
            verdict = f"<= {goal}" if goal else ""  # the goals are in the lanes of aca89ee
    peer = ""
    if row.peer and (PEER, row.peer[0]) in times:
        beside = ratios(mine, added(times, PEER, *row.peer))
        goal = None if row.peer_goals is None else row.peer_goals[which]
        peer = f"{quartiles(beside)} {judged(beside, goal)}".strip()
    cells = (row.name, row.promises, row.unit, " -> ".join(us), before, now, verdict, change, peer)
    return "| " + " | ".join(cells) + " |"


def report(group: str, size: str, times: Times, *, against: bool) -> None:
    columns = ("way", "promises that are on", "unit", "us added", "before, in units",
               "now, in units", "goal", "now / before", "now / grammY")  # fmt: skip
    print(f"\n{group.replace('_', ' ')}, {size} data\n")
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
    for row in ROWS[group]:
        print(line(row, list(PINNED).index(size), times, against=against), flush=True)


def report_calls(group: str, workers: dict[str, Worker]) -> None:
    kinds = ("calls", "functions", "files", "moves")
    print(f"\n{group.replace('_', ' ')}\n\n| way | {' | '.join(kinds)} | calls, now / before |")
    print(f"|---{'|---' * len(kinds)}|---|")
    for row in ROWS[group]:
        counts = {
            who: worker.ask(row.way, calls=True)
            for who, worker in workers.items()
            if row.way in worker.ways  # an older version lacks some
        }
        cells = [" -> ".join(str(counts[who][kind]) for who in reversed(counts)) for kind in kinds]
        share = f"{counts[THIS]['calls'] / counts[OTHER]['calls']:.2f}" if OTHER in counts else ""
        print(f"| {row.name} | {' | '.join(cells)} | {share} |", flush=True)


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--against", metavar="REV", help="a commit to compare with")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, shorter slices")
    parser.add_argument("--calls", action="store_true", help="count calls and files instead")
    parser.add_argument("--rounds", type=int, help="how many rounds")
    parser.add_argument("--group", choices=list(ROWS), action="append", help="only these rows")
    parser.add_argument("--data", choices=list(PINNED), action="append", help="only this data")
    return parser.parse_args()


def main() -> None:
    chosen = options()
    rounds, size = (20, 200) if chosen.quick else (100, 300)
    rounds = chosen.rounds or rounds
    with ExitStack() as stack:
        trees = {THIS: HERE.parent}
        if chosen.against:
            trees[OTHER] = stack.enter_context(checkout(chosen.against))
        peer = "" if chosen.calls else grammy()
        print(f"Python {platform.python_version()}, {sys.platform}; other: {chosen.against}")
        if not chosen.calls:
            print(f"{rounds} rounds of {size} updates; processor time, all threads of a process")
            print(peer if isinstance(peer, str) else f"{GRAMMY} on node")
        for group in chosen.group or ROWS:
            for data in ["small"] if chosen.calls else chosen.data or PINNED:
                with ExitStack() as running:
                    workers = {
                        who: start(tree, group, data, running) for who, tree in trees.items()
                    }
                    if chosen.calls:
                        report_calls(group, workers)
                        continue
                    if group == "alone" and isinstance(peer, Path):
                        command = ["node", str(HERE / "overhead_ways" / "grammy.mjs"), str(peer)]
                        text = json.dumps(PINNED[data][0])
                        workers[PEER] = Worker([*command, text], running)
                    against = bool(chosen.against)
                    report(group, data, measure(workers, rounds, size), against=against)


if __name__ == "__main__":
    main()

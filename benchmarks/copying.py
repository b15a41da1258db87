"""``sessionkit copy``: its speed beside the target's own bulk load, and its peak memory.

    python benchmarks/copying.py                                    # files to SQLite and back
    python benchmarks/copying.py --target postgresql://localhost/one --beside postgresql://localhost/two

Each way is copied once as users do, then with ``--no-verify``.  Beside it, the same values
go from memory into a new target by ``write_many``, in pages of the same size: a bulk load
that neither reads a source nor asks whether something is there.  SQLite also gets a plain
``executemany`` in one transaction.  The ratio is speed of the copy / speed of the load: by the
clock, start of the program included, and by the processor time of the program, which other
programs disturb less.  The server's own time is in the first only.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sqlite3
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Any, NamedTuple

from sessionkit import storage_from_url
from sessionkit.types import Entry

PAGE = 500
FAR = 4102444800.0


class Taken(NamedTuple):
    """Seconds by the clock and of the processor, and the peak of memory in KB (Linux)."""

    seconds: float
    processor: float
    peak: int = 0


class Watch:
    """Measures from when it is made."""

    def __init__(self) -> None:
        self._begun = perf_counter(), process_time()

    def taken(self) -> Taken:
        return Taken(perf_counter() - self._begun[0], process_time() - self._begun[1])


def data(number: int) -> dict[str, Any]:
    return {"count": number, "name": "Ann", "latest": list(range(10))}


async def fill(url: str, number: int) -> None:
    async with storage_from_url(url) as storage:
        for start in range(0, number, PAGE):
            entries = [
                Entry(str(each), data(each), FAR if each % 3 else None)
                for each in range(start, start + PAGE)
            ]
            assert list(await storage.write_entries(entries)) == []


async def load(url: str, number: int) -> Taken:
    """Return what ``write_many`` takes; files write each value by itself."""
    pages = [
        {str(each): data(each) for each in range(start, start + PAGE)}
        for start in range(0, number, PAGE)
    ]
    async with storage_from_url(url) as storage:
        watch = Watch()
        for page in pages:
            if hasattr(storage, "write_many"):
                await storage.write_many(page)
            else:
                await asyncio.gather(*(storage.write(key, value) for key, value in page.items()))
        return watch.taken()


def executemany(path: Path, number: int) -> Taken:
    rows = [(str(each), json.dumps(data(each)).encode(), each, FAR) for each in range(number)]
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE s (key TEXT PRIMARY KEY, value BLOB, r INTEGER, e REAL)")
        watch = Watch()
        connection.executemany("INSERT INTO s VALUES (?, ?, ?, ?)", rows)
        connection.commit()
        taken = watch.taken()
    connection.close()
    return taken


MEASURED = """
import re, sys, time
from pathlib import Path
from sessionkit.__main__ import main
code = main(sys.argv[1:])
peak = re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]
print(time.process_time(), peak)
sys.exit(code)
"""


def copy(source: str, target: str, *options: str) -> Taken:
    command = [sys.executable, "-c", MEASURED, "copy", source, target, *options]
    begun = perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds = perf_counter() - begun
    processor, peak = done.stdout.split()
    return Taken(seconds, float(processor), int(peak))


def show(name: str, number: int, taken: Taken, loading: Taken) -> None:
    seconds, processor, peak = taken
    print(
        f"{name:32} {seconds:7.1f} s {number / seconds:9,.0f}/s {loading.seconds / seconds:6.2f}x "
        f"{loading.processor / processor:6.2f}x {f'{peak / 1000:6.0f} MB' if peak else ''}"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--number", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help="on the disk in question")
    parser.add_argument("--target", help="the URL of an empty database, in place of SQLite")
    parser.add_argument("--beside", help="the URL of another one, for the bulk load")
    options = parser.parse_args()
    number: int = options.number
    with TemporaryDirectory(dir=options.folder) as made:
        folder = Path(made)
        source = f"file:{folder}/source"
        target: str = options.target or f"sqlite:///{folder}/target.db"
        asyncio.run(fill(source, number))
        there = copy(source, target)
        back = copy(target, f"file:{folder}/back")
        print(f"{number:,} sessions; ratios to the target's own bulk load, by clock and processor")
        if options.target:
            loading = asyncio.run(load(options.beside, number))
        else:
            loading = asyncio.run(load(f"sqlite:///{folder}/load.db", number))
            plain = executemany(folder / "plain.db", number)
            show("executemany, one transaction", number, plain, loading)
            fresh = copy(source, f"sqlite:///{folder}/fresh.db", "--no-verify")
            show("files -> target, --no-verify", number, fresh, loading)
        show("files -> target, verified", number, there, loading)
        files = asyncio.run(load(f"file:{folder}/load", number))
        show("target -> files, verified", number, back, files)
        fresh = copy(target, f"file:{folder}/fresh", "--no-verify")
        show("target -> files, --no-verify", number, fresh, files)


if __name__ == "__main__":
    main()

"""Draw mutants of the core, and see which test catches each: see the package."""

from __future__ import annotations

import argparse
import csv
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue
from threading import Lock
from typing import Final

from coverage.numbits import register_sqlite_functions

from tests.mutation.mutants import ROOT, Mutant, all_of_the_core, changes

LIST: Final = Path(__file__).parent / "core.tsv"
COLUMNS: Final = (*Mutant._fields, "caught_by")
SURVIVED: Final = "-"
GONE: Final = "gone"
TESTS: Final = (sys.executable, "-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider")
FIRST: Final = 60
"""So many tests that come by the place are asked first."""


SECONDS: Final = 600
LEFT_OUT: Final = (
    *("adapters", "mutation", "testing", "typing", "test_counting.py"),
    *("test_demo.py", "test_docs.py", "test_examples.py", "test_links.py", "test_packaging.py"),
    *("test_grammy_bridge.py", "test_grammy_differential.py", "test_grammy_interop.py"),
)
"""What takes long for what it catches, or does not look at the core."""

CONTEXTS: Final = """\
[run]
source = sessionkit
omit = sessionkit/testing/*
data_file = {file}
parallel = true
relative_files = true
"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    draw = commands.add_parser("draw", help="write a new list")
    draw.add_argument("--seed", type=int, default=0)
    draw.add_argument("--number", type=int, default=220)
    run = commands.add_parser("run", help="see which are caught, and update the list")
    run.add_argument("--workers", type=int, default=2)
    run.add_argument("--map", type=Path, help="keep here which tests come by which line")
    run.add_argument("--missing", action="store_true", help="only those not yet tried")
    options = parser.parse_args()
    if options.command == "draw":
        every = all_of_the_core()
        drawn = sorted(random.Random(options.seed).sample(range(len(every)), options.number))
        write([(every[index], "") for index in drawn])
        return
    run_all(options.workers, only_missing=options.missing, kept=options.map)


def write(rows: Sequence[tuple[Mutant, str]]) -> None:
    with LIST.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, dialect="excel-tab", lineterminator="\n")
        table.writerow(COLUMNS)
        table.writerows((*mutant, caught) for mutant, caught in rows)


def read() -> list[tuple[Mutant, str]]:
    with LIST.open(encoding="utf-8", newline="") as file:
        _, *rows = csv.reader(file, dialect="excel-tab")
    return [
        (Mutant(file, function, before, after, int(number)), caught)
        for file, function, before, after, number, caught in rows
    ]


def run_all(workers: int, *, only_missing: bool, kept: Path | None) -> None:
    """Try each mutant of the list in a copy of the project, and write down what caught it."""
    rows = read()
    writing = Lock()
    copies: Queue[Path] = Queue()

    def try_one(index: int) -> None:
        mutant, before = rows[index]
        copy = copies.get()
        found = caught_by(mutant, copy, passing)
        copies.put(copy)
        with writing:
            rows[index] = mutant, found
            write(rows)
            print(f"{index:3} {mutant.file} {mutant.function}: {found}", flush=True)
            if before not in {"", SURVIVED, GONE} and found == SURVIVED:
                print(f"    no longer caught by {before}", flush=True)

    with tempfile.TemporaryDirectory(prefix="sessionkit-mutants-") as temp:
        for number in range(workers):
            copy = Path(temp, f"copy{number}")
            shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".*", "__pycache__"))
            copies.put(copy)
        lines = kept or Path(temp, "lines")
        if not lines.exists():
            see_passing_tests(Path(temp, "copy0"), lines, workers)
        passing = Passing(lines)
        with ThreadPoolExecutor(workers) as pool:
            tried = [i for i, (_, before) in enumerate(rows) if not (only_missing and before)]
            for done in [pool.submit(try_one, index) for index in tried]:
                done.result()


def see_passing_tests(copy: Path, lines: Path, workers: int) -> None:
    """Write to *lines* which tests come by which line, in a run without mutants."""
    settings = copy.parent / "coveragerc"
    settings.write_text(CONTEXTS.format(file=lines.absolute()))
    done = subprocess.run(
        [
            *(*TESTS, "-p", "tests.mutation.contexts", f"--numprocesses={workers}", "--tb=no"),
            *(f"--ignore=tests/{each}" for each in LEFT_OUT),
        ],
        cwd=copy,
        env={**os.environ, "COVERAGE_PROCESS_START": str(settings)},
        capture_output=True,
        text=True,
        check=False,
    )
    print(done.stdout.splitlines()[-1], flush=True)
    combine = [sys.executable, "-m", "coverage", "combine", "-q", f"--rcfile={settings}"]
    subprocess.run(combine, cwd=copy, check=True)


class Passing:
    """Which tests come by a line."""

    def __init__(self, lines: Path) -> None:
        self._data = sqlite3.connect(lines, check_same_thread=False)
        register_sqlite_functions(self._data)
        self._lock = Lock()

    def by(self, file: str, lines: range) -> list[str]:
        """Return node ids without parameters of the tests that come by *lines* of *file*.

        Those of the test files with most of them come first, since each file is loaded again.
        """
        query = (
            "SELECT DISTINCT context.context FROM line_bits JOIN file ON file.id = file_id "
            "JOIN context ON context.id = context_id WHERE file.path = ? AND ("
            + " OR ".join("num_in_numbits(?, numbits)" for _ in lines)
            + ")"
        )
        with self._lock:
            rows = self._data.execute(query, (file, *lines)).fetchall()
        tests = {context for (context,) in rows if context}
        files = Counter(node.partition("::")[0] for node in tests)
        return sorted(tests, key=lambda node: (-files[node.partition("::")[0]], node))


def caught_by(mutant: Mutant, copy: Path, passing: Passing) -> str:
    """Return the test that fails with *mutant*, or why there is none."""
    path = copy / mutant.file
    source = path.read_text("utf-8") if path.exists() else ""
    changed = mutant.apply(source)
    if changed is None:
        return GONE
    tests = passing.by(mutant.file, lines_of(mutant, source))
    path.write_text(changed, "utf-8")
    os.utime(path, ns=(time.time_ns(), time.time_ns()))
    try:
        for some in (tests[:FIRST], tests[FIRST:]):
            if some and (found := first_failure(some, copy)):
                return found
        return SURVIVED
    finally:
        path.write_text(source, "utf-8")


def lines_of(mutant: Mutant, source: str) -> range:
    for each, begin, end in changes(mutant.file, source):
        if each == mutant:
            raw = source.encode()
            return range(raw[:begin].count(b"\n") + 1, raw[:end].count(b"\n") + 2)
    raise AssertionError


def first_failure(tests: Sequence[str], copy: Path) -> str | None:
    options = ["-x", "-rfE", "--tb=no", "--numprocesses=0", "-o", "faulthandler_timeout=60"]
    try:
        done = subprocess.run(
            [*TESTS, *options, *tests],
            cwd=copy,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "(no end)"
    if done.returncode == 0:
        return None
    for line in done.stdout.splitlines():
        if line.startswith(("FAILED ", "ERROR ")):
            return line.split()[1].partition("[")[0]
    return f"(exit code {done.returncode})"


if __name__ == "__main__":
    main()

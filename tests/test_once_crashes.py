"""What may happen twice: each row of the table in docs/once.md, with a process that is killed.

The table is read from the page, so that it says what was seen.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.once.crashing import POINTS
from tests.profiles import thorough

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "once.md").read_text("utf-8")
HEADER = "| the process ends | runs again | `redelivered` | the session counts | messages |"


def rows() -> dict[str, list[str]]:
    """The table of the page, by what its first column says."""
    lines = PAGE[PAGE.index(HEADER) :].splitlines()[2:]
    found: dict[str, list[str]] = {}
    for line in lines:
        if not line.startswith("|"):
            break
        point, *cells = (cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1])
        found[point] = cells
    return found


def run(folder: Path, kind: str, scenario: str, point: str, *more: str) -> Any:
    """Handle the update in a new process; return what it printed, None if it was killed."""
    command = [sys.executable, "-m", "tests.once.crashing", str(folder), kind, point, *more]
    environment = {**os.environ, "SCENARIO": scenario}
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, env=environment, check=False
    )
    if done.returncode == -signal.SIGKILL:
        return None
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def seen(folder: Path, kind: str, point: str, *more: str) -> list[str]:
    """Kill a process at *point*, deliver the update again, and return a row of the table."""
    assert run(folder, kind, point, point, *more) is None
    again = run(folder, kind, point, "none", *more)
    assert run(folder, kind, point, "none", *more)["ran"] is False  # it is done now
    sent = len((folder / "sent").read_text().splitlines())
    words = {0: "not at all", 1: "once", 2: "twice"}
    counts = words[sum(each["n"] for each in again["stored"])]
    if "delete" in point:
        assert not again["exists"]
        counts = "stays deleted"
    if again["other"] is not None:
        counts += f"; the other one {words[again['other']['n']]}"
    redelivered = {None: "", True: "yes", False: "no"}[again["redelivered"]]
    return ["yes" if again["ran"] else "no", redelivered, counts, str(sent)]


def test_the_page_has_all_points() -> None:
    assert tuple(rows()) == POINTS


CASES = [*((point, "sqlite") for point in POINTS), *(thorough(point, "file") for point in POINTS)]


@pytest.mark.parametrize(("point", "kind"), CASES)
def test_what_the_page_says_happens(point: str, kind: str, tmp_path: Path) -> None:
    assert seen(tmp_path, kind, point) == rows()[point]


@pytest.mark.parametrize(
    "point", ["after `save()`, before the message", "after `save()` and the message"]
)
def test_a_handler_that_looks_at_redelivered_counts_once(point: str, tmp_path: Path) -> None:
    runs, redelivered, _, messages = rows()[point]
    assert seen(tmp_path, "sqlite", point, "careful") == [runs, redelivered, "once", messages]

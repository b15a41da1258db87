"""What it costs to import sessionkit, as a multiple of ``import asyncio``.

    python benchmarks/import_time.py            # about half a minute
    python benchmarks/import_time.py --quick    # some seconds, noisier

Each row is a process of its own under ``-X importtime``; rows take turns, because
the speed of a shared machine drifts.  A figure is the median, with quartiles, of the
ratios within a round.  Whatever sessionkit imports counts, asyncio too.  Byte code is
compiled beforehand, as an installer does it.

Beside the bare import, whose goal is 1.5, is what the README's bot loads: a dataclass
in an SQLite file; and all that there is.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys

GOAL = 1.5
MARK = "--- begin"

PIZZA = """
@dataclasses.dataclass
class Pizza:
    count: int = 0
"""
ROWS = {
    "import asyncio": "import asyncio",
    "import sessionkit": "import sessionkit",
    "a dataclass in SQLite": f"""
import dataclasses
from sessionkit import session
{PIZZA}
session(Pizza, storage="sqlite://").sync.close()
""",
    "all names": "from sessionkit import *",
}


def main() -> None:
    parser = argparse.ArgumentParser(description="What it costs to import sessionkit.")
    parser.add_argument("--quick", action="store_true")
    rounds = 5 if parser.parse_args().quick else 40
    for code in ROWS.values():
        milliseconds(code)
    times = [{row: milliseconds(code) for row, code in ROWS.items()} for _ in range(rounds)]
    print(f"Python {platform.python_version()}, {rounds} rounds")
    print(f"{'':24}{'ratio':>8}{'quartiles':>16}{'fastest':>12}{'goal':>8}")
    for row in ROWS:
        ratios = [each[row] / each["import asyncio"] for each in times]
        low, middle, high = statistics.quantiles(ratios, n=4)
        fastest = min(each[row] for each in times)
        goal = f"{GOAL}" if row == "import sessionkit" else ""
        print(f"{row:24}{middle:8.2f}{low:9.2f} to{high:5.2f}{fastest:9.1f} ms{goal:>8}")


def milliseconds(code: str) -> float:
    """The time that the imports of a program take in a new process, without those of its start."""
    program = f"import sys; print({MARK!r}, file=sys.stderr)\n{code}"
    # Without PYTHONDONTWRITEBYTECODE, which would let every process compile everything
    environment = {name: value for name, value in os.environ.items() if name[:6] != "PYTHON"}
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    _, _, after = done.stderr.partition(MARK)
    lines = (line.partition(":")[2].split("|") for line in after.splitlines() if "|" in line)
    return sum(int(itself) for itself, *_ in lines) / 1000


if __name__ == "__main__":
    main()

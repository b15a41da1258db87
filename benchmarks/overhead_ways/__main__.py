"""A process that runs the ways with one version of sessionkit, slice by slice.

    PYTHONPATH=<checkout>:<checkout>/adapters:benchmarks python -P -m overhead_ways alone small

It reads lines ``{"way": ..., "begin": ..., "size": ...}`` and answers each with the
nanoseconds of processor time per update, of all its threads, waiting left out.
With ``"calls": true`` it answers how many calls, functions, files and moves between files of
sessionkit one warm update makes.  The garbage collector runs as it does in a bot.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from importlib import import_module
from inspect import iscoroutinefunction
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import sessionkit
from overhead_ways.way import Way

HOUSE = Path(sessionkit.__file__).parents[1]


def calls(way: Way, runner: asyncio.Runner) -> dict[str, int]:
    """Trace one warm update; a coroutine that is resumed is one call."""
    way.slice(runner, 0, 20 * way.share)
    seen: dict[Any, str] = {}  # frames, kept so that none is taken for another
    houses = (f"{HOUSE}/sessionkit/", f"{HOUSE}/adapters/")

    def note(frame: Any, event: str, _: Any) -> None:
        file = frame.f_code.co_filename
        if event == "call" and file.startswith(houses):
            seen.setdefault(frame, file)

    one = way.updates[0]
    if iscoroutinefunction(way.update):

        async def traced() -> None:
            sys.setprofile(note)
            try:
                await way.update(one)
            finally:
                sys.setprofile(None)

        runner.run(traced())
    else:
        sys.setprofile(note)
        try:
            way.update(one)
        finally:
            sys.setprofile(None)
    files = list(seen.values())
    return {
        "calls": len(files),
        "functions": len({frame.f_code for frame in seen}),
        "files": len(set(files)),
        "moves": sum(one != other for one, other in pairwise(files)),
    }


def main() -> None:
    group, size = sys.argv[1:]
    logging.disable(logging.CRITICAL)
    with TemporaryDirectory() as folder, asyncio.Runner() as runner:
        ways = import_module(f"overhead_ways.{group}").ways(size, Path(folder))
        print(json.dumps({"house": str(HOUSE), "ways": list(ways)}), flush=True)
        for line in sys.stdin:
            order = json.loads(line)
            way = ways[order["way"]]
            if order.get("calls"):
                answer: Any = calls(way, runner)
            else:
                answer = way.slice(runner, order["begin"], order["size"])
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()

"""The kit on the command line: ``python -m sessionkit.testing module:factory``."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import sys
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

from sessionkit.testing import Limits, Report, check_storage
from sessionkit.testing._factory import FactoryError

KEPT: Final = 0
BROKEN: Final = 1
WRONG_USE: Final = 2


def main(arguments: list[str] | None = None) -> int:
    """Check the named storage, print the report.

    Returns:
        0 if every promise was kept, 1 if one was broken, 2 if nothing can be said
        because the factory cannot be found or used.
    """
    options = _parser().parse_args(arguments)
    try:
        if options.html is not None:
            options.html.touch()  # a place that cannot be written shows before the long run
        report = asyncio.run(_check(options))
    except (FactoryError, _NotFoundError, OSError) as error:
        print(error, file=sys.stderr)  # noqa: T201 (a command)
        return WRONG_USE
    print(report.as_json() if options.json else report)  # noqa: T201 (a command)
    if options.html is not None:
        options.html.write_text(report.as_html(), "utf-8")
    return KEPT if report.ok else BROKEN


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sessionkit.testing",
        description="Ask a storage for every promise that a storage of sessions must keep.",
        epilog="Ends with 0 if all were kept, 1 if one was broken, 2 if nothing can be said.",
    )
    parser.add_argument(
        "factory",
        metavar="module:factory",
        help="a function that takes a namespace and returns a storage, such as mybot.tests:open",
    )
    parser.add_argument(
        "--limits", metavar="module:limits", help="what the storage cannot do: a Limits object"
    )
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")
    parser.add_argument(
        "--html", metavar="FILE", type=Path, help="write a page as well, with pictures of races"
    )
    parser.add_argument("--thorough", action="store_true", help="take about 20 times longer")
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="the same seed gives the same run"
    )
    return parser


async def _check(options: argparse.Namespace) -> Report:
    return await check_storage(
        _find(options.factory, "module:factory", "mybot.tests:open"),
        limits=None if options.limits is None else _find_limits(options.limits),
        profile="thorough" if options.thorough else "default",
        seed=options.seed,
    )


class _NotFoundError(Exception):
    """Raised if a name on the command line leads nowhere."""


def _find(place: str, shape: str, example: str) -> Any:
    module_name, _, names = place.partition(":")
    if not module_name or not names:
        msg = f"{place!r} is not of the form {shape}: write for example {example}"
        raise _NotFoundError(msg)
    try:
        found: Any = importlib.import_module(module_name)
        return attrgetter(names)(found)
    except Exception as error:
        msg = f"{place}: {type(error).__name__}: {error}"
        raise _NotFoundError(msg) from error


def _find_limits(place: str) -> Limits:
    limits = _find(place, "--limits module:limits", "--limits mybot.tests:limits")
    if not isinstance(limits, Limits):
        msg = f"--limits {place} is not a Limits object: {limits!r}"
        raise _NotFoundError(msg)
    return limits


if __name__ == "__main__":
    sys.exit(main())

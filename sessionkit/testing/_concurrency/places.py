"""Places in a storage's own code."""

from __future__ import annotations

import linecache
import os
import sysconfig
from collections.abc import Generator, Hashable, Iterable
from functools import cache
from itertools import groupby
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final, NamedTuple

_CORE: Final = Path(__file__).parents[2]
_KIT: Final = (str(_CORE / "testing") + os.sep, str(_CORE / "_storage" / "sync_or_async.py"))
_LIBRARY: Final = tuple(
    str(Path(sysconfig.get_path(name)).resolve()) + os.sep for name in ("stdlib", "platstdlib")
)
_INSTALLED: Final = ("site-packages", "dist-packages")

# What the standard library writes in several steps, in Python.
_WRITERS: Final = {
    "pathlib": {"write_text", "write_bytes"},
    "shelve": {"__setitem__", "__delitem__", "sync", "close"},
    "dbm": {"__setitem__", "__delitem__", "_addval", "_setval", "_addkey", "_commit"},
}


class Place(NamedTuple):
    """A line of a storage's code; ``str`` shows it for people."""

    file: str
    line: int
    event: str = "line"
    inside: str = ""
    depth: int = 0
    """How many calls within the storage's own code led here."""

    def __str__(self) -> str:
        source = linecache.getline(self.file, self.line).strip()
        where = f"{Path(self.file).name}:{self.line}"
        where = f"{where}: {source}" if source else where
        return f"{where} (inside {self.inside})" if self.inside else where

    @property
    def rank(self) -> int:
        """How soon to stop there: first between the steps of the library's writers."""
        return 0 if self.inside else self.depth

    @property
    def is_installed(self) -> bool:
        """Whether it lies in a library that was installed, not in code under work."""
        return any(name in self.file for name in _INSTALLED)


def place_of(frame: FrameType, event: str = "line") -> Place:
    """Return the place of *frame*: if that is in the standard library, from where it was called."""
    own = [outer for outer in _stack(frame) if counts(outer.f_code) and not _library_of(outer)]
    if not own or own[0] is frame:
        return Place(frame.f_code.co_filename, frame.f_lineno, event, depth=len(own))
    inside = f"{frame.f_code.co_name}(), line {frame.f_lineno}"
    return Place(own[0].f_code.co_filename, own[0].f_lineno, event, inside, len(own))


def _stack(frame: FrameType | None) -> Generator[FrameType, None, None]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _library_of(frame: FrameType) -> str | None:
    return _library(frame.f_code.co_filename)


@cache
def _library(file: str) -> str | None:
    if any(name in file for name in _INSTALLED):
        return None
    return next((path for path in _LIBRARY if file.startswith(path)), None)


def counts(code: CodeType) -> bool:
    """Return whether *code* is a storage's, not the kit's or the standard library's."""
    return _counts(code.co_filename, code.co_name)


@cache
def _counts(file: str, name: str) -> bool:
    if file.startswith(("<", *_KIT)):
        return False
    library = _library(file)
    if library is None:
        return True
    module = Path(file.removeprefix(library)).parts[0].removesuffix(".py")
    return name in _WRITERS.get(module, ())


def place_of_waiting(awaited: Any) -> Place | None:
    """Return the innermost line of the storage's code at which *awaited* is suspended."""
    found: Place | None = None
    while awaited is not None:
        frame, awaited = _step_into(awaited)
        if frame is not None and counts(frame.f_code):
            found = place_of(frame)
    return found


def instruction_of_waiting(awaited: Any) -> Hashable:
    """Return the instruction at which *awaited* is suspended; None if it is not."""
    found: Hashable = None
    while awaited is not None:
        frame, awaited = _step_into(awaited)
        if frame is not None:
            found = frame.f_code, frame.f_lasti
    return found


def _step_into(awaited: Any) -> tuple[FrameType | None, Any]:
    for prefix, inner in (("cr_", "await"), ("ag_", "await"), ("gi_", "yieldfrom")):
        if hasattr(awaited, f"{prefix}frame"):
            return getattr(awaited, f"{prefix}frame"), getattr(awaited, f"{prefix}{inner}")
    return None, None


def choose(places: Iterable[Place], most: int) -> list[int]:
    """Return the numbers of at most *most* of *places*, each for the first and the last time.

    (``with`` is come to twice: nothing is locked yet, and nothing any more.)  Half are
    those of the first ranks: there a method has done one thing and not yet the other.  The
    rest is evenly spread.  Code under work comes first; of libraries that were installed half as
    many are taken.
    """
    numbered = list(enumerate(places))
    first = {place: number for number, place in reversed(numbered)}
    last = {place: number for number, place in numbered}
    found = {number: place for times in (first, last) for place, number in times.items()}
    own = sorted(number for number, place in found.items() if not place.is_installed)
    installed = sorted(number for number, place in found.items() if place.is_installed)

    def chosen(numbers: list[int], most: int) -> list[int]:
        if len(numbers) <= most:
            return numbers

        def rank(number: int) -> int:
            return found[number].rank

        likely: list[int] = []
        for _, alike in groupby(sorted(numbers, key=rank), key=rank):
            likely += _spread([*alike], most // 2 - len(likely))
        others = [number for number in numbers if number not in likely]
        return likely + _spread(others, most - len(likely))

    return sorted(chosen(own, most) + chosen(installed, most // 2))


def _spread(numbers: list[int], most: int) -> list[int]:
    if len(numbers) <= most:
        return numbers
    return [numbers[n * len(numbers) // most] for n in range(most)]

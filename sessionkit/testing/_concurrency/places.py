"""Where in a storage's own code something stands."""

from __future__ import annotations

import linecache
import os
import sysconfig
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final, NamedTuple

_KIT: Final = str(Path(__file__).parents[1]) + os.sep
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

    def __str__(self) -> str:
        source = linecache.getline(self.file, self.line).strip()
        where = f"{Path(self.file).name}:{self.line}"
        where = f"{where}: {source}" if source else where
        return f"{where} (inside {self.inside})" if self.inside else where

    @property
    def is_installed(self) -> bool:
        """Whether it lies in a library that was installed, not in code under work."""
        return any(name in self.file for name in _INSTALLED)


def place_of(frame: FrameType, event: str = "line") -> Place:
    """Return where *frame* stands: if that is in the standard library, from where it was called."""
    outer: FrameType | None = frame
    while outer is not None and not (counts(outer.f_code) and _library_of(outer) is None):
        outer = outer.f_back
    if outer is None or outer is frame:
        return Place(frame.f_code.co_filename, frame.f_lineno, event)
    inside = f"{frame.f_code.co_name}(), line {frame.f_lineno}"
    return Place(outer.f_code.co_filename, outer.f_lineno, event, inside)


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
    if file.startswith(("<", _KIT)):
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


def _step_into(awaited: Any) -> tuple[FrameType | None, Any]:
    for prefix, inner in (("cr_", "await"), ("ag_", "await"), ("gi_", "yieldfrom")):
        if hasattr(awaited, f"{prefix}frame"):
            return getattr(awaited, f"{prefix}frame"), getattr(awaited, f"{prefix}{inner}")
    return None, None


def choose(places: Iterable[object], most: int) -> list[int]:
    """Return the numbers of at most *most* of *places*: each place once, evenly spread.

    Code under work comes first; of libraries that were installed half as many are taken.
    """
    last = {place: number for number, place in enumerate(places)}
    own = [n for place, n in last.items() if not getattr(place, "is_installed", False)]
    installed = [n for place, n in last.items() if getattr(place, "is_installed", False)]
    return sorted(_spread(own, most) + _spread(installed, most // 2))


def _spread(numbers: list[int], most: int) -> list[int]:
    if len(numbers) <= most:
        return numbers
    return [numbers[n * len(numbers) // most] for n in range(most)]

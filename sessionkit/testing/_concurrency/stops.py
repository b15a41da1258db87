"""Lines of a storage's code as points at which a thread can be stopped."""

from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

from sessionkit.testing._concurrency.places import Place, counts, place_of

_EVENTS: Final = frozenset({"line", "return"})

Act = Callable[[int, FrameType, str], None]


class Recorder:
    """Keeps all points that are come by, in order."""

    def __init__(self) -> None:
        self.places: list[Place] = []

    def __call__(self, _number: int, frame: FrameType, event: str) -> None:
        self.places.append(place_of(frame, event))


class StopAt:
    """Pauses the caller that comes to one point.

    Args:
        number: Which point, from 0.
        pause: Called there with the place; who calls goes on when it returns.
    """

    def __init__(self, number: int, pause: Callable[[Place], None]) -> None:
        self._number = number
        self._pause = pause

    def __call__(self, number: int, frame: FrameType, event: str) -> None:
        if number == self._number:
            self._pause(place_of(frame, event))


class Stops:
    """Calls *act* at each line of the storage's code, and at each return, from any thread.

    It gets the number of the point, from 0, the frame, and "line" (before the line) or
    "return".  It may block: then that thread is paused there.

    Attributes:
        act: What to call; None for nothing.
    """

    def __init__(self, act: Act | None = None) -> None:
        self.act = act
        self._numbers = itertools.count()

    def arm(self, act: Act | None) -> None:
        """Call another *act* from now on, and count from 0 again."""
        self._numbers = itertools.count()
        self.act = act

    @contextmanager
    def watching(self, *, threads: bool = False) -> Generator[None, None, None]:
        """Watch this thread (with *threads*: those that are begun meanwhile, too)."""
        before, before_in_threads = sys.gettrace(), threading.gettrace()
        if threads:
            threading.settrace(self.trace)
        sys.settrace(self.trace)
        try:
            yield
        finally:  # pragma: no cover (traced by this, so not by coverage, until the caller ends)
            sys.settrace(before)
            if threads:
                threading.settrace(before_in_threads)

    def trace(self, frame: FrameType, event: str, _arg: Any) -> Any:
        """Do what Python expects of a trace function."""
        act = self.act
        if act is None or not counts(frame.f_code):
            return None
        if event in _EVENTS:
            act(next(self._numbers), frame, event)
        return self.trace

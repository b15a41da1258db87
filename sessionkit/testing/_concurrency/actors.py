"""Who uses a storage at the same time as somebody else."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Hashable, Sequence
from typing import Any, Final, TypeVar

from sessionkit.testing._broken import BrokenPromise
from sessionkit.testing._concurrency.places import Place
from sessionkit.testing._guard import within
from sessionkit.testing._history import History, Line
from sessionkit.testing._ops import LISTINGS, SILENT, Op, Outcome

R = TypeVar("R")

NEVER: Final = -1
"""The number of a point at which nobody stops."""


def names_of(kind: str, count: int) -> list[str]:
    """Return the names of so many of a *kind*, all of the same length."""
    names = [f"{number} {kind}" for number in ("first", "second", "third")[:count]]
    return [name.ljust(max(map(len, names))) for name in names]


class Actor(ABC):
    """A task, thread or process that does one call after the other, and may be stopped in one.

    Args:
        name: Its name in histories.
        history: Where its calls are written down.
        storage: The storage, to tell which of its methods are async.
    """

    def __init__(self, name: str, history: History, storage: Any) -> None:
        self.name = name
        self.history = history
        self._methods = storage
        self._is_async: dict[str, bool] = {}
        self._line = Line("")
        self._is_silent = True

    async def places(self, op: Op) -> Sequence[Place]:
        """Do *op*, and return the points that it comes to, in order."""
        places, outcome = await self._within(self._record(op))
        if outcome.kind == "error":
            self._write_down(op)
            self._close_line(outcome)
        return places

    async def start(self, op: Op, stop: int) -> Place | None:
        """Begin *op*, up to its point number *stop*; return where that is, None if it ended."""
        self._write_down(op)
        place = await self._within(self._start(op, stop))
        if place is not None:
            self._line.outcome = f"stops at {place}"
        return place

    async def finish(self, *, may_raise: bool = False) -> Outcome:
        """Let the call that was begun go on to its end, and return what came of it.

        Raises:
            BrokenPromise: It raised something that is not a conflict, unless it *may_raise*.
        """
        if self._line.outcome != "did not end":
            self._line = self.history.begin(f"{self.name} goes on")
        outcome = await self._within(self._finish())
        self._close_line(outcome, may_raise=may_raise)
        return outcome

    async def do(self, op: Op) -> Outcome:
        """Do *op* from its beginning to its end."""
        self._write_down(op)
        outcome = await self._within(self._do(op))
        self._close_line(outcome)
        return outcome

    def waits_at(self) -> Hashable:
        """Return the instruction at which it waits, None if that is unknown."""
        return None

    @abstractmethod
    async def end(self) -> None:
        """Let what was begun go on, or give it up, whatever comes of it."""
        ...

    @abstractmethod
    def _do(self, op: Op) -> Awaitable[Outcome]: ...

    @abstractmethod
    async def _record(self, op: Op) -> tuple[Sequence[Place], Outcome]: ...

    @abstractmethod
    async def _start(self, op: Op, stop: int) -> Place | None: ...

    @abstractmethod
    async def _finish(self) -> Outcome: ...

    def _where(self) -> Place | None:
        return None

    def _write_down(self, op: Op) -> None:
        self._line = self.history.begin(f"{self.name}: {self._shown(op)}")
        self._is_silent = op.method in SILENT

    def _shown(self, op: Op) -> str:
        if op.method in LISTINGS or not self._awaits(op.method):
            return str(op)
        return str(op).replace("storage.", "await storage.", 1)

    def _awaits(self, method: str) -> bool:
        if method not in self._is_async:
            function = getattr(self._methods, method, None)
            self._is_async[method] = inspect.iscoroutinefunction(function)
        return self._is_async[method]

    def _close_line(self, outcome: Outcome, *, may_raise: bool = False) -> None:
        says_none = outcome.kind == "answer" and not self._is_silent
        self._line.outcome = outcome.text or ("-> None" if says_none else None)
        self._is_silent = True
        if outcome.kind == "error" and not may_raise:
            raise BrokenPromise(
                self.history.lines, expected="no error", got=outcome.text or ""
            ) from outcome.error

    async def _within(self, awaited: Awaitable[R]) -> R:
        return await within(awaited, self.history, self._where)

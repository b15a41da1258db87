"""What one client asked, when, and what came of it."""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Callable, Generator, Hashable
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from sessionkit.errors import SessionConflictError
from sessionkit.testing._show import show, show_error

Fate: TypeAlias = Literal["answered", "refused", "unknown"]

ARGUMENTS: Final = {
    "read": 0,
    "read_with_revision": 0,
    "has": 0,
    "write": 1,
    "write_if": 2,
    "delete": 0,
    "touch": 0,
    "purge_expired": 0,
    "advance": 1,
}
"""How many arguments each operation takes beside its key."""

SILENT: Final = frozenset({"touch", "purge_expired"})
"""Operations that nobody may notice as long as nothing expires."""

OBSERVING: Final = frozenset({"read", "read_with_revision", "has"})
"""Operations that change nothing, so that one without an answer says nothing."""

GIVING: Final = frozenset({"read", "read_with_revision", "has", "touch"})
"""Operations whose answer says something."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One call of a storage, as a client saw it.

    Attributes:
        client: Who called: a name, or anything hashable; its ``str`` is shown.
        op: ``"read"`` (gives the value, None if there is none), ``"has"`` (gives whether
            there is one), ``"write"`` (of a value), ``"delete"``,
            ``"read_with_revision"`` (gives value and revision), ``"write_if"`` (of a
            value, None to delete, and the expected revision; None: nothing must be
            stored; ``ANY``: no condition), ``"touch"`` (restarts a timeout;
            gives whether there is a value), ``"purge_expired"`` (nobody may notice),
            ``"advance"`` (lets seconds pass on the fake clock, for all keys).
        key: The key; None for ``"advance"``.
        args: The value, the expected revision, the seconds, as *op* takes them.
        called: When it was called, on any clock that all clients share.
        answered: When it answered or raised; None if it never did.
        result: What it gave; what it raised if that is unknown.
        fate: ``"refused"``: the condition did not hold, and nothing was written.
            ``"unknown"``: it may have taken effect, may do so at any time later, or
            never, as after a lost connection.
        expires: When the value that it writes expires, on the fake clock; None for never,
            or as the timeout of the storage says.

    Raises:
        ValueError: There is no such operation, or it cannot have been so.
    """

    client: Hashable
    op: str
    key: Hashable = None
    args: tuple[Any, ...] = ()
    called: float = 0.0
    answered: float | None = None
    result: Any = None
    fate: Fate = "answered"
    expires: float | None = None

    def __post_init__(self) -> None:
        if self.op not in ARGUMENTS:
            msg = f"there is no operation {self.op!r}: it is one of {', '.join(ARGUMENTS)}"
            raise ValueError(msg)
        if len(self.args) != ARGUMENTS[self.op]:
            msg = f"{self.op} takes {ARGUMENTS[self.op]} in args, not {self.args!r}"
            raise ValueError(msg)
        if self.answered is None and self.fate != "unknown":
            msg = f"{self!r} never answered: its fate is 'unknown'"
            raise ValueError(msg)
        if self.answered is not None and not self.called <= self.answered:
            msg = f"{self!r} answered before it was called"
            raise ValueError(msg)
        if self.fate == "refused" and self.op != "write_if":
            msg = f"{self!r}: only write_if has a condition, and can be refused"
            raise ValueError(msg)

    @property
    def end(self) -> float:
        """Until when it can take effect."""
        if self.answered is None or self.fate == "unknown":
            return math.inf
        return self.answered

    @property
    def call(self) -> str:
        """The call, for people."""
        given = [show(arg) for arg in self.args]
        given += [] if self.expires is None else [f"expires={self.expires}"]
        return f"{self.op}({', '.join(given)})"

    @property
    def outcome(self) -> str:
        """What came of it, for people; empty if that says nothing."""
        if self.fate == "refused":
            return "is refused"
        if self.fate == "unknown":
            raised = isinstance(self.result, BaseException)
            return f"raised {show_error(self.result)}" if raised else "-> ?"
        if self.op == "read_with_revision" and self.result[1] is not None:
            return f"-> {show(self.result[0])}, {show(self.result[1])}"
        if self.op in GIVING:
            given = self.result[0] if self.op == "read_with_revision" else self.result
            return f"-> {show(given)}"
        return "goes through" if self.op == "write_if" else ""

    def __str__(self) -> str:
        return f"{self.call} {self.outcome}".rstrip()


class Revision:
    """A revision that is shown by a name, equal to none but itself."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name


ANY_REVISION: Final = Revision("its revision")
"""In the place of a revision that nobody knows here."""


class Call:
    """A call under way, of an ``OperationLog``.

    Attributes:
        result: What it gave; to be set if it is one that gives something.
    """

    def __init__(self) -> None:
        self.result: Any = None


class OperationLog:
    """Writes down who calls what, and when, for ``linearizable``; threads may share one.

    Args:
        clock: The time; by default the calls and answers are counted, which tells the
            order within one process.  For several use ``time.monotonic``.
        refused_by: What a conditional write raises if its condition does not hold.

    Attributes:
        operations: What has ended, in the order in which it ended.

    Example:
        log = OperationLog()
        with log.call("worker 1", "read", "1") as call:
            call.result = storage.read("1")
        assert linearizable(log.operations)
    """

    def __init__(
        self,
        clock: Callable[[], float] | None = None,
        *,
        refused_by: type[BaseException] | tuple[type[BaseException], ...] = SessionConflictError,
    ) -> None:
        self.operations: list[Operation] = []
        self._clock = clock or _counting()
        self._refused_by = refused_by

    @contextmanager
    def call(
        self,
        client: Hashable,
        op: str,
        key: Hashable = None,
        *args: Any,
        expires: float | None = None,
    ) -> Generator[Call, None, None]:
        """Write down the call that is made in the block; what that raises is raised on.

        A conditional write that raises what *refused_by* says was refused; of anything
        else that raises it is unknown whether it takes effect.
        """
        call, called = Call(), self._clock()
        fate: Fate = "answered"
        try:
            yield call
        except BaseException as error:
            is_refused = op == "write_if" and isinstance(error, self._refused_by)
            fate, call.result = ("refused", None) if is_refused else ("unknown", error)
            raise
        finally:
            times = {"called": called, "answered": self._clock()}
            ended = Operation(
                client, op, key, args, result=call.result, fate=fate, expires=expires, **times
            )
            self.operations.append(ended)


def _counting() -> Callable[[], float]:
    counter = itertools.count(1)
    mutex = threading.Lock()

    def count() -> float:
        with mutex:
            return next(counter)

    return count

"""What was done with a storage so far, as lines that can be pasted."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, ClassVar, Final, NoReturn

from sessionkit.protocols import ANY
from sessionkit.testing._broken import BrokenPromise
from sessionkit.testing._kinds import is_pair
from sessionkit.testing._ops import Op
from sessionkit.testing._show import show

_FIRST: Final = 8
_LAST: Final = 30


class Line:
    """One step of a history: a call, and what came of it.

    Attributes:
        call: The step as Python source: ``await storage.read('a')``.
        outcome: What it gave, as Python source; None if that says nothing.
    """

    __slots__ = ("call", "outcome")

    def __init__(self, call: str, outcome: str | None = "did not end") -> None:
        self.call: str = call
        self.outcome: str | None = outcome

    def __str__(self) -> str:
        return self.call if self.outcome is None else f"{self.call}  # {self.outcome}"


class History:
    """The steps of one check, in the order in which they began.

    Revisions are shown by names, ``r1``, ``r2``, since they mean nothing to people;
    equal ones by the same name.

    Attributes:
        begun: How many steps have begun in all histories of this process.
    """

    begun: ClassVar[int] = 0

    def __init__(self) -> None:
        self._lines: list[Line] = []
        self._revisions: list[Any] = []
        self._namespaces: list[str] = []

    @property
    def lines(self) -> tuple[str, ...]:
        """The steps as text; of a very long history the beginning and the end."""
        lines = [str(line) for line in self._lines]
        left_out = len(lines) - _FIRST - _LAST
        if left_out > 0:
            lines[_FIRST:-_LAST] = [f"# ... {left_out} more ..."]
        return tuple(lines)

    def begin(self, call: str) -> Line:
        """Add a step whose outcome is not known yet."""
        return self._add(Line(call))

    def note(self, call: str, outcome: str | None = None) -> None:
        """Add a step that is through."""
        self._add(Line(call, outcome))

    def _add(self, line: Line) -> Line:
        History.begun += 1
        self._lines.append(line)
        return line

    @contextmanager
    def summed_up(self, call: str | None) -> Generator[None, None, None]:
        """Show the steps of the block as one line (None: as nothing), until one raises."""
        if call is not None:
            self.note(call)
        begin = len(self._lines)
        try:
            yield
        except BaseException:
            del self._lines[begin:-1]
            raise
        del self._lines[begin:]

    def revision_name(self, revision: object) -> str:
        """Return the name by which *revision* is shown: the same for equal ones."""
        if revision is None or revision is ANY:
            return repr(revision)
        for number, known in enumerate(self._revisions, 1):
            if _equal(known, revision):
                return f"r{number}"
        self._revisions.append(revision)
        return f"r{len(self._revisions)}"

    def shown(self, op: Op) -> str:
        """Return *op* as Python, without the storage; revisions by their names."""
        shown = [show(arg) for arg in op.args]
        if op.method in ("write_if", "renew"):
            shown[-1] = self.revision_name(op.args[-1])
        return f"{op.method}({', '.join([*shown, *op.shown_options])})"

    def gave(self, op: Op, answer: Any) -> str | None:
        """Return what *op* gave, as an outcome; None if that says nothing."""
        if op.method in ("write", "write_many", "delete", "close"):
            return None
        if op.method in ("write_if", "renew"):
            return f"-> {self.revision_name(answer)}"
        if op.method == "read_with_revision" and is_pair(answer):
            return f"-> ({show(answer[0])}, {self.revision_name(answer[1])})"
        return f"-> {show(answer)}"

    def namespace_name(self, namespace: str) -> str:
        """Return the name by which *namespace* is shown: the same in every run."""
        if namespace not in self._namespaces:
            self._namespaces.append(namespace)
        return f"n{self._namespaces.index(namespace) + 1}"

    def fail(self, *, expected: str, got: str) -> NoReturn:
        """Say that the promise under test is broken by the last step."""
        raise BrokenPromise(self.lines, expected=expected, got=got)

    def fail_value(self, *, expected: Any, got: Any) -> NoReturn:
        """Say so of two values."""
        self.fail(expected=show(expected), got=show(got))


def _equal(first: object, second: object) -> bool:
    try:
        return first is second or bool(first == second)
    except Exception:  # noqa: BLE001 (what a storage gives may be anything)
        return False

"""The error that shows which promise a storage broke, and by which steps."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Final

from sessionkit.testing._promises import Promise

if TYPE_CHECKING:
    from sessionkit.testing._linearizable.verdict import Violation

ALTERNATIVE: Final = ", or: "
"""Separates alternatives that may all be expected."""

_WIDTH: Final = 100


class BrokenPromise(AssertionError):  # noqa: N818 (it reads as what it says)
    """Raised if a storage does not keep to what it must.

    Attributes:
        promise: The promise that is broken; None while its check is still running.
        history: The steps that show it, as lines of Python with their outcome.
        expected: What the last step should have given, for people.
        got: What it gave.
        violation: What no order of the calls explains, with a picture; None if the promise
            is about something else.
    """

    def __init__(
        self,
        history: tuple[str, ...],
        *,
        expected: str,
        got: str,
        promise: Promise | None = None,
        hint: str | None = None,
        violation: Violation | None = None,
    ) -> None:
        super().__init__(history, expected, got)
        self.promise = promise
        self.history = history
        self.expected = expected
        self.got = got
        self.violation = violation
        self._hint = hint

    @property
    def hint(self) -> str | None:
        """What usually is the mistake; None while the check is still running."""
        if self._hint is None and self.promise is not None:
            return self.promise.hint
        return self._hint

    def __str__(self) -> str:
        steps = "".join(f"    {line}\n" for line in self.history)
        expected = self.expected.replace(ALTERNATIVE, ",\n      or: ")
        found = f"{steps}\nexpected: {expected}\ngot:      {self.got}"
        if self.violation is not None:
            found += f"\n\n{textwrap.indent(str(self.violation), '    ')}"
        if self.promise is None:
            return found
        hint = textwrap.fill(f"Usual cause: {self.hint}", _WIDTH)
        return f"{self.promise.sentence}\n\n{found}\n\n{hint}\n(promise {self.promise.name})"

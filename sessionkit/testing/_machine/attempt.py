"""One program, done on a storage: what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sessionkit.testing._broken import BrokenPromise
from sessionkit.testing._factory import FactoryError
from sessionkit.testing._history import History
from sessionkit.testing._machine.step import Step
from sessionkit.testing._machine.trial import Trial
from sessionkit.testing._subject import Subject

PATIENCE: Final = 30.0
"""Seconds after which a history counts as hanging."""


@dataclass(frozen=True)
class Failure:
    """A history that broke the promise.

    Attributes:
        error: What the check is to raise.
        history: What was done.
        steps: How many steps of the program were taken, the failing one included.
    """

    error: Exception
    history: History
    steps: int

    @property
    def length(self) -> tuple[int, int]:
        """How much there is to read: the shorter failure is the better one."""
        lines = self.history.lines
        return len(lines), sum(map(len, lines))


async def attempt(subject: Subject, program: Sequence[Step]) -> Failure | None:
    """Do *program* on a fresh namespace, and return how it failed; None if it did not.

    Raises:
        FactoryError: No storage could be opened.
    """
    subject.start_history()
    history = subject.history
    taken = 0
    limit = asyncio.timeout(PATIENCE)
    try:
        async with limit, Trial(subject) as trial:
            for taken, step in enumerate(program, 1):  # noqa: B007 (known to the end)
                await step.take(trial)
    except FactoryError:
        raise
    except Exception as error:  # noqa: BLE001 (a storage may raise what it likes)
        if isinstance(error, TimeoutError) and limit.expired():
            expected = f"an answer within {PATIENCE:g} seconds"
            return Failure(
                BrokenPromise(history.lines, expected=expected, got="none"), history, taken
            )
        return Failure(error, history, taken)
    return None

"""One program, done on a storage: what came of it, and the shortest that fails alike."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final, TypeAlias

from sessionkit.testing._broken import BrokenPromise
from sessionkit.testing._factory import FactoryError
from sessionkit.testing._guard import while_it_goes_on
from sessionkit.testing._history import History
from sessionkit.testing._subject import Subject
from sessionkit.testing._trial import Step, Trial

Program: TypeAlias = Sequence[Step]

PATIENCE: Final = 30.0
"""Seconds without a new step after which a history counts as hanging."""

_FEW: Final = 12
"""Up to how many steps any two are left out, be they far from each other."""


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


async def attempt(subject: Subject, program: Program) -> Failure | None:
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
            with while_it_goes_on(limit, PATIENCE):
                for taken, step in enumerate(program, 1):  # noqa: B007 (known to the end)
                    await trial.take(step)
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


async def prune(
    subject: Subject, program: Program, failure: Failure, *, plain: Program, seconds: float
) -> Failure:
    """Return the failure of the shortest program that is left.

    Hypothesis does not know the steps that ask for everything in the end, and may have
    been stopped early.

    Args:
        subject: The storage under test.
        program: A program that fails at its last step.
        failure: How it failed.
        plain: Steps of which each would show the failure better, if it fails too.
        seconds: How long this may take.

    Raises:
        FactoryError: No storage could be opened.
    """
    deadline = time.monotonic() + seconds

    async def fails(candidates: Iterable[Program]) -> tuple[Program, Failure] | None:
        for candidate in candidates:
            if time.monotonic() > deadline:
                break
            again = await attempt(subject, candidate)
            if again is not None and again.length <= failure.length:
                return candidate[: again.steps], again
        return None

    found = await fails([*program[:-1], step] for step in plain)
    while True:
        program, failure = found or (program, failure)
        found = await fails(_shorter(program))
        if found is None:
            return failure


def _shorter(program: Program) -> Iterator[Program]:
    """Yield what is left of *program* without some steps before the last, many first."""
    last = len(program) - 1
    size = last
    while size:
        for end in range(last, 0, -size):
            yield [*program[: max(0, end - size)], *program[end:]]
        size //= 2
    if last <= _FEW:
        for first, second in combinations(range(last), 2):
            yield [*program[:first], *program[first + 1 : second], *program[second + 1 :]]

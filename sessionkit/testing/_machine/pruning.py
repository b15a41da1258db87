"""What is left of a program that fails when all that it does not need is left out."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from typing import Final, TypeAlias

from sessionkit.testing._machine.attempt import Failure, attempt
from sessionkit.testing._machine.step import Step
from sessionkit.testing._subject import Subject

Program: TypeAlias = Sequence[Step]

_FEW: Final = 12
"""Up to how many steps any two are left out, be they far from each other."""


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

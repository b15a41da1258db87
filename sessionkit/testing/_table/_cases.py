"""Many cases at once, and the fewest of them that break a promise."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from itertools import combinations
from typing import TypeVar

from sessionkit.errors import SessionError
from sessionkit.testing._client import Client
from sessionkit.testing._subject import Subject

Case = TypeVar("Case")

REFUSALS = (SessionError, ValueError, TypeError, OverflowError)
"""What a storage raises if it cannot store something."""


async def with_fewest(
    subject: Subject,
    cases: Sequence[Case],
    check: Callable[[Client, Sequence[Case]], Awaitable[None]],
    *,
    most: int = 1,
) -> None:
    """Run *check* with all cases on one storage; if it fails, with as few as still fail.

    What is raised has the history of the shortest run that failed.

    Args:
        subject: The storage under test.
        cases: What to check.
        check: Checks some of the cases on a fresh storage.
        most: How many cases it may take to fail.
    """
    try:
        await _run(subject, cases, check)
    except Exception:
        history = subject.history
        for count in range(1, most + 1):
            for few in combinations(cases, count):
                subject.start_history()
                await _run(subject, few, check)
        subject.history = history
        raise


async def _run(
    subject: Subject,
    cases: Sequence[Case],
    check: Callable[[Client, Sequence[Case]], Awaitable[None]],
) -> None:
    async with subject.client() as storage:
        await check(storage, cases)

"""Many at once: nothing is lost, nothing is counted twice."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from types import FrameType
from typing import Any, Final

from sessionkit.errors import SessionConflictError
from sessionkit.testing._broken import BrokenPromise
from sessionkit.testing._client import Client
from sessionkit.testing._concurrency.processes import opened_by
from sessionkit.testing._concurrency.stops import Stops
from sessionkit.testing._concurrency.threads import blocking_view, in_thread
from sessionkit.testing._concurrency.workers import check_shared, workers
from sessionkit.testing._guard import within
from sessionkit.testing._history import History
from sessionkit.testing._ops import (
    Outcome,
    answered,
    look,
    perform,
    perform_blocking,
    raised,
    read,
    write,
    write_if,
)
from sessionkit.testing._promises import promise
from sessionkit.testing._subject import Subject

_REVISIONS: Final = ("read_with_revision", "write_if")
_COUNTED: Final = (
    "_, revision = storage.read_with_revision('1'); storage.write_if('1', n + 1, revision)"
)
_HURRY: Final = 1e-5
_CALLS: Final = 6
_TURNS: Final = 4000


@contextmanager
def _quick_switches() -> Generator[None, None, None]:
    """Let threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(_HURRY)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


async def _expect_count(storage: Client, expected: int) -> None:
    value = await storage.read("1")
    if value != expected:
        storage.fail(
            expected=f"{expected}: each write that went through counts once", got=f"{value!r}"
        )


def _note(history: History, who: str, doing: str) -> None:
    history.note(f"# {who} at once, again and again: {doing}")


def _raise_errors(history: History, outcomes: Iterable[Outcome]) -> None:
    for outcome in outcomes:
        if outcome.kind == "error":
            raise BrokenPromise(
                history.lines, expected="no error", got=outcome.text or ""
            ) from outcome.error


@promise(
    "If many tasks add one by conditional writes at once, none of the additions is lost.",
    hint="comparing and storing are two steps, with an await in between.",
    layer="concurrency",
    needs=_REVISIONS,
)
async def no_addition_is_lost_among_tasks(subject: Subject) -> None:
    tasks = 200 if subject.thorough else 20
    async with subject.client() as storage:

        async def add() -> None:
            seen: dict[str, Any] = {}
            while True:
                value = await perform(storage.storage, look("1"), seen)
                with suppress(SessionConflictError):
                    await perform(storage.storage, write_if("1", (value or 0) + 1), seen)
                    return

        _note(storage.history, f"{tasks} tasks", _COUNTED)
        with _quick_switches():
            await within(
                asyncio.gather(*(add() for _ in range(tasks))), storage.history, times=_CALLS
            )
        await _expect_count(storage, tasks)


@promise(
    "If many threads add one by conditional writes at once, none of the additions is lost.",
    hint="comparing and storing are two steps: hold a threading.Lock.",
    layer="concurrency",
    needs=("threads", *_REVISIONS),
)
async def no_addition_is_lost_among_threads(subject: Subject) -> None:
    times = 200 if subject.thorough else 6
    async with subject.client() as storage:
        view = blocking_view(storage.storage)
        _note(storage.history, "8 threads", _COUNTED)
        await _in_threads(storage.history, [partial(count_up, view, times)] * 8)
        await _expect_count(storage, 8 * times)


def count_up(view: Any, times: int) -> None:
    """Add one by conditional writes, *times* times."""
    seen: dict[str, Any] = {}
    done = 0
    while done < times:
        value = perform_blocking(view, look("1"), seen)
        with suppress(SessionConflictError):
            perform_blocking(view, write_if("1", (value or 0) + 1), seen)
            done += 1


def write_numbers(view: Any, start: int, end: int) -> None:
    """Write a value under each key from *start* on, up to *end*."""
    for n in range(start, end):
        perform_blocking(view, write(str(n), {"n": n}), {})


class Turns:
    """Lets other threads have their turn at each of the first lines that a thread comes to.

    Not at all lines: a driver that is written in Python runs thousands for each call.
    """

    def __init__(self) -> None:
        self.stops = Stops(self)

    def __call__(self, number: int, _frame: FrameType, _event: str) -> None:
        time.sleep(0)
        if number == _TURNS:
            self.stops.act = None


async def _in_threads(history: History, jobs: Sequence[Callable[[], None]]) -> None:
    barrier = threading.Barrier(len(jobs))

    def outcome_of(job: Callable[[], None]) -> Outcome:
        barrier.wait()
        try:
            with Turns().stops.watching():
                job()
        except Exception as error:  # noqa: BLE001  # pragma: no cover (after watching())
            return raised(error)  # whatever the storage raises
        return answered(None)  # pragma: no cover (after watching())

    with _quick_switches():
        futures = [in_thread(partial(outcome_of, job))[0] for job in jobs]
        _raise_errors(history, await within(asyncio.gather(*futures), history, times=_CALLS))


@promise(
    "If several processes add one by conditional writes at once, none of the additions is lost.",
    hint="each process has a lock, a cache or a counter of revisions of its own.",
    layer="concurrency",
    needs=("shared", *_REVISIONS),
)
async def no_addition_is_lost_among_processes(subject: Subject) -> None:
    times = 100 if subject.thorough else 5
    async with workers(subject, 3) as others:
        await check_shared(subject, others[0])
        subject.start_history()
        async with opened_by(subject, subject.history, others) as (first, *rest):
            _note(subject.history, f"these processes, {times} times each", _COUNTED)
            counts = await asyncio.gather(*(side.count("1", times) for side in (first, *rest)))
            await subject.lag.catch_up()
            for side in (first, *rest):
                found = (await side.do(read("1"))).answer
                if found != sum(counts):
                    subject.history.fail(
                        expected=f"{sum(counts)}: each write that went through counts once",
                        got=f"{found!r}",
                    )


@promise(
    "If many tasks write different keys at once, all values are stored.",
    hint="all values are read, changed and written back together, with an await in between.",
    layer="concurrency",
)
async def many_writes_at_once_land_among_tasks(subject: Subject) -> None:
    count = 1000 if subject.thorough else 50
    async with subject.client() as storage:
        _note(storage.history, f"{count} tasks", "storage.write(str(n), {'n': n})")
        writes = (perform(storage.storage, write(str(n), {"n": n}), {}) for n in range(count))
        with _quick_switches():
            await within(asyncio.gather(*writes), storage.history, times=_CALLS)
        await _expect_numbers(storage, count)


@promise(
    "If many threads write different keys at once, all values are stored.",
    hint="what all keys share (a mapping, a file, a connection) is changed without a lock.",
    layer="concurrency",
    needs=("threads",),
)
async def many_writes_at_once_land_among_threads(subject: Subject) -> None:
    each = 200 if subject.thorough else 10
    async with subject.client() as storage:
        view = blocking_view(storage.storage)

        _note(storage.history, "8 threads", "storage.write(str(n), {'n': n})")
        jobs = [partial(write_numbers, view, each * n, each * (n + 1)) for n in range(8)]
        await _in_threads(storage.history, jobs)
        await _expect_numbers(storage, 8 * each)


async def _expect_numbers(storage: Client, count: int) -> None:
    for n in range(count):
        with storage.history.summed_up(None):
            value = await storage.read(str(n))
        if value != {"n": n}:
            await storage.expect_read(str(n), {"n": n})

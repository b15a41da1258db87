"""One coroutine, driven three ways; spans of time; errors that travel."""

from __future__ import annotations

import asyncio
import copy
import pickle
import sys
import warnings
from collections.abc import Generator
from datetime import timedelta
from fractions import Fraction
from typing import Any

import pytest

from sessionkit import errors
from sessionkit._storage.seconds import seconds
from sessionkit._storage.sync_or_async import (
    NeedsLoopError,
    answers_later,
    ask,
    discard,
    finish,
    follow,
    is_awaitable,
    resolve,
    run_sync,
    runs_loop,
    settle,
)
from tests.core import run


async def answer(value: Any = 5) -> Any:
    return value


class Awaitable:
    def __await__(self) -> Generator[Any, None, int]:
        yield from asyncio.sleep(0).__await__()
        return 6


def test_awaitables_are_distinguished_from_other_values() -> None:
    async def main() -> None:
        future = asyncio.get_running_loop().create_future()
        for value in (Awaitable(), future):
            assert is_awaitable(value)
        future.cancel()
        coroutine = answer()
        assert is_awaitable(coroutine)
        discard(coroutine)
        others: tuple[Any, ...] = (None, 1, "x", [], {}, Awaitable, object(), iter(()))
        for other in others:
            assert not is_awaitable(other)
            discard(other)

    run(main())


def test_resolving_awaits_only_what_can_be_awaited() -> None:
    async def main() -> None:
        assert await resolve(5) == 5
        assert await resolve(answer()) == 5
        other: Any = Awaitable()
        assert await resolve(other) == 6

    run(main())


def test_a_course_that_waits_for_nothing_runs_on_any_thread() -> None:
    assert run_sync(answer()) == 5
    assert not runs_loop()


async def asking(*answers: Any) -> list[Any]:
    """Ask for each; an error is an answer, too."""
    found: list[Any] = []
    for each in answers:
        try:
            found.append(await ask(each))
        except OSError as error:
            found.append(str(error))
    return found


async def failing() -> None:
    raise OSError("disk full")


def test_a_course_that_asks_gives_a_value_if_it_gets_values_whether_a_loop_runs_or_not() -> None:
    async def main() -> None:
        assert runs_loop()
        assert follow(asking(1, 2)) == [1, 2]

    run(main())
    assert follow(asking(1, 2)) == [1, 2]


@pytest.mark.parametrize("way", [follow, finish])
def test_it_gives_a_coroutine_if_it_gets_an_awaitable(way: Any) -> None:
    course = way(asking(1, answer(2), Awaitable(), failing(), 3))

    assert asyncio.iscoroutine(course)
    assert run(course) == [1, 2, 6, "disk full", 3]


def test_what_it_does_not_catch_comes_out_of_it() -> None:
    async def cancelled() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        run(finish(asking(cancelled())))


class Says:
    """A storage; *said* is what it says of itself beside its plain ``read``."""

    def __init__(self, **said: Any) -> None:
        self.__dict__.update(said)

    def read(self, key: str) -> Any:
        raise NotImplementedError


def test_a_storage_says_whether_it_is_async() -> None:
    blocking = Says()
    blocking.sync = blocking  # type: ignore[attr-defined]  # as the memory storage has it

    for storage in (Says(), blocking, Says(wrapped=blocking)):
        assert not answers_later(storage)
    for storage in (Says(read=answer), Says(sync=blocking), Says(wrapped=Says(sync=blocking))):
        assert answers_later(storage)


def test_a_course_that_has_to_wait_is_closed_and_refused_without_a_loop() -> None:
    ended: list[str] = []

    async def course() -> None:
        try:
            await asyncio.sleep(0)
        finally:
            ended.append("closed")

    with pytest.raises(NeedsLoopError, match="use 'async with', or a storage that has 'sync'"):
        run_sync(course())
    assert ended == ["closed"]


def test_settling_gives_the_answer_or_the_error() -> None:
    async def fail() -> None:
        raise OSError("disk full")

    async def cancelled() -> None:
        raise asyncio.CancelledError

    async def main() -> None:
        assert await settle(answer()) == 5
        assert await settle(Awaitable()) == 6
        with pytest.raises(OSError, match="disk full"):
            await settle(fail())
        with pytest.raises(asyncio.CancelledError):
            await settle(cancelled())

    run(main())


def test_what_ends_without_waiting_takes_no_turn_of_the_loop_where_python_can_do_that() -> None:
    async def main() -> None:
        turns: list[int] = []
        asyncio.get_running_loop().call_soon(turns.append, 1)
        assert await settle(answer()) == 5
        assert bool(turns) == (sys.version_info < (3, 12))

    run(main())


@pytest.mark.parametrize("outcome", ["done", "failed", "cancelled"])
def test_settling_waits_for_the_end_before_a_cancellation_is_raised(outcome: str) -> None:
    async def main() -> None:
        gate, begun, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def work() -> None:
            begun.set()
            await gate.wait()
            ended.set()
            if outcome == "failed":
                raise OSError("disk full")
            if outcome == "cancelled":
                raise asyncio.CancelledError

        task = asyncio.create_task(settle(work()))
        await begun.wait()
        for number in range(3):
            task.cancel(f"cancelled {number}")
            await asyncio.sleep(0)
            assert not task.done()
        gate.set()
        with pytest.raises(asyncio.CancelledError, match="cancelled 2") as caught:
            await task
        assert ended.is_set()
        assert isinstance(caught.value.__cause__, OSError) is (outcome == "failed")

    run(main())


def test_settling_within_a_timeout_ends_with_the_timeout() -> None:
    async def main() -> None:
        done: list[int] = []

        async def work() -> None:
            await asyncio.sleep(10)
            done.append(1)

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await settle(work())
        assert done

    run(main())


# Spans of time


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        (1, 1.0),
        (0.5, 0.5),
        (timedelta(days=1), 86400.0),
        (timedelta.max, timedelta.max.total_seconds()),
    ],
)
def test_seconds_are_numbers_or_timedeltas(span: Any, expected: float) -> None:
    assert seconds("ttl", span) == expected
    assert type(seconds("ttl", span)) is float


@pytest.mark.parametrize("span", [None, "5", True, [], 1j, Fraction(1, 2)])
def test_other_types_are_not_spans(span: Any) -> None:
    with pytest.raises(TypeError, match="ttl must be a timedelta or a number of seconds"):
        seconds("ttl", span)


@pytest.mark.parametrize(
    "span",
    [0, -1, 0.0, -0.0, float("inf"), float("-inf"), float("nan"), 1e308, 10**400, timedelta(-1)],
)
def test_a_span_is_positive_and_finite(span: Any) -> None:
    with pytest.raises(ValueError, match="ttl must be positive and finite"):
        seconds("ttl", span)


# Errors


KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type)]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if issubclass(kind, Exception)])
def test_errors_travel_between_processes_and_keep_what_they_know(kind: type[Any]) -> None:
    assert issubclass(kind, errors.SessionError)
    error: Any = kind("what to do next", key="p-1")
    error.extra = {"a": 1}
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(other) is kind
        assert str(other) == "what to do next"
        assert other.args == error.args
        assert vars(other) == vars(error)
    assert error.key == "p-1"
    assert kind("x").key is None


def test_errors_have_attributes_for_programs() -> None:
    assert errors.SessionWriteError("x", written=("a",), failed=("b",)).failed == ("b",)
    assert errors.SessionLockTimeoutError("x", timeout=5).timeout == 5
    assert errors.SessionEncodeError("x", path="['a']").path == "['a']"
    newer = errors.NewerVersionError("x", version=3, latest=2)
    assert (newer.version, newer.latest) == (3, 2)
    assert isinstance(newer, errors.SessionMigrationError)
    assert issubclass(errors.SessionReentrancyError, errors.SessionDeadlockError)


def test_a_discarded_coroutine_warns_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        discard(answer())

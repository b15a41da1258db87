"""The machine: what it asks, how it ends, and that a seed gives one run."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from sessionkit import MemorySessionStorage
from sessionkit.errors import SessionConflictError
from sessionkit.protocols import ANY, Clock
from sessionkit.testing import BrokenPromise, Limits, check_storage
from sessionkit.testing import _asking as asking
from sessionkit.testing import _check as check_module
from sessionkit.testing._asking import ask_for
from sessionkit.testing._checked import Value
from sessionkit.testing._factory import FactoryError
from sessionkit.testing._machine import attempt, pools, search
from sessionkit.testing._machine import promises as machine
from sessionkit.testing._machine.theme import plan
from sessionkit.testing._needs import LeftOut
from sessionkit.testing._ops import Op, read, write
from sessionkit.testing._promises import promises
from sessionkit.testing._subject import Subject
from sessionkit.testing._trial import Step
from tests.profiles import thorough
from tests.testing.reference import Disk, Reference, ask, promise_named, subject_of
from tests.testing.variants import Bare, BareTimed, Numbered, Strict

MACHINE = [promise.name for promise in promises() if promise.layer == "machine"]
TTL = Limits(ttl=100)


class Counted(Reference):
    """Notes what is asked of it, and lets some of it fail."""

    calls: list[tuple[str, Any]]

    def __init__(self, disk: Disk, clock: Clock, ttl: float | None = None) -> None:
        super().__init__(disk, clock, ttl)
        self.calls.append(("open", None))

    def read(self, key: str) -> Any:
        self.calls.append(("read", key))
        return super().read(key)

    def store(self, key: str, raw: Any, expires: float | None) -> int:
        self.calls.append((key, raw))
        return super().store(key, raw, expires)


@pytest.fixture
def counted() -> type[Counted]:
    class Fresh(Counted):
        calls: list[tuple[str, Any]] = []  # noqa: RUF012 (one per test)

    return Fresh


@pytest.fixture(autouse=True)
def enough_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the number of tries end what would end by time on a busy machine."""
    monkeypatch.setattr(search, "SHRINKING", 60.0)
    monkeypatch.setattr(search, "SHRINKING_TRIES", 10)


def in_memory(namespace: str, clock: Clock) -> Any:
    return MemorySessionStorage(clock=clock, ttl=100)


class Awaited:
    """An async storage, whose sync view blocks."""

    isolated = True

    def __init__(self, *given: Any) -> None:
        self.sync = Reference(*given)

    async def read(self, key: str) -> Any:
        await asyncio.sleep(0)
        return self.sync.read(key)

    async def write(self, key: str, value: Any) -> None:
        await asyncio.sleep(0)
        self.sync.write(key, value)

    async def delete(self, key: str) -> None:
        await asyncio.sleep(0)
        self.sync.delete(key)

    async def iter_items(self, prefix: str = "") -> Any:
        for item in list(self.sync.iter_items(prefix)):
            yield item


class ByContent(Bare):
    """As users write revisions: the content is the revision."""

    def read_with_revision(self, key: str) -> Any:
        value = self.read(key)
        return value, None if value is None else json.dumps(value)

    def write_if(self, key: str, value: Any, expected: Any) -> Any:
        if expected is not ANY and expected != self.read_with_revision(key)[1]:
            raise SessionConflictError("changed", key=key)
        if value is None:
            self.delete(key)
        else:
            self.write(key, value)
        return self.read_with_revision(key)[1]


class LeavesRemains(Reference):
    """What has expired is nothing: deleting it is nothing to do."""

    def drop(self, key: str) -> None:
        if self.live(key) is not None:
            super().drop(key)


# What is asked.


@pytest.mark.parametrize("name", MACHINE)
def test_the_reference_keeps_every_promise(name: str) -> None:
    ask(name, Reference, TTL)


def asked_and_left_out(subject: Subject) -> tuple[list[str], dict[str, str]]:
    async def main() -> tuple[list[str], dict[str, str]]:
        asked: list[str] = []
        left_out: dict[str, str] = {}
        for name in MACHINE:
            try:
                await ask_for(promise_named(name), subject)
                asked.append(name.removeprefix("histories_keep_"))
            except LeftOut as reason:
                left_out[name.removeprefix("histories_keep_")] = str(reason)
        return asked, left_out

    with subject:
        return asyncio.run(main())


@pytest.mark.usefixtures("few_histories")
@pytest.mark.parametrize(
    ("subject", "left_out"),
    [
        (lambda: subject_of(Bare), ["copies", "revisions", "time"]),
        (lambda: subject_of(BareTimed, TTL), ["revisions"]),
        (lambda: subject_of(ByContent), ["copies", "time"]),
        thorough(lambda: subject_of(Numbered, Numbered.limits), []),
        thorough(lambda: subject_of(Awaited), ["revisions", "time"]),
        thorough(lambda: subject_of(Reference), []),
        thorough(lambda: subject_of(Reference, Limits(ttl=100, durable=False)), []),
        thorough(lambda: subject_of(Strict, TTL), []),
        thorough(
            lambda: subject_of(Reference, Limits(key_alphabet="[-0-9]", max_key_bytes=16)), []
        ),
        thorough(
            lambda: Subject(in_memory, limits=Limits(shared=False, durable=False, ttl=100)), []
        ),
    ],
)
def test_other_ways_of_keeping_them_are_fine(subject: Any, left_out: list[str]) -> None:
    asked, found = asked_and_left_out(subject())

    assert list(found) == left_out
    assert len(asked) + len(found) == len(MACHINE)


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["histories_keep_revisions", "histories_keep_time"])
def test_what_becomes_of_expired_remains_is_open(name: str) -> None:
    ask(name, LeavesRemains, TTL)


@pytest.mark.usefixtures("few_histories")
def test_where_openings_lag_behind_only_one_is_used(counted: type[Counted]) -> None:
    limits = Limits(eventually_consistent=1000.0, ttl=100)

    _, left_out = asked_and_left_out(subject_of(counted, limits))

    assert "each step would have to wait" in left_out.pop("openings")
    assert not left_out


def test_a_storage_of_three_methods_is_not_asked_for_time() -> None:
    with pytest.raises(LeftOut, match=r"no timeout is declared by Limits\(ttl=...\)"):
        ask("histories_keep_time", Bare)


def test_a_thorough_run_tries_many_times_as_many(
    counted: type[Counted], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "EXAMPLES", 1)

    def opened(**options: Any) -> int:
        counted.calls.clear()
        ask("histories_keep_copies", counted, **options)
        return counted.calls.count(("open", None))

    default, thorough = opened(), opened(profile="thorough")

    assert thorough - 1 == machine._THOROUGH * (default - 1)  # once, to see what the storage offers


# The same seed gives the same run.


@pytest.mark.usefixtures("few_histories")
def test_the_same_seed_gives_the_same_run(counted: type[Counted]) -> None:
    runs: list[list[Any]] = []
    for seed in (1, 1, 2):
        counted.calls.clear()
        ask("histories_keep_revisions", counted, seed=seed)
        runs.append(counted.calls[:])

    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


class Forgets(Reference):
    """Keeps two keys."""

    def store(self, key: str, raw: Any, expires: float | None) -> int:
        revision = super().store(key, raw, expires)
        for old in list(self.disk.rows)[:-2]:
            del self.disk.rows[old]
        return revision


def broken_by(kind: Any, name: str = "histories_keep_values", **options: Any) -> BrokenPromise:
    with pytest.raises(BrokenPromise) as caught:
        ask(name, kind, **options)
    return caught.value


def test_the_same_seed_shows_the_same_history() -> None:
    assert str(broken_by(Forgets, seed=5)) == str(broken_by(Forgets, seed=5))


def test_the_check_and_the_suite_show_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_module, "promises", lambda: (promise_named("histories_keep_values"),))

    def open_storage(namespace: str, clock: Clock) -> Any:
        return Forgets(disks.setdefault(namespace, Disk()), clock)

    disks: dict[str, Disk] = {}
    report = asyncio.run(check_storage(open_storage))

    assert str(report.broken[0].broken) == str(broken_by(Forgets))


QUIET = """
from tests.testing.test_machine import Forgets, broken_by

error = broken_by(Forgets)
assert error.__cause__ is None
assert not getattr(error, "__notes__", [])
"""


def test_hypothesis_prints_nothing_and_leaves_no_files(tmp_path: Path) -> None:
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": root, "PYTHONDONTWRITEBYTECODE": "1"}

    ended = subprocess.run(
        [sys.executable, "-c", QUIET],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=environment,
    )

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []


# How a search ends.


class Raises(Reference):
    def read(self, key: str) -> Any:
        if self.disk.revision > 1:
            raise OSError("disk on fire")
        return super().read(key)


def test_an_error_of_the_storage_is_shown_with_its_place() -> None:
    error = broken_by(Raises)

    assert error.expected == "no error"
    assert error.got == "OSError: disk on fire"
    assert error.history[-1] == "storage.read('1')  # raised OSError('disk on fire')"
    assert isinstance(error.__cause__, OSError)
    traceback = error.__cause__.__traceback__
    assert traceback is not None
    assert traceback.tb_frame.f_code.co_filename == __file__


def test_a_failure_that_takes_many_steps_is_shown() -> None:
    class Fills(Reference):
        def store(self, key: str, raw: Any, expires: float | None) -> int:
            if self.disk.revision == 14:
                raise OSError("disk full")
            return super().store(key, raw, expires)

    error = broken_by(Fills)

    assert 10 <= len(error.history) <= 1 + 15  # some steps write two values
    assert error.got == "OSError: disk full"


def test_an_error_of_closing_is_one_of_the_storage() -> None:
    class Stuck(Reference):
        def close(self) -> None:
            if self.disk.revision:
                raise OSError("cannot flush")

    assert broken_by(Stuck).got == "OSError: cannot flush"


def test_what_fails_only_once_is_shown_as_it_was() -> None:
    class Hiccups(Reference):
        left = 1

        def read(self, key: str) -> Any:
            value = super().read(key)
            if value is not None and Hiccups.left:
                Hiccups.left -= 1
                return None
            return value

    assert broken_by(Hiccups).got == "None"


def test_a_storage_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempt, "PATIENCE", 0.3)
    monkeypatch.setattr(search, "SHRINKING", 0.0)

    class Hangs(Awaited):
        async def read(self, key: str) -> Any:
            await asyncio.Event().wait()

    error = broken_by(Hangs)

    assert error.expected == "an answer within 0.3 seconds"
    assert error.got == "none"


def test_a_storage_that_is_slow_is_not_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempt, "PATIENCE", 0.2)

    class Slow(Awaited):
        async def read(self, key: str) -> Any:
            await asyncio.sleep(0.05)
            return await super().read(key)

    async def main() -> attempt.Failure | None:
        program = [Step(read("1"))] * 10
        return await attempt.attempt(subject_of(Slow), program)

    assert asyncio.run(main()) is None


def test_a_timeout_of_the_storage_itself_is_its_error() -> None:
    class TimesOut(Reference):
        def read(self, key: str) -> Any:
            raise TimeoutError("no answer from the server")

    assert broken_by(TimesOut).got == "TimeoutError: no answer from the server"


def tries_after_the_failure(monkeypatch: pytest.MonkeyPatch) -> int:
    """How often hypothesis tries to make a failure shorter."""
    outcomes: list[Any] = []

    async def noted(subject: Subject, program: Any) -> Any:
        outcomes.append(await attempt.attempt(subject, program))
        return outcomes[-1]

    async def not_pruned(subject: Subject, program: Any, failure: Any, **options: Any) -> Any:
        return failure

    monkeypatch.setattr(search, "attempt", noted)
    monkeypatch.setattr(search, "prune", not_pruned)
    broken_by(Forgets)
    return len(outcomes) - 1 - next(n for n, failure in enumerate(outcomes) if failure)


def test_shortening_ends_after_some_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    assert tries_after_the_failure(monkeypatch) == 10


def test_shortening_ends_after_some_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "SHRINKING", 0.0)

    assert tries_after_the_failure(monkeypatch) == 0


def test_without_time_the_failure_is_shown_as_found(monkeypatch: pytest.MonkeyPatch) -> None:
    shortest = len(broken_by(Forgets).history)
    monkeypatch.setattr(search, "SHRINKING", 0.0)

    assert len(broken_by(Forgets).history) > shortest


class FailsAfterAnOddNumberOfWrites(Reference):
    def read(self, key: str) -> Any:
        if self.disk.revision % 2:
            raise OSError("odd")
        return super().read(key)


def test_steps_that_are_needless_only_together_are_left_out() -> None:
    program = [*(Step(write(str(number), Value.NEW)) for number in range(3)), Step(read("1"))]

    async def main(subject: Subject) -> int:
        failure = await attempt.attempt(subject, program)
        assert failure is not None
        assert failure.steps == 4
        return (await attempt.prune(subject, program, failure, plain=[], seconds=60)).steps

    with subject_of(FailsAfterAnOddNumberOfWrites) as subject:
        assert asyncio.run(main(subject)) == 2


@pytest.mark.parametrize("durable", [True, False])
def test_each_history_ends_with_reopening_where_data_must_outlive_it(durable: bool) -> None:
    with subject_of(Reference, Limits(durable=durable)) as subject:
        audit = asyncio.run(plan(subject)).reopened().theme().audit()

    reopen, reads = Step(Op("reopen")), [Step(read(key)) for key in pools.ORDINARY]
    assert audit[-4:] == [reopen, *reads] if durable else reopen not in audit


def test_a_factory_that_fails_later_says_so() -> None:
    opened = 0

    def open_some(namespace: str) -> Any:
        nonlocal opened
        opened += 1
        return MemorySessionStorage() if opened < 5 else None

    with Subject(open_some) as subject, pytest.raises(FactoryError, match="gave no storage"):
        asyncio.run(ask_for(promise_named("histories_keep_values"), subject))


def test_cancelling_ends_it_with_the_history_under_way(counted: type[Counted]) -> None:
    async def main() -> None:
        with subject_of(counted, profile="thorough") as subject:
            asking = asyncio.ensure_future(ask_for(promise_named("histories_keep_values"), subject))
            while len(counted.calls) < 10:
                await asyncio.sleep(0)
            asking.cancel()
            under_way = counted.calls.count(("open", None))
            with pytest.raises(asyncio.CancelledError):
                await asking
        left = len(counted.calls)
        assert counted.calls.count(("open", None)) <= under_way + 3  # those of one history
        await asyncio.sleep(0.01)
        assert len(counted.calls) == left

    asyncio.run(main())


def test_storages_are_used_on_the_loop_of_the_caller() -> None:
    used: set[tuple[Any, int]] = set()

    class Bound(Awaited):
        async def read(self, key: str) -> Any:
            used.add((asyncio.get_running_loop(), threading.get_ident()))
            return await super().read(key)

    async def main() -> Any:
        with subject_of(Bound) as subject:
            await ask_for(promise_named("histories_keep_copies"), subject)
        return asyncio.get_running_loop()

    loop = asyncio.run(main())
    assert used == {(loop, threading.get_ident())}


# Without hypothesis.


def missing(name: str) -> None:
    """Find no module."""


def test_without_hypothesis_it_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "find_spec", missing)

    for name in MACHINE:
        with pytest.raises(LeftOut, match="hypothesis is not installed"):
            ask(name, Reference, TTL)


def test_the_kit_is_imported_without_hypothesis() -> None:
    code = (
        "import sys, sessionkit.testing;"
        "from sessionkit.testing._promises import promises;"
        "assert any(each.layer == 'machine' for each in promises());"
        "sys.exit('hypothesis' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

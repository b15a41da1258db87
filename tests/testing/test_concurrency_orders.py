"""Histories at random of three at once: drawn, driven, written down, made shorter, shown."""

from __future__ import annotations

import asyncio
import json
from random import Random
from typing import Any

import pytest

from sessionkit.protocols import ANY
from sessionkit.testing import BrokenPromise, Limits, Report
from sessionkit.testing import Outcome as Asked
from sessionkit.testing._asking import ask_for
from sessionkit.testing._concurrency.actors import Actor
from sessionkit.testing._concurrency.drive import Drive, Log
from sessionkit.testing._concurrency.plan import Begin, Draw, GoOn, Lead, Plan
from sessionkit.testing._concurrency.wait_policy import WaitPolicy
from sessionkit.testing._concurrency.worker import _portable
from sessionkit.testing._history import History
from sessionkit.testing._linearizable.operation import ANY_REVISION
from sessionkit.testing._needs import LeftOut
from sessionkit.testing._ops import Op, Outcome, look, write_if
from sessionkit.testing._subject import Subject
from tests.clocks import FakeTimeLoop
from tests.testing.mutants.races import JoinsReads, PurgesByKey
from tests.testing.reference import Reference, promise_named, subject_of

AMONG_TASKS = "an_order_explains_all_answers_among_tasks"


def broken(subject: Subject) -> BrokenPromise:
    with subject, pytest.raises(BrokenPromise) as caught:
        asyncio.run(ask_for(promise_named(AMONG_TASKS), subject))
    return caught.value


# What is shown.


def test_three_calls_in_one_order_are_shown_as_a_timeline() -> None:
    error = broken(subject_of(JoinsReads))

    assert error.violation is not None
    first, *_ = [each for each in error.violation.window if each.op == "read"]
    assert error.violation.culprit.op == "read"
    assert first.called < error.violation.culprit.called < first.end
    assert "fits nowhere" in str(error)
    assert any("stops at races.py" in line for line in error.history)
    assert error.got.endswith("which fits nowhere")


def test_a_report_has_the_timeline_and_the_picture() -> None:
    promise = promise_named(AMONG_TASKS)
    error = broken(subject_of(PurgesByKey, Limits(ttl=60)))
    outcome = Asked(promise, "broken", broken=error)
    report = Report("PurgesByKey", frozenset(), (outcome,), "default", 0, Limits())

    (told,) = json.loads(report.as_json())["promises"]
    assert told["timeline"] == str(error.violation)
    page = report.as_html()
    assert "<svg" in page
    assert promise.sentence in page
    assert "advance(60)" in page
    assert "<- fits nowhere" not in page  # the picture says it


def test_a_report_without_races_is_a_page_as_well() -> None:
    report = Report("Good", frozenset(), (), "default", 0, Limits())

    assert "No promise was broken." in report.as_html()


# What is tried.

LEADS = [Lead(name, stop) for name in ("read", "write", "write_if", "touch") for stop in (0, 1)]
METHODS = ("read", "write", "delete", "touch", "write_if", "read_with_revision", "purge_expired")


def plans(seed: int, *more: Lead) -> list[Plan]:
    return [*Draw(Random(seed), METHODS, [*LEADS, *more]).plans(40)]


def test_the_same_seed_gives_the_same_plans() -> None:
    assert plans(1) == plans(1) != plans(2)


def test_each_call_is_stopped_at_each_of_its_points() -> None:
    stopped = {
        (move.op.method, move.stop)
        for plan in plans(1)
        for move in plan.moves
        if isinstance(move, Begin) and move.who == 0 and move.stop is not None
    }

    assert stopped == {(lead.method, lead.stop) for lead in LEADS}


def test_who_expects_a_revision_has_looked_before() -> None:
    for plan in plans(1, Lead("purge_expired", 0, expired=True)):
        seen: set[Any] = set()
        for move in plan.moves:
            if isinstance(move, Begin) and move.op.method == "read_with_revision":
                seen.add((move.who, move.op.args[0]))
            if isinstance(move, Begin) and move.op.takes_seen:
                assert (move.who, move.op.args[0]) in seen


def test_what_has_expired_is_not_stored_as_well() -> None:
    expired = [plan for plan in plans(1, Lead("purge_expired", 0, expired=True)) if plan.expired]

    assert expired
    assert all(plan.stored == () for plan in expired)


def test_a_plan_is_made_shorter_move_by_move() -> None:
    looked, written = Begin(1, look("1")), Begin(1, write_if("1", {"n": 2}), 3)
    plan = Plan((looked, written, GoOn(1)), stored=("1", "2"), expired=("3",))

    assert [*plan.shorter()] == [
        Plan((looked, written._replace(stop=None), GoOn(1)), ("1", "2"), ("3",)),
        Plan((looked, GoOn(1)), ("1", "2"), ("3",)),
        Plan((looked, written), ("1", "2"), ("3",)),
        Plan(plan.moves, ("2",), ("3",)),
        Plan(plan.moves, ("1",), ("3",)),
        Plan(plan.moves, ("1", "2"), ()),
    ]
    assert plan.keys == ["1", "2", "3"]


# What is written down.


def test_revisions_have_names_and_unknown_ones_fit_every_value() -> None:
    log = Log()

    assert repr(log.revision("a")) == "r1"
    assert repr(log.revision("b")) == "r2"
    assert log.revision("a") is log.revision("a")
    assert log.revision(None) is ANY_REVISION


def test_only_plain_revisions_travel_between_processes() -> None:
    assert [_portable(each) for each in ("a", 1, b"a", ("a", 1))] == ["a", 1, b"a", None]


class Told(Actor):
    """An actor whose calls give what was set before."""

    def __init__(self, *outcomes: Outcome) -> None:
        super().__init__("first", History(), None)
        self.outcomes = [*outcomes]

    async def _do(self, op: Op) -> Any:
        return self.outcomes.pop(0)

    async def end(self) -> None: ...
    async def _record(self, op: Op) -> Any: ...
    async def _start(self, op: Op, stop: int) -> Any: ...
    async def _finish(self) -> Any: ...


def test_what_is_written_over_an_unknown_revision_may_have_been_right_or_not() -> None:
    actor = Told(Outcome("answer", {"n": 1}), Outcome("answer"))
    drive = Drive([actor], WaitPolicy(), {"1": "1"})
    asyncio.run(drive.store([look("1"), write_if("1", {"n": 2})]))

    looked, written = drive.log.operations
    assert looked.result == ({"n": 1}, ANY_REVISION)
    assert (written.args, written.fate) == (({"n": 2}, ANY), "unknown")


class Stalling(Told):
    """It seems to wait at one line, while the whole process gets no processor."""

    def waits_at(self) -> str:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, FakeTimeLoop)
        loop.stall(10)
        return "a line"


def test_a_machine_without_time_is_not_taken_for_a_side_that_waits() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        ends_late: asyncio.Future[None] = loop.create_future()
        loop.call_later(25, ends_late.set_result, None)
        await WaitPolicy().wait(ends_late, Stalling())
        assert ends_late.done()

    with asyncio.Runner(loop_factory=FakeTimeLoop) as runner:
        runner.run(main())


def test_a_storage_that_never_lets_others_run_is_left_out() -> None:
    with subject_of(Reference) as subject, pytest.raises(LeftOut, match="cannot overlap"):
        asyncio.run(ask_for(promise_named(AMONG_TASKS), subject))

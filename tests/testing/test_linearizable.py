"""Whether an order explains a history: compared with all orders, tried one by one."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sessionkit.errors import SessionConflictError
from sessionkit.protocols import ANY
from sessionkit.testing import (
    FakeClock,
    HistoryTooLargeError,
    Operation,
    OperationLog,
    linearizable,
)
from sessionkit.testing._linearizable import search, verdict
from tests.testing.mutants.remote import Locked
from tests.testing.reference import Disk

ONE, TWO, THREE = {"n": 1}, {"n": 2}, {"n": 3}
CHANGING = ("write", "delete", "write_if")


def op(client: str, name: str, *args: Any, at: tuple[float, float], **given: Any) -> Operation:
    return Operation(client, name, "1", args, *at, **given)


WRITTEN = op("writer", "write", ONE, at=(1, 2))
REPLACED = op("writer", "write", TWO, at=(3, 12))
NEW = op("reader 1", "read", at=(4, 5), result=TWO)
OLD = op("reader 2", "read", at=(6, 7), result=ONE)
LATER = op("reader 2", "read", at=(8, 9), result=TWO)


# All orders, tried one by one.


class Naive:
    """A key with a value and its version; what a revision means is learned on the way."""

    def __init__(self) -> None:
        self.value: Any = None
        self.version = 0
        self.meaning: dict[Any, int] = {}

    def allows(self, each: Operation) -> bool:
        if each.op in ("write", "delete"):
            self.store(each.args[0] if each.args else None)
            return True
        if each.op == "read":
            return bool(self.value == each.result)
        if each.op == "has":
            return (self.value is not None) is each.result
        if each.op == "read_with_revision":
            value, revision = each.result
            if revision is None:
                return value is None and self.value is None
            others = [known for known, version in self.meaning.items() if version == self.version]
            known = self.meaning.setdefault(revision, self.version)
            return (
                bool(value == self.value) and known == self.version and others in ([], [revision])
            )
        value, expected = each.args
        missing = self.value is None
        holds = missing if expected is None else self.meaning.get(expected) == self.version
        if each.fate == "refused":
            return not holds
        if holds:
            self.store(value)
        return holds

    def store(self, value: Any) -> None:
        self.value = value
        self.version += 1


def orders(history: Sequence[Operation]) -> Iterator[tuple[Operation, ...]]:
    certain = [each for each in history if each.fate != "unknown"]
    open_ones = [each for each in history if each.fate == "unknown" and each.op in CHANGING]
    for count in range(len(open_ones) + 1):
        for some in itertools.combinations(open_ones, count):
            yield from itertools.permutations([*certain, *some])


def is_explained_by(order: Sequence[Operation]) -> bool:
    if any(late.end < soon.called for soon, late in itertools.combinations(order, 2)):
        return False
    naive = Naive()
    return all(naive.allows(each) for each in order)


# Histories of a storage that is right, and such in which one answer is not.


@st.composite
def histories(draw: st.DrawFn) -> list[Operation]:
    count = draw(st.integers(1, 6))
    times = draw(st.permutations(range(3 * count)))
    spans = [sorted(times[3 * n : 3 * n + 3]) for n in range(count)]
    storage: dict[str, Any] = {"value": None, "version": 0}
    revisions: list[tuple[int, int]] = []
    made: list[Operation] = []
    for n, (called, instant, answered) in sorted(enumerate(spans), key=lambda each: each[1][1]):
        names = ["write", "read", "read", "delete", "has", "read_with_revision"]
        name = draw(st.sampled_from([*names, "write_if", "write_if"]))
        given: dict[str, Any] = {}
        args: tuple[Any, ...] = ()
        expected: Any = ANY
        if name == "write_if":
            known = [version for version, seen in revisions if seen < called]
            expected = draw(st.sampled_from([None, *known]))
            args = ({"n": n}, expected)
            holds = storage["value"] is None if expected is None else expected == storage["version"]
            given["fate"] = "answered" if holds else "refused"
        elif name == "write":
            args = ({"n": n},)
        is_lost = draw(st.integers(0, 9)) == 0 and given.get("fate") != "refused"
        happens = not is_lost or draw(st.booleans())
        if name in ("write", "delete", "write_if") and happens and given.get("fate") != "refused":
            storage["value"] = args[0] if args else None
            storage["version"] = instant + 1
        if name == "read":
            given["result"] = storage["value"]
        elif name == "has":
            given["result"] = storage["value"] is not None
        elif name == "read_with_revision":
            revision = None if storage["value"] is None else storage["version"]
            given["result"] = (storage["value"], revision)
            if revision is not None and not is_lost:
                revisions.append((revision, answered))
        if is_lost:
            given = {"fate": "unknown"}
        made.append(Operation(f"client {n}", name, "1", args, called, answered, **given))
    return made


@st.composite
def broken_histories(draw: st.DrawFn) -> list[Operation]:
    history = draw(histories())
    number = draw(st.integers(0, len(history) - 1))
    one = history[number]
    values = [None, *(each.args[0] for each in history if each.args)]
    if one.fate == "unknown":
        return history
    if one.op == "read":
        history[number] = replace(one, result=draw(st.sampled_from(values)))
    elif one.op == "has":
        history[number] = replace(one, result=not one.result)
    elif one.op == "write_if":
        history[number] = replace(one, fate="answered" if one.fate == "refused" else "refused")
    return history


@given(histories())
def test_a_storage_that_is_right_is_never_accused(history: list[Operation]) -> None:
    verdict = linearizable(history)

    assert verdict, str(verdict)
    assert is_explained_by(verdict.orders["1"])


@settings(max_examples=300, deadline=None)
@given(broken_histories())
def test_it_finds_an_order_if_there_is_one(history: list[Operation]) -> None:
    found = linearizable(history)

    assert found.ok is any(map(is_explained_by, orders(history)))
    if found.violation is not None:
        shown = found.violation.window
        assert found.violation.culprit in shown
        assert all(each in history for each in shown)
        assert set(map(id, found.violation.explained)) <= set(map(id, shown))
        assert "fits nowhere" in str(found)
        assert "<svg" in found.as_html()


# What is shown.


def test_a_new_value_that_is_followed_by_the_old_one_is_shown_as_a_timeline() -> None:
    verdict = linearizable([LATER, OLD, NEW, REPLACED, WRITTEN])

    assert not verdict
    assert verdict.violation is not None
    assert verdict.violation.window == (WRITTEN, REPLACED, NEW, OLD)
    assert verdict.violation.culprit is OLD
    assert verdict.violation.explained == (WRITTEN, REPLACED, NEW)
    assert str(verdict) == (
        "No order of the calls explains what was answered of key '1'.\n"
        "\n"
        "writer    |- 1 -|  |- 2 --------------|\n"
        "reader 1             |- 3 -|\n"
        "reader 2                      |- 4 -|  <- fits nowhere\n"
        "\n"
        "1: writer: write({'n': 1})\n"
        "2: writer: write({'n': 2})\n"
        "3: reader 1: read() -> {'n': 2}\n"
        "4: reader 2: read() -> {'n': 1}\n"
        "\n"
        "What was answered before can be explained, in this order:\n"
        "  1. writer: write({'n': 1})\n"
        "  2. writer: write({'n': 2})\n"
        "  3. reader 1: read() -> {'n': 2}\n"
        "reader 2: read() -> {'n': 1} fits nowhere: it could have given {'n': 2}."
    )


def test_calls_that_are_short_are_written_into_the_timeline() -> None:
    verdict = linearizable(
        [
            op("a", "write", 1, at=(1, 4)),
            op("a", "has", at=(2, 3), result=True),
            op("a", "read", at=(5, 6)),
        ]
    )

    assert str(verdict.violation) == (
        "a  |- write(1) -|  |- read() -> None -|  <- fits nowhere\n"
        "\n"
        "What was answered before can be explained, in this order:\n"
        "  1. a: write(1)\n"
        "a: read() -> None fits nowhere: it could have given 1."
    )


def test_a_picture_is_a_page_of_its_own() -> None:
    page = linearizable([LATER, OLD, NEW, REPLACED, replace(WRITTEN, args=("<b>",))]).as_html()

    assert page.startswith("<!doctype html>")
    assert "prefers-color-scheme: dark" in page
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")
    assert "<b>" not in page


def test_what_has_an_order_says_so() -> None:
    verdict = linearizable([LATER, NEW, REPLACED, WRITTEN, replace(WRITTEN, key="2")])

    assert str(verdict) == "An order explains all answers (keys: 2)."
    assert verdict.orders["2"] == (replace(WRITTEN, key="2"),)
    assert "An order explains all answers" in verdict.as_html()


def test_the_first_answer_that_fits_nowhere_is_shown_of_several_keys() -> None:
    history = (WRITTEN, REPLACED, NEW, OLD)
    late = [
        replace(each, key="2", called=each.called + 20, answered=each.end + 20) for each in history
    ]
    verdict = linearizable([*late, *history])

    assert verdict.violation is not None
    assert verdict.violation.key == "1"
    assert verdict.orders == {}


# Unknown outcomes.

LOST = op("writer", "write", TWO, at=(3, 4), fate="unknown", result=OSError("connection lost"))


@pytest.mark.parametrize(
    ("answers", "ok"),
    [
        ([ONE, ONE, TWO], True),  # a long time later
        ([ONE, ONE, ONE], True),  # never
        ([TWO, TWO, TWO], True),
        ([ONE, TWO, ONE], False),  # but not twice
    ],
)
def test_what_was_lost_may_take_effect_later_or_never(answers: list[Any], ok: bool) -> None:
    reads = [
        op("r", "read", at=(10 + n, 10.5 + n), result=value) for n, value in enumerate(answers)
    ]

    verdict = linearizable([WRITTEN, LOST, *reads])

    assert verdict.ok is ok
    if not ok:
        assert "write({'n': 2}) raised OSError: connection lost" in str(verdict)


def test_a_conditional_write_that_was_lost_may_have_been_refused() -> None:
    lost = op("a", "write_if", TWO, None, at=(3, 4), fate="unknown")
    history = [WRITTEN, lost, op("a", "read", at=(5, 6), result=TWO)]

    assert not linearizable(history)
    assert linearizable([WRITTEN, op("b", "delete", at=(3, 9)), *history[1:]])


# Revisions.

LOOK = op("a", "read_with_revision", at=(3, 4), result=(ONE, "r1"))
TAKEN = op("a", "write_if", TWO, "r1", at=(7, 8))


@pytest.mark.parametrize(
    ("meanwhile", "ok"),
    [
        ([], True),
        ([op("b", "write", THREE, at=(5, 6))], False),
        ([op("b", "write", THREE, at=(5, 9))], True),
        ([op("b", "touch", at=(5, 6), result=True)], True),
        ([op("b", "write", ONE, at=(5, 6))], True),  # its content may be its revision
        ([op("b", "delete", at=(5, 5.5)), op("b", "write", THREE, at=(5.6, 6))], False),
        ([op("b", "read_with_revision", at=(5, 6), result=(ONE, "r1"))], True),
        ([op("b", "read_with_revision", at=(5, 6), result=(ONE, "r2"))], False),
    ],
)
def test_a_revision_belongs_to_the_value_it_was_read_with(
    meanwhile: list[Operation], ok: bool
) -> None:
    assert linearizable([WRITTEN, LOOK, *meanwhile, TAKEN]).ok is ok


def test_the_look_at_the_revision_is_shown() -> None:
    verdict = linearizable([WRITTEN, LOOK, op("b", "write", THREE, at=(5, 6)), TAKEN])

    assert "a: read_with_revision() -> {'n': 1}, 'r1'" in str(verdict)
    assert "fits nowhere: it could have been refused." in str(verdict)


def test_a_refusal_needs_a_reason() -> None:
    verdict = linearizable([WRITTEN, LOOK, replace(TAKEN, fate="refused")])

    assert "is refused fits nowhere: it could have gone through." in str(verdict)


def test_a_value_may_be_right_and_its_revision_wrong() -> None:
    stale = op("b", "read_with_revision", at=(7, 8), result=(TWO, "r1"))
    verdict = linearizable([WRITTEN, LOOK, op("b", "write", TWO, at=(5, 6)), stale])

    assert "it could have given {'n': 2} and its revision." in str(verdict)


@pytest.mark.parametrize(
    ("result", "ok"), [((None, None), True), ((None, "r9"), True), ((ONE, "r9"), False)]
)
def test_nothing_has_no_value(result: Any, ok: bool) -> None:
    assert linearizable([op("a", "read_with_revision", at=(1, 2), result=result)]).ok is ok


@pytest.mark.parametrize(
    ("expected", "stored", "ok"),
    [(ANY, True, True), (None, True, False), (None, False, True), ("r", False, False)],
)
def test_conditions_without_a_look(expected: Any, stored: bool, ok: bool) -> None:
    write = op("a", "write_if", TWO, expected, at=(3, 4))

    assert linearizable([WRITTEN, write] if stored else [write]).ok is ok


# Time.


def passing(seconds: float, at: tuple[float, float]) -> Operation:
    return Operation("clock", "advance", None, (seconds,), *at)


@pytest.mark.parametrize(("seconds", "found"), [(59, ONE), (60, None), (61, None)])
@pytest.mark.parametrize("own", [True, False])
def test_a_value_is_gone_at_the_instant_it_expires(seconds: float, found: Any, own: bool) -> None:
    written = replace(WRITTEN, expires=160.0 if own else None)
    history = [written, passing(seconds, (3, 4)), op("a", "read", at=(5, 6), result=found)]

    assert linearizable(history, ttl=None if own else 60, now=100.0)
    wrong = replace(history[-1], result=ONE if found is None else None)
    assert not linearizable([*history[:-1], wrong], ttl=None if own else 60, now=100.0)


@pytest.mark.parametrize("own", [True, False])
def test_touch_renews_the_timeout_of_the_storage_and_no_other(own: bool) -> None:
    history = [
        replace(WRITTEN, expires=60.0 if own else None),
        passing(50, (3, 4)),
        op("a", "touch", at=(5, 6), result=True),
        passing(50, (7, 8)),
        op("a", "has", at=(9, 10), result=not own),
        op("a", "touch", at=(11, 12), result=not own),
    ]

    assert linearizable(history, ttl=60)
    assert "could have given" in str(
        linearizable([*history[:-1], replace(history[-1], result=own)], ttl=60)
    )


EXPIRED = [
    replace(WRITTEN, expires=60.0),
    op("a", "read_with_revision", at=(3, 4), result=(ONE, "r1")),
    passing(60, (5, 6)),
]


@pytest.mark.parametrize(
    "then",
    [
        op("a", "write_if", TWO, None, at=(7, 8)),
        op("a", "write_if", TWO, "r1", at=(7, 8)),
        op("a", "write_if", TWO, "r1", at=(7, 8), fate="refused"),
        op("a", "delete", at=(7, 8)),
    ],
)
def test_the_revision_of_what_has_expired_may_be_taken_or_not(then: Operation) -> None:
    assert linearizable([*EXPIRED, then])


def test_the_revision_of_what_has_expired_is_that_of_no_other_value() -> None:
    gone = op("a", "read_with_revision", at=(7, 8), result=(None, "r1"))
    history = [EXPIRED[0], EXPIRED[2], gone, op("b", "write", THREE, at=(9, 10))]

    assert linearizable([*history, op("a", "write_if", TWO, "r1", at=(11, 12), fate="refused")])
    assert not linearizable([*history, op("a", "write_if", TWO, "r1", at=(11, 12))])


def test_a_touch_whose_answer_was_lost_may_have_renewed() -> None:
    touched = op("a", "touch", at=(7, 8), fate="unknown")
    read = op("a", "read", at=(11, 12), result=ONE)
    history = [WRITTEN, passing(50, (3, 4)), touched, passing(50, (9, 10)), read]

    assert linearizable(history, ttl=60)
    assert not linearizable([each for each in history if each is not touched], ttl=60)


# Sizes.


def test_long_histories_can_be_checked() -> None:
    history: list[Operation] = []
    for n in range(0, 2400, 6):
        history += [
            op("a", "write", n, at=(n, n + 3)),
            op("b", "read", at=(n + 1, n + 5), result=n),
        ]

    assert linearizable(history)
    history[-1] = replace(history[-1], result=-1)
    assert linearizable(history).violation is not None


def test_what_cannot_be_decided_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "MOST", 100)
    writes = [op(f"{n}", "write", n, at=(n / 100, 5), fate="unknown") for n in range(12)]

    with pytest.raises(HistoryTooLargeError, match="too many operations overlap"):
        linearizable([*writes, op("r", "read", at=(6, 7), result=-1)])


def test_what_is_too_large_to_be_cut_down_is_shown_as_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def explain(*args: Any, **options: Any) -> Any:
        if options["loose"]:
            raise HistoryTooLargeError
        return search.explain(*args, **options)

    monkeypatch.setattr(verdict, "explain", explain)
    found = linearizable([WRITTEN, REPLACED, NEW, OLD])

    assert found.violation is not None
    assert found.violation.window == (WRITTEN, REPLACED, NEW, OLD)


def test_values_need_no_hash() -> None:
    written = op("a", "write", bytearray(b"1"), at=(1, 2))

    assert linearizable([written, op("a", "read", at=(3, 4), result=bytearray(b"1"))])
    assert not linearizable([written, op("a", "read", at=(3, 4), result=bytearray(b"2"))])


# Operations.


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"op": "get"}, "there is no operation 'get': it is one of read,"),
        ({"op": "write"}, "write takes 1 in args"),
        ({"op": "read", "called": 2, "answered": 1}, "answered before it was called"),
        ({"op": "read"}, "never answered: its fate is 'unknown'"),
        ({"op": "delete", "answered": 1, "fate": "refused"}, "only write_if has a condition"),
    ],
)
def test_operations_that_cannot_be_are_refused(given: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Operation("a", key="1", **given)


def test_a_log_writes_down_what_threads_do() -> None:
    storage, log = Locked(Disk(), FakeClock()), OperationLog()

    def work(name: str) -> None:
        for n in range(20):
            with log.call(name, "read_with_revision", "1") as call:
                call.result = storage.read_with_revision("1")
            value = {"n": f"{name} {n}"}
            revision = call.result[1]
            try:
                with log.call(name, "write_if", "1", value, revision):
                    storage.write_if("1", value, revision)
            except SessionConflictError:
                continue

    threads = [threading.Thread(target=work, args=(f"thread {n}",)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(log.operations) == 120
    assert linearizable(log.operations)


def test_a_log_knows_refusals_from_failures() -> None:
    log = OperationLog(lambda: 1.0, refused_by=KeyError)
    for error in (KeyError("changed"), OSError("no connection")):
        with pytest.raises(type(error)), log.call("a", "write_if", "1", ONE, None, expires=5.0):
            raise error

    assert [each.fate for each in log.operations] == ["refused", "unknown"]
    assert str(log.operations[1]) == (
        "write_if({'n': 1}, None, expires=5.0) raised OSError: no connection"
    )

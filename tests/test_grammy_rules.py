"""The rules that grammY keeps, as sessionkit keeps them: which calls a storage gets, and when.

The numbers are those of the list of rules that was made of grammY 1.46.  R, W and D are
reads, writes and deletes.  Where there are fewer here than in grammY, a comment says so;
``test_grammy_differences.py`` shows both.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from sessionkit import (
    MemorySessionStorage,
    NoInitialDataError,
    NoSessionKeyError,
    enhance_storage,
    multi_session,
    session,
)
from tests.grammy.both import Case
from tests.grammy.bridge import Options
from tests.grammy.compare import told
from tests.grammy.doubles import Recorded, ThrownError
from tests.grammy.mirror import Kind, Mirror, StrictContext, make_context
from tests.grammy.outcome import Call
from tests.grammy.steps import (
    Assign,
    AssignPromise,
    AssignRejection,
    Guard,
    Increment,
    Raise,
    Read,
    ReadTouched,
    SetField,
    Step,
    Touch,
    Turn,
)
from tests.grammy.wire import UNDEFINED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.grammy.bridge import Key

FALSY: list[Any] = [0, "", False, [], {}]

STRICT: list[tuple[str, Sequence[Step], Any, Any, str, Any]] = [
    # rule, program, stored, initial, calls, stored afterwards
    ("3: one read, though untouched", [], 5, UNDEFINED, "R", 5),
    ("4: stored", [], 5, 0, "R", 5),
    ("4: nothing stored", [], UNDEFINED, UNDEFINED, "R", UNDEFINED),
    ("4: initial", [], UNDEFINED, 0, "R", UNDEFINED),  # grammY writes it
    ("5: accessed", [Read()], 5, 0, "R", 5),  # grammY writes
    ("5: changed in place", [Increment("n")], {"n": 1}, 0, "RW", {"n": 2}),
    ("5: assigned", [Assign(6), Read()], 5, 0, "RW", 6),
    ("5: assigned the same", [Assign(5)], 5, 0, "R", 5),  # grammY writes
    ("5: often", [Assign({"n": 5}), Increment("n"), Read()], 5, 0, "RW", {"n": 6}),
    ("6: None", [Assign(None)], 5, 0, "RD", UNDEFINED),
    ("6: None, nothing stored", [Assign(None)], UNDEFINED, 0, "R", UNDEFINED),  # grammY deletes
    ("6: None, then data", [Assign(None), Assign(6)], 5, 0, "RW", 6),
    *((f"6: {falsy!r}", [Assign(falsy)], 5, 7, "RW", falsy) for falsy in FALSY),
    ("6: a falsy value stored", [Read()], 0, 7, "R", 0),
    ("8: a failing handler", [Assign(6), Raise("boom")], 5, 0, "R", 5),
    ("8: an error caught", [Guard([Assign(6), Raise("boom")])], 5, 0, "RW", 6),
]

LAZY: list[tuple[str, Sequence[Step], Any, Any, str, Any]] = [
    ("17: untouched", [], 5, 0, "", 5),
    ("18: one read", [Touch(), Read(), Read()], 5, 0, "R", 5),  # grammY writes
    ("18: one read, a change", [Increment("n"), Increment("n")], {"n": 1}, 0, "RW", {"n": 3}),
    ("19: assigned", [Assign(6)], 5, 0, "W", 6),
    ("19: assigned, then read", [Assign(6), Read()], 5, 0, "W", 6),
    ("19: None", [Assign(None)], 5, 0, "D", UNDEFINED),
    ("19: None, then data", [Assign(None), Assign(6)], 5, 0, "W", 6),
    ("20: read, then assigned", [Read(), Assign(6)], 5, 0, "RW", 6),
    ("21: assigned before it was read", [Touch(), Assign(6), ReadTouched()], 5, 0, "W", 6),
    ("22: a promise", [AssignPromise(6)], 5, 0, "W", 6),
    ("22: a promise, then read", [AssignPromise(6), Read()], 5, 0, "W", 6),
    ("22: a rejection", [AssignRejection("boom")], 5, 0, "", 5),
    ("23: not awaited", [Touch(), Turn()], 5, 0, "", 5),  # grammY reads and writes
    ("23: nothing stored", [Touch(), Turn()], UNDEFINED, 0, "", UNDEFINED),  # so here
    ("24: a failing handler, read", [Read(), Assign(6), Raise("boom")], 5, 0, "R", 5),
    ("24: a failing handler, not read", [Assign(6), Raise("boom")], 5, 0, "", 5),
]


def rows(table: Sequence[tuple[Any, ...]]) -> list[Any]:
    return [pytest.param(*row[1:], id=row[0]) for row in table]


def check(kind: Kind, program: Any, stored: Any, initial: Any, calls: str, after: Any) -> None:
    case = Case(kind=kind, stored={} if stored is UNDEFINED else {"1": stored}, initial=initial)

    ours = case.ours(program, chat=1)

    assert ours.ops == calls
    assert ours.stored == ({} if after is UNDEFINED else {"1": after})
    assert told(ours.error) == next((s.message for s in program if hasattr(s, "message")), "")


@pytest.mark.parametrize(("program", "stored", "initial", "calls", "after"), rows(STRICT))
def test_rules_of_strict_sessions(
    program: Any, stored: Any, initial: Any, calls: str, after: Any
) -> None:
    check("strict", program, stored, initial, calls, after)


@pytest.mark.parametrize(("program", "stored", "initial", "calls", "after"), rows(LAZY))
def test_rules_of_lazy_sessions(
    program: Any, stored: Any, initial: Any, calls: str, after: Any
) -> None:
    check("lazy", program, stored, initial, calls, after)


# --- keys ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("chat", "p-100"),
        ("async_chat", "p-100"),
        ("user", "p3"),
        ("number", "p3"),
        ("user_in_chat", "p3/-100"),
    ],
)
def test_rule_1_the_key_with_its_prefix(key: Key, expected: str) -> None:
    ours = Case(key=key, prefix="p").ours([Assign(1)], chat=-100, user=3)

    assert ours.stored == {expected: 1}


@pytest.mark.parametrize("kind", ["strict", "lazy"])
def test_rule_1_the_key_function_is_called_once_and_first(kind: Kind) -> None:
    ours = Case(kind=kind, key="failing", initial=0).ours([Raise("boom")], chat=1)

    assert (told(ours.error), ours.ops) == ("getSessionKey was made to fail", "")


@pytest.mark.parametrize("kind", ["strict", "lazy"])
def test_rule_2_without_a_key_only_touching_the_session_raises(kind: Kind) -> None:
    case = Case(kind=kind, initial=0, prefix="p")

    untouched = case.ours([], user=3)
    touched = case.ours([Guard([Read()]), Guard([Assign(1)])], user=3)

    assert (untouched.error, untouched.ops) == (None, "")
    assert [type(error) for error in touched.caught] == [NoSessionKeyError] * 2
    assert touched.ops == ""


# --- strict -------------------------------------------------------------------------------


def test_rule_3_a_failing_read_keeps_the_handler_from_running() -> None:
    ours = Case(initial=0, fail=("R",)).ours([Raise("boom")], chat=1)

    assert (told(ours.error), ours.ops) == ("R of 1 was made to fail", "R")


@pytest.mark.parametrize("kind", ["strict", "lazy"])
def test_rule_7_initial_is_called_for_what_is_missing_only(kind: Kind) -> None:
    storage = Recorded({"3": {"n": 3}})
    mirror = Mirror(kind, {"": Options({"n": 0})}, {"": storage})
    chats = (1, 1, 2, 3)

    runs = [asyncio.run(mirror.update([Increment("n")], chat=chat)) for chat in chats]

    assert [run.initials for run in runs] == [1, 0, 1, 0]
    assert storage.stored == {"3": {"n": 4}, "1": {"n": 2}, "2": {"n": 1}}


@pytest.mark.parametrize("kind", ["strict", "lazy"])
def test_rule_9_a_failing_write_is_raised_after_the_handler(kind: Kind) -> None:
    ours = Case(kind=kind, initial=0, fail=("W",)).ours([Read(), Assign(1)], chat=1)

    assert (ours.saw, told(ours.error), ours.ops) == ([0], "W of 1 was made to fail", "RW")
    assert ours.stored == {}


def test_rule_10_nested_middleware_sees_one_object_and_every_assignment() -> None:
    seen: list[Any] = []

    async def inner(ctx: StrictContext) -> None:
        seen.append(ctx.session)
        ctx.session = {"n": 7}

    async def outer(ctx: StrictContext) -> None:
        seen.append(ctx.session)
        await inner(ctx)
        seen.append(ctx.session["n"])

    sessions: Any = session(storage=Recorded({"1": {"n": 5}}))
    asyncio.run(sessions(make_context("strict", "flavor", 1, None), outer))

    assert seen[0] is seen[1]
    assert seen[2] == 7


# --- multi --------------------------------------------------------------------------------


def make_multi(**fragments: Options) -> tuple[Mirror, dict[str, Recorded]]:
    storages = {name: Recorded() for name in fragments}
    return Mirror("multi", fragments, storages), storages


def test_rule_12_fragments_are_read_and_written_side_by_side() -> None:
    order: list[str] = []

    class Noted(Recorded):
        async def read(self, key: str) -> Any:
            order.append("begin R")
            value = await super().read(key)
            order.append("end R")
            return value

        async def write(self, key: str, value: Any) -> None:
            order.append("begin W")
            await super().write(key, value)
            order.append("end W")

    fragments = {"a": Options(), "b": Options()}
    mirror = Mirror("multi", fragments, {name: Noted() for name in fragments})
    asyncio.run(mirror.update([Assign(1, at="a"), Assign(2, at="b")], chat=1))

    assert order == [f"{when} {op}" for op in "RW" for when in ("begin", "begin", "end", "end")]


def test_rule_12_each_fragment_without_a_storage_has_its_own() -> None:
    sessions: Any = multi_session(a=session(initial=lambda: 1), b=session(initial=lambda: 2))

    async def assign(ctx: Any) -> None:
        ctx.session.a = 5

    async def look(ctx: Any) -> list[Any]:
        return [ctx.session.a, ctx.session.b]

    async def main() -> Any:
        await sessions(make_context("multi", "flavor", 1, None), assign)
        return await sessions(make_context("multi", "flavor", 1, None), look)

    assert asyncio.run(main()) == [5, 2]


def test_rule_13_only_what_changed_is_written() -> None:
    mirror, storages = make_multi(a=Options(1), b=Options(2))
    storages["a"].stored["1"] = 5

    asyncio.run(mirror.update([Assign(None, at="a"), Read(at="b")], chat=1))

    assert [call.op for call in storages["a"].calls] == ["R", "D"]
    assert [call.op for call in storages["b"].calls] == ["R"]  # grammY writes


def test_rule_13_a_failing_read_of_one_stops_the_update() -> None:
    mirror, storages = make_multi(a=Options(1), b=Options(2))
    storages["a"].fail("R")

    run = asyncio.run(mirror.update([Raise("boom")], chat=1))

    assert told(run.error) == "R of 1 was made to fail"
    assert [call.op for each in storages.values() for call in each.calls] == ["R", "R"]


def test_rule_14_a_fragment_without_a_key_raises_by_itself() -> None:
    mirror, storages = make_multi(a=Options(1, key="user"), b=Options(2))

    program = [Guard([Read(at="a")]), Guard([Assign(1, at="a")]), Assign(3, at="b")]
    run = asyncio.run(mirror.update(program, chat=1))

    assert [told(error) for error in run.caught] == ["no key", "no key"]
    assert (storages["a"].calls, storages["b"].stored) == ([], {"1": 3})


def test_rule_15_none_deletes_all_fragments() -> None:
    mirror, storages = make_multi(a=Options(1), b=Options(2))
    for storage in storages.values():
        storage.stored["1"] = 5

    asyncio.run(mirror.update([Assign(None)], chat=1))

    assert [call.op for call in storages["a"].calls] == ["R", "D"]
    assert [call.op for call in storages["b"].calls] == ["R", "D"]


# Rule 16, that lazy multi sessions are refused, is a deliberate difference.

# --- lazy ---------------------------------------------------------------------------------


def test_rule_25_a_failing_read_is_raised_where_it_is_awaited() -> None:
    case = Case(kind="lazy", stored={"1": 5}, initial=0, fail=("R",))

    caught = case.ours([Guard([Read()])], chat=1)
    assigned = case.ours([Guard([Read()]), Assign(6)], chat=1)

    assert ([told(e) for e in caught.caught], caught.error) == (["R of 1 was made to fail"], None)
    assert (assigned.error, assigned.stored) == (None, {"1": 6})
    assert caught.stored == {"1": 5}


def test_rule_25_without_initial_awaiting_what_is_missing_raises() -> None:
    ours = Case(kind="lazy").ours([Guard([Read()]), Assign(6)], chat=1)

    assert (ours.saw, ours.ops, ours.stored) == ([UNDEFINED], "RW", {"1": 6})
    with pytest.raises(NoInitialDataError):
        asyncio.run(session(storage=Recorded()).get(1))


# --- enhancer, memory ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "calls", "saw"),
    [(999, "R", 5), (1000, "R", None), (1001, "R", None)],
)
def test_rule_28_what_has_expired_is_missing(now: int, calls: str, saw: Any) -> None:
    stored = {"1": {"__d": 5, "e": 1000}}

    ours = Case(stored=stored, ttl_ms=1000, now=now, missing="None").ours([Read()], chat=1)

    assert (ours.saw, ours.ops, ours.stored) == ([saw], calls, stored)


def test_rules_26_to_29_the_stored_shape() -> None:
    stored = {"1": {"__d": {"n": 1}, "v": 8, "e": 900}}
    table: Any = {"12": [], "3": [], "1": []}

    ours = Case(stored=stored, ttl_ms=1000, table=table, now=500).ours([SetField("n", 2)], chat=1)

    assert ours.stored == {"1": {"v": 12, "__d": {"n": 2}, "e": 1500}}
    assert ours.ops == "RW"


def test_rule_29_what_is_missing_is_not_migrated() -> None:
    def never(_: Any) -> Any:
        raise ThrownError

    inner = Recorded()
    sessions = session(
        initial=lambda: {"n": 0}, storage=enhance_storage(inner, migrations={1: never})
    )

    assert asyncio.run(sessions.get(1)) == {"n": 0}
    assert inner.calls == [Call("R", "1")]


def test_rule_30_memory_keeps_the_order_of_insertion_and_forgets_what_expired() -> None:
    now = 0.0
    storage = MemorySessionStorage(ttl=10, clock=lambda: now)
    storage.write("b", 1)
    now = 5.0
    storage.write("a", 2)
    assert dict(storage.iter_items()) == {"b": 1, "a": 2}

    now = 10.0

    assert list(storage.iter_items()) == [("a", 2)]
    assert (storage.read("b"), storage.has("b")) == (None, False)

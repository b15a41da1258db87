"""The bridge to real grammY: what is known of grammY is what the bridge shows.

The rules are those that the sessions of this project are compared with.  If one
of these tests fails after a new version of grammY, then grammY has changed.
"""

from __future__ import annotations

import signal
import tempfile
from typing import TYPE_CHECKING, Any

import pytest

from tests.grammy import changes as changes_module
from tests.grammy import install, process
from tests.grammy import steps as steps_module
from tests.grammy.bridge import KEYS, Grammy, Options
from tests.grammy.changes import (
    Add,
    Append,
    Change,
    ChangeFailedError,
    Drop,
    Fail,
    Put,
    Rename,
    Wrap,
    migrate,
)
from tests.grammy.outcome import Call
from tests.grammy.process import DriverDiedError, DriverError, JSError
from tests.grammy.steps import (
    AppendTo,
    Assign,
    AssignDerived,
    AssignPromise,
    AssignRejection,
    DeleteField,
    Fragments,
    Guard,
    Increment,
    IsPromise,
    Raise,
    Read,
    ReadTouched,
    SetField,
    Step,
    Touch,
    Turn,
)
from tests.grammy.wire import UNDEFINED, defined

if TYPE_CHECKING:
    from pathlib import Path

    from tests.grammy.bridge import Key

install.skip_module_unless_available()

BOOM = JSError("Error", "boom")
READ_FAILED = JSError("Error", "R of 1 was made to fail")
WRITE_FAILED = JSError("Error", "W of 1 was made to fail")


class TestKeys:
    def test_the_default_key_is_the_chat_as_a_string(self, grammy: Grammy) -> None:
        assert grammy.bot().update([Assign(1)], chat=-100, user=3).calls == [
            Call("R", "-100"),
            Call("W", "-100", 1),
        ]

    @pytest.mark.parametrize(
        ("key", "expected"),
        [
            ("chat", "-100"),
            ("async_chat", "-100"),
            ("user", "3"),
            ("number", "3"),
            ("user_in_chat", "3/-100"),
            ("empty", ""),
            ("null", "null"),
        ],
    )
    def test_each_key_function_gives_its_key_after_the_prefix(
        self, grammy: Grammy, key: Key, expected: str
    ) -> None:
        bot = grammy.bot(key=key, prefix="p:", initial=0)

        assert [call.key for call in bot.update(chat=-100, user=3).calls] == ["p:" + expected] * 2

    @pytest.mark.parametrize("kind", ["strict", "lazy"])
    def test_without_a_key_only_touching_the_session_raises(
        self, grammy: Grammy, kind: Any
    ) -> None:
        lazy = "lazy " if kind == "lazy" else ""
        reason = "this update does not belong to a chat, so the session key is undefined"
        bot = grammy.bot(kind, initial=0, prefix="p:")

        untouched = bot.update(user=3)
        touched = bot.update([Guard([Read()]), Guard([Assign(1)])], user=3)

        assert (untouched.error, untouched.calls) == (None, [])
        assert touched.caught == [
            JSError("Error", f"Cannot {verb} {lazy}session data because {reason}!")
            for verb in ("access", "assign")
        ]
        assert touched.calls == []

    def test_a_custom_key_function_without_a_key_is_named(self, grammy: Grammy) -> None:
        error = grammy.bot(key="none").update([Read()], chat=1).error

        assert error is not None
        assert "the custom `getSessionKey` function returned undefined" in error.message

    @pytest.mark.parametrize("kind", ["strict", "lazy"])
    def test_a_failing_key_function_stops_the_update(self, grammy: Grammy, kind: Any) -> None:
        outcome = grammy.bot(kind, key="failing", initial=0).update([Raise("boom")], chat=1)

        assert outcome.error == JSError("Error", "getSessionKey was made to fail")
        assert outcome.calls == []

    def test_a_raw_update_gets_the_key_that_grammy_sees_in_it(self, grammy: Grammy) -> None:
        raw = {"business_connection": {"id": "b", "user_chat_id": 77, "user": {"id": 77}}}

        assert grammy.bot(initial=0).update(raw=raw).calls[0].key == "77"

    def test_an_update_of_nobody_and_nowhere_has_no_user(self, grammy: Grammy) -> None:
        assert grammy.bot(key="user", initial=0).update().calls == []
        assert grammy.bot(key="user", initial=0).update(chat=1).calls == []
        assert grammy.bot(key="user", initial=0).update(user=2).ops == "RW"


class TestStrict:
    """Rules 3 to 11."""

    @pytest.mark.parametrize(
        ("program", "stored", "initial", "expected"),
        [
            pytest.param([], 5, 0, [Call("R", "1", 5)], id="untouched"),
            pytest.param([], UNDEFINED, UNDEFINED, [Call("R", "1")], id="nothing at all"),
            pytest.param([], UNDEFINED, 0, [Call("R", "1"), Call("W", "1", 0)], id="initial"),
            pytest.param([Read()], 5, 0, [Call("R", "1", 5), Call("W", "1", 5)], id="accessed"),
            pytest.param([Assign(6)], 5, 0, [Call("R", "1", 5), Call("W", "1", 6)], id="assigned"),
            pytest.param([Assign(None)], 5, 0, [Call("R", "1", 5), Call("D", "1")], id="null"),
            pytest.param(
                [Assign(UNDEFINED)], 5, 0, [Call("R", "1", 5), Call("D", "1")], id="undefined"
            ),
            pytest.param(
                [Read()], UNDEFINED, UNDEFINED, [Call("R", "1"), Call("D", "1")], id="missing"
            ),
            pytest.param(
                [], UNDEFINED, None, [Call("R", "1"), Call("D", "1")], id="initially null"
            ),
            pytest.param([Read()], None, 7, [Call("R", "1", None), Call("D", "1")], id="a null"),
        ],
    )
    def test_reads_once_and_writes_what_was_touched(
        self, grammy: Grammy, program: list[Step], stored: Any, initial: Any, expected: list[Call]
    ) -> None:
        storage = grammy.memory({} if stored is UNDEFINED else {"1": stored})

        outcome = grammy.bot(initial=initial, storage=storage).update(program, chat=1)

        assert outcome.calls == expected
        assert outcome.error is None

    @pytest.mark.parametrize("falsy", [0, "", False, [], {}])
    def test_falsy_values_are_written(self, grammy: Grammy, falsy: Any) -> None:
        outcome = grammy.bot().update([Assign(falsy), Read()], chat=1)

        assert outcome.saw == [falsy]
        assert outcome.calls[1] == Call("W", "1", falsy)

    def test_changes_in_place_are_saved(self, grammy: Grammy) -> None:
        storage = grammy.memory({"1": {"n": 1, "list": [1], "old": 0}})
        program = [
            Increment("n", 2),
            AppendTo("list", None),
            SetField("x", {"y": []}),
            DeleteField("old"),
            Read(),
        ]
        changed: Any = {"n": 3, "list": [1, None], "x": {"y": []}}

        outcome = grammy.bot(storage=storage).update(program, chat=1)

        assert outcome.saw == [changed]
        assert storage.dump() == {"1": changed}

    def test_many_accesses_make_one_write(self, grammy: Grammy) -> None:
        bot = grammy.bot(initial={"n": 0})

        outcome = bot.update([Assign({"n": 5}), Increment("n"), Read(), Read()], chat=1)

        assert outcome.ops == "RW"
        assert outcome.saw == [{"n": 6}, {"n": 6}]

    def test_initial_is_called_once_for_each_chat_with_nothing_stored(self, grammy: Grammy) -> None:
        bot = grammy.bot(initial={"n": 0}, storage=grammy.memory({"3": {"n": 3}}))

        initials = [bot.update([Increment("n")], chat=chat).initials for chat in (1, 1, 2, 3)]

        assert initials == [1, 0, 1, 0]

    def test_a_failing_handler_writes_nothing(self, grammy: Grammy) -> None:
        outcome = grammy.bot(initial=0).update([Assign(1), Raise("boom")], chat=1)

        assert (outcome.error, outcome.ops) == (BOOM, "R")

    def test_an_error_that_was_caught_does_not_matter(self, grammy: Grammy) -> None:
        outcome = grammy.bot().update([Guard([Assign(1), Raise("boom"), Assign(2)])], chat=1)

        assert (outcome.error, outcome.caught) == (None, [BOOM])
        assert outcome.calls[-1] == Call("W", "1", 1)

    def test_a_failing_read_keeps_the_handler_from_running(self, grammy: Grammy) -> None:
        storage = grammy.memory()
        storage.fail("R")

        outcome = grammy.bot(initial=0, storage=storage).update([Raise("boom")], chat=1)

        assert outcome.error == READ_FAILED
        assert outcome.calls == [Call("R", "1", error=READ_FAILED)]

    def test_a_failing_write_is_raised_after_the_handler(self, grammy: Grammy) -> None:
        storage = grammy.memory()
        storage.fail("W")

        outcome = grammy.bot(initial=0, storage=storage).update([Read()], chat=1)

        assert (outcome.error, outcome.saw) == (WRITE_FAILED, [0])
        assert outcome.calls[-1] == Call("W", "1", 0, error=WRITE_FAILED)

    def test_a_storage_that_was_mended_works_again(self, grammy: Grammy) -> None:
        storage = grammy.memory({"1": 1})
        storage.fail("R", "D")
        storage.fail()

        assert grammy.bot(storage=storage).update([Assign(None)], chat=1).ops == "RD"

    def test_updates_at_the_same_time_overwrite_each_other(self, grammy: Grammy) -> None:
        storage = grammy.memory()
        bot = grammy.bot(initial={"n": 0}, storage=storage)

        outcomes = grammy.together(*[bot.plan([Increment("n")], chat=1) for _ in range(10)])

        assert [outcome.ops for outcome in outcomes] == ["RW"] * 10
        assert storage.dump() == {"1": {"n": 1}}


class TestMulti:
    """Rules 12 to 16."""

    def test_only_touched_fragments_are_written(self, grammy: Grammy) -> None:
        bot = grammy.multi_bot({"a": Options(storage=grammy.memory({"1": 1})), "b": Options()})

        outcome = bot.update([Assign(2, at="b"), Read(at="b")], chat=1)

        assert outcome.of(bot.storages["a"].id) == [Call("R", "1", 1)]
        assert outcome.of(bot.storages["b"].id) == [Call("R", "1"), Call("W", "1", 2)]
        assert outcome.saw == [2]

    def test_fragments_are_read_and_written_concurrently(self, grammy: Grammy) -> None:
        bot = grammy.multi_bot({"a": Options(0), "b": Options(0)})

        reads, writes = (
            [call for call in bot.update(chat=chat).calls if call.op == op]
            for chat, op in ((1, "R"), (2, "W"))
        )

        for first, second in (reads, writes):
            assert first.began < second.began < first.ended < second.ended

    def test_each_fragment_has_its_own_options(self, grammy: Grammy) -> None:
        storage = grammy.memory()
        bot = grammy.multi_bot(
            {
                "a": Options({"n": 1}, prefix="a-", storage=storage),
                "b": Options({"n": 2}, prefix="b-", key="user", storage=storage),
            }
        )

        bot.update([Increment("n", at="b")], chat=1, user=2)

        assert storage.dump() == {"a-1": {"n": 1}, "b-2": {"n": 3}}

    def test_one_fragment_is_deleted_by_itself(self, grammy: Grammy) -> None:
        bot = grammy.multi_bot({"a": Options(0), "b": Options(0)})

        outcome = bot.update([Assign(None, at="a")], chat=1)

        assert [call.op for call in outcome.of(bot.storages["a"].id)] == ["R", "D"]
        assert [call.op for call in outcome.of(bot.storages["b"].id)] == ["R", "W"]

    def test_deleting_the_session_deletes_all_fragments(self, grammy: Grammy) -> None:
        bot = grammy.multi_bot({"a": Options(), "b": Options(0)})

        assert sorted(bot.update([Assign(None)], chat=1).ops) == ["D", "D", "R", "R"]

    def test_a_fragment_without_a_key_raises_by_itself(self, grammy: Grammy) -> None:
        bot = grammy.multi_bot({"a": Options(0, key="user"), "b": Options(0)})

        outcome = bot.update([Guard([Read(at="a")]), Assign(1, at="b"), Fragments()], chat=1)

        assert [error.name for error in outcome.caught] == ["Error"]
        assert outcome.calls == [Call("R", "1"), Call("W", "1", 1)]
        assert outcome.saw == [["a", "b"]]

    def test_a_failing_read_of_one_stops_the_update(self, grammy: Grammy) -> None:
        storage = grammy.memory()
        storage.fail("R")
        bot = grammy.multi_bot({"a": Options(0, storage=storage), "b": Options(0)})

        outcome = bot.update([Raise("boom")], chat=1)

        assert (outcome.error, outcome.ops) == (READ_FAILED, "RR")

    def test_a_failing_write_of_one_leaves_the_other_written(self, grammy: Grammy) -> None:
        first, second = grammy.memory(), grammy.memory()
        first.fail("W")
        bot = grammy.multi_bot({"a": Options(0, storage=first), "b": Options(0, storage=second)})

        outcome = bot.update(chat=1)

        assert outcome.error == WRITE_FAILED
        assert (first.dump(), second.dump()) == ({}, {"1": 0})

    def test_lazy_multi_sessions_are_refused(self, grammy: Grammy) -> None:
        with pytest.raises(DriverError, match="Cannot use lazy multi sessions!"):
            grammy.multi_bot({"a": Options()}, lazy=True)


class TestLazy:
    """Rules 17 to 25."""

    @pytest.mark.parametrize(
        ("program", "stored", "expected"),
        [
            pytest.param([], 5, [], id="untouched"),
            pytest.param([Read()], 5, [Call("R", "1", 5), Call("W", "1", 5)], id="read"),
            pytest.param(
                [Touch(), Touch(), Read()], 5, [Call("R", "1", 5), Call("W", "1", 5)], id="shared"
            ),
            pytest.param(
                [Touch()], 5, [Call("R", "1", 5), Call("W", "1", 5)], id="touched, not awaited"
            ),
            pytest.param(
                [Touch()], UNDEFINED, [Call("R", "1"), Call("W", "1", 0)], id="nothing stored"
            ),
            pytest.param([Assign(6)], 5, [Call("W", "1", 6)], id="assigned"),
            pytest.param([Assign(6), Read()], 5, [Call("W", "1", 6)], id="assigned, read"),
            pytest.param([Assign(None)], 5, [Call("D", "1")], id="deleted"),
            pytest.param([Assign(None), Assign(6)], 5, [Call("W", "1", 6)], id="null, assigned"),
            pytest.param(
                [Read(), Assign(6)], 5, [Call("R", "1", 5), Call("W", "1", 6)], id="read, assigned"
            ),
            pytest.param([AssignPromise(6)], 5, [Call("W", "1", 6)], id="promise"),
            pytest.param([AssignPromise(None)], 5, [Call("D", "1")], id="promise of null"),
            pytest.param([AssignPromise(UNDEFINED)], 5, [Call("D", "1")], id="of undefined"),
        ],
    )
    def test_reads_only_what_is_asked_for(
        self, grammy: Grammy, program: list[Step], stored: Any, expected: list[Call]
    ) -> None:
        storage = grammy.memory({} if stored is UNDEFINED else {"1": stored})

        outcome = grammy.bot("lazy", initial=0, storage=storage).update(program, chat=1)

        assert outcome.calls == expected
        assert outcome.error is None

    def test_without_initial_a_missing_value_is_deleted(self, grammy: Grammy) -> None:
        outcome = grammy.bot("lazy").update([Touch(), ReadTouched()], chat=1)

        assert (outcome.ops, outcome.saw) == ("RD", [UNDEFINED])

    def test_access_gives_a_promise_until_the_value_is_there(self, grammy: Grammy) -> None:
        bot = grammy.bot("lazy", storage=grammy.memory({"1": 5}))

        outcome = bot.update([IsPromise(), Read(), IsPromise(), Read()], chat=1)

        assert outcome.saw == [True, 5, False, 5]

    def test_an_assignment_wins_over_a_read_in_flight(self, grammy: Grammy) -> None:
        bot = grammy.bot("lazy", storage=grammy.memory({"1": 5}))

        outcome = bot.update([Touch(), Assign(6), Read(), ReadTouched()], chat=1)

        assert outcome.saw == [6, 6]
        assert outcome.calls == [Call("R", "1", 5), Call("W", "1", 6)]

    @pytest.mark.parametrize(
        ("returns", "expected"), [(True, Call("W", "1", {"n": 7})), (False, Call("D", "1"))]
    )
    def test_a_promise_derived_from_an_assigned_one_must_return_the_data(
        self, grammy: Grammy, returns: bool, expected: Call
    ) -> None:
        program = [AssignPromise({"n": 1}), AssignDerived("n", 7, returns=returns)]

        outcome = grammy.bot("lazy").update(program, chat=1)

        assert (outcome.hang, outcome.calls) == (False, [expected])

    def test_after_the_value_is_there_it_has_no_then(self, grammy: Grammy) -> None:
        bot = grammy.bot("lazy", initial={"n": 0})

        error = bot.update([Read(), AssignDerived("n", 7)], chat=1).error

        assert error is not None
        assert error.name == "TypeError"

    def test_a_rejected_promise_is_raised_and_nothing_written(self, grammy: Grammy) -> None:
        outcome = grammy.bot("lazy").update([AssignRejection("boom")], chat=1)

        assert (outcome.error, outcome.calls, outcome.unhandled) == (BOOM, [], [])

    @pytest.mark.parametrize(
        ("program", "ops"), [([Read(), Assign(6)], "R"), ([Assign(6)], ""), ([Read()], "R")]
    )
    def test_a_failing_handler_writes_nothing(
        self, grammy: Grammy, program: list[Step], ops: str
    ) -> None:
        outcome = grammy.bot("lazy", initial=0).update([*program, Raise("boom")], chat=1)

        assert (outcome.error, outcome.ops) == (BOOM, ops)

    def test_a_failed_read_is_raised_each_time_and_at_the_end(self, grammy: Grammy) -> None:
        storage = grammy.memory({"1": 5})
        storage.fail("R")
        bot = grammy.bot("lazy", initial=0, storage=storage)

        outcome = bot.update([Guard([Read()]), Guard([Read()])], chat=1)

        assert outcome.caught == [READ_FAILED, READ_FAILED]
        assert (outcome.error, outcome.ops) == (READ_FAILED, "R")

    def test_an_assignment_makes_up_for_a_failed_read(self, grammy: Grammy) -> None:
        storage = grammy.memory({"1": 5})
        storage.fail("R")
        bot = grammy.bot("lazy", initial=0, storage=storage)

        outcome = bot.update([Guard([Read()]), Assign(6)], chat=1)

        assert outcome.error is None
        assert outcome.calls[-1] == Call("W", "1", 6)

    def test_a_rejection_that_nobody_awaits_is_reported(self, grammy: Grammy) -> None:
        program = [AssignRejection("lost"), Raise("boom")]

        outcome = grammy.bot("lazy").update(program, chat=1)

        assert (outcome.error, outcome.unhandled) == (BOOM, [JSError("Error", "lost")])
        assert grammy.strays() == []


class TestHang:
    """The bridge tells that an update can never end, and goes on."""

    @pytest.mark.parametrize("returns", [True, False])
    def test_the_documented_idiom_hangs(self, grammy: Grammy, returns: bool) -> None:
        bot = grammy.bot("lazy", initial={"n": 0})

        hanging = bot.update([AssignDerived("n", 7, returns=returns)], chat=1)
        next_one = bot.update([Read()], chat=1)

        assert (hanging.hang, hanging.ops, hanging.error) == (True, "R", None)
        assert (next_one.hang, next_one.saw, next_one.ops) == (False, [{"n": 0}], "RW")

    def test_an_update_beside_a_hanging_one_comes_to_its_end(self, grammy: Grammy) -> None:
        bot = grammy.bot("lazy", initial={"n": 0})

        hanging, other = grammy.together(
            bot.plan([AssignDerived("n", 7)], chat=1),
            bot.plan([Turn(), Turn(), Read(), Turn()], chat=2),
        )

        assert (hanging.hang, other.hang) == (True, False)
        assert [call.key for call in other.calls] == ["2", "2"]

    def test_a_slow_update_is_not_a_hang(self, grammy: Grammy) -> None:
        outcome = grammy.bot("lazy").update([Turn()] * 50 + [AssignPromise(1)], chat=1)

        assert (outcome.hang, outcome.ops) == (False, "W")


class TestMemory:
    def test_live_references_save_what_a_failing_handler_did(self, grammy: Grammy) -> None:
        storage = grammy.memory({"1": {"n": 0}}, live=True)

        outcome = grammy.bot(storage=storage).update([Increment("n"), Raise("boom")], chat=1)

        assert outcome.ops == "R"
        assert storage.dump() == {"1": {"n": 1}}

    def test_copies_do_not(self, grammy: Grammy) -> None:
        storage = grammy.memory({"1": {"n": 0}})

        grammy.bot(storage=storage).update([Increment("n"), Raise("boom")], chat=1)

        assert storage.dump() == {"1": {"n": 0}}

    def test_an_expired_value_is_there_until_it_is_read(self, grammy: Grammy) -> None:
        storage = grammy.memory({"1": 5}, ttl_ms=1000)

        for now, value in ((1000, 5), (1001, UNDEFINED)):
            grammy.set_clock(now)
            assert storage.dump() == {"1": 5}
            assert storage.read("1") == value

        assert storage.dump() == {}


class TestEnhanced:
    """Rules 26 to 29; calls are those of the storage inside."""

    def test_without_options_data_is_wrapped(self, grammy: Grammy) -> None:
        inner = grammy.memory({"2": {"legacy": 1}})
        storage = grammy.enhanced(inner)

        storage.write("1", {"n": 1})

        assert inner.dump() == {"2": {"legacy": 1}, "1": {"__d": {"n": 1}}}
        assert storage.read("1") == {"n": 1}
        assert storage.read("2") == {"legacy": 1}
        assert storage.read("3") is UNDEFINED

    def test_data_that_looks_wrapped_comes_back(self, grammy: Grammy) -> None:
        inner = grammy.memory()
        storage = grammy.enhanced(inner)

        storage.write("1", {"__d": 7, "x": 1})

        assert inner.dump() == {"1": {"__d": {"__d": 7, "x": 1}}}
        assert storage.read("1") == {"__d": 7, "x": 1}

    def test_the_stored_shape_has_version_and_expiry(self, grammy: Grammy) -> None:
        grammy.set_clock(5000)
        inner = grammy.memory()
        storage = grammy.enhanced(inner, ttl_ms=1000, migrations={"2": [], "1": []})

        outcome = grammy.bot(initial={"n": 0}, storage=storage).update([Increment("n")], chat=1)

        assert outcome.calls == [
            Call("R", "1"),
            Call("W", "1", {"v": 2, "__d": {"n": 1}, "e": 6000}),
        ]
        assert list(inner.dump()["1"]) == ["v", "__d", "e"]
        assert outcome.of(inner.id) == outcome.calls

    def test_an_expired_value_is_deleted_when_it_is_read(self, grammy: Grammy) -> None:
        inner = grammy.memory({"1": {"__d": 5, "e": 1000}})
        bot = grammy.bot(storage=grammy.enhanced(inner, ttl_ms=1000))

        grammy.set_clock(1000)
        alive = bot.update(chat=1)
        grammy.set_clock(1001)
        dead = bot.update(chat=1)

        assert (alive.ops, dead.ops) == ("R", "RD")
        assert inner.dump() == {}

    def test_a_value_without_expiry_gets_one_when_it_is_read(self, grammy: Grammy) -> None:
        grammy.set_clock(5000)
        inner = grammy.memory({"1": 7})

        outcome = grammy.bot(storage=grammy.enhanced(inner, ttl_ms=1000)).update(chat=1)

        assert outcome.calls == [Call("R", "1", 7), Call("W", "1", {"__d": 7, "e": 6000})]

    def test_deleting_deletes(self, grammy: Grammy) -> None:
        inner = grammy.memory({"1": 7})
        storage = grammy.enhanced(inner, ttl_ms=1000, migrations={"1": []})

        storage.delete("1")

        assert inner.dump() == {}

    @pytest.mark.parametrize(
        ("version", "expected"),
        [(UNDEFINED, [1, 3, 12]), (1, [3, 12]), (3, [12]), (8, [12]), (12, []), (99, [])],
    )
    def test_migrations_newer_than_the_data_run_in_order(
        self, grammy: Grammy, version: Any, expected: list[int]
    ) -> None:
        inner = grammy.memory({"1": defined({"__d": {"log": []}, "v": version})})
        table = {str(v): [Append("log", v)] for v in (12, 3, 1)}
        bot = grammy.bot(storage=grammy.enhanced(inner, migrations=table))

        untouched, touched = bot.update(chat=1), bot.update([Read()], chat=1)

        assert untouched.ops == "R"
        assert touched.saw == [{"log": expected}]
        assert inner.dump() == {"1": {"v": 12, "__d": {"log": expected}}}

    def test_a_failing_migration_stops_the_update(self, grammy: Grammy) -> None:
        inner = grammy.memory({"1": 5})
        storage = grammy.enhanced(inner, migrations={"1": [Fail("boom")]})

        outcome = grammy.bot(storage=storage).update(chat=1)

        assert (outcome.error, outcome.ops) == (BOOM, "R")

    def test_no_migrations_are_refused(self, grammy: Grammy) -> None:
        with pytest.raises(DriverError, match="No migrations given!"):
            grammy.enhanced(grammy.memory(), migrations={})

    def test_fractions_of_versions_are_cut_off(self, grammy: Grammy) -> None:
        inner = grammy.memory({"1": {"log": []}})
        table = {"1": [Append("log", 1)], "1.5": [Append("log", 1.5)]}

        storage = grammy.enhanced(inner, migrations=table)

        assert storage.read("1") == {"log": [1, 1]}


class TestChanges:
    @pytest.mark.parametrize(
        ("data", "change"),
        [
            ({"a": 1}, Put("a", {"b": [None]})),
            ({}, Put("a", 1)),
            ({"a": 1, "b": 2}, Drop("a")),
            ({"b": 2}, Drop("a")),
            ({"a": 1, "b": 2}, Rename("a", "b")),
            ({"b": 2}, Rename("a", "b")),
            ({"a": [1]}, Append("a", 2)),
            ({}, Append("a", 2)),
            ({"a": 1}, Add("a", -2)),
            ({}, Add("a", 0.5)),
            ([1, 2], Wrap("a")),
        ],
    )
    def test_both_sides_make_the_same_change(
        self, grammy: Grammy, data: Any, change: Change
    ) -> None:
        inner = grammy.memory({"1": data}, live=True)
        storage = grammy.enhanced(inner, migrations={"1": [change, Wrap("w")]})

        assert storage.read("1") == migrate(data, [change, Wrap("w")])
        assert inner.dump() == {"1": data}

    def test_both_sides_fail(self, grammy: Grammy) -> None:
        storage = grammy.enhanced(grammy.memory({"1": 1}), migrations={"1": [Fail("boom")]})

        with pytest.raises(DriverError, match="boom"):
            storage.read("1")
        with pytest.raises(ChangeFailedError, match="boom"):
            migrate(1, [Fail("boom")])


class TestFile:
    """The layout of ``@grammyjs/storage-file``."""

    @pytest.mark.parametrize(
        ("key", "path"),
        [
            ("42", "42/42.json"),
            ("7", "7/7.json"),
            ("-1001234567890", "90/-1001234567890.json"),
            ("user-42", "42/user-42.json"),
            ("a b%c", "%c/a b%c.json"),
            ("ключ", "юч/ключ.json"),
            ("a\N{GRINNING FACE}", "\N{GRINNING FACE}/a\N{GRINNING FACE}.json"),
            ("\N{GRINNING FACE}a", "\N{REPLACEMENT CHARACTER}a/\N{GRINNING FACE}a.json"),
            ("", ".json"),
            ("x.", "x./x..json"),
        ],
    )
    def test_the_folder_is_the_last_two_units_of_the_key(
        self, grammy: Grammy, tmp_path: Path, key: str, path: str
    ) -> None:
        storage = grammy.file(tmp_path)

        storage.write(key, 5)

        assert files_in(tmp_path) == {path: b"5"}
        assert storage.read(key) == 5

    def test_a_key_that_ends_with_two_dots_leaves_the_folder(
        self, grammy: Grammy, tmp_path: Path
    ) -> None:
        grammy.file(tmp_path / "inner").write("ab..", 5)

        assert files_in(tmp_path) == {"ab...json": b"5"}

    @pytest.mark.parametrize("key", ["3/-100", "b1/-100/t12", "../x", "k" * 251])
    def test_some_keys_cannot_be_written(self, grammy: Grammy, tmp_path: Path, key: str) -> None:
        storage = grammy.file(tmp_path)

        with pytest.raises(DriverError, match=r"ENOENT|ENAMETOOLONG"):
            storage.write(key, 5)

        assert files_in(tmp_path) == {}
        assert storage.read(key) is UNDEFINED

    @pytest.mark.parametrize(
        ("value", "content"),
        [
            ({"n": 1, "l": [1, "ä"]}, '{\n\t"n": 1,\n\t"l": [\n\t\t1,\n\t\t"ä"\n\t]\n}'),
            ({"l": [], "o": {}}, '{\n\t"l": [],\n\t"o": {}\n}'),
            ("\u2028\ud800", '"\u2028\\ud800"'),
            (None, "null"),
            (False, "false"),
            (1e21, "1e+21"),
            (1.0, "1"),
        ],
    )
    def test_the_content_is_json_indented_with_tabs(
        self, grammy: Grammy, tmp_path: Path, value: Any, content: str
    ) -> None:
        storage = grammy.file(tmp_path)

        storage.write("1", value)

        assert files_in(tmp_path) == {"1/1.json": content.encode()}
        assert storage.read("1") == value

    def test_deleting_leaves_the_folder_of_the_key(self, grammy: Grammy, tmp_path: Path) -> None:
        storage = grammy.file(tmp_path)
        storage.write("42", 1)

        storage.delete("42")
        storage.delete("42")

        assert [path.name for path in tmp_path.rglob("*")] == ["42"]

    def test_an_empty_file_is_missing_and_a_torn_one_an_error(
        self, grammy: Grammy, tmp_path: Path
    ) -> None:
        storage = grammy.file(tmp_path)
        storage.write("42", 1)

        (tmp_path / "42/42.json").write_bytes(b"")
        assert storage.read("42") is UNDEFINED

        (tmp_path / "42/42.json").write_bytes(b"{")
        with pytest.raises(DriverError, match="SyntaxError"):
            storage.read("42")

    def test_sessions_with_files_keep_what_enhanced_storages_store(
        self, grammy: Grammy, tmp_path: Path
    ) -> None:
        files = grammy.file(tmp_path)
        storage = grammy.enhanced(files, ttl_ms=1000, migrations={"3": []})

        outcome = grammy.bot(initial=0, storage=storage).update([Assign([1])], chat=1)

        assert (outcome.hang, outcome.ops) == (False, "RW")
        assert files_in(tmp_path) == {
            "1/1.json": b'{\n\t"v": 3,\n\t"__d": [\n\t\t1\n\t],\n\t"e": 1000\n}'
        }


class TestBridge:
    def test_both_sides_know_the_same_words(self, grammy: Grammy) -> None:
        steps, changes, keys = grammy.vocabulary()

        assert steps == names_of_subclasses(steps_module, Step)
        assert changes == names_of_subclasses(changes_module, Change)
        assert keys == set(KEYS)

    def test_odd_strings_travel_unharmed(self, grammy: Grammy) -> None:
        odd = "\u2028\u2029\r\n\ud800\0\N{GRINNING FACE}"
        storage = grammy.memory()

        outcome = grammy.bot(storage=storage).update([Assign({odd: odd}), Read()], chat=1)

        assert outcome.saw == [{odd: odd}]
        assert storage.dump() == {"1": {odd: odd}}

    def test_what_is_not_json_is_refused_before_it_travels(self, grammy: Grammy) -> None:
        with pytest.raises(TypeError, match="is not a JSON value"):
            grammy.bot().update([Assign({1, 2})], chat=1)
        with pytest.raises(ValueError, match="not JSON compliant"):
            grammy.memory({"1": float("nan")})

        assert grammy.bot().update(chat=1).ops == "R"

    def test_what_was_made_before_a_reset_is_gone(self, grammy: Grammy) -> None:
        storage = grammy.memory()
        bot = grammy.bot(storage=storage)

        grammy.reset()

        with pytest.raises(DriverError, match="is gone"):
            bot.update(chat=1)
        with pytest.raises(DriverError, match="is gone"):
            grammy.bot(storage=storage)

    def test_a_process_that_died_is_reported_with_its_last_words(
        self, running_grammy: Grammy, tmp_path: Path
    ) -> None:
        with Grammy(tmp_path) as grammy:
            with pytest.raises(DriverDiedError, match=r"Cannot find module '.*grammy'"):
                grammy.reset()
            with pytest.raises(DriverDiedError, match="exit code 1"):
                grammy.reset()

    @pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="nothing to stop a process with")
    def test_a_process_that_does_not_answer_is_ended(
        self, running_grammy: Grammy, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with Grammy(install.install()) as grammy:
            grammy.node.process.send_signal(signal.SIGSTOP)
            monkeypatch.setattr(process, "PATIENCE", 0.05)

            with pytest.raises(DriverDiedError, match="gave no answer"):
                grammy.reset()

    def test_undefined_is_readable(self) -> None:
        assert repr(Call("D", "1")).startswith("Call(op='D', key='1', value=UNDEFINED, ")


class TestInstall:
    def test_what_is_installed_is_not_installed_again(
        self, running_grammy: Grammy, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(install, "npm_install", pytest.fail)

        assert install.install() == install.install()

    def test_a_machine_without_node_skips_the_module(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", "")

        with pytest.raises(pytest.skip.Exception, match="needs node and npm") as skipped:
            install.skip_module_unless_available()

        assert skipped.value.allow_module_level

    def test_a_machine_without_grammy_skips_and_leaves_nothing(
        self, running_grammy: Grammy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temp"))
        monkeypatch.setenv("npm_config_offline", "true")
        monkeypatch.setenv("npm_config_cache", str(tmp_path / "cache"))
        (tmp_path / "temp").mkdir()

        with pytest.raises(pytest.skip.Exception, match=r"npm could not install[^$]*ENOTCACHED"):
            install.install_or_skip()

        assert list((tmp_path / "temp").iterdir()) == []

    def test_a_missing_npm_is_an_install_error(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("PATH", "")

        with pytest.raises(install.InstallError, match="No such file"):
            install.npm_install(tmp_path)

    def test_the_first_of_two_installations_stays(self, tmp_path: Path) -> None:
        for name in ("first", "second"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "made by").write_text(name)
            install.rename_unless_there(tmp_path / name, tmp_path / "home")

        assert (tmp_path / "home" / "made by").read_text() == "first"
        with pytest.raises(FileNotFoundError):
            install.rename_unless_there(tmp_path / "first", tmp_path / "elsewhere")


def files_in(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def names_of_subclasses(module: object, base: type) -> set[str]:
    members = vars(module).values()
    return {
        each.__name__
        for each in members
        if isinstance(each, type) and issubclass(each, base) and each is not base
    }

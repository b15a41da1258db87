"""Where sessionkit differs from grammY on purpose: what each of them does, side by side.

``docs/grammy.md`` lists these differences with their reasons, and names these tests.
"""

from __future__ import annotations

import asyncio
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sessionkit import (
    FileSessionStorage,
    InvalidSessionKeyError,
    MemorySessionStorage,
    NewerVersionError,
    NoInitialDataError,
    NoSessionKeyError,
    SessionClosedError,
    SessionDecodeError,
    SessionEncodeError,
    SessionMigrationError,
    SessionWriteError,
    enhance_storage,
    keys,
    lazy_session,
    multi_session,
    session,
)
from tests.grammy import install
from tests.grammy.both import Case
from tests.grammy.bridge import Grammy, Options
from tests.grammy.changes import Append, Fail, Put
from tests.grammy.compare import Difference, told
from tests.grammy.doubles import Recorded
from tests.grammy.mirror import Mirror, make_context
from tests.grammy.process import DriverError, JSError
from tests.grammy.steps import (
    Assign,
    AssignDerived,
    AssignPromise,
    AssignRejection,
    Guard,
    Increment,
    IsPromise,
    Raise,
    Read,
    ReadTouched,
    SetField,
    Touch,
    Turn,
)
from tests.grammy.updates import (
    AS_A_CHAT,
    BUSINESS_UPDATES,
    CONNECTION,
    GIFT,
    POLL_ANSWER,
    SUMMONED,
)
from tests.grammy.wire import UNDEFINED

if TYPE_CHECKING:
    from tests.grammy.bridge import Key
    from tests.grammy.mirror import Kind

install.skip_module_unless_available()

PAGE = Path(__file__).parents[1] / "docs" / "grammy.md"
SECTION = "## Deliberate differences"


def run(sessions: Any, kind: Kind, handler: Any) -> None:
    """Run *handler* under *sessions* in an update of chat 1."""
    asyncio.run(sessions(make_context(kind, "flavor", 1, None), handler))


# --- writes -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["strict", "lazy", "multi"])
def test_unchanged_data_is_not_written(grammy: Grammy, kind: Any) -> None:
    at = "a" if kind == "multi" else ""
    case = Case(kind=kind, stored={"1": {"n": 5}})

    theirs, ours = case.both(grammy, [Read(at=at), Increment("n", 0, at=at)])

    assert (theirs.ops, ours.ops) == ("RW", "R")
    assert theirs.stored == ours.stored == {"1": {"n": 5}}


@pytest.mark.parametrize("kind", ["strict", "lazy", "multi"])
def test_unchanged_initial_data_is_not_written(grammy: Grammy, kind: Any) -> None:
    at = "a" if kind == "multi" else ""

    theirs, ours = Case(kind=kind, initial={"n": 0}).both(grammy, [Read(at=at)])

    assert theirs.saw == ours.saw == [{"n": 0}]
    assert (theirs.ops, ours.ops) == ("RW", "R")
    assert (theirs.stored, ours.stored) == ({"1": {"n": 0}}, {})


@pytest.mark.parametrize("program", [[Read()], [Read(), Assign(None)]])
@pytest.mark.parametrize("kind", ["strict", "lazy"])
def test_what_is_not_stored_is_not_deleted(grammy: Grammy, kind: Any, program: Any) -> None:
    theirs, ours = Case(kind=kind, missing="None").both(grammy, program)

    assert (theirs.ops, ours.ops) == ("RD", "R")


def test_a_lazy_session_that_nobody_awaits_is_not_read(grammy: Grammy) -> None:
    case = Case(kind="lazy", stored={"1": {"n": 5}})

    theirs, ours = case.both(grammy, [Touch()])
    assert (theirs.ops, ours.ops) == ("RW", "")

    theirs, ours = case.both(grammy, [Touch(), Assign(6)])
    assert (theirs.ops, ours.ops) == ("RW", "W")


def test_migrated_data_is_written_once(grammy: Grammy) -> None:
    case = Case(stored={"1": {"n": 5}}, table={"1": [Put("x", 1)]})

    theirs, ours = case.both(grammy, [])
    assert (theirs.ops, ours.ops) == ("R", "RW")
    assert theirs.stored == {"1": {"n": 5}}
    assert ours.stored == {"1": {"__d": {"n": 5, "x": 1}, "v": 1}}

    theirs, ours = case.both(grammy, [], [])
    assert (theirs.ops, ours.ops) == ("R", "R")


def test_reading_data_without_a_timeout_does_not_write(grammy: Grammy) -> None:
    case = Case(stored={"1": {"n": 5}}, ttl_ms=1000)

    theirs, ours = case.both(grammy, [])

    assert (theirs.ops, ours.ops) == ("RW", "R")
    assert theirs.stored == {"1": {"__d": {"n": 5}, "e": 1000}}
    assert ours.stored == {"1": {"n": 5}}


def test_reading_expired_data_does_not_delete(grammy: Grammy) -> None:
    stored = {"1": {"__d": {"n": 5}, "e": 1000}}
    case = Case(stored=stored, ttl_ms=1000, now=1001, missing="None")

    theirs, ours = case.both(grammy, [Assign({"n": 6})])
    assert theirs.stored == ours.stored == {"1": {"__d": {"n": 6}, "e": 2001}}
    assert (theirs.ops, ours.ops) == ("RDW", "RW")

    theirs, ours = case.both(grammy, [])
    assert (theirs.ops, ours.ops) == ("RD", "R")
    assert (theirs.stored, ours.stored) == ({}, stored)


def test_no_fragment_is_read_if_a_key_function_fails(grammy: Grammy) -> None:
    fragments = {"a": Options(prefix="a-"), "b": Options(prefix="b-", key="failing")}
    theirs = grammy.multi_bot(fragments).update(chat=1)
    storage = Recorded()
    mirror = Mirror("multi", fragments, dict.fromkeys(fragments, storage))
    ours = asyncio.run(mirror.update(chat=1))

    assert told(theirs.error) == told(ours.error) == "getSessionKey was made to fail"
    assert (theirs.ops, storage.calls) == ("R", [])


# --- keys ---------------------------------------------------------------------------------


def test_none_is_not_a_key(grammy: Grammy) -> None:
    theirs, ours = Case(key="null", prefix="p-").both(grammy, [Assign(1)])

    assert theirs.stored == {"p-null": 1}
    assert isinstance(ours.error, NoSessionKeyError)
    assert ours.stored == {}


def test_an_empty_key_is_refused(grammy: Grammy) -> None:
    theirs, ours = Case(key="empty").both(grammy, [Assign(1)])

    assert theirs.stored == {"": 1}
    assert isinstance(ours.error, InvalidSessionKeyError)
    assert ours.ops == ""


def keys_of(grammy: Grammy, raw: Any) -> tuple[list[str | None], list[str | None]]:
    """Return the keys of chat, user and user in chat that grammY gives, and ours."""
    names: tuple[Key, ...] = ("chat", "user", "user_in_chat")
    theirs = [grammy.bot(key=name, initial=0).update(raw=raw).calls for name in names]
    functions = (keys.chat, keys.user, keys.user_in_chat)
    ours = [function({"update_id": 1, **raw}) for function in functions]
    return [calls[0].key if calls else None for calls in theirs], ours


@pytest.mark.parametrize("raw", BUSINESS_UPDATES.values(), ids=BUSINESS_UPDATES)
def test_chats_of_a_business_have_keys_of_their_own(grammy: Grammy, raw: Any) -> None:
    theirs, ours = keys_of(grammy, raw)

    assert theirs in (["7", "3", "3/7"], ["7", None, None])
    assert ours == [None if key is None else f"bx/{key}" for key in theirs]


def test_a_guest_has_a_key_of_its_own(grammy: Grammy) -> None:
    (chat, user, both), ours = keys_of(grammy, SUMMONED)

    assert (chat, user, both) == ("-100", "3", "3/-100")
    assert ours == [f"g/{chat}", user, f"g/{both}"]


@pytest.mark.parametrize("name", AS_A_CHAT)
def test_who_acts_as_a_chat_has_the_key_of_that_chat(grammy: Grammy, name: str) -> None:
    theirs, ours = keys_of(grammy, AS_A_CHAT[name])

    shared = {"anonymous admin": "1087968824", "channel": "136817688"}
    own = "-100" if name == "anonymous admin" else "-200"
    assert theirs[1] == shared.get(name)
    assert ours == ["-100", own, f"{own}/-100"]


def test_an_answer_to_a_poll_has_a_user(grammy: Grammy) -> None:
    assert keys_of(grammy, POLL_ANSWER) == ([None, None, None], [None, "3", None])


def test_a_new_business_connection_has_a_chat_and_a_user(grammy: Grammy) -> None:
    assert keys_of(grammy, CONNECTION) == (["3", "3", None], ["3", "3", "3/3"])


def test_who_was_given_a_boost_did_nothing(grammy: Grammy) -> None:
    assert keys_of(grammy, GIFT) == (["-100", "3", "3/-100"], ["-100", None, None])


# --- data ---------------------------------------------------------------------------------


def test_a_failing_handler_changes_nothing_in_memory_either(grammy: Grammy) -> None:
    program = [Increment("n"), Raise("boom")]
    live = grammy.memory({"1": {"n": 0}}, live=True)
    grammy.bot(storage=live).update(program, chat=1)
    memory = MemorySessionStorage()
    memory.write("1", {"n": 0})
    mirror = Mirror("strict", {"": Options()}, {"": memory})
    asyncio.run(mirror.update(program, chat=1))

    assert live.dump() == {"1": {"n": 1}}
    assert memory.read("1") == {"n": 0}


@pytest.mark.parametrize("kind", ["strict", "lazy"])
def test_missing_data_without_initial_is_an_error(grammy: Grammy, kind: Any) -> None:
    theirs = Case(kind=kind).grammy(grammy, [Read()], chat=1)
    sessions: Any = (session if kind == "strict" else lazy_session)(storage=Recorded())

    async def read(ctx: Any) -> None:
        await ctx.session if kind == "lazy" else ctx.session

    assert (theirs.saw, theirs.error) == ([UNDEFINED], None)
    with pytest.raises(NoInitialDataError, match=r"session\(initial=\.\.\.\)"):
        run(sessions, kind, read)


def test_a_stored_null_is_missing(grammy: Grammy) -> None:
    theirs, ours = Case(stored={"1": None}, initial={"n": 0}).both(grammy, [Read()])

    assert (theirs.saw, theirs.ops) == ([None], "RD")
    assert (ours.saw, ours.ops) == ([{"n": 0}], "R")


def test_data_that_would_not_come_back_equal_is_refused(grammy: Grammy) -> None:
    # An addition to a field that is not there gives NaN in JavaScript.
    theirs = Case(stored={"1": {}}).grammy(grammy, [Increment("n")], chat=1)
    ours = Case(stored={"1": {}}).ours([SetField("n", math.nan)], chat=1)

    assert (theirs.error, theirs.stored) == (None, {"1": {"n": None}})
    assert isinstance(ours.error, SessionEncodeError)
    assert ours.error.path == "['n']"
    assert ours.stored == {"1": {}}


# --- promises -----------------------------------------------------------------------------


def test_a_promise_is_not_data_of_a_strict_session(grammy: Grammy) -> None:
    program = [AssignPromise({"n": 6}), IsPromise()]

    theirs, ours = Case(stored={"1": {"n": 5}}).both(grammy, program)

    assert theirs.saw == [True]  # and the next one who reads a field of it gets undefined
    assert (theirs.error, theirs.stored) == (None, {"1": {"n": 6}})
    assert isinstance(ours.error, SessionEncodeError)
    assert "forgot await?" in str(ours.error)
    assert ours.stored == {"1": {"n": 5}}


@pytest.mark.parametrize("nothing", [None, UNDEFINED])
def test_a_promise_of_nothing_does_not_delete(grammy: Grammy, nothing: Any) -> None:
    case = Case(kind="lazy", stored={"1": {"n": 5}})

    theirs, ours = case.both(grammy, [AssignPromise(nothing)])

    assert (theirs.error, theirs.stored) == (None, {})
    assert isinstance(ours.error, SessionEncodeError)
    assert "forgot return?" in str(ours.error)
    assert ours.stored == {"1": {"n": 5}}


def test_a_lazy_session_is_always_awaited(grammy: Grammy) -> None:
    case = Case(kind="lazy", stored={"1": {"n": 5}})
    program = [IsPromise(), Read(), IsPromise(), Assign({"n": 6}), IsPromise(), Read()]

    theirs, ours = case.both(grammy, program)

    assert theirs.saw == [True, {"n": 5}, False, False, {"n": 6}]
    assert ours.saw == [True, {"n": 5}, True, True, {"n": 6}]


@pytest.mark.parametrize("before", [[], [Read()], [Assign({"n": 5})]])
def test_data_derived_from_a_lazy_session_can_be_assigned_to_it(
    grammy: Grammy, before: Any
) -> None:
    case = Case(kind="lazy", stored={"1": {"n": 5}})
    program = [*before, AssignDerived("x", 7)]
    theirs = grammy.bot("lazy", storage=grammy.memory(case.stored)).update(program, chat=1)
    ours = case.ours(program, chat=1)

    if before:
        assert theirs.error is not None
        assert "then is not a function" in theirs.error.message
    else:
        assert theirs.hang
    assert (ours.error, ours.stored) == (None, {"1": {"n": 5, "x": 7}})


def test_awaiting_what_was_kept_of_a_lazy_session_gives_the_data_of_now(grammy: Grammy) -> None:
    case = Case(kind="lazy", stored={"1": {"n": 5}})

    theirs, ours = case.both(grammy, [Touch(), Read(), Assign({"n": 6}), ReadTouched()])

    assert theirs.saw == [{"n": 5}, {"n": 5}]
    assert ours.saw == [{"n": 5}, {"n": 6}]


def test_a_failed_read_is_tried_again_and_not_raised_twice(grammy: Grammy) -> None:
    case = Case(kind="lazy", stored={"1": {"n": 5}}, fail=("R",))

    theirs, ours = case.both(grammy, [Guard([Read()]), Guard([Read()])])

    failure = "R of 1 was made to fail"
    assert [told(each) for each in theirs.caught] == [failure, failure]
    assert [told(each) for each in ours.caught] == [failure, failure]
    assert (theirs.ops, told(theirs.error)) == ("R", failure)
    assert (ours.ops, ours.error) == ("RR", None)


def test_an_assignment_that_failed_and_was_caught_is_taken_back(grammy: Grammy) -> None:
    case = Case(kind="lazy", stored={"1": {"n": 5}})

    theirs, ours = case.both(grammy, [AssignRejection("boom"), Guard([Read()]), Guard([Read()])])

    assert [told(each) for each in theirs.caught] == ["boom", "boom"]
    assert told(theirs.error) == "boom"
    assert ([told(each) for each in ours.caught], ours.saw) == (["boom"], [{"n": 5}])
    assert ours.error is None
    assert theirs.stored == ours.stored == case.stored


def test_an_assignment_that_is_dropped_fails_nowhere(grammy: Grammy) -> None:
    program = [AssignRejection("lost"), Raise("boom")]
    theirs = grammy.bot("lazy").update(program, chat=1)
    unhandled: list[object] = []
    mirror = Mirror("lazy", {"": Options()}, {"": Recorded()})

    async def update() -> BaseException | None:
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: unhandled.append(context)
        )
        return (await mirror.update(program, chat=1)).error

    assert theirs.unhandled == [JSError("Error", "lost")]
    assert told(asyncio.run(update())) == "boom"
    assert unhandled == []


def test_a_read_that_is_still_under_way_when_the_update_ends_raises(grammy: Grammy) -> None:
    theirs = grammy.bot("lazy").update([Touch()], chat=1)
    assert theirs.error is None
    assert theirs.unhandled == []
    reads: list[asyncio.Task[Any]] = []

    async def read(ctx: Any) -> Any:
        return await ctx.session

    async def handler(ctx: Any) -> None:
        reads.append(asyncio.create_task(read(ctx)))

    async def main() -> None:
        ctx = make_context("lazy", "flavor", 1, None)
        await lazy_session(storage=Recorded({"1": 5}))(ctx, handler)
        with pytest.raises(SessionClosedError, match="has ended"):
            await reads[0]

    asyncio.run(main())


def test_a_lazy_session_without_a_key_raises_when_it_is_awaited(grammy: Grammy) -> None:
    theirs, ours = Case(kind="lazy").both(grammy, [Touch(), Turn(), ReadTouched()], chat=None)

    assert told(theirs.error) == told(ours.error) == "no key"
    touched = Case(kind="lazy").both(grammy, [Touch()], chat=None)
    assert [told(side.error) for side in touched] == ["no key", ""]


def test_a_plain_context_tells_at_the_end_that_there_was_no_key(grammy: Grammy) -> None:
    program = [Guard([Assign(1)])]
    theirs, flavored = Case().both(grammy, program, chat=None)
    plain = Case(place="object").ours(program, chat=None)

    assert [told(error) for error in theirs.caught] == ["no key"]
    assert [told(error) for error in flavored.caught] == ["no key"]
    assert (plain.caught, told(plain.error)) == ([], "no key")


# --- several at a time --------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["strict", "lazy"])
def test_updates_of_one_chat_wait_for_each_other(grammy: Grammy, kind: Any) -> None:
    program = [Increment("n")]
    memory = grammy.memory()
    bot = grammy.bot(kind, initial={"n": 0}, storage=memory)
    grammy.together(*[bot.plan(program, chat=1) for _ in range(10)])
    storage = Recorded()
    sessions: Any = (session if kind == "strict" else lazy_session)(
        initial=lambda: {"n": 0}, storage=storage
    )

    async def increment(ctx: Any) -> None:
        data = await ctx.session if kind == "lazy" else ctx.session
        data["n"] += 1

    async def together() -> None:
        contexts = [make_context(kind, "flavor", 1, None) for _ in range(10)]
        await asyncio.gather(*[sessions(ctx, increment) for ctx in contexts])

    asyncio.run(together())
    assert memory.dump() == {"1": {"n": 1}}
    assert storage.stored == {"1": {"n": 10}}


def test_installing_the_same_sessions_twice_joins_them(grammy: Grammy) -> None:
    bot = grammy.bot(storage=grammy.memory({"1": {"n": 1}}), times=2)
    theirs = bot.update([Increment("n")], chat=1)
    storage = Recorded({"1": {"n": 1}})
    sessions = session(storage=storage)

    async def increment(ctx: Any) -> None:
        ctx.session["n"] += 1

    async def inner(ctx: Any) -> None:
        await sessions(ctx, increment)

    run(sessions, "strict", inner)

    assert theirs.error == JSError("TypeError", "Cannot redefine property: session")
    assert "".join(call.op for call in storage.calls) == "RW"
    assert storage.stored == {"1": {"n": 2}}


# --- multi --------------------------------------------------------------------------------


def multi(grammy: Grammy, program: Any) -> tuple[Any, Any, Any]:
    """Return what grammY's fragments hold in the end, what ours do, and our run."""
    fragments = {name: Options({"n": 0}) for name in ("a", "b")}
    bot = grammy.multi_bot(fragments)
    bot.update(program, chat=1)
    storages = {name: Recorded() for name in fragments}
    run = asyncio.run(Mirror("multi", fragments, storages).update(program, chat=1))
    theirs: Any = {name: storage.dump() for name, storage in bot.storages.items()}  # type: ignore[attr-defined]
    return theirs, {name: storage.stored for name, storage in storages.items()}, run


def test_assigning_a_mapping_assigns_its_fragments(grammy: Grammy) -> None:
    program = [Assign({"a": {"n": 1}, "b": {"n": 2}})]

    theirs, ours, run = multi(grammy, program)

    assert theirs == {"a": {"1": {"n": 0}}, "b": {"1": {"n": 0}}}
    assert ours == {"a": {"1": {"n": 1}}, "b": {"1": {"n": 2}}}
    assert run.error is None


def test_an_unknown_fragment_is_an_error(grammy: Grammy) -> None:
    bot = grammy.multi_bot({"a": Options({"n": 0})})
    theirs = bot.update([Assign(5, at="b"), Read(at="b")], chat=1)
    ours = Case(kind="multi", initial={"n": 0}).ours([Assign(5, at="b")], chat=1)

    assert theirs.error is None
    assert isinstance(ours.error, AttributeError)
    assert str(ours.error) == "there is no fragment 'b' in MultiSession: a"


def test_deleting_all_fragments_leaves_out_those_without_a_key(grammy: Grammy) -> None:
    fragments = {"a": Options(prefix="a-"), "b": Options(prefix="b-", key="none")}
    memory = grammy.memory({"a-1": {"n": 1}})
    given = {
        name: Options(each.initial, each.prefix, each.key, memory)
        for name, each in fragments.items()
    }
    theirs = grammy.multi_bot(given).update([Assign(None)], chat=1)
    storage = Recorded({"a-1": {"n": 1}})
    ours = asyncio.run(
        Mirror("multi", fragments, dict.fromkeys(fragments, storage)).update([Assign(None)], chat=1)
    )

    assert (told(theirs.error), memory.dump()) == ("no key", {"a-1": {"n": 1}})
    assert (ours.error, storage.stored) == (None, {})


def test_fragments_on_one_storage_need_prefixes(grammy: Grammy) -> None:
    memory = grammy.memory()
    bot = grammy.multi_bot({"a": Options(storage=memory), "b": Options(storage=memory)})
    bot.update([Assign("of a", at="a"), Assign("of b", at="b")], chat=1)
    storage = Recorded()

    assert memory.dump() == {"1": "of b"}
    with pytest.raises(ValueError, match="give one of them prefix='b:'"):
        multi_session(a=session(storage=storage), b=session(storage=storage))


def test_a_multi_session_without_fragments_is_refused(grammy: Grammy) -> None:
    assert grammy.multi_bot({}).update([], chat=1).error is None
    with pytest.raises(TypeError, match="needs fragments"):
        multi_session()


def test_fragments_may_be_lazy(grammy: Grammy) -> None:
    with pytest.raises(DriverError, match="Cannot use lazy multi sessions!"):
        grammy.multi_bot({"a": Options()}, lazy=True)
    untouched, touched = Recorded(), Recorded({"1": {"n": 1}})
    sessions = multi_session(a=lazy_session(storage=untouched), b=lazy_session(storage=touched))

    async def increment(ctx: Any) -> None:
        (await ctx.session.b)["n"] += 1

    run(sessions, "multi", increment)
    assert untouched.calls == []
    assert touched.stored == {"1": {"n": 2}}


def test_a_torn_write_tells_which_fragments_were_written(grammy: Grammy) -> None:
    first, second = grammy.memory(), grammy.memory()
    first.fail("W")
    fragments = {"a": Options(storage=first), "b": Options(storage=second)}
    program = [Assign(1, at="a"), Assign(2, at="b")]
    theirs = grammy.multi_bot(fragments).update(program, chat=1)
    storages = {"a": Recorded(), "b": Recorded()}
    storages["a"].fail("W")
    mirror = Mirror("multi", {"a": Options(), "b": Options()}, storages)
    ours = asyncio.run(mirror.update(program, chat=1))

    assert told(theirs.error) == told(ours.error) == "W of 1 was made to fail"
    assert second.dump() == storages["b"].stored == {"1": 2}
    assert isinstance(ours.error, SessionWriteError)
    assert (ours.error.written, ours.error.failed) == (("b",), ("a",))


def test_nothing_is_written_if_one_fragment_cannot_be_encoded(grammy: Grammy) -> None:
    program = [Assign({"n": 1}, at="a"), AssignRejection("boom", at="b")]

    theirs, ours, run = multi(grammy, program)

    assert theirs == {"a": {"1": {"n": 1}}, "b": {}}
    assert ours == {"a": {}, "b": {}}
    assert isinstance(run.error, SessionEncodeError)


# --- timeouts and migrations --------------------------------------------------------------


def test_versions_are_decimals(grammy: Grammy) -> None:
    table = {"1": [Append("log", 1)], "1.5": [Append("log", 1.5)], "4": [Append("log", 4)]}
    case = Case(stored={"1": {"log": []}}, table=table)

    theirs, ours = case.both(grammy, [Read()])

    assert theirs.saw == [{"log": [1, 1, 4]}]
    assert ours.saw == [{"log": [1, 1.5, 4]}]


def test_a_version_that_is_not_a_number_is_refused(grammy: Grammy) -> None:
    table = {"one": [Put("x", 1)]}

    theirs = Case(stored={"1": {}}, table=table).grammy(grammy, [Read()], chat=1)

    assert (theirs.saw, theirs.error) == ([{}], None)
    with pytest.raises(ValueError, match="'one'"):
        Case(table=table).ours([])


def test_data_of_a_newer_version_is_refused(grammy: Grammy) -> None:
    stored = {"1": {"__d": {"new": 1}, "v": 99}}

    theirs, ours = Case(stored=stored, table={"1": []}).both(grammy, [Read()])

    assert (theirs.saw, theirs.stored) == ([{"new": 1}], {"1": {"__d": {"new": 1}, "v": 1}})
    assert isinstance(ours.error, NewerVersionError)
    assert ours.stored == stored


def test_without_migrations_a_version_is_refused(grammy: Grammy) -> None:
    stored = {"1": {"__d": {"n": 1}, "v": 3}}

    theirs, ours = Case(stored=stored, ttl_ms=1000).both(grammy, [Increment("n")])

    assert theirs.stored == {"1": {"__d": {"n": 2}, "e": 1000}}
    assert isinstance(ours.error, NewerVersionError)
    assert ours.stored == stored


def test_a_failing_migration_says_what_failed(grammy: Grammy) -> None:
    case = Case(stored={"1": {}}, table={"1": [Fail("boom")]})

    theirs, ours = case.both(grammy, [])

    assert theirs.error == JSError("Error", "boom")
    assert isinstance(ours.error, SessionMigrationError)
    assert (ours.error.key, ours.error.version, told(ours.error)) == ("1", 1, "boom")
    assert theirs.stored == ours.stored == case.stored


def test_timeouts_run_from_the_last_change(grammy: Grammy) -> None:
    case = Case(stored={"1": {"__d": {"n": 1}, "e": 900}}, ttl_ms=1000, now=500)

    theirs, ours = case.both(grammy, [Read()])
    assert (theirs.stored["1"]["e"], ours.stored["1"]["e"]) == (1500, 900)

    theirs, ours = case.both(grammy, [Increment("n")])
    assert theirs.stored["1"]["e"] == ours.stored["1"]["e"] == 1500


def test_at_the_instant_of_its_expiry_data_is_gone(grammy: Grammy) -> None:
    case = Case(stored={"1": {"__d": 5, "e": 1000}}, ttl_ms=1000, now=1000, missing="None")

    theirs, ours = case.both(grammy, [Read()])

    assert (theirs.saw, ours.saw) == ([5], [None])


def test_a_stored_timeout_counts_without_the_option(grammy: Grammy) -> None:
    stored = {"1": {"__d": 5, "e": 1000}}
    case = Case(stored=stored, table={"1": []}, now=2000, missing="None")

    theirs, ours = case.both(grammy, [Read()])

    assert (theirs.saw, ours.saw) == ([5], [None])


@pytest.mark.parametrize("before", [{"__d": {"n": 1}, "e": 1000}, {"n": 1}])
def test_an_assignment_is_not_undone_by_a_read_under_way(grammy: Grammy, before: Any) -> None:
    case = Case(kind="lazy", stored={"1": before}, ttl_ms=1000, now=5000)

    theirs, ours = case.both(grammy, [Touch(), Assign({"n": 2})])

    # The read deletes what has expired, and gives a timeout to what has none.
    assert theirs.stored == ({} if "e" in before else {"1": {"__d": {"n": 1}, "e": 6000}})
    assert ours.stored == {"1": {"__d": {"n": 2}, "e": 6000}}


@pytest.mark.parametrize("ttl_ms", [0, -1000])
def test_an_impossible_timeout_is_refused(grammy: Grammy, ttl_ms: int) -> None:
    assert Case(ttl_ms=ttl_ms).grammy(grammy, [Assign(1)], chat=1).error is None
    with pytest.raises(ValueError, match="ttl"):
        Case(ttl_ms=ttl_ms).ours([])


def test_data_with_a_field_of_the_wrapper_is_kept_whole(grammy: Grammy) -> None:
    case = Case(stored={"1": {"__d": 7, "x": 1}}, table={"1": []})

    theirs, ours = case.both(grammy, [Read()])

    assert (theirs.saw, ours.saw) == ([7], [{"__d": 7, "x": 1}])


def test_a_storage_is_enhanced_only_once(grammy: Grammy) -> None:
    memory = grammy.memory({"1": {"__d": {"__d": 5}, "x": 1}})
    twice = grammy.enhanced(grammy.enhanced(memory))
    twice.write("2", {"n": 1})

    assert memory.dump()["2"] == {"__d": {"__d": {"n": 1}}}
    with pytest.raises(TypeError, match="enhanced already"):
        enhance_storage(enhance_storage(MemorySessionStorage()))


# --- files --------------------------------------------------------------------------------


def test_an_empty_file_is_an_error_and_not_missing(grammy: Grammy, tmp_path: Path) -> None:
    torn = tmp_path / "theirs/1/1.json", tmp_path / "ours/1/1.json"
    for path in torn:
        path.parent.mkdir(parents=True)
        path.write_bytes(b"")
    theirs = grammy.bot(initial={"n": 0}, storage=grammy.file(tmp_path / "theirs")).update(chat=1)
    mirror = Mirror("strict", {"": Options({"n": 0})}, {"": FileSessionStorage(tmp_path / "ours")})
    ours = asyncio.run(mirror.update(chat=1))

    assert (theirs.error, torn[0].read_bytes()) == (None, b'{\n\t"n": 0\n}')
    assert isinstance(ours.error, SessionDecodeError)
    assert torn[1].read_bytes() == b""


@pytest.mark.parametrize("key", ["3/-100", "k" * 300, "A", "../../evil", "ab.."])
def test_every_key_has_a_file_inside_the_folder(grammy: Grammy, tmp_path: Path, key: str) -> None:
    theirs, ours = tmp_path / "a/b/c/theirs", tmp_path / "ours"
    outside = False
    try:
        grammy.file(theirs).write(key, 1)
        outside = not [path for path in theirs.rglob("*") if path.is_file()]
    except DriverError:
        outside = True
    storage = FileSessionStorage(ours).sync
    storage.write(key, 1)

    assert outside is (key != "A")
    assert storage.read(key) == 1
    assert list(storage.iter_keys()) == [key]
    assert {path.name for path in tmp_path.iterdir()} <= {"a", "ours", "evil.json"}


# --- the list -----------------------------------------------------------------------------


def names_listed() -> list[str]:
    _, _, section = PAGE.read_text("utf-8").partition(SECTION)
    return re.findall(r"`(test_\w+)`", section.partition("\n## ")[0])


def test_the_page_lists_exactly_these_differences() -> None:
    here = {name for name in globals() if name.startswith("test_")}
    about_the_list = {each for each in here if each.startswith("test_the_page_")}

    assert sorted(names_listed()) == sorted(here - about_the_list)


def test_the_page_names_what_random_histories_are_allowed_to_differ_in() -> None:
    assert {f"test_{each.value.replace(' ', '_')}" for each in Difference} <= set(names_listed())

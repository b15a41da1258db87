"""The weaknesses found in grammY 1.46: each shown to be none here, beside real grammY where
the bridge can show it.

The numbers 1 to 11 are those of the list that was made of them, H1 to H8 its headlines.
Those that are deliberate differences are shown in ``test_grammy_differences.py``, those of
the enhancer (12 to 23) in ``test_enhance_grammy_bugs.py``.
"""

from __future__ import annotations

import ast
import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sessionkit import (
    FileSessionStorage,
    MemorySessionStorage,
    SessionClosedError,
    SessionDecodeError,
    SessionError,
    enhance_storage,
    lazy_session,
    multi_session,
    session,
)
from tests.grammy import install
from tests.grammy.both import Case
from tests.grammy.bridge import Grammy
from tests.grammy.doubles import Recorded, ThrownError
from tests.grammy.mirror import make_context
from tests.grammy.steps import Assign, Guard, Increment, Raise, Read, Turn

if TYPE_CHECKING:
    from tests.grammy.mirror import Place

install.skip_module_unless_available()

SHOWN = {
    "1 and H3": ["test_updates_of_one_chat_wait_for_each_other", "test_1_"],
    "2 and H1": ["test_data_derived_from_a_lazy_session_can_be_assigned_to_it", "test_2_"],
    "3": ["test_unchanged_data_is_not_written", "test_3_"],
    "4": ["test_unchanged_initial_data_is_not_written"],
    "5": ["test_what_is_not_stored_is_not_deleted", "test_a_stored_null_is_missing", "test_5_"],
    "6": [
        "test_assigning_a_mapping_assigns_its_fragments",
        "test_an_unknown_fragment_is_an_error",
        "test_deleting_all_fragments_leaves_out_those_without_a_key",
        "test_fragments_on_one_storage_need_prefixes",
        "test_a_torn_write_tells_which_fragments_were_written",
        "test_nothing_is_written_if_one_fragment_cannot_be_encoded",
        "test_fragments_may_be_lazy",
        "test_6_",
    ],
    "7": ["test_installing_the_same_sessions_twice_joins_them", "test_7_"],
    "8 and H7": ["test_none_is_not_a_key", "test_an_empty_key_is_refused", "test_8_"],
    "9": [
        "test_an_assignment_that_is_dropped_fails_nowhere",
        "test_a_failed_read_is_tried_again_and_not_raised_twice",
    ],
    "10": ["test_a_lazy_session_is_always_awaited", "test_10_"],
    "11": ["test_11_"],
    "H2": ["test_versions_are_decimals"],
    "H4": ["test_an_empty_file_is_an_error_and_not_missing", "test_h4_"],
    "H6": ["test_a_failing_handler_changes_nothing_in_memory_either", "test_h6_"],
    "H8": ["test_h8_"],
    # H5 is about grammY's free storage, which is not part of the core.
}


def test_every_number_is_shown() -> None:
    here = Path(__file__)
    names: list[str] = []
    for path in (here, here.with_name("test_grammy_differences.py")):
        tree = ast.parse(path.read_text("utf-8"))
        names += [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]

    for number, prefixes in SHOWN.items():
        for prefix in prefixes:
            assert any(name.startswith(prefix) for name in names), (number, prefix)


def context(place: Place = "flavor", chat: int = 1) -> Any:
    return make_context("strict", place, chat, None)


def lazy_context(place: Place = "flavor") -> Any:
    return make_context("lazy", place, 1, None)


def run(sessions: Any, ctx: Any, handler: Any) -> Any:
    """Run a handler under sessions; Any, as the handlers here are."""
    return asyncio.run(sessions(ctx, handler))


# --- 1 to 11 ------------------------------------------------------------------------------


def test_1_what_was_deleted_is_not_resurrected_by_an_update_beside(grammy: Grammy) -> None:
    memory = grammy.memory({"1": {"n": 5}})
    bot = grammy.bot(initial={"n": 0}, storage=memory)
    grammy.together(
        bot.plan([Assign(None)], chat=1), bot.plan([Turn(), Turn(), Increment("n")], chat=1)
    )
    storage = Recorded({"1": {"n": 5}})
    sessions: Any = session(initial=lambda: {"n": 0}, storage=storage)

    async def delete(ctx: Any) -> None:
        ctx.session = None

    async def increment(ctx: Any) -> None:
        await asyncio.sleep(0)
        ctx.session["n"] += 1

    async def together() -> None:
        await asyncio.gather(sessions(context(), delete), sessions(context(), increment))

    asyncio.run(together())
    assert memory.dump() == {"1": {"n": 6}}
    assert storage.stored == {"1": {"n": 1}}


async def incremented(old: Any) -> dict[str, Any]:
    data = await old
    return {**data, "n": data["n"] + 1}


@pytest.mark.parametrize("place", ["object", "flavor", "mapping"])
def test_2_a_derived_assignment_builds_on_the_one_before(place: Place) -> None:
    storage = Recorded({"1": {"n": 1}})

    async def handler(ctx: Any) -> None:
        for _ in range(3):
            if place == "mapping":
                ctx["session"] = incremented(ctx["session"])
            else:
                ctx.session = incremented(ctx.session)

    run(lazy_session(storage=storage), lazy_context(place), handler)

    assert storage.stored == {"1": {"n": 4}}
    assert "".join(call.op for call in storage.calls) == "RW"


def test_2_a_derived_assignment_builds_on_assigned_data_without_reading() -> None:
    storage = Recorded({"1": {"n": 1}})

    async def handler(ctx: Any) -> None:
        ctx.session = {"n": 5}
        ctx.session = incremented(ctx.session)

    run(lazy_session(storage=storage), lazy_context(), handler)

    assert storage.stored == {"1": {"n": 6}}
    assert "".join(call.op for call in storage.calls) == "W"


def test_3_data_can_be_saved_early_discarded_reloaded_and_looked_at() -> None:
    storage = Recorded({"1": {"n": 1}})
    sessions = session(storage=storage)

    async def handler(ctx: Any) -> None:
        one = sessions.of(ctx)
        ctx.session["n"] = 2
        await one.save()
        assert storage.stored == {"1": {"n": 2}}
        ctx.session["n"] = 3
        one.revert()
        assert (ctx.session, one.is_changed) == ({"n": 2}, False)
        storage.put("1", {"n": 4})
        await one.reload()
        assert ctx.session == {"n": 4}
        assert await sessions.get(1) == {"n": 4}

    run(sessions, context(), handler)
    assert "".join(call.op for call in storage.calls) == "RWRR"


def test_5_initial_data_of_none_is_not_deleted(grammy: Grammy) -> None:
    theirs = grammy.bot(initial=None).update(chat=1)
    storage = Recorded()

    async def look(ctx: Any) -> None:
        assert ctx.session is None

    run(session(initial=lambda: None, storage=storage), context(), look)

    assert theirs.ops == "RD"
    assert "".join(call.op for call in storage.calls) == "R"


def test_6_a_fragment_may_be_called_type() -> None:
    sessions = multi_session(type=session(initial=lambda: {"n": 0}))

    async def handler(ctx: Any) -> Any:
        return ctx.session.type

    assert run(sessions, context(), handler) == {"n": 0}


@pytest.mark.parametrize("place", ["object", "flavor", "mapping"])
def test_7_the_session_can_be_deleted_as_an_attribute(place: Place) -> None:
    storage = Recorded({"1": {"n": 1}})

    async def handler(ctx: Any) -> None:
        if place == "mapping":
            del ctx["session"]
        else:
            del ctx.session

    run(session(storage=storage), context(place), handler)

    assert storage.stored == {}


def test_7_other_sessions_of_the_same_name_are_refused_with_advice() -> None:
    outer: Any = session()
    inner: Any = session()

    async def nothing(_: Any) -> None: ...

    async def handler(ctx: Any) -> None:
        await inner(ctx, nothing)

    with pytest.raises(SessionError, match="attribute='another_name'"):
        run(outer, context(), handler)


def test_8_a_number_is_a_key(grammy: Grammy) -> None:
    theirs, ours = Case(key="number").both(grammy, [Assign(1)], user=3)

    assert theirs.stored == ours.stored == {"3": 1}


@pytest.mark.parametrize("make", [session, lazy_session])
def test_10_initial_data_cannot_be_a_promise(make: Any) -> None:
    async def initial() -> dict[str, Any]:
        return {}

    with pytest.raises(TypeError, match="initial cannot be async"):
        make(initial=initial)


def test_11_a_failing_handler_may_save_if_asked_to(grammy: Grammy) -> None:
    program = [Increment("n"), Raise("boom")]
    theirs = Case(stored={"1": {"n": 1}}).grammy(grammy, program, chat=1)
    storage = Recorded({"1": {"n": 1}})

    async def handler(ctx: Any) -> None:
        ctx.session["n"] += 1
        raise ThrownError

    with pytest.raises(ThrownError):
        run(session(storage=storage, save_on_error=True), context(), handler)
    assert theirs.stored == {"1": {"n": 1}}
    assert storage.stored == {"1": {"n": 2}}


def test_11_sessions_are_there_outside_of_handlers_and_follow_a_chat() -> None:
    storage = MemorySessionStorage()
    sessions = session(initial=lambda: {"n": 0}, storage=storage)

    async def main() -> None:
        async with sessions.open(-5) as one:
            one.data["n"] = 1
        await sessions.update(-5, lambda data: {"n": data["n"] + 1})
        assert await sessions.move(-5, -100)

    asyncio.run(main())
    assert dict(storage.iter_items()) == {"-100": {"n": 2}}


def test_11_data_used_after_the_update_is_an_error() -> None:
    ctx = context()

    async def handler(_: Any) -> None: ...

    run(session(initial=dict), ctx, handler)

    with pytest.raises(SessionClosedError, match="has ended"):
        ctx.session["n"] = 1


# --- headlines ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["strict", "lazy"])
def test_h4_a_failing_read_never_leads_to_a_write(grammy: Grammy, kind: Any) -> None:
    case = Case(kind=kind, stored={"1": {"coins": 9}}, initial={"coins": 0}, fail=("R",))

    theirs, ours = case.both(grammy, [Guard([Read()])])

    assert theirs.stored == ours.stored == {"1": {"coins": 9}}
    assert theirs.ops == ours.ops == "R"


def test_h4_a_torn_file_is_neither_overwritten_nor_taken_for_missing(tmp_path: Path) -> None:
    sessions = session(initial=lambda: {"coins": 0}, storage=FileSessionStorage(tmp_path))
    torn = tmp_path / "1/1.json"
    torn.parent.mkdir()
    torn.write_bytes(b'{"coins": ')

    async def nothing(_: Any) -> None: ...

    with pytest.raises(SessionDecodeError):
        run(sessions, context(), nothing)
    assert torn.read_bytes() == b'{"coins": '


def test_h6_one_initial_object_is_not_shared_by_chats() -> None:
    shared: dict[str, Any] = {"n": 0, "list": []}
    storage = MemorySessionStorage()
    sessions = session(initial=lambda: shared, storage=storage)

    async def handler(ctx: Any) -> None:
        ctx.session["n"] += 1
        ctx.session["list"].append(1)

    for chat in (1, 2):
        run(sessions, context(chat=chat), handler)

    assert shared == {"n": 0, "list": []}
    assert storage.read("1") == storage.read("2") == {"n": 1, "list": [1]}


def test_h6_a_migration_in_place_is_applied_once() -> None:
    storage = MemorySessionStorage()
    storage.write("1", {"log": []})

    def migrate(data: dict[str, Any]) -> dict[str, Any]:
        data["log"].append("m1")
        return data

    sessions = session(storage=enhance_storage(storage, migrations={1: migrate}))

    async def look(ctx: Any) -> Any:
        return ctx.session

    seen = [run(sessions, context(), look) for _ in range(3)]

    assert seen == [{"log": ["m1"]}] * 3


def test_h8_an_untouched_strict_session_is_read_and_not_written(grammy: Grammy) -> None:
    theirs, ours = Case(stored={"1": {"n": 1}}).both(grammy, [])

    assert (theirs.ops, ours.ops) == ("R", "R")

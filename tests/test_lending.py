"""``Binding.run`` does by express exactly what it does the general way, only sooner.

Random handlers run by both.  What is compared: what handlers see and raise, what
is stored, whether it was written, what is left on contexts and in registries.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sessionkit import (
    InvalidSessionKeyError,
    MemorySessionStorage,
    NoSessionKeyError,
    SessionClosedError,
    SessionFlavor,
    SessionReentrancyError,
    keys,
    multi_session,
)
from sessionkit._locks.whereabouts import claims
from sessionkit._setup.lending import lane_for, tells_of_a_move
from sessionkit.adapters import Binding
from tests.contexts import Ctx, Spy, assert_nothing_left, lazy, run, strict, update
from tests.test_express import (
    OPTIONS,
    TELLING,
    Direct,
    Lane,
    Later,
    Step,
    Stop,
    by_number,
    lazy_steps,
    made,
    nesting,
    steps_of_both,
)


class GoOn(Exception):
    """A signal of a framework."""


class Lending(Lane):
    """Handlers that get their session as an argument."""

    def __init__(self, make: Any, *, express: bool, **options: Any) -> None:
        super().__init__(make, Direct, **options)
        self.binding = Binding(self.sessions, name="lent", signals=(GoOn,))
        if not express:
            self.binding._run = self.binding._run_generally

    async def run(self, ctx: Any, body: Callable[[], Any]) -> Any:
        async def call(arguments: dict[str, Any]) -> Any:
            assert list(arguments) == ["lent"]
            assert self.sessions.of(ctx) is arguments["lent"]
            return await body()

        return await self.binding.run(ctx, call)

    async def update(self, ctx: Any, steps: list[Step]) -> None:
        before = self.storage.read_with_revision("1")[1]
        try:
            self.see(await self.run(ctx, lambda: self.handle(ctx, steps)))
        except BaseException as error:
            self.see("raised", type(error).__name__, str(error))
        after = self.storage.read_with_revision("1")[1]
        self.see("written" if before is not after else "kept")
        for outcome in await asyncio.gather(*self.rivals, return_exceptions=True):
            self.see(type(outcome).__name__, str(outcome))
        self.rivals.clear()
        if self.opened is not None:
            self.see("claimed" if id(self.opened) in claims else "left")
        await self.use_after_the_end()
        self.see(dict(self.storage.iter_items()), vars(ctx))
        assert_nothing_left(self.sessions)

    async def data(self, ctx: Any) -> Any:
        session = self.sessions.of(ctx)
        return await session if self.is_lazy else session.data

    async def set(self, ctx: Any, which: int) -> None:
        self.sessions.of(ctx).data = made(which)

    async def delete_data(self, ctx: Any, _: object) -> None:
        del self.sessions.of(ctx).data

    async def signal(self, ctx: Any, _: object) -> None:
        raise GoOn

    async def nested(self, ctx: Any, steps: list[Step]) -> None:
        await self.run(ctx, lambda: self.handle(ctx, steps))

    async def around(self, ctx: Any, steps: list[Step]) -> None:
        await update(self.sessions, ctx, lambda ctx: self.handle(ctx, steps))

    async def rival(self, ctx: Any, _: object) -> None:
        """Another update of the same chat comes in."""
        other = self.kind()

        async def body() -> None:
            self.see("rival sees", await self.data(other))
            self.sessions.of(other).data = {"rival": True}

        self.rivals.append(asyncio.create_task(self.run(other, body)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def reenter(self, ctx: Any, _: object) -> None:
        async with self.sessions.open(key=1):
            pass

    async def set_awaitable(self, ctx: Any, which: int) -> None:
        async def awaitable() -> Any:
            await asyncio.sleep(0)
            return made(which)

        self.sessions.of(ctx).data = Later(awaitable)

    async def counted(self, ctx: Any, _: object) -> None:
        session = self.sessions.of(ctx)

        async def counted() -> Any:
            found = await session
            return {**found, "n": found.get("n", 0) + 1}

        session.data = Later(counted)

    async def raising(self, ctx: Any, _: object) -> None:
        async def raising() -> None:
            raise LookupError("in what was assigned")

        self.sessions.of(ctx).data = Later(raising)

    async def reassigning(self, ctx: Any, _: object) -> None:
        session = self.sessions.of(ctx)

        async def reassigning() -> None:
            session.data = {"n": 99}

        session.data = Later(reassigning)


def as_argument(step: Step) -> Step:
    return ("delete data",) if step == ("del",) else step


MORE = st.sampled_from([("delete data",), ("signal",), ("reenter",)])

Program = list[Step]


async def both(programs: list[Program], make: Any, **options: Any) -> tuple[list[Any], list[Any]]:
    lanes = [Lending(make, express=express, **options) for express in (True, False)]
    for lane in lanes:
        await lane.warm_up()
        for steps in programs:
            await lane.update(lane.kind(), steps)
    return lanes[0].seen, lanes[1].seen


@pytest.mark.parametrize(("make", "steps"), [(strict, steps_of_both), (lazy, lazy_steps)])
def test_random_handlers_meet_the_same_either_way(make: Any, steps: Any) -> None:
    mapped = steps.map(as_argument)
    nested = st.tuples(st.just("around"), st.lists(mapped, max_size=2))
    programs = st.lists(nesting(st.one_of(mapped, MORE, nested)), min_size=1, max_size=4)

    @settings(max_examples=500, deadline=None, derandomize=True, database=None)
    @given(programs, st.sampled_from(OPTIONS))
    def compare(programs: list[Program], options: dict[str, Any]) -> None:
        express, general = run(both(programs, make, **options))
        assert express == general

    compare()


@pytest.mark.parametrize("make", [strict, lazy])
@pytest.mark.parametrize(
    "steps",
    [
        *TELLING,
        [("signal",)],
        [("count",), ("signal",)],
        [("count",), ("key",), ("pause",)],
        [("key",), ("save",), ("is_changed",)],
        [("reenter",)],
        [("caught", [("reenter",)]), ("count",)],
        [("count",), ("reenter",)],
        [("nested", [("count",), ("fail",)])],
        [("set", 16), ("count",)],
        [("open", [("delete",)]), ("set", 1)],
    ],
)
def test_telling_handlers_meet_the_same_either_way(make: Any, steps: list[Step]) -> None:
    steps = [as_argument(step) for step in steps]
    for options in OPTIONS:
        express, general = run(both([steps, [("count",)], steps], make, **options))
        assert express == general


# --- which updates go by express --------------------------------------------------------------


class Showing(SessionFlavor[Any]):
    chat = "1"


async def ignore(_: object) -> None: ...


def constant(key: Any) -> Callable[[object], Any]:
    return lambda _: key


def roundabouts(sessions: Any, ctx: Any, *, follows: bool = True) -> list[Any]:
    """What was given to the general way, instead of going by express."""
    gone: list[Any] = []

    async def general(*given: Any) -> None:
        gone.append(given)

    lane = lane_for(sessions, general, "session", (), follows=follows)
    run(lane(ctx, ignore))
    return gone


@pytest.mark.parametrize("make", [strict, lazy])
@pytest.mark.parametrize(
    "key", ["1", 1, 0, by_number(None)], ids=["text", "int", "zero", "subclass of int"]
)
def test_text_and_numbers_go_by_express(make: Any, key: Any) -> None:
    """And this file tests something."""
    sessions = make(storage=MemorySessionStorage(), get_session_key=constant(key))
    sessions.storage.write_many({"0": {"n": 1}, "1": {"n": 1}})

    assert roundabouts(sessions, Ctx()) == []
    assert roundabouts(sessions, {"any": "thing"}) == []


@pytest.mark.parametrize("make", [strict, lazy])
@pytest.mark.parametrize("ctx", [Showing(), "text", 1, None])
def test_contexts_that_show_sessions_and_what_is_none_do_not(make: Any, ctx: Any) -> None:
    sessions = make(storage=MemorySessionStorage(), get_session_key=constant("1"))

    assert roundabouts(sessions, ctx) == [(ctx, ignore)]


@pytest.mark.parametrize("make", [strict, lazy])
def test_once_a_chat_has_moved_all_go_the_general_way(make: Any) -> None:
    sessions = make(storage=MemorySessionStorage())
    sessions._settings.follow("1", "2")
    ctx = Ctx()

    assert roundabouts(sessions, ctx) == [(ctx, ignore)]


@pytest.mark.parametrize("make", [strict, lazy])
def test_an_update_that_tells_of_a_move_does_not(make: Any) -> None:
    sessions = make(storage=MemorySessionStorage(), get_session_key=keys.chat)
    sessions.storage.write("-55", {"n": 1})
    told = moving(migrate_to_chat_id=-1001)

    assert roundabouts(sessions, told) == [(told, ignore)]
    assert roundabouts(sessions, told, follows=False) == []


@pytest.mark.parametrize("options", [{"lock": False}, {"storage": Spy(_1={"n": 1})}])
def test_where_there_is_more_to_do_than_to_copy_there_is_no_lane(options: Any) -> None:
    sessions = strict(**{"storage": MemorySessionStorage(), **options})

    assert len(roundabouts(sessions, Ctx())) == 1


def test_several_sessions_have_no_lane() -> None:
    sessions = multi_session(part=strict(storage=MemorySessionStorage()))

    assert len(roundabouts(sessions, Ctx())) == 1


@pytest.mark.parametrize("make", [strict, lazy])
def test_a_key_is_asked_for_once_and_awaited(make: Any) -> None:
    asked: list[Any] = []

    async def get_key(ctx: Any) -> Any:
        asked.append(ctx)
        return ctx.chat

    sessions = make(storage=MemorySessionStorage(), get_session_key=get_key)
    for chat in ("1", "1", None):
        asked.clear()
        ctx = Ctx(chat)
        assert run(Binding(sessions).run(ctx, lambda lent: lent["session"].key)) == chat
        assert asked == [ctx]


@pytest.mark.parametrize("make", [strict, lazy])
def test_a_wrong_key_is_refused(make: Any) -> None:
    sessions = make(storage=MemorySessionStorage(), get_session_key=constant(True))

    with pytest.raises(InvalidSessionKeyError, match=r"this one is True \(bool\)"):
        run(Binding(sessions).run(Ctx(), ignore))
    assert_nothing_left(sessions)


def test_without_a_key_the_session_says_why() -> None:
    sessions = strict(storage=MemorySessionStorage(), get_session_key=keys.chat)

    with pytest.raises(NoSessionKeyError, match="has no chat"):
        run(Binding(sessions).run({}, lambda arguments: arguments["session"].data))


# --- beside the middleware of the same sessions -----------------------------------------------


@pytest.mark.parametrize("make", [strict, lazy])
def test_it_joins_a_session_that_shows_as_attribute(make: Any) -> None:
    sessions = make(storage=MemorySessionStorage())
    sessions.storage.write("1", {"n": 1})
    seen: list[Any] = []

    async def handler(ctx: Any) -> None:
        shown = ctx.session

        async def call(arguments: dict[str, Any]) -> None:
            session = arguments["session"]
            assert sessions.of(ctx) is session
            seen.append(session is shown if make is lazy else session.data is shown)

        await Binding(sessions).run(ctx, call)
        assert sessions.of(ctx).key == "1"

    for _ in range(2):
        run(update(sessions, Ctx(), handler))
    assert seen == [True, True]
    assert_nothing_left(sessions)


def test_it_joins_a_session_that_is_paused() -> None:
    sessions = strict(storage=MemorySessionStorage())
    sessions.storage.write("1", {"n": 1})
    binding, ctx = Binding(sessions), Ctx()

    async def call(outer: dict[str, Any]) -> None:
        async with outer["session"].paused():
            assert await binding.run(ctx, dict) == outer

    run(binding.run(ctx, call))
    assert_nothing_left(sessions)


def test_the_chain_of_calls_is_known_in_a_nested_update() -> None:
    sessions = strict(storage=MemorySessionStorage())
    sessions.storage.write("1", {"n": 1})
    binding = Binding(sessions)

    with pytest.raises(SessionReentrancyError):
        run(binding.run(Ctx(), lambda _: binding.run(Ctx(), ignore)))
    assert_nothing_left(sessions)


@pytest.mark.parametrize("make", [strict, lazy])
def test_after_the_end_it_says_so(make: Any) -> None:
    sessions = make(storage=MemorySessionStorage())
    sessions.storage.write("1", {"n": 1})
    session = run(Binding(sessions).run(Ctx(), dict))["session"]

    assert repr(session).endswith("'1', closed>")
    with pytest.raises(SessionClosedError, match="the update that owned '1' has ended"):
        session.data = {}
    session.fail()


@pytest.mark.parametrize("make", [strict, lazy])
@pytest.mark.parametrize("error", [Stop, asyncio.CancelledError, RuntimeError])
def test_what_ends_it_is_raised_on(make: Any, error: type[BaseException]) -> None:
    sessions = make(storage=MemorySessionStorage())
    sessions.storage.write("1", {"n": 1})

    def fail(arguments: dict[str, Any]) -> None:
        raise error

    async def main() -> None:
        with pytest.raises(error):
            await Binding(sessions).run(Ctx(), fail)

    run(main())
    assert_nothing_left(sessions)


# --- which update tells of a move -------------------------------------------------------------


def moving(**fields: Any) -> dict[str, Any]:
    return {"update_id": 1, "message": {"chat": {"id": -55}, **fields}}


OLD_CHAT = moving(migrate_to_chat_id=-1001)
NEW_CHAT = {"update_id": 1, "message": {"chat": {"id": -1001}, "migrate_from_chat_id": -55}}


@pytest.mark.parametrize(
    "ctx",
    [
        moving(),
        OLD_CHAT,
        NEW_CHAT,
        OLD_CHAT["message"],
        {"update": NEW_CHAT},
        {"update": moving()},
        moving(migrate_to_chat_id="no number"),
        {"update_id": 1, "callback_query": {"message": OLD_CHAT["message"]}},
        {"update_id": 1, "channel_post": OLD_CHAT["message"]},
        {"message": OLD_CHAT["message"]},
        {"message": moving()["message"], "update": NEW_CHAT},
        Ctx(),
    ],
)
def test_an_update_tells_of_a_move_where_keys_migration_finds_one(ctx: Any) -> None:
    assert tells_of_a_move(ctx) is (keys.migration(ctx) is not None)

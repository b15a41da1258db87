"""The express lane does exactly what the general lane does, only sooner.

Random handlers run by both; a context with a ``__setattr__`` of its own does
not go by express.  What is compared: what handlers see and raise, what is
stored, whether it was written, what is left on contexts and in registries.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
from collections.abc import Callable, Coroutine, Generator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sessionkit import InvalidSessionKeyError, MemorySessionStorage, SessionEncodeError, keys
from sessionkit._setup.express import lazy_express, strict_express
from tests.contexts import Ctx, assert_nothing_left, lazy, run, strict, update


class Direct(Ctx):
    user_id = 1


def by_user_id(ctx: Any) -> Any:
    return ctx.user_id


def by_chat_or_true(ctx: Any) -> Any:
    return True if ctx.chat == "1" else ctx.chat


def by_number(ctx: Any) -> Any:
    return Number(1)


class Number(int):
    """An ``int`` that does not write itself as one."""

    def __str__(self) -> str:
        return "number"


class Roundabout(Direct):
    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)


Direct.__name__ = Roundabout.__name__ = "Ctx"  # it shows in texts


class Stop(BaseException):
    """No ``Exception``."""


class Later:
    """An awaitable that nobody minds not to be awaited, as a coroutine would be."""

    def __init__(self, course: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        self.course = course

    def __await__(self) -> Generator[Any, Any, Any]:
        return self.course().__await__()


def keep_mine(theirs: Any, mine: Any) -> Any:
    return mine


Step = tuple[Any, ...]

DATA: list[Any] = [
    {"n": 5},
    {"n": 1},
    {"n": 1.0},
    {"n": True},
    {"n": 1, "more": [1, 2]},
    {"blob": b"abc"},
    {"blob": bytearray(b"of another size")},
    {"set": {1, 2}},
    {"uncopyable": contextlib},
    {},
    [],
    0,
    "",
    False,
    7,
    "text",
    None,
]

data = st.integers(0, len(DATA) - 1)


def made(which: int) -> Any:
    return copy.copy(DATA[which])


steps_of_both = st.one_of(
    st.tuples(st.just("set"), data),
    st.sampled_from(
        [
            ("count",),
            ("grow",),
            ("del",),
            ("save",),
            ("force",),
            ("reload",),
            ("revert",),
            ("reset",),
            ("delete",),
            ("pause",),
            ("is_changed",),
            ("is_new",),
            ("key",),
            ("fail",),
            ("crash",),
            ("stop",),
            ("cancel",),
            ("sleep",),
            ("rival",),
            ("write elsewhere",),
            ("move",),
        ]
    ),
    st.tuples(st.just("set by of"), data),
)
lazy_steps = st.one_of(
    steps_of_both,
    st.just(("await",)),
    st.just(("gather",)),
    st.just(("read in the background",)),
    st.tuples(st.just("set awaitable"), data),
    st.sampled_from([("counted",), ("raising",), ("reassigning",)]),
)


def nesting(steps: st.SearchStrategy[Step]) -> st.SearchStrategy[list[Step]]:
    return st.lists(
        st.recursive(
            steps,
            lambda inner: st.tuples(
                st.sampled_from(["nested", "open", "caught"]), st.lists(inner, max_size=3)
            ),
            max_leaves=4,
        ),
        max_size=5,
    )


class Lane:
    """One way to run programs, and what was seen of it."""

    def __init__(self, make: Any, kind: type[Ctx], **options: Any) -> None:
        self.storage = MemorySessionStorage()
        self.sessions = make(storage=self.storage, **options)
        self.is_lazy = make is lazy
        self.kind = kind
        self.seen: list[Any] = []
        self.rivals: list[asyncio.Task[Any]] = []
        self.opened: Any = None

    def see(self, *what: Any) -> None:
        self.seen.append(repr(what))

    async def data(self, ctx: Any) -> Any:
        return await ctx.session if self.is_lazy else ctx.session

    async def handle(self, ctx: Any, steps: list[Step]) -> None:
        for step in steps:
            await self.do(ctx, *step)

    async def do(self, ctx: Any, step: str, detail: Any = None) -> None:
        try:
            await getattr(self, step.replace(" ", "_"))(ctx, detail)
        except (Exception, Stop) as error:
            self.see(step, type(error).__name__, str(error))
            raise

    # What the data is

    async def set(self, ctx: Any, which: int) -> None:
        ctx.session = made(which)

    async def set_by_of(self, ctx: Any, which: int) -> None:
        self.sessions.of(ctx).data = made(which)

    async def count(self, ctx: Any, _: object) -> None:
        found = await self.data(ctx)
        self.see(found)
        found["n"] = found.get("n", 0) + 1

    async def grow(self, ctx: Any, _: object) -> None:
        (await self.data(ctx))["grown"] = True

    async def set_awaitable(self, ctx: Any, which: int) -> None:
        async def awaitable() -> Any:
            await asyncio.sleep(0)
            return made(which)

        ctx.session = Later(awaitable)

    async def counted(self, ctx: Any, _: object) -> None:
        before = ctx.session

        async def counted() -> Any:
            found = await before
            return {**found, "n": found.get("n", 0) + 1}

        ctx.session = Later(counted)

    async def raising(self, ctx: Any, _: object) -> None:
        async def raising() -> None:
            raise LookupError("in what was assigned")

        ctx.session = Later(raising)

    async def reassigning(self, ctx: Any, _: object) -> None:
        async def reassigning() -> None:
            ctx.session = {"n": 99}

        ctx.session = Later(reassigning)

    async def write_elsewhere(self, ctx: Any, _: object) -> None:
        self.storage.write("1", {"elsewhere": True})

    # What is asked

    async def key(self, ctx: Any, _: object) -> None:
        self.opened = opened = self.sessions.of(ctx)
        self.see(opened.key, opened.has_key, repr(opened))

    async def use_after_the_end(self) -> None:
        if self.opened is not None:
            try:
                self.see(await self.opened if self.is_lazy else self.opened.data)
            except Exception as error:
                self.see(repr(self.opened), str(error))
        self.opened = None

    async def is_changed(self, ctx: Any, _: object) -> None:
        self.see(self.sessions.of(ctx).is_changed)

    async def is_new(self, ctx: Any, _: object) -> None:
        self.see(self.sessions.of(ctx).is_new)

    # What is done

    async def save(self, ctx: Any, _: object) -> None:
        await self.sessions.of(ctx).save()

    async def force(self, ctx: Any, _: object) -> None:
        await self.sessions.of(ctx).save(force=True)

    async def reload(self, ctx: Any, _: object) -> None:
        await self.sessions.of(ctx).reload()

    async def revert(self, ctx: Any, _: object) -> None:
        reverted = self.sessions.of(ctx).revert()
        if self.is_lazy:
            await reverted

    async def reset(self, ctx: Any, _: object) -> None:
        reset = self.sessions.of(ctx).reset()
        if self.is_lazy:
            await reset

    async def delete(self, ctx: Any, _: object) -> None:
        await self.sessions.of(ctx).delete()

    async def move(self, ctx: Any, _: object) -> None:
        await self.sessions.of(ctx).move("elsewhere", keep_mine)

    async def fail(self, ctx: Any, _: object) -> None:
        self.sessions.of(ctx).fail()

    async def pause(self, ctx: Any, _: object) -> None:
        async with self.sessions.of(ctx).paused():
            self.see(self.locked())
            await asyncio.sleep(0)

    async def sleep(self, ctx: Any, _: object) -> None:
        await asyncio.sleep(1)

    async def rival(self, ctx: Any, _: object) -> None:
        """Another update of the same chat comes in."""

        async def handler(ctx: Any) -> None:
            found = await self.data(ctx)
            self.see("rival sees", found)
            ctx.session = {"rival": True}

        task = asyncio.create_task(update(self.sessions, self.kind(), handler))
        self.rivals.append(task)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    # lazy only
    async def gather(self, ctx: Any, _: object) -> None:
        self.see(await asyncio.gather(self.data(ctx), self.data(ctx)))

    async def read_in_the_background(self, ctx: Any, _: object) -> None:
        self.rivals.append(asyncio.create_task(self.data(ctx)))

    # How it ends

    async def crash(self, ctx: Any, _: object) -> None:
        raise RuntimeError("handler")

    async def stop(self, ctx: Any, _: object) -> None:
        raise Stop

    async def cancel(self, ctx: Any, _: object) -> None:
        raise asyncio.CancelledError

    # Within another

    async def nested(self, ctx: Any, steps: list[Step]) -> None:
        async def inner(ctx: Any) -> None:
            await self.handle(ctx, steps)

        await update(self.sessions, ctx, inner)

    async def open(self, ctx: Any, steps: list[Step]) -> None:
        async with self.sessions.open(ctx) as opened:
            self.see(opened.key)
            await self.handle(ctx, steps)

    async def caught(self, ctx: Any, steps: list[Step]) -> None:
        with contextlib.suppress(Exception, asyncio.CancelledError):
            await self.handle(ctx, steps)

    def locked(self) -> list[str]:
        return list(self.sessions._settings.locks.held)

    # All of it

    async def update(self, ctx: Any, steps: list[Step]) -> None:
        before = self.storage.read_with_revision("1")[1]
        try:
            self.see(await update(self.sessions, ctx, lambda ctx: self.handle(ctx, steps)))
        except BaseException as error:
            self.see("raised", type(error).__name__, str(error))
        after = self.storage.read_with_revision("1")[1]
        self.see("written" if before is not after else "kept")
        for outcome in await asyncio.gather(*self.rivals, return_exceptions=True):
            self.see(type(outcome).__name__, str(outcome))
        self.rivals.clear()
        await self.use_after_the_end()
        self.see(dict(self.storage.iter_items()), vars(ctx))
        assert_nothing_left(self.sessions)

    async def warm_up(self) -> None:
        """Let it know the class, and have something stored."""
        await update(self.sessions, self.kind("warm"), lambda _: None)
        self.storage.write("1", {"n": 1})


BEFORE: list[dict[str, Any]] = [{}, {"session": None}, {"session": "before"}]

Program = tuple[dict[str, Any] | None, list[Step]]
"""What a new context has already, None to use the last one again; and what its handler does."""


async def both(programs: list[Program], make: Any, **options: Any) -> tuple[list[Any], list[Any]]:
    lanes = Lane(make, Direct, **options), Lane(make, Roundabout, **options)
    for lane in lanes:
        await lane.warm_up()
        ctx = lane.kind()
        for before, steps in programs:
            if before is not None:
                ctx = lane.kind()
                vars(ctx).update(before)
            await lane.update(ctx, steps)
    return lanes[0].seen, lanes[1].seen


OPTIONS: list[dict[str, Any]] = [
    {},
    {"save_on_error": True},
    {"save_on_error": (RuntimeError, Stop)},
    {"on_conflict": "overwrite"},
    {"prefix": ""},
    {"initial": None},
    {"get_session_key": keys.user},
    {"get_session_key": by_user_id},
    {"get_session_key": by_user_id, "prefix": "p-"},
    {"get_session_key": by_number},
    {"get_session_key": keys.chat, "save_on_error": True},  # there is none
]


@pytest.mark.parametrize(("make", "steps"), [(strict, steps_of_both), (lazy, lazy_steps)])
def test_random_handlers_meet_the_same_on_both_lanes(make: Any, steps: Any) -> None:
    contexts = st.sampled_from([*BEFORE, {}, {}, None])
    programs = st.lists(st.tuples(contexts, nesting(steps)), min_size=1, max_size=4)

    @settings(max_examples=500, deadline=None, derandomize=True, database=None)
    @given(programs, st.sampled_from(OPTIONS))
    def compare(programs: list[Program], options: dict[str, Any]) -> None:
        express, general = run(both(programs, make, **options))
        assert express == general

    compare()


TELLING: list[list[Step]] = [
    [("count",)],
    [("write elsewhere",), ("count",)],
    [("write elsewhere",)],
    [("rival",), ("count",)],
    [("rival",), ("count",), ("crash",)],
    [("rival",)],
    [("fail",), ("count",)],
    [("key",), ("count",)],
    [("key",), ("is_changed",), ("count",), ("is_changed",)],
    [("count",), ("save",), ("count",), ("stop",)],
    [("count",), ("pause",), ("rival",), ("count",)],
    [("nested", [("count",)]), ("count",)],
    [("set", 0), ("nested", [("set", 1), ("key",)])],
    [("del",), ("nested", [("key",)])],
    [("nested", [("set", 4), ("crash",)])],
    [("set", 5)],
    [("set", 6)],
    [("set", 7)],
    [("set", 8)],
    [("set", 16)],
    [("del",)],
    [("del",), ("set", 0)],
    [("move",), ("count",)],
    [("cancel",)],
]


@pytest.mark.parametrize("make", [strict, lazy])
@pytest.mark.parametrize("before", [*BEFORE, None])
@pytest.mark.parametrize("steps", TELLING)
def test_telling_handlers_meet_the_same_on_both_lanes(
    make: Any, before: Any, steps: list[Step]
) -> None:
    programs: list[Program] = [(before, steps), ({}, [("count",)]), (before, steps)]

    for options in OPTIONS:
        express, general = run(both(programs, make, **options))
        assert express == general


@pytest.mark.parametrize(
    ("key", "goes"),
    [("1", True), (1, True), (0, True), (None, False), (Number(1), False)],
    ids=["str", "int", "zero", "None", "subclass of int"],
)
@pytest.mark.parametrize("make", [strict, lazy])
def test_text_and_numbers_go_by_express(make: Any, key: Any, goes: bool) -> None:
    """And nothing else does, or this file would test nothing."""
    roundabout: list[Any] = []

    async def general(ctx: Any, handler: Any, *given: Any) -> Any:
        roundabout.append(given)
        return await sessions._general(ctx, handler, *given)

    def get_key(_: object) -> Any:
        return key

    sessions = make(storage=MemorySessionStorage(), get_session_key=get_key)
    express = strict_express if make is strict else lazy_express
    lane = express(sessions._settings, general)
    sessions.storage.write_many({"0": {"n": 1}, "1": {"n": 1}})
    for _ in range(3):
        run(lane(Direct(), lambda _: None))

    assert len(roundabout) == (3 if not goes else make is strict)  # to learn of the class


@pytest.mark.parametrize("make", [strict, lazy])
def test_a_truth_is_no_number(make: Any) -> None:
    sessions = make(storage=MemorySessionStorage(), get_session_key=by_chat_or_true)
    run(update(sessions, Direct("2"), lambda _: None))

    for _ in range(2):
        with pytest.raises(InvalidSessionKeyError, match=r"this one is True \(bool\)"):
            run(update(sessions, Direct("1"), lambda _: None))
    assert_nothing_left(sessions)


@pytest.mark.parametrize("make", [strict, lazy])
def test_an_async_key_function_is_asked_once_and_awaited(make: Any) -> None:
    asked: list[Any] = []

    async def get_key(ctx: Any) -> str:
        asked.append(ctx)
        return "1"

    sessions = make(storage=MemorySessionStorage(), get_session_key=get_key)

    async def handler(ctx: Any) -> None:
        await update(sessions, ctx, lambda _: None)

    for ctx in (Ctx(), Ctx(), Ctx()):
        run(update(sessions, ctx, handler))
        assert asked == [ctx]
        asked.clear()


def test_a_broken_dump_lets_go_of_the_key() -> None:
    """Another thread may change what is being copied."""
    sessions = strict(storage=MemorySessionStorage())
    sessions.storage.write("1", [1])
    run(update(sessions, Ctx(), lambda _: None))

    async def handler(ctx: Any) -> None:
        ctx.session = nested = list[Any]()
        for _ in range(100_000):
            nested.append(inner := list[Any]())
            nested = inner

    with pytest.raises(SessionEncodeError):
        run(update(sessions, Ctx(), handler))

    assert_nothing_left(sessions)
    assert sessions.storage.read("1") == [1]

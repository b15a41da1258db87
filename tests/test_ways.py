"""Every way to use a session does the same: random handlers, beside a model of a few lines."""

from __future__ import annotations

import asyncio
import copy
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sessionkit import MemorySessionStorage, SessionFlavor, lazy_session, multi_session, session
from sessionkit.adapters import Binding
from sessionkit.testing import RecordingStorage
from tests.core import Ctx, Oops, by_chat, zero

VERBS: Final = ("add", "replace", "none", "save", "save by force", "reload", "revert", "reset")
STEPS: Final = st.lists(st.sampled_from((*VERBS, "read", "discard")), max_size=8)


class Model:
    """What a session of a chat is, said as simply as possible."""

    def __init__(self, stored: Any) -> None:
        self.stored = stored
        self.writes = 0
        self.discarded = False
        self.load()

    def load(self) -> None:
        self.base = copy.deepcopy(self.stored)
        self.data = zero() if self.stored is None else copy.deepcopy(self.stored)

    def save(self, *, force: bool = False) -> None:
        unchanged = self.data == (zero() if self.base is None else self.base)
        if self.data is None:
            if self.stored is not None:
                self.writes += 1
        elif not unchanged or force:
            self.writes += 1
        else:
            return
        self.stored = self.base = copy.deepcopy(self.data)

    def follow(self, step: str) -> Any:
        match step:
            case "add":
                self.data = {"n": (self.data or zero())["n"] + 1}
            case "replace":
                self.data = {"n": 50}
            case "none":
                self.data = None
            case "save" | "save by force":
                self.save(force=step == "save by force")
            case "reload":
                self.load()
            case "revert":
                self.data = zero() if self.base is None else copy.deepcopy(self.base)
            case "reset":
                self.data = zero()
            case "discard":
                self.discarded = True
            case _:
                pass
        return copy.deepcopy(self.data)

    def end(self, *, fails: bool) -> None:
        if not fails and not self.discarded:
            self.save()


async def done(answer: Any) -> Any:
    return await answer if inspect.isawaitable(answer) else answer


async def take(opened: Any, step: str) -> Any:
    """Do *step* to an open session of whatever kind; return its data."""
    match step:
        case "add":
            data = await done(opened.data)
            opened.data = {"n": (data or zero())["n"] + 1}
        case "replace":
            opened.data = {"n": 50}
        case "none":
            opened.data = None
        case "save" | "save by force":
            await done(opened.save(force=step == "save by force"))
        case "reload" | "revert" | "reset" | "discard":
            await done(getattr(opened, step)())
        case _:
            pass
    return copy.deepcopy(await done(opened.data))


Body = Callable[[Any], Awaitable[None]]
Way = Callable[[Any, Body], Awaitable[None]]


class Flavored(SessionFlavor[Any]):
    """A context with a property."""

    def __init__(self) -> None:
        self.chat = 1


def sessions_over(storage: Any, make: Any = session, **options: Any) -> Any:
    return make(initial=zero, storage=storage, get_session_key=by_chat, **options)


def middleware(kind: Callable[[], Any], make: Any = session) -> Way:
    async def way(storage: Any, body: Body) -> None:
        sessions = sessions_over(storage, make)

        def handle(ctx: Any) -> Awaitable[None]:
            return body(sessions.of(ctx))

        await sessions(kind(), handle)

    return way


def opened(target: Callable[[], Any], make: Any = session) -> Way:
    async def way(storage: Any, body: Body) -> None:
        async with sessions_over(storage, make).open(target()) as one:
            await body(one)

    return way


def argument(make: Any = session) -> Way:
    async def way(storage: Any, body: Body) -> None:
        binding = Binding(sessions_over(storage, make), name="it")
        await binding.run(Ctx(), lambda arguments: body(arguments["it"]))

    return way


def fragment(make: Any = session) -> Way:
    async def way(storage: Any, body: Body) -> None:
        other = session(initial=zero, storage=storage, get_session_key=by_chat, prefix="other-")
        binding = Binding(None, {"it": sessions_over(storage, make), "other": other})
        await binding.run(Ctx(), lambda arguments: body(arguments["it"]))

    return way


async def of_many(storage: Any, body: Body) -> None:
    async with sessions_over(storage).open_many(2, 1) as (_, one):
        await body(one)


async def steps(storage: Any, body: Body) -> None:
    opening = sessions_over(storage).open(1)
    one = await opening.begin()
    try:
        await body(one)
    except Oops as error:
        await opening.close(error)
        raise
    await opening.close()


def in_thread(make: Any = session, *, multi: bool = False) -> Way:
    async def way(storage: Any, body: Body) -> None:
        sessions = sessions_over(storage, make)

        def work() -> None:
            def handle(ctx: Any) -> None:
                one = sessions.sync.of(ctx)
                try:
                    body(one).__await__().send(None)
                except StopIteration:
                    return

            if multi:
                multi_session(it=sessions).sync(Ctx(), handle)
            else:
                sessions.sync(Ctx(), handle)

        await asyncio.to_thread(work)

    return way


WAYS: dict[str, Way] = {
    "attribute": middleware(Ctx),
    "item": middleware(lambda: {"chat": 1}),
    "property": middleware(Flavored),
    "open a context": opened(Ctx),
    "open a key": opened(lambda: 1),
    "argument": argument(),
    "fragment": fragment(),
    "open_many": of_many,
    "by steps": steps,
    "thread": in_thread(),
    "multi in a thread": in_thread(multi=True),
    "lazy attribute": middleware(Ctx, lazy_session),
    "lazy item": middleware(lambda: {"chat": 1}, lazy_session),
    "lazy argument": argument(lazy_session),
    "lazy fragment": fragment(lazy_session),
    "lazy by key": opened(lambda: 1, lazy_session),
    "lazy in a thread": in_thread(lazy_session),
}


class Plain(MemorySessionStorage):
    """As storages are that hand values to sessions, not snapshots."""

    def read_with_revision(self, key: str, /) -> Any:
        return super().read_with_revision(key)


@pytest.mark.parametrize("way", WAYS)
@given(
    history=STEPS,
    stored=st.sampled_from([None, {"n": 0}, {"n": 7}]),
    fails=st.booleans(),
    kind=st.sampled_from([MemorySessionStorage, Plain]),
)
@settings(max_examples=60)
def test_every_way_does_what_the_model_does(
    way: str, history: list[str], stored: Any, kind: Any, *, fails: bool
) -> None:
    inside = kind()
    if stored is not None:
        inside.write("1", stored)
    storage = RecordingStorage(inside) if kind is Plain else inside
    model = Model(stored)

    async def body(one: Any) -> None:
        await take(one, "read")
        for step in history:
            assert await take(one, step) == model.follow(step)
        if fails:
            raise Oops

    async def main() -> None:
        if fails:
            with pytest.raises(Oops):
                await WAYS[way](storage, body)
        else:
            await WAYS[way](storage, body)

    asyncio.run(main())
    model.end(fails=fails)
    assert inside.read("1") == model.stored
    if isinstance(storage, RecordingStorage):
        assert len(storage.writes) + len(storage.deletes) == model.writes

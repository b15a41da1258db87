"""Where a session shows on a context, and what is there afterwards."""

from __future__ import annotations

from collections import ChainMap, UserDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
from pydantic import BaseModel, ConfigDict

from sessionkit import (
    LazySessionFlavor,
    MemorySessionStorage,
    NoSessionKeyError,
    SessionClosedError,
    SessionError,
    SessionFlavor,
    keys,
)
from sessionkit.adapters import SessionProperty
from tests.contexts import (
    NO_KEY,
    Ctx,
    Handler,
    Inline,
    assert_nothing_left,
    lazy,
    run,
    strict,
    update,
)


class WithDefault:
    session: Any = "class default"

    def __init__(self) -> None:
        self.chat = "1"


class Roomy:
    """Slotted, with room for the session."""

    __slots__ = ("chat", "session")

    def __init__(self) -> None:
        self.chat = "1"


class Full:
    __slots__ = ("chat",)

    def __init__(self) -> None:
        self.chat = "1"


@dataclass(frozen=True)
class Frozen:
    chat: str = "1"


class Row(NamedTuple):
    chat: str = "1"


class Model(BaseModel):
    chat: str = "1"


class FrozenModel(BaseModel):
    model_config = ConfigDict(frozen=True)
    chat: str = "1"


class OpenModel(BaseModel):
    model_config = ConfigDict(extra="allow")
    chat: str = "1"


class ReadOnly(Mapping[str, Any]):
    """A mapping that has attributes, but takes no items."""

    chat = "1"

    def __getitem__(self, name: str) -> Any:
        return {"chat": "1"}[name]

    def __iter__(self) -> Iterator[str]:
        return iter(["chat"])

    def __len__(self) -> int:
        return 1


class Forwarding:
    """Gives what it has not from something inside."""

    def __init__(self) -> None:
        self.inner = {"chat": "1", "session": "inner"}

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["inner"][name]
        except KeyError:
            raise AttributeError(name) from None


class Picky(Ctx):
    """Has a ``__setattr__`` of its own, that refuses with an error of its own."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name != "chat":
            raise ValueError(name)
        super().__setattr__(name, value)


class Computed:
    chat = "1"

    @property
    def session(self) -> str:
        return "computed"


class Flavored(SessionFlavor[dict[str, Any]]):
    def __init__(self) -> None:
        self.chat = "1"


class FlavoredSlots(SessionFlavor[dict[str, Any]]):
    __slots__ = ("chat",)

    def __init__(self) -> None:
        self.chat = "1"


class FlavoredModel(BaseModel, SessionFlavor[dict[str, Any]]):
    chat: str = "1"


class FlavoredDict(dict[str, Any], SessionFlavor[dict[str, Any]]):
    pass


@dataclass(frozen=True)
class FlavoredFrozen(SessionFlavor[dict[str, Any]]):
    chat: str = "1"


def key_of(ctx: Any) -> Any:
    return ctx.chat if hasattr(ctx, "chat") else ctx["chat"]


@pytest.fixture
def storage() -> MemorySessionStorage:
    memory = MemorySessionStorage()
    memory.write("1", {"n": 1})
    return memory


@pytest.fixture
def sessions(storage: MemorySessionStorage) -> Any:
    return strict(storage=storage, get_session_key=key_of)


def handle(sessions: Any, ctx: Any, handler: Handler, times: int = 2) -> None:
    """Handle it more than once: the second time goes another way where all is known."""
    for _ in range(times):
        run(update(sessions, ctx, handler))
        assert_nothing_left(sessions)


async def count(ctx: Any) -> None:
    ctx.session["n"] += 1


async def replace(ctx: Any) -> None:
    ctx.session = {"n": ctx.session["n"] + 1}


async def fail(ctx: Any) -> None:
    ctx.session["n"] += 1
    raise RuntimeError


OBJECTS: list[Any] = [
    Ctx,
    WithDefault,
    Roomy,
    Forwarding,
    ReadOnly,
    Flavored,
    FlavoredSlots,
    FlavoredModel,
]


@pytest.mark.parametrize("kind", OBJECTS)
@pytest.mark.parametrize("handler", [count, replace])
def test_the_data_shows_as_an_attribute_and_is_saved(
    kind: Any, handler: Any, sessions: Any, storage: MemorySessionStorage
) -> None:
    handle(sessions, kind(), handler, times=3)

    assert storage.read("1") == {"n": 4}


@pytest.mark.parametrize("kind", [dict, UserDict, ChainMap])
@pytest.mark.parametrize("before", [{}, {"session": "before"}, {"session": None}])
def test_on_a_mapping_it_is_an_item_and_put_back(
    kind: Any, before: dict[str, Any], sessions: Any, storage: MemorySessionStorage
) -> None:
    ctx = kind({"chat": "1", **before})

    async def handler(ctx: Any) -> None:
        ctx["session"]["n"] += 1
        ctx["session"] = {"n": ctx["session"]["n"] + 1}

    handle(sessions, ctx, handler)

    assert storage.read("1") == {"n": 5}
    assert dict(ctx) == {"chat": "1", **before}


def test_deleting_the_item_deletes_the_session(
    sessions: Any, storage: MemorySessionStorage
) -> None:
    handle(sessions, {"chat": "1"}, lambda ctx: ctx.pop("session"))

    assert storage.read("1") is None


@pytest.mark.parametrize("handler", [count, replace, fail])
@pytest.mark.parametrize("kind", [Ctx, WithDefault, Roomy])
def test_what_was_there_before_is_put_back(kind: Any, handler: Any, sessions: Any) -> None:
    ctx = kind()
    ctx.session = before = object()

    for _ in range(2):
        with pytest.raises(RuntimeError) if handler is fail else _nothing():
            run(update(sessions, ctx, handler))

        assert ctx.session is before


def _nothing() -> Any:
    from contextlib import nullcontext

    return nullcontext()


@pytest.mark.parametrize("handler", [count, replace, fail])
def test_where_nothing_was_there_is_nothing_after(handler: Any, sessions: Any) -> None:
    ctx, slotted, defaulted = Ctx(), Roomy(), WithDefault()

    for _ in range(2):
        for each in (ctx, slotted, defaulted):
            with pytest.raises(RuntimeError) if handler is fail else _nothing():
                run(update(sessions, each, handler))

    assert vars(ctx) == {"chat": "1"}
    assert not hasattr(slotted, "session")
    assert vars(defaulted) == {"chat": "1"}
    assert defaulted.session == "class default"


def test_what_a_context_forwards_shows_again_after(sessions: Any) -> None:
    ctx = Forwarding()

    handle(sessions, ctx, count)

    assert ctx.session == "inner"
    assert set(vars(ctx)) == {"inner"}


@pytest.mark.parametrize("delete", [None, "del"])
@pytest.mark.parametrize("kind", [Ctx, Roomy, WithDefault, Flavored, FlavoredModel])
def test_none_and_del_delete(
    kind: Any, delete: str | None, sessions: Any, storage: MemorySessionStorage
) -> None:
    async def handler(ctx: Any) -> None:
        if delete:
            del ctx.session
        else:
            ctx.session = None

    ctx = kind()
    handle(sessions, ctx, count)
    handle(sessions, ctx, handler)

    assert storage.read("1") is None


def test_what_is_deleted_and_assigned_again_is_saved(
    sessions: Any, storage: MemorySessionStorage
) -> None:
    async def handler(ctx: Any) -> None:
        del ctx.session
        ctx.session = {"n": 7}

    handle(sessions, Ctx(), handler)

    assert storage.read("1") == {"n": 7}


@pytest.mark.parametrize(
    "kind", [Full, Frozen, Row, Model, FrozenModel, OpenModel, Picky, Computed]
)
def test_the_error_for_a_context_that_takes_no_attribute_shows_the_line_to_write(
    kind: Any, sessions: Any, storage: MemorySessionStorage
) -> None:
    ctx = kind()
    text = (
        f"{kind.__name__} takes no attribute 'session'. Open the session beside it: "
        "async with sessions.open(ctx) as s: ..., with the data in s.data"
    )

    for _ in range(2):
        with pytest.raises(TypeError) as caught:
            run(update(sessions, ctx, count))
        assert str(caught.value) == text
        assert_nothing_left(sessions)

    async def open_beside() -> None:
        async with sessions.open(ctx) as beside:
            beside.data["n"] += 1

    run(open_beside())
    assert storage.read("1") == {"n": 2}


def test_a_mapping_without_room_gets_that_error_as_well(sessions: Any) -> None:
    ctx: Any = MappingProxyType({"chat": "1"})
    by_item = strict(get_session_key=key_of)

    with pytest.raises(TypeError, match="mappingproxy takes no attribute 'session'"):
        run(update(by_item, ctx, count))
    assert_nothing_left(by_item)


def test_a_model_does_not_export_its_session(sessions: Any) -> None:
    async def handler(ctx: Any) -> None:
        ctx.session["n"] += 1
        assert ctx.model_dump() == {"chat": "1"}
        assert repr(ctx) == "FlavoredModel(chat='1')"
        assert ctx == FlavoredModel()

    handle(sessions, FlavoredModel(), handler)


def test_a_frozen_class_with_a_flavor_shows_its_session(
    sessions: Any, storage: MemorySessionStorage
) -> None:
    handle(sessions, FlavoredFrozen(), count)

    assert storage.read("1") == {"n": 3}


def test_a_mapping_with_a_flavor_shows_it_as_the_property(
    sessions: Any, storage: MemorySessionStorage
) -> None:
    handle(sessions, FlavoredDict({"chat": "1"}), count)

    assert storage.read("1") == {"n": 3}


def test_a_flavor_says_that_nothing_was_opened() -> None:
    text = (
        "no session was opened on this Flavored: handle it inside "
        "'await sessions(ctx, handler)', or open one: async with sessions.open(ctx)"
    )

    with pytest.raises(SessionClosedError) as caught:
        _ = Flavored().session
    assert str(caught.value) == text


def test_a_flavor_says_that_the_update_has_ended(sessions: Any) -> None:
    ctx = Flavored()
    handle(sessions, ctx, count)
    text = "the update that owned '1' has ended; in a job or task: async with sessions.open('1')"

    for use in (lambda: ctx.session, lambda: setattr(ctx, "session", {})):
        with pytest.raises(SessionClosedError) as caught:
            use()
        assert str(caught.value) == text


def test_a_flavor_shows_what_open_opens(sessions: Any) -> None:
    async def main() -> None:
        ctx = Flavored()
        async with sessions.open(ctx) as opened:
            ctx.session["n"] = 5
            assert opened.data == {"n": 5}

    run(main())


def test_open_leaves_a_plain_context_alone(sessions: Any) -> None:
    async def main() -> None:
        ctx = Ctx()
        async with sessions.open(ctx):
            assert vars(ctx) == {"chat": "1"}

    run(main())


def test_the_flavors_show_nothing_but_a_property_on_their_class() -> None:
    assert isinstance(Flavored.session, SessionProperty)
    assert isinstance(LazySessionFlavor.session, SessionProperty)


class Chatty(Ctx):
    chat_memory = SessionProperty()


@pytest.mark.parametrize("kind", [Ctx, Chatty])
def test_another_name_may_be_given(kind: Any, storage: MemorySessionStorage) -> None:
    memory = strict(storage=storage, attribute="chat_memory")
    ctx = kind()

    async def handler(ctx: Any) -> None:
        ctx.chat_memory["n"] += 1
        assert not hasattr(ctx, "session")

    handle(memory, ctx, handler)

    assert storage.read("1") == {"n": 3}


# Several sessions on one context


def always(key: str) -> Handler:
    return lambda _: key


def nothing(ctx: Any) -> None:
    pass


def nested(outer: Any, inner: Any, handler: Handler) -> Handler:
    async def main(ctx: Any) -> Any:
        async def through(ctx: Any) -> Any:
            return await update(inner, ctx, handler)

        return await update(outer, ctx, through)

    return main


@pytest.mark.parametrize("make", [strict, lazy])
@pytest.mark.parametrize("kind", [Ctx, WithDefault, Roomy, Flavored, dict])
def test_two_on_one_attribute_are_refused(kind: Any, make: Any) -> None:
    first = make(get_session_key=always("1"))
    second = make(get_session_key=always("1"))
    ctx = kind()
    before = dict(ctx) if kind is dict else None
    text = (
        f"'session' of this {kind.__name__} shows another session already: "
        "give one of them attribute='another_name'"
    )

    for _ in range(2):
        with pytest.raises(SessionError) as caught:
            run(nested(first, second, nothing)(ctx))
        assert str(caught.value) == text
        assert_nothing_left(first, second)
    assert before is None or ctx == before


def test_two_on_two_attributes_live_side_by_side() -> None:
    users = strict(storage=MemorySessionStorage())
    chats = lazy(storage=MemorySessionStorage(), attribute="chats")

    async def handler(ctx: Any) -> None:
        ctx.session["n"] = 1
        (await ctx.chats)["n"] = 2

    for _ in range(2):
        run(nested(users, chats, handler)(Ctx()))

    assert run(users.get("1")) == {"n": 1}
    assert run(chats.get("1")) == {"n": 2}
    assert_nothing_left(users, chats)


def test_a_context_can_be_used_again(sessions: Any, storage: Any) -> None:
    ctx, model = Ctx(), Flavored()

    for _ in range(4):
        run(update(sessions, ctx, count))
        run(update(sessions, model, count))

    assert storage.read("1") == {"n": 9}
    assert_nothing_left(sessions)


def test_a_new_context_at_the_place_of_an_old_one_is_another(sessions: Any) -> None:
    seen: set[int] = set()
    for number in range(50):
        ctx = Ctx(f"chat {number}")
        seen.add(id(ctx))
        run(update(sessions, ctx, lambda ctx: ctx.session.update(own=ctx.chat)))
        with pytest.raises(SessionClosedError):
            sessions.of(ctx)
        del ctx

    assert len(seen) < 50, "no id was used twice: this test shows nothing"
    assert run(sessions.get("chat 49")) == {"own": "chat 49"}


# No key


def uses(stand_in: Any) -> list[Any]:
    return [
        lambda: stand_in["n"],
        lambda: stand_in.__setitem__("n", 1),
        lambda: stand_in.n,
        lambda: setattr(stand_in, "n", 1),
        lambda: "n" in stand_in,
        lambda: list(stand_in),
        lambda: len(stand_in),
        lambda: bool(stand_in),
        lambda: stand_in + 1,
        lambda: 1 + stand_in,
        lambda: stand_in == {},
        lambda: stand_in < 1,
        lambda: {**stand_in},
        lambda: stand_in(1),
        lambda: int(stand_in),
    ]


def test_without_a_key_every_use_of_the_data_raises() -> None:
    sessions = strict(get_session_key=keys.chat)

    async def handler(ctx: Any) -> str:
        assert not sessions.of(ctx).has_key
        for use in uses(ctx.session):
            with pytest.raises(NoSessionKeyError) as caught:
                use()
            assert str(caught.value) == NO_KEY
        with pytest.raises(NoSessionKeyError):
            await ctx.session
        assert repr(ctx.session) == f"<no session data: {NO_KEY}>"
        return "ran"

    for _ in range(2):
        assert run(update(sessions, Inline(), handler)) == "ran"
    assert_nothing_left(sessions)


@pytest.mark.parametrize("make", [strict, lazy])
def test_without_a_key_an_assignment_is_reported_at_the_end(make: Any) -> None:
    sessions = make(get_session_key=keys.chat)
    ctx = Inline()

    async def handler(ctx: Any) -> None:
        ctx.session = {"n": 1}

    with pytest.raises(NoSessionKeyError) as caught:
        run(update(sessions, ctx, handler))
    assert str(caught.value) == NO_KEY
    assert "session" not in vars(ctx)
    assert_nothing_left(sessions)


@pytest.mark.parametrize("make", [strict, lazy])
def test_the_handlers_own_error_goes_first(make: Any) -> None:
    sessions = make(get_session_key=keys.chat)

    async def handler(ctx: Any) -> None:
        ctx.session = {"n": 1}
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        run(update(sessions, Inline(), handler))
    assert_nothing_left(sessions)


class FlavoredInline(Inline, SessionFlavor[Any]):
    pass


def test_on_a_flavor_an_assignment_without_a_key_raises_at_once() -> None:
    sessions = strict(get_session_key=keys.chat)

    async def handler(ctx: Any) -> None:
        with pytest.raises(NoSessionKeyError) as caught:
            ctx.session = {"n": 1}
        assert str(caught.value) == NO_KEY
        with pytest.raises(NoSessionKeyError):
            del ctx.session

    run(update(sessions, FlavoredInline(), handler))
    assert_nothing_left(sessions)

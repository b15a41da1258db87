"""Strict sessions: load, hand out, compare, write."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest

from sessionkit import (
    MemorySessionStorage,
    NoInitialDataError,
    SessionEncodeError,
    SessionFlavor,
    Sessions,
    session,
)
from tests.core import (
    Ctx,
    Live,
    Oops,
    Remote,
    by_chat,
    counters,
    free,
    run,
)

Data = dict[str, Any]


def test_a_session_is_loaded_changed_and_found_again(storage: Any) -> None:
    async def count(ctx: Ctx) -> int:
        ctx.session["n"] += 1
        return int(ctx.session["n"])

    async def main() -> None:
        sessions = counters(storage)
        assert [await sessions(Ctx(), count) for _ in range(4)] == [1, 2, 3, 4]
        assert await sessions(Ctx(2), count) == 1
        assert await sessions.get(1) == {"n": 4}
        assert free(sessions)

    run(main())


def test_a_handler_may_be_sync_and_gives_its_result() -> None:
    def count(ctx: Ctx) -> int:
        ctx.session["n"] += 1
        return int(ctx.session["n"])

    async def main() -> None:
        sessions = counters(MemorySessionStorage())
        assert [await sessions(Ctx(), count) for _ in range(3)] == [1, 2, 3]

    run(main())


class Text(str):
    """A library's own kind of text, as pyrogram's messages have."""

    __slots__ = ()


def test_a_text_of_a_library_s_own_is_stored_as_a_text(storage: Any) -> None:
    async def main() -> None:
        sessions = session(dict[str, Any], storage=storage)
        async with sessions.open(1) as opened:
            opened.data["name"] = Text("Ann")
        async with sessions.open(1) as opened:
            opened.data["name"] = Text("Ann")
            assert not opened.is_changed or storage.any_value
        assert storage.sync.read("1") == {"name": "Ann"}

    run(main())


def test_without_a_storage_it_comes_back_as_a_plain_one() -> None:
    async def main() -> None:
        sessions = session(dict[str, Any])
        async with sessions.open(1) as opened:
            opened.data["name"] = Text("Ann")
        assert type((await sessions.get(1))["name"]) is str

    run(main())


def test_one_read_per_update_and_no_write_if_nothing_changed() -> None:
    async def main() -> None:
        storage = Remote(**{"1": {"n": 5}})
        async with counters(storage).open(1) as opened:
            assert opened.data == {"n": 5}
        assert storage.calls == [("read", "1")]

    run(main())


def test_unchanged_initial_data_is_not_written(storage: Any) -> None:
    async def main() -> None:
        async with counters(storage).open(1) as opened:
            assert opened.data == {"n": 0}
            assert opened.is_new
            assert not opened.is_changed
        assert storage.sync.read("1") is None

    run(main())


class Incomparable:
    """What raises when it is compared, as arrays do when a truth is asked of them."""

    __hash__ = None  # type: ignore[assignment]  # as that of arrays

    def __eq__(self, other: object) -> bool:
        raise ValueError


@pytest.mark.parametrize("another", [True, 1.0, Text("1")])
def test_what_equals_initial_and_has_other_types_is_written(another: object) -> None:
    async def main() -> None:
        first = str(another) if isinstance(another, Text) else 1
        storage = MemorySessionStorage()
        sessions: Any = session(initial=lambda: {"n": [first], "m": 2}, storage=storage)
        for key in range(1, 4):  # what initial gives is known from the second time on
            async with sessions.open(key):
                pass
        async with sessions.open(9) as opened:
            opened.data["n"][0] = another
        assert type(storage.read("9")["n"][0]) is type(another)
        async with sessions.open(10) as opened:
            assert opened.data == {"n": [first], "m": 2}
            opened.data["n"].append(3)
        assert list(storage.iter_keys()) == ["9", "10"]

    run(main())


@pytest.mark.parametrize("plain", [False, True])
def test_what_cannot_be_compared_to_initial_is_stored_or_refused(plain: bool) -> None:
    async def main() -> None:
        sessions: Any = session(initial=lambda: {"n": 1}, storage=MemorySessionStorage(plain=plain))
        for key in range(1, 4):
            async with sessions.open(key):
                pass
        refused = pytest.raises(SessionEncodeError, match="Incomparable") if plain else free_of_it
        with refused:
            async with sessions.open(9) as opened:
                opened.data["n"] = Incomparable()
        assert await sessions.exists(9) is not plain

    free_of_it = nullcontext()
    run(main())


def test_data_that_contains_itself_is_refused_where_nothing_is_stored() -> None:
    async def main() -> None:
        sessions: Any = session(initial=lambda: {"n": [1]})
        for key in range(1, 4):
            async with sessions.open(key):
                pass
        with pytest.raises(SessionEncodeError, match="contains itself"):
            async with sessions.open(9) as opened:
                opened.data["n"][:] = [opened.data, opened.data]

    run(main())


def test_saving_by_force_writes_unchanged_initial_data(storage: Any) -> None:
    async def main() -> None:
        async with counters(storage).open(1) as opened:
            await opened.save(force=True)
            assert not opened.is_new
        assert storage.sync.read("1") == {"n": 0}

    run(main())


def test_saving_by_force_writes_neither_nothing_nor_none() -> None:
    async def main() -> None:
        storage = Live()
        async with counters(storage, initial=None).open(1) as opened:
            await opened.save(force=True)
        async with session(get_session_key=by_chat, storage=storage).open(1) as bare:
            await bare.save(force=True)
        assert not storage.values

    run(main())


@pytest.mark.parametrize("value", [0, "", {}, [], False, 0.0])
def test_falsy_values_are_data(storage: Any, value: Any) -> None:
    async def main() -> None:
        sessions = counters(storage)
        async with sessions.open(1) as opened:
            opened.data = value
        async with sessions.open(1) as opened:
            assert opened.data == value
            assert type(opened.data) is type(value)
            assert not opened.is_new

    run(main())


@pytest.mark.parametrize("how", ["none", "del", "item", "attribute", "delete()", "ctx"])
def test_none_and_del_delete_what_is_stored(storage: Any, how: str) -> None:
    async def main() -> None:
        sessions = counters(storage)
        storage.sync.write("1", {"n": 7})
        ctx: Any = {"chat": 1} if how == "item" else Ctx()

        async def handler(ctx: Any) -> None:
            opened = sessions.of(ctx)
            if how == "none":
                opened.data = None
            elif how == "del":
                del opened.data
            elif how == "item":
                del ctx["session"]
            elif how == "attribute":
                del ctx.session
            elif how == "ctx":
                ctx.session = None
            else:
                await opened.delete()
                assert storage.sync.read("1") is None
                assert opened.data is None

        await sessions(ctx, handler)
        assert storage.sync.read("1") is None
        assert free(sessions)

    run(main())


def test_none_where_nothing_is_stored_writes_nothing() -> None:
    async def main() -> None:
        storage = Remote()
        async with counters(storage).open(1) as opened:
            del opened.data
            assert not opened.is_changed
            await opened.delete()
        assert storage.calls == [("read", "1")]

    run(main())


def test_without_initial_reading_raises_and_assigning_is_fine(storage: Any) -> None:
    async def main() -> None:
        sessions = session(storage=storage)
        async with sessions.open(1) as opened:
            with pytest.raises(NoInitialDataError, match="there is no initial"):
                _ = opened.data
            assert not opened.is_changed
            with pytest.raises(NoInitialDataError):
                opened.reset()
            opened.revert()
        assert storage.sync.read("1") is None
        async with sessions.open(1) as opened:
            opened.data = {"a": 1}
        with pytest.raises(NoInitialDataError):
            await sessions.get(2)
        assert await sessions.get(1) == {"a": 1}

    run(main())


def test_without_initial_the_attribute_raises_when_it_is_used() -> None:
    async def handler(ctx: Ctx) -> None:
        with pytest.raises(NoInitialDataError):
            _ = ctx.session["n"]
        ctx.session = {"n": 1}

    async def main() -> None:
        sessions = session(get_session_key=by_chat)
        await sessions(Ctx(), handler)
        assert await sessions.get(1) == {"n": 1}

    run(main())


def test_initial_none_makes_missing_read_as_none() -> None:
    async def main() -> None:
        sessions = session(dict[str, int], initial=None)
        async with sessions.open(1) as opened:
            assert opened.data is None
            assert not opened.is_changed
            opened.data = {"n": 1}
        assert await sessions.get(1) == {"n": 1}
        assert await sessions.get(2) is None

    run(main())


def test_chats_do_not_share_what_initial_gives() -> None:
    shared: Data = {"names": []}

    async def main() -> None:
        sessions = session(initial=lambda: shared)
        async with sessions.open(1) as opened:
            opened.data["names"].append("x")
        assert shared == {"names": []}
        assert await sessions.get(2) == {"names": []}

    run(main())


def test_an_initial_that_gives_an_awaitable_is_refused() -> None:
    async def later() -> Data:
        return {}

    async def main() -> None:
        sessions: Sessions[Any] = session(initial=lambda: later())  # noqa: PLW0108 (seen at set-up otherwise)
        with pytest.raises(TypeError, match="initial must return data"):
            async with sessions.open(1):
                pass
        assert free(sessions)

    run(main())


def test_the_data_of_a_handler_is_its_own_copy() -> None:
    async def main() -> None:
        for storage in (Live(), MemorySessionStorage()):
            sessions = counters(storage)
            kept: Data = {"list": [1]}
            async with sessions.open(1) as opened:
                opened.data = kept
            kept["list"].append(2)
            assert await sessions.get(1) == {"list": [1]}
            with pytest.raises(ValueError, match="on purpose"):
                async with sessions.open(1) as opened:
                    opened.data["list"].append(3)
                    raise ValueError("on purpose")
            assert await sessions.get(1) == {"list": [1]}
            (await sessions.get(1))["list"].append(4)
            assert await sessions.get(1) == {"list": [1]}

    run(main())


def test_what_a_live_storage_holds_is_not_what_handlers_change() -> None:
    async def main() -> None:
        storage = Live(**{"1": {"list": [1]}})
        held = storage.values["1"]
        async with counters(storage).open(1) as opened:
            opened.data["list"].append(2)
            assert held == {"list": [1]}
            opened.revert()
        assert storage.values["1"] is held
        assert storage.count("write") == 0

    run(main())


# The quick way through, from the second update of a kind of contexts on


QUICK: list[tuple[Callable[[Any], Any], Any]] = [
    (lambda opened: None, {"n": 5}),
    (lambda opened: opened.data.update(n=6), {"n": 6}),
    (lambda opened: opened.data.update(more=[1, 2]), {"n": 5, "more": [1, 2]}),
    (lambda opened: setattr(opened, "data", {"n": 7}), {"n": 7}),
    (lambda opened: setattr(opened, "data", None), None),
    (lambda opened: opened.reset(), {"n": 0}),
    (lambda opened: opened.discard(), {"n": 5}),
    (lambda opened: opened.data.update(n=6) or opened.discard(), {"n": 5}),
    (lambda opened: opened.data.update(n=6) or opened.revert(), {"n": 5}),
]


@pytest.mark.parametrize(("act", "expected"), QUICK)
def test_a_session_asked_for_on_the_quick_way_is_a_session_like_any(
    act: Any, expected: Any
) -> None:
    async def main() -> None:
        storage = MemorySessionStorage()
        sessions = counters(storage)
        await sessions(Ctx(), lambda ctx: None)
        storage.write("1", {"n": 5})

        async def handler(ctx: Ctx) -> None:
            opened = sessions.of(ctx)
            assert opened.key == "1"
            act(opened)

        await sessions(Ctx(), handler)
        assert storage.read("1") == expected
        assert free(sessions)

    run(main())


def test_a_handler_that_fails_on_the_quick_way_leaves_the_old_data() -> None:
    async def fail(ctx: Ctx) -> None:
        ctx.session["n"] = 99
        raise Oops

    async def main() -> None:
        sessions = counters(MemorySessionStorage())
        for _ in range(3):
            await sessions(Ctx(), lambda ctx: ctx.session.update(n=5))
            ctx = Ctx()
            with pytest.raises(Oops):
                await sessions(ctx, fail)
            assert not hasattr(ctx, "session")
            assert await sessions.get(1) == {"n": 5}
        assert free(sessions)

    run(main())


def test_a_sliding_timeout_is_asked_to_slide_where_nothing_changed() -> None:
    class Sliding(Live):
        async def renew(self, key: str, revision: Any, /) -> None:
            self.calls.append(("renew", key))

    async def main() -> None:
        storage = Sliding(**{"1": {"n": 1}})
        sessions = counters(storage)
        async with sessions.open(1):
            pass
        async with sessions.open(2):
            pass
        async with sessions.open(1) as opened:
            opened.data["n"] = 2
        with pytest.raises(Oops):
            async with sessions.open(1):
                raise Oops
        assert storage.calls.count(("renew", "1")) == 1
        assert storage.count("renew") == 1

    run(main())


class Flavored(SessionFlavor[Data], Ctx):
    pass


def test_a_context_with_the_flavor_takes_assignment_and_none() -> None:
    async def assign(ctx: Flavored) -> None:
        ctx.session = {"n": 4}
        assert ctx.session == {"n": 4}

    async def delete(ctx: Flavored) -> None:
        ctx.session = None

    async def main() -> None:
        storage = Live()
        sessions = counters(storage)
        await sessions(Flavored(), assign)
        assert storage.values == {"1": {"n": 4}}
        await sessions(Flavored(), delete)
        assert not storage.values

    run(main())

"""What every adapter's install() and with_session() mean."""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from dataclasses import dataclass
from typing import Any

import pytest

from sessionkit import (
    LazySession,
    MemorySessionStorage,
    MultiSession,
    Session,
    SessionClosedError,
    SessionFlavor,
    SyncSession,
    keys,
    lazy_session,
    multi_session,
    session,
)
from sessionkit.adapters import Binding, is_async
from sessionkit.types import SyncLazySession
from tests.core import Data, Oops, free, run

OLD, NEW = -55, -1001


def none() -> Data:
    return {"n": 0}


def counts(**options: Any) -> Any:
    options.setdefault("storage", MemorySessionStorage())
    return session(initial=none, get_session_key=keys.chat, **options)


def lazy_counts(**options: Any) -> Any:
    options.setdefault("storage", MemorySessionStorage())
    return lazy_session(initial=none, get_session_key=keys.chat, **options)


def update(chat: int = 1, **fields: Any) -> dict[str, Any]:
    return {"update_id": 1, "message": {"chat": {"id": chat}, "from": {"id": 3}, **fields}}


def kinds(opened: dict[str, Any]) -> dict[str, type]:
    return {name: type(each) for name, each in opened.items()}


class GoOn(Exception):
    """A signal of a framework."""


# --- what install() takes ---------------------------------------------------------------------


def test_one_session_has_the_default_name() -> None:
    assert Binding(counts()).names == ("session",)
    assert Binding(counts(), name="memory").names == ("memory",)


def test_several_have_names_of_their_own() -> None:
    assert Binding(None, {"cart": counts(), "prefs": lazy_counts()}).names == ("cart", "prefs")


@pytest.mark.parametrize("given", [(), (None, {}), (counts(), {"cart": counts()})])
def test_one_or_several_are_needed(given: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError, match="several by name"):
        Binding(*given)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ((dict,), r"must be what session\(...\), lazy_session\(...\) or multi_session"),
        ((None, {"cart": multi_session(part=counts())}), "cart must be what session.* returns"),
    ],
)
def test_what_is_not_sessions_is_refused(given: tuple[Any, ...], why: str) -> None:
    with pytest.raises(TypeError, match=why):
        Binding(*given)


@pytest.mark.parametrize("name", ["my session", "", "class"])
def test_a_name_must_be_one_of_a_parameter(name: str) -> None:
    with pytest.raises(ValueError, match="name of a parameter"):
        Binding(counts(), name=name)


def test_two_on_one_place_are_refused() -> None:
    storage = MemorySessionStorage()

    with pytest.raises(ValueError, match="share storage and prefix"):
        Binding(None, {"cart": counts(storage=storage), "prefs": counts(storage=storage)})


# --- opening ----------------------------------------------------------------------------------


@pytest.mark.parametrize("prefixes", [("", ""), ("a:", "a:")])
def test_what_is_installed_later_must_not_share_a_place(prefixes: tuple[str, str]) -> None:
    storage = MemorySessionStorage()
    first, second = (counts(storage=storage, prefix=prefix) for prefix in prefixes)
    shop = Binding(multi_session(cart=first, prefs=counts()))

    with pytest.raises(
        ValueError, match=r"'other' and 'cart', installed before, .* prefix='other:'"
    ):
        Binding(None, {"other": second}).refuse_beside([Binding(counts()), shop])


def test_what_is_installed_later_may_be_the_same_or_elsewhere() -> None:
    storage = MemorySessionStorage()
    first = counts(storage=storage)
    others = [first, counts(storage=storage, prefix="a:"), counts()]

    for other in others:
        Binding(None, {"other": other}).refuse_beside([Binding(first)])


def test_open_gives_the_sessions_by_name() -> None:
    async def main() -> None:
        cart, prefs = counts(), lazy_counts()
        binding = Binding(None, {"cart": cart, "prefs": prefs})
        ctx = update()
        async with binding.open(ctx) as opened:
            assert kinds(opened) == {"cart": Session, "prefs": LazySession}
            assert binding.of(ctx) == opened
            assert cart.of(ctx) is opened["cart"]
            opened["cart"].data["n"] += 1
            (await opened["prefs"])["n"] += 2
        assert cart.storage.read("1") == {"n": 1}
        assert prefs.storage.read("1") == {"n": 2}
        assert free(cart)
        with pytest.raises(SessionClosedError):
            binding.of(ctx)

    run(main())


def test_one_of_several_names_is_that_session_itself() -> None:
    async def main() -> None:
        cart = counts()
        async with Binding(None, {"cart": cart}).open(update()) as opened:
            assert list(opened) == ["cart"]
            opened["cart"].data["n"] += 1
        assert cart.storage.read("1") == {"n": 1}

    run(main())


def test_a_multi_session_is_one_argument() -> None:
    class Shop(MultiSession):
        cart = counts(prefix="cart:")
        prefs = lazy_counts()

    async def main() -> None:
        async with Binding(multi_session(Shop)).open(update()) as opened:
            assert isinstance(opened["session"], Shop)
            opened["session"].cart["n"] += 1
        assert Shop.cart.storage.read("cart:1") == {"n": 1}

    run(main())


def test_opening_an_update_again_joins() -> None:
    async def main() -> None:
        binding = Binding(counts())
        ctx = update()
        async with binding.open(ctx) as outer, binding.open(ctx) as inner:
            assert inner == outer

    run(main())


def test_in_threads_they_are_views() -> None:
    cart, prefs = counts(), lazy_counts()
    with Binding(None, {"cart": cart, "prefs": prefs}).open(update()) as opened:
        assert kinds(opened) == {"cart": SyncSession, "prefs": SyncLazySession}
        opened["cart"].data["n"] += 1
    with Binding(cart).open(update()) as opened:
        assert kinds(opened) == {"session": SyncSession}
        opened["session"].data["n"] += 1
    assert cart.storage.read("1") == {"n": 2}


def test_with_on_the_thread_of_a_loop_is_refused() -> None:
    async def main() -> None:
        with pytest.raises(RuntimeError, match="async with"), Binding(counts()).open(update()):
            pass

    run(main())


@pytest.mark.parametrize(("error", "saved"), [(Oops, 0), (GoOn, 1)])
def test_errors_are_not_saved_and_signals_are(error: type[Exception], saved: int) -> None:
    sessions = counts()
    binding = Binding(sessions, signals=(GoOn,))

    async def main() -> None:
        with pytest.raises(error):
            async with binding.open(update()) as opened:
                opened["session"].data["n"] += 1
                raise error

    run(main())
    with pytest.raises(error), binding.open(update(2)) as opened:
        opened["session"].data["n"] += 1
        raise error
    for chat in ("1", "2"):
        assert (sessions.storage.read(chat) or none()) == {"n": saved}


def test_the_steps_are_those_of_an_opening() -> None:
    async def main() -> None:
        sessions = counts()
        use = Binding(sessions, signals=(GoOn,)).open(update())
        (await use.begin())["session"].data["n"] += 1
        hold = use.hold()
        await use.close()
        assert sessions.storage.read("1") is None
        await hold.release()
        assert sessions.storage.read("1") == {"n": 1}
        use = Binding(sessions, signals=(GoOn,)).open(update())
        (await use.begin())["session"].data["n"] += 1
        use.fail(GoOn())
        use.fail()
        await use.close()
        assert sessions.storage.read("1") == {"n": 1}

    run(main())


# --- handlers ---------------------------------------------------------------------------------


def test_handlers_get_what_they_have_parameters_for() -> None:
    cart, prefs = counts(), counts()
    binding = Binding(None, {"cart": cart, "prefs": prefs})

    async def for_both(ctx: Any, prefs: Any, *, cart: Any) -> str:
        cart.data["n"] += 1
        prefs.data["n"] += 1
        return "both"

    async def for_one(ctx: Any, cart: Any) -> str:
        cart.data["n"] += 1
        return "one"

    async def main() -> None:
        assert await binding.inject(for_both)(update()) == "both"
        assert await binding.inject(for_one)(update()) == "one"
        assert cart.storage.read("1") == {"n": 2}
        assert prefs.storage.read("1") == {"n": 1}

    run(main())
    assert str(inspect.signature(binding.inject(for_both))) == "(ctx: 'Any') -> 'str'"
    assert binding.inject(for_one).__name__ == "for_one"


def test_who_asks_for_none_is_left_alone() -> None:
    async def quiet(ctx: Any, *session: Any, **more: Any) -> None: ...

    assert Binding(counts()).inject(quiet) is quiet


def test_only_handlers_that_ask_get_one() -> None:
    async def handler(ctx: Any, cart: Any) -> None: ...

    Binding(counts(), name="cart").require(handler)
    with pytest.raises(TypeError, match=r"handler\(\) asks for no session: give it .* session"):
        Binding(counts()).require(handler)
    with pytest.raises(TypeError, match="partial"):
        Binding(counts()).require(functools.partial(handler))


async def yields(ctx: Any, session: Any) -> AsyncGenerator[None, None]:
    yield


def yields_in_a_thread(ctx: Any, session: Any) -> Generator[None, None, None]:
    yield


@pytest.mark.parametrize("handler", [yields, yields_in_a_thread, functools.partial(yields)])
def test_a_generator_is_refused(handler: Any) -> None:
    sessions = counts()
    for take in (Binding(sessions).inject, Binding(sessions).require, sessions.inject):
        with pytest.raises(TypeError, match="has a yield: it is a generator"):
            take(handler)
    assert Binding(sessions, name="other").inject(handler) is handler


def test_the_context_may_be_any_argument() -> None:
    sessions = counts()

    async def handler(client: Any, ctx: Any, session: Any) -> None:
        session.data["n"] += 1

    def second(client: Any, ctx: Any) -> Any:
        return ctx

    run(Binding(sessions).inject(handler, second)("client", update()))
    assert sessions.storage.read("1") == {"n": 1}


def test_handlers_in_threads() -> None:
    sessions = counts()

    def handler(ctx: Any, session: Any) -> int:
        session.data["n"] += 1
        return int(session.data["n"])

    counted = Binding(sessions).inject(handler)
    threads = [threading.Thread(target=counted, args=(update(),)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counted(update()) == 21


class Callables:
    async def method(self) -> None: ...
    async def __call__(self) -> None: ...
    def plain(self) -> None: ...


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (Callables().method, True),
        (Callables(), True),
        (functools.partial(functools.partial(Callables().method)), True),
        (Callables().plain, False),
        (print, False),
    ],
)
def test_what_is_async(function: Callable[..., Any], *, expected: bool) -> None:
    assert is_async(function) is expected


# --- chats that move --------------------------------------------------------------------------

TOLD = [update(OLD, migrate_to_chat_id=NEW), update(NEW, migrate_from_chat_id=OLD)]


@dataclass
class Merge:
    """Adds, and counts how often it was asked."""

    asked: int = 0

    def __call__(self, theirs: Data, mine: Data) -> Data:
        self.asked += 1
        return {"n": theirs["n"] + mine["n"]}


@pytest.mark.parametrize("told", TOLD, ids=["in the old chat", "in the new chat"])
@pytest.mark.parametrize("blocking", [False, True])
def test_a_group_is_followed_before_its_session_opens(
    told: dict[str, Any], *, blocking: bool
) -> None:
    sessions = counts()
    binding = Binding(sessions)
    sessions.storage.write("-55", {"n": 5})

    async def main() -> None:
        async with binding.open(told) as opened, binding.open(told):
            opened["session"].data["n"] += 1

    if blocking:
        with binding.open(told) as opened:
            opened["session"].data["n"] += 1
    else:
        run(main())
    assert dict(sessions.storage.iter_items("")) == {"-1001": {"n": 6}}


def test_a_group_can_be_followed_without_opening_anything() -> None:
    sessions = counts()
    sessions.storage.write("-55", {"n": 5})

    async def main() -> None:
        await Binding(sessions, migrate_chats=False).follow(TOLD[0])
        assert sessions.storage.read("-55") == {"n": 5}
        await Binding(sessions).follow(update(OLD))
        assert sessions.storage.read("-55") == {"n": 5}
        await Binding(sessions).follow(TOLD[0])
        assert sessions.storage.read("-1001") == {"n": 5}

    run(main())


@pytest.mark.parametrize("blocking", [False, True])
def test_both_are_kept_and_reported_without_a_merge(
    caplog: pytest.LogCaptureFixture, *, blocking: bool
) -> None:
    sessions = counts()
    sessions.storage.write("-55", {"n": 5})
    sessions.storage.write("-1001", {"n": 1})
    binding = Binding(sessions)

    with caplog.at_level(logging.ERROR, "sessionkit"):
        if blocking:
            binding.follow_sync(TOLD[0])
        else:
            run(binding.follow(TOLD[0]))

    assert dict(sessions.storage.iter_items("")) == {"-55": {"n": 5}, "-1001": {"n": 1}}
    (record,) = caplog.records
    assert "'-55' and '-1001' both have data" in record.getMessage()
    assert "migrate_chats=" in record.getMessage()


def test_a_function_merges() -> None:
    sessions, merge = counts(), Merge()
    sessions.storage.write("-55", {"n": 5})
    sessions.storage.write("-1001", {"n": 1})

    run(Binding(sessions, migrate_chats=merge).follow(TOLD[0]))
    assert dict(sessions.storage.iter_items("")) == {"-1001": {"n": 6}}
    assert merge.asked == 1


def test_several_are_merged_by_name() -> None:
    cart, prefs, merge = counts(), counts(), Merge()
    binding = Binding(None, {"cart": cart, "prefs": prefs}, migrate_chats={"cart": merge})

    async def for_cart(ctx: Any, cart: Any) -> None:
        cart.data["n"] += 1

    async def main() -> None:
        for sessions in (cart, prefs):
            sessions.storage.write("-55", {"n": 5})
            sessions.storage.write("-1001", {"n": 1})
        await binding.inject(for_cart)(TOLD[0])
        assert dict(cart.storage.iter_items("")) == {"-1001": {"n": 7}}
        assert prefs.storage.read("-55") == {"n": 5}
        await binding.follow(TOLD[1])
        assert prefs.storage.read("-55") == {"n": 5}
        assert merge.asked == 1

    run(main())


def test_an_error_on_the_way_is_raised() -> None:
    class Broken(MemorySessionStorage):
        def read_snapshot(self, key: str, /) -> Any:
            raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        run(Binding(counts(storage=Broken())).follow(TOLD[0]))


@pytest.mark.parametrize(
    ("sessions", "named", "merge", "wanted"),
    [
        (counts(), {}, "yes", "a function"),
        (counts(), {}, {"cart": Merge()}, "a function"),
        (None, {"cart": counts(), "prefs": counts()}, Merge(), "a mapping from cart or prefs"),
        (None, {"cart": counts(), "prefs": counts()}, {"car": Merge()}, "a mapping from cart or"),
        (None, {"cart": counts(), "prefs": counts()}, {"cart": 5}, "a mapping from cart or"),
    ],
)
def test_what_cannot_merge_is_refused(sessions: Any, named: Any, merge: Any, wanted: str) -> None:
    with pytest.raises(TypeError, match=f"migrate_chats must be True, False or {wanted}"):
        Binding(sessions, named, migrate_chats=merge)


def test_two_hundred_updates_of_one_chat_all_count() -> None:
    async def main() -> None:
        sessions = counts()

        async def handler(ctx: Any, session: Any) -> None:
            n = session.data["n"]
            await asyncio.sleep(0)
            session.data["n"] = n + 1

        counted = Binding(sessions).inject(handler)
        await asyncio.gather(*(counted(update()) for _ in range(200)))
        assert sessions.storage.read("1") == {"n": 200}
        assert free(sessions)

    run(main())


# --- a second context of an update ------------------------------------------------------------


class Plain:
    """A context that shows nothing by itself."""


class Showing(SessionFlavor[Data]):
    """A context with ``session``."""


@pytest.mark.parametrize("kind", [Plain, Showing])
def test_a_second_context_shows_the_same_sessions_until_they_end(kind: type) -> None:
    async def main() -> None:
        sessions, other = counts(), kind()
        use = Binding(sessions).open(update())
        with pytest.raises(SessionClosedError):
            use.show_on(other)
        opened = await use.begin()
        use.show_on(other)
        assert sessions.of(other) is opened["session"]
        if kind is Showing:
            assert other.session is opened["session"].data
        hold = use.hold()
        await use.close()
        assert sessions.of(other) is opened["session"]
        await hold.release()
        with pytest.raises(SessionClosedError):
            sessions.of(other)

    run(main())


def test_a_second_context_of_a_multi_session() -> None:
    async def main() -> None:
        cart, prefs, other = counts(), lazy_counts(), Plain()
        shop = multi_session(cart=cart, prefs=prefs)
        use = Binding(shop).open(update())
        opened = await use.begin()
        use.show_on(other)
        assert shop.of(other) is opened["session"]
        assert cart.of(other).key == "1"
        await use.close()
        for sessions in (shop, cart, prefs):
            with pytest.raises(SessionClosedError):
                sessions.of(other)

    run(main())


def test_the_parts_of_an_update_show_what_is_open_on_it() -> None:
    async def main() -> None:
        cart, prefs, part = counts(), lazy_counts(), Plain()
        binding = Binding(None, {"cart": cart, "prefs": prefs})
        ctx = update()
        with binding.shown_on(ctx, part), pytest.raises(SessionClosedError):  # nothing is open
            binding.of(part)
        async with binding.open(ctx) as opened, cart.open(own := update(chat=2)) as other:
            with binding.shown_on(ctx, part, own):
                with binding.shown_on(ctx, part):  # as an inner middleware does
                    pass
                assert binding.of(part) == opened
                assert cart.of(own) is other
            with pytest.raises(SessionClosedError):
                binding.of(part)
            assert cart.of(own) is other
            assert binding.of(ctx) == opened

    run(main())


@pytest.mark.parametrize(("error", "saved"), [(Oops(), 0), (GoOn(), 1), (None, 1)])
def test_a_hold_tells_signals_from_errors(error: Exception | None, saved: int) -> None:
    async def main() -> None:
        sessions = counts()
        use = Binding(sessions, signals=(GoOn,)).open(update())
        (await use.begin())["session"].data["n"] += 1
        hold = use.hold()
        await use.close()
        await hold.release(error)
        await hold.release(Oops())
        assert (sessions.storage.read("1") or none()) == {"n": saved}

    run(main())


@pytest.mark.parametrize("ctx", ["text", 5])
def test_a_key_is_not_an_update(ctx: Any) -> None:
    with pytest.raises(TypeError, match="an update is needed"):
        Binding(counts()).open(ctx)


def test_a_builtin_that_does_not_tell_asks_for_nothing() -> None:
    nothing: dict[str, int] = {}
    silent: Any = nothing.update

    assert Binding(counts()).inject(silent) is silent


def test_an_update_that_tells_of_a_move_is_run_in_the_new_chat() -> None:
    def five(data: dict[str, Any]) -> dict[str, Any]:
        return {**data, "n": 5}

    async def main() -> None:
        sessions = counts()
        await sessions.update(OLD, five)
        seen = await Binding(sessions).run(TOLD[1], lambda given: given["session"].data["n"])
        assert seen == 5

    run(main())

"""Multi sessions: fragments with a storage, key and prefix each, under one attribute."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sessionkit import (
    LazySession,
    MultiSession,
    NoSessionKeyError,
    SessionClosedError,
    SessionError,
    SessionFlavor,
    multi_session,
)
from sessionkit._storage.sync_or_async import resolve
from tests.contexts import AsyncSpy, Handler, Spy, assert_nothing_left, lazy, run, strict, update


class Ctx:
    session: Any

    def __init__(self, chat: Any = "1", user: Any = "1") -> None:
        self.chat = chat
        self.user = user


class Flavored(SessionFlavor[Any]):
    def __init__(self, chat: Any = "1", user: Any = "1") -> None:
        self.chat = chat
        self.user = user


def by_user(ctx: Any) -> Any:
    return ctx.user


class Shop:
    """Two strict fragments, two lazy ones, on one storage; and what happened there."""

    def __init__(self, storage: Any = None, **options: Any) -> None:
        self.storage: Any = Spy() if storage is None else storage
        storage = self.storage
        users = {"storage": storage, "get_session_key": by_user, **options}

        class Declared(MultiSession):
            cart = strict(prefix="cart:", **users)
            prefs = strict(prefix="prefs:", storage=storage, **options)
            log = lazy(prefix="log:", **users)
            notes = lazy(prefix="notes:", storage=storage, **options)

        self.declared: Any = Declared
        self.sessions: Any = multi_session(Declared)

    def handle(self, handler: Handler, ctx: Any = None) -> Any:
        result = run(update(self.sessions, Ctx() if ctx is None else ctx, handler))
        self.assert_nothing_left()
        return result

    def assert_nothing_left(self) -> None:
        assert not self.sessions._registry.open_on
        for name in ("cart", "prefs", "log", "notes"):
            assert_nothing_left(getattr(self.declared, name))


@pytest.fixture(params=[Spy, AsyncSpy])
def shop(request: pytest.FixtureRequest) -> Shop:
    return Shop(request.param())


@pytest.fixture(params=[Ctx, Flavored])
def kind(request: pytest.FixtureRequest) -> Any:
    return request.param


def test_each_fragment_is_written_if_it_changed(shop: Shop, kind: Any) -> None:
    async def handler(ctx: Any) -> str:
        ctx.session.cart["pizza"] = 1
        assert ctx.session.prefs == {}
        (await ctx.session.log)["at"] = "noon"
        return "handled"

    assert shop.handle(handler, kind(chat="c", user="u")) == "handled"

    assert shop.storage.data == {"cart:u": {"pizza": 1}, "log:u": {"at": "noon"}}
    assert sorted(shop.storage.log) == [
        "R cart:u",
        "R log:u",
        "R prefs:c",
        "W cart:u",
        "W log:u",
    ]


def test_untouched_lazy_fragments_cost_nothing(shop: Shop, kind: Any) -> None:
    shop.handle(lambda ctx: None, kind())

    assert sorted(shop.storage.log) == ["R cart:1", "R prefs:1"]


def test_fragments_are_replaced_and_deleted(shop: Shop, kind: Any) -> None:
    shop.storage.data = {f"{name}:1": {"n": 1} for name in ("cart", "prefs", "log", "notes")}

    async def handler(ctx: Any) -> None:
        ctx.session.cart = {"n": 2}
        assert ctx.session.cart == {"n": 2}
        ctx.session.prefs = None
        ctx.session.log = {"n": 3}
        del ctx.session.notes

    shop.handle(handler, kind())

    assert shop.storage.data == {"cart:1": {"n": 2}, "log:1": {"n": 3}}


def test_a_mapping_assigns_its_fragments(shop: Shop, kind: Any) -> None:
    shop.storage.data["prefs:1"] = {"n": 1}

    async def handler(ctx: Any) -> None:
        ctx.session = {"cart": {"n": 2}, "log": {"n": 3}}

    shop.handle(handler, kind())

    assert shop.storage.data == {"prefs:1": {"n": 1}, "cart:1": {"n": 2}, "log:1": {"n": 3}}


@pytest.mark.parametrize("delete", ["None", "del"])
def test_none_deletes_all_fragments_that_have_a_key(shop: Shop, kind: Any, delete: str) -> None:
    shop.storage.data = {f"{name}:1": {"n": 1} for name in ("cart", "prefs", "log", "notes")}

    async def handler(ctx: Any) -> None:
        if delete == "del":
            del ctx.session
        else:
            ctx.session = None

    shop.handle(handler, kind(chat=None))

    assert shop.storage.data == {"prefs:1": {"n": 1}, "notes:1": {"n": 1}}


def test_assigning_it_to_itself_changes_nothing(shop: Shop, kind: Any) -> None:
    async def handler(ctx: Any) -> None:
        ctx.session = ctx.session

    shop.handle(handler, kind())

    assert shop.storage.counts == "R2 W0 D0"


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (5, TypeError, "a multi session takes a mapping of cart, prefs, log, notes, or None"),
        ({"cat": 1}, AttributeError, "there is no fragment 'cat' in Declared: cart, prefs, log"),
    ],
)
def test_other_values_are_refused(shop: Shop, kind: Any, value: Any, error: Any, text: str) -> None:
    async def handler(ctx: Any) -> None:
        ctx.session.cart["n"] = 1
        ctx.session = value

    with pytest.raises(error, match=text):
        shop.handle(handler, kind())
    assert shop.storage.data == {}
    shop.assert_nothing_left()


def test_another_contexts_session_is_not_a_value(shop: Shop) -> None:
    async def main() -> None:
        async with shop.sessions.open(Flavored("a", "a")) as other:
            ctx = Flavored("b", "b")
            async with shop.sessions.open(ctx):
                with pytest.raises(TypeError, match="a multi session takes a mapping"):
                    ctx.session = other

    run(main())


def test_a_mapping_is_assigned_wholly_or_not_at_all(shop: Shop) -> None:
    async def handler(ctx: Any) -> None:
        with pytest.raises(NoSessionKeyError):
            ctx.session = {"cart": {"n": 1}, "prefs": {"n": 2}}

    shop.handle(handler, Flavored(chat=None))

    assert shop.storage.data == {}


def test_names_that_do_not_exist_are_refused(shop: Shop, kind: Any) -> None:
    text = "there is no fragment 'cat' in Declared: cart, prefs, log, notes"

    async def handler(ctx: Any) -> None:
        with pytest.raises(AttributeError) as caught:
            _ = ctx.session.cat
        assert str(caught.value) == text
        with pytest.raises(AttributeError) as caught:
            ctx.session.cat = {}
        assert str(caught.value) == text
        assert repr(ctx.session) == "<Declared of cart, prefs, log, notes>"

    shop.handle(handler, kind())


def test_a_fragment_without_a_key_raises_when_it_is_touched(shop: Shop, kind: Any) -> None:
    async def handler(ctx: Any) -> None:
        ctx.session.cart["n"] = 1
        for use in (lambda: ctx.session.prefs, lambda: setattr(ctx.session, "prefs", {})):
            with pytest.raises(NoSessionKeyError):
                use()
        with pytest.raises(NoSessionKeyError):
            await ctx.session.notes
        with pytest.raises(NoSessionKeyError):
            ctx.session.notes = {}

    shop.handle(handler, kind(chat=None))

    assert shop.storage.data == {"cart:1": {"n": 1}}


def test_a_failing_handler_writes_nothing(shop: Shop, kind: Any) -> None:
    async def never() -> Any:
        raise AssertionError

    async def handler(ctx: Any) -> None:
        ctx.session.cart["n"] = 1
        ctx.session.log = {"n": 2}
        (await ctx.session.notes)["n"] = 2
        ctx.session.notes = never()
        raise RuntimeError

    with pytest.raises(RuntimeError):
        shop.handle(handler, kind())
    assert shop.storage.data == {}
    shop.assert_nothing_left()


def test_save_on_error_counts_for_each_fragment(kind: Any) -> None:
    shop = Shop(save_on_error=True)

    async def handler(ctx: Any) -> None:
        ctx.session.cart["n"] = 1
        ctx.session.log = {"n": 2}
        raise RuntimeError

    with pytest.raises(RuntimeError):
        shop.handle(handler, kind())
    assert shop.storage.data == {"cart:1": {"n": 1}, "log:1": {"n": 2}}


def test_of_gives_each_fragments_session(shop: Shop, kind: Any) -> None:
    async def handler(ctx: Any) -> None:
        assert shop.sessions.of(ctx).cart is ctx.session.cart
        cart = shop.declared.cart.of(ctx)
        cart.data["n"] = 1
        await cart.save()
        assert shop.storage.data == {"cart:1": {"n": 1}}
        assert isinstance(shop.declared.log.of(ctx), LazySession)
        async with cart.paused():
            pass

    ctx = kind()
    shop.handle(handler, ctx)

    with pytest.raises(SessionClosedError, match="no session of these is open on this"):
        shop.sessions.of(ctx)
    with pytest.raises(SessionClosedError):
        shop.declared.cart.of(ctx)


def test_a_fragment_opened_inside_joins(shop: Shop, kind: Any) -> None:
    async def handler(ctx: Any) -> None:
        async with shop.declared.cart.open(ctx) as cart:
            cart.data["n"] = 1
        assert ctx.session.cart == {"n": 1}
        await update(shop.sessions, ctx, inner)

    async def inner(ctx: Any) -> None:
        ctx.session.cart["n"] += 1

    shop.handle(handler, kind())

    assert shop.storage.data == {"cart:1": {"n": 2}}
    assert shop.storage.counts == "R2 W1 D0"


def test_sessions_that_are_open_alone_are_not_opened_once_more(shop: Shop) -> None:
    cart = shop.declared.cart
    cart_alone = cart.with_storage(shop.storage)

    async def main() -> None:
        ctx = Ctx()
        async with cart.open(ctx) as alone:
            with pytest.raises(SessionError) as caught:
                await update(shop.sessions, ctx, lambda _: None)
            assert str(caught.value) == (
                "the session of the fragment 'cart' is open on this Ctx already: use these "
                "sessions by themselves, or in a multi session"
            )
            assert cart.of(ctx) is alone
            assert vars(ctx) == {"chat": "1", "user": "1"}
            alone.data["n"] = 1

    run(main())
    assert shop.storage.data == {"cart:1": {"n": 1}}
    assert run(cart_alone.get("1")) == {"n": 1}
    shop.assert_nothing_left()


def test_by_key_a_fragment_is_used_by_itself(shop: Shop) -> None:
    async def main() -> None:
        async with shop.declared.cart.open(5) as cart:
            cart.data["n"] = 1
        assert await shop.declared.cart.get(5) == {"n": 1}
        for key in (5, "5", None):
            with pytest.raises(TypeError) as caught:
                shop.sessions.open(key)
            assert str(caught.value) == (
                f"fragments have keys of their own: open one of them, as Shop.cart.open({key!r})"
            )

    run(main())
    assert shop.storage.data == {"cart:5": {"n": 1}}


def test_after_the_end_every_use_raises(shop: Shop, kind: Any) -> None:
    kept: list[Any] = []
    ctx = kind()
    shop.handle(lambda ctx: kept.append(ctx.session), ctx)

    for use in (lambda: kept[0].cart, lambda: setattr(kept[0], "cart", {})):
        with pytest.raises(SessionClosedError, match="the update that owned '1' has ended"):
            use()
    with pytest.raises(SessionClosedError):
        run(resolve(kept[0].log))
    assert isinstance(ctx, Flavored) or not hasattr(ctx, "session")


def test_a_failing_key_function_or_read_leaves_nothing(shop: Shop, kind: Any) -> None:
    class NoUser(kind):  # type: ignore[misc]  # any of the kinds
        @property
        def user(self) -> Any:
            raise LookupError("no user")

        @user.setter
        def user(self, value: Any) -> None: ...

    with pytest.raises(LookupError, match="no user"):
        shop.handle(lambda ctx: None, NoUser())
    shop.assert_nothing_left()

    shop.storage.broken = {"R prefs:1"}
    with pytest.raises(OSError, match="R prefs:1 failed"):
        shop.handle(lambda ctx: None, kind())
    shop.assert_nothing_left()
    assert shop.storage.counts.endswith("W0 D0")


def test_a_class_may_be_extended() -> None:
    class Base(MultiSession):
        cart = strict(prefix="cart:")
        old = strict(prefix="old:")

    class Other(MultiSession):
        prefs = strict(prefix="prefs:")

    class Extended(Base, Other):
        log = lazy(prefix="log:")
        old = None

        def total(self) -> int:
            return len(self.cart)

    async def handler(ctx: Any) -> None:
        ctx.session.prefs["n"] = 1
        ctx.session.cart["pizza"] = 1
        assert ctx.session.total() == 1
        assert ctx.session.old is None
        assert await ctx.session.log == {}

    sessions = multi_session(Extended)
    run(update(sessions, Ctx(), handler))

    assert run(Extended.prefs.get("1")) == {"n": 1}
    assert set(repr(sessions)[1:-1].removeprefix("MultiSessions of ").split(", ")) == {
        "cart",
        "log",
        "prefs",
    }


def test_the_short_form_takes_fragments_by_name() -> None:
    carts, prefs = strict(), lazy()
    sessions = multi_session(cart=carts, prefs=prefs, attribute="shop")

    async def handler(ctx: Any) -> None:
        ctx.shop.cart["n"] = 1
        (await ctx.shop.prefs)["n"] = 2
        assert not hasattr(ctx, "session")

    run(update(sessions, Ctx(), handler))

    assert run(carts.get("1")) == {"n": 1}
    assert run(prefs.get("1")) == {"n": 2}
    assert_nothing_left(carts, prefs)


def test_a_sync_handler_does(shop: Shop) -> None:
    def handler(ctx: Any) -> str:
        ctx.session.cart["n"] = 1
        return "handled"

    assert shop.handle(handler) == "handled"
    assert shop.storage.data == {"cart:1": {"n": 1}}


@pytest.mark.parametrize("first", ["multi", "single"])
def test_another_session_on_the_same_attribute_is_refused(shop: Shop, first: str) -> None:
    single = strict()
    text = "'session' of this Ctx shows another session already"

    async def handler(ctx: Any) -> None:
        await update(single if first == "multi" else shop.sessions, ctx, lambda _: None)

    with pytest.raises(SessionError, match=text):
        run(update(shop.sessions if first == "multi" else single, Ctx(), handler))
    shop.assert_nothing_left()
    assert_nothing_left(single)


# Set-up


def test_two_fragments_cannot_share_a_place() -> None:
    storage = Spy()

    with pytest.raises(ValueError, match="share storage and prefix") as caught:
        multi_session(cart=strict(storage=storage), prefs=lazy(storage=storage))
    assert str(caught.value) == (
        "the fragments 'cart' and 'prefs' share storage and prefix and would overwrite each "
        "other: give one of them prefix='prefs:'"
    )


def test_what_is_not_a_fragment_is_refused() -> None:
    anything: Any = multi_session
    with pytest.raises(TypeError, match=r"^cart= must be session\(...\) or lazy_session\(...\)"):
        anything(cart={})
    with pytest.raises(TypeError, match="takes a MultiSession class, or fragments by name, not"):
        anything(dict)
    with pytest.raises(TypeError, match=r"a multi session needs fragments: name = session\(...\)"):
        anything()
    with pytest.raises(TypeError, match="a multi session needs fragments"):
        anything(MultiSession)
    with pytest.raises(TypeError, match="not both"):
        anything(Shop().declared, cart=strict())


@pytest.mark.parametrize("name", ["_shown", "_assign", "_hidden", "_ctx", "_end"])
def test_names_with_a_meaning_are_refused(name: str) -> None:
    fragments: Any = {name: strict()}
    with pytest.raises(TypeError) as caught:
        multi_session(**fragments)
    assert str(caught.value) == (
        f"a fragment cannot be called {name!r}: that name has a meaning already"
    )


def test_fragments_may_have_the_names_of_parameters() -> None:
    sessions = multi_session(declared=strict(), type=strict())

    async def handler(ctx: Any) -> None:
        ctx.session.declared["n"] = ctx.session.type["n"] = 1

    run(update(sessions, Ctx(), handler))


def test_on_the_class_a_fragment_is_its_sessions(shop: Shop) -> None:
    assert repr(shop.declared.cart) == f"<Sessions in {shop.storage!r}>"
    assert repr(shop.declared.log) == f"<LazySessions in {shop.storage!r}>"


def test_keys_are_asked_for_side_by_side() -> None:
    async def main() -> None:
        together = asyncio.Barrier(2)

        async def get_key(ctx: Any) -> str:
            await together.wait()
            return "1"

        sessions = multi_session(
            cart=strict(get_session_key=get_key), prefs=strict(get_session_key=get_key)
        )
        await update(sessions, Ctx(), lambda _: None)

    run(main())


# Over other storages


def buy(ctx: Any) -> None:
    ctx.session.cart["n"] = 1
    ctx.session.prefs["n"] = 2


def test_the_same_sessions_over_another_storage(kind: Any) -> None:
    shop, other = Shop(), Spy()
    tested = shop.sessions.with_storage(other)

    run(tested(kind(), buy))

    assert other.data == {"cart:1": {"n": 1}, "prefs:1": {"n": 2}}
    assert not shop.storage.data
    assert isinstance(shop.declared, type)
    assert issubclass(tested._declared, shop.declared)
    assert "MultiSessions of cart" in repr(tested)


def test_the_same_sessions_over_a_storage_for_each_fragment() -> None:
    shop = multi_session(cart=strict(storage=Spy()), prefs=lazy(storage=Spy()), attribute="shop")
    cart, prefs = Spy(), Spy()

    async def handler(ctx: Any) -> None:
        ctx.shop.cart["n"] = 1
        ctx.shop.prefs = {"n": 2}

    run(shop.with_storage(cart=cart, prefs=prefs)(Ctx(), handler))

    assert (cart.data, prefs.data) == ({"1": {"n": 1}}, {"1": {"n": 2}})


def test_every_fragment_needs_a_storage() -> None:
    shop = multi_session(cart=strict(storage=Spy()), prefs=strict(storage=Spy()))

    for storages in ({}, {"cart": Spy()}, {"cart": Spy(), "prefs": Spy(), "log": Spy()}):
        with pytest.raises(TypeError, match=r"with_storage\(cart=..., prefs=...\)"):
            shop.with_storage(**storages)
    with pytest.raises(ValueError, match="'cart' and 'prefs' share storage and prefix"):
        shop.with_storage(Spy())

"""Multi sessions: each fragment has its type."""

from dataclasses import dataclass
from typing import Any, assert_type

from sessionkit import (
    LazySession,
    LazySessions,
    MemorySessionStorage,
    MultiSession,
    SessionFlavor,
    Sessions,
    keys,
    lazy_session,
    multi_session,
    session,
)
from sessionkit.types import MultiSessions


@dataclass
class Cart:
    """What a user wants."""

    items: int = 0


@dataclass
class Prefs:
    """How a chat likes it."""

    language: str = "en"


class Shop(MultiSession):
    """All of it."""

    cart = session(Cart, get_session_key=keys.user, prefix="cart:")
    prefs = lazy_session(Prefs)


shops = multi_session(Shop)
assert_type(shops, MultiSessions[Shop])
assert_type(multi_session(cart=session(Cart), prefs=lazy_session(Prefs)), MultiSessions[Any])
assert_type(Shop.cart, Sessions[Cart])
assert_type(Shop.prefs, LazySessions[Prefs])


class Context(SessionFlavor[Shop]):
    """A context class of the project's own."""


async def on_text(ctx: Context) -> str:
    """Handle an update."""
    shop = ctx.session
    assert_type(shop, Shop)
    assert_type(shop.cart, Cart)
    assert_type(shop.prefs, LazySession[Prefs])
    assert_type(await shop.prefs, Prefs)
    shop.cart.items += 1
    del shop.cart
    return "handled"


def replace(shop: Shop) -> None:
    """Replace and delete fragments."""
    shop.cart = Cart(5)
    shop.cart = None
    shop.prefs = Prefs("de")
    shop.prefs = None


async def used(ctx: Context) -> None:
    """Run a handler, open sessions."""
    assert_type(await shops(ctx, on_text), str)
    assert_type(shops.of(ctx), Shop)
    async with shops.open(ctx) as shop:
        assert_type(shop, Shop)
    async with Shop.cart.open(5) as cart:
        assert_type(cart.data, Cart)


def in_a_thread(ctx: Context) -> None:
    """Open all of it in a thread."""
    with shops.open(ctx) as shop:
        assert_type(shop.cart.items, int)


def on_text_in_a_thread(ctx: Context) -> str:
    """Handle an update where no event loop runs."""
    ctx.session.cart.items += 1
    return "handled"


def used_in_threads(ctx: Context) -> None:
    """The same, without await."""
    assert_type(shops.sync(ctx, on_text_in_a_thread), str)
    assert_type(shops.sync.of(ctx), Shop)
    with shops.sync.open(ctx) as shop:
        assert_type(shop, Shop)


assert_type(shops.with_storage(MemorySessionStorage()), MultiSessions[Shop])
assert_type(Shop.cart.with_storage(MemorySessionStorage()), Sessions[Cart])
assert_type(Shop.prefs.with_storage(MemorySessionStorage()), LazySessions[Prefs])

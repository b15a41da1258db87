"""Lazy sessions: awaiting gives the data, assigning takes data or awaitables of it."""

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, assert_type

from sessionkit import LazySession, LazySessionFlavor, LazySessions, lazy_session
from sessionkit.adapters import session_data
from sessionkit.types import SyncLazySession


@dataclass
class Pizza:
    """A session's data."""

    count: int = 0


pizzas = lazy_session(Pizza)
optional = lazy_session(Pizza, initial=None)
anything = lazy_session()
numbers = lazy_session(initial=lambda: [0])
declared: LazySessions[Pizza] = lazy_session(Pizza, storage="memory:")

assert_type(pizzas, LazySessions[Pizza])
assert_type(optional, LazySessions[Pizza | None])
assert_type(anything, LazySessions[dict[str, Any]])
assert_type(numbers, LazySessions[list[int]])


class Context(LazySessionFlavor[Pizza]):
    """A context class of the project's own."""


async def doubled(pizza: Awaitable[Pizza]) -> Pizza:
    """Return other data."""
    return Pizza((await pizza).count * 2)


async def on_text(ctx: Context) -> str:
    """Handle an update."""
    assert_type(await ctx.session, Pizza)
    (await ctx.session).count += 1
    ctx.session = doubled(ctx.session)
    ctx.session = Pizza(5)
    ctx.session = None
    del ctx.session
    pizza = pizzas.of(ctx)
    assert_type(pizza, LazySession[Pizza])
    assert_type(await pizza, Pizza)
    assert_type(await pizza.data, Pizza)
    pizza.data = Pizza()
    pizza.data = doubled(pizza.data)
    pizza.revert()
    pizza.reset()
    assert_type(await session_data(ctx), Any)
    return "handled"


async def used(ctx: Context) -> None:
    """Run a handler, open sessions."""
    assert_type(await pizzas(ctx, on_text), str)
    async with pizzas.open(ctx) as pizza:
        assert_type(await pizza, Pizza)
    assert_type(await pizzas.get(5), Pizza)
    assert_type(await optional.get(5), Pizza | None)
    assert_type(pizzas.with_storage({}), LazySessions[Pizza])


def in_a_thread(ctx: Context) -> None:
    """Open sessions in a thread."""
    with pizzas.open(ctx) as pizza:
        assert_type(pizza, SyncLazySession[Pizza])
        assert_type(pizza.data, Pizza)
        pizza.data = Pizza()
        pizza.revert()
    assert_type(pizzas.sync.of(ctx), SyncLazySession[Pizza])


@pizzas.inject
async def on_order(ctx: Context, session: LazySession[Pizza]) -> int:
    """Handle an update with the session at hand."""
    return (await session).count


async def injected(ctx: Context) -> None:
    """Call what is injected."""
    assert_type(await on_order(ctx), int)

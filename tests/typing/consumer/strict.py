"""Strict sessions: the type of the data is said once, and known in every handler."""

import asyncio
from dataclasses import dataclass, replace
from typing import Any, TypedDict, assert_type

from sessionkit import (
    MemorySessionStorage,
    Session,
    SessionFlavor,
    Sessions,
    SyncSession,
    keys,
    merge_fields,
    session,
)
from sessionkit.adapters import session_data


class Prefs(TypedDict):
    """A session's data as a dict."""

    language: str
    visits: int


@dataclass
class Pizza:
    """A session's data as an object."""

    count: int = 0


def new_prefs() -> Prefs:
    """Return the data of a chat that has none."""
    return {"language": "en", "visits": 0}


pizzas = session(Pizza, storage="memory:", lock_timeout=5)
prefs = session(initial=new_prefs, get_session_key=keys.user, prefix="user:")
both = session(Prefs, initial=new_prefs, on_conflict=merge_fields)
optional = session(Pizza, initial=None)
anything = session()
numbers = session(initial=int)
declared: Sessions[Pizza] = session(Pizza, storage=MemorySessionStorage())

assert_type(pizzas, Sessions[Pizza])
assert_type(prefs, Sessions[Prefs])
assert_type(both, Sessions[Prefs])
assert_type(optional, Sessions[Pizza | None])
assert_type(anything, Sessions[dict[str, Any]])
assert_type(numbers, Sessions[int])


class Context(SessionFlavor[Pizza]):
    """A context class of the project's own."""

    chat_id: int = 1


class PlainContext:
    """A context class that knows nothing of sessions."""


async def on_text(ctx: Context) -> str:
    """Handle an update."""
    assert_type(ctx.session, Pizza)
    ctx.session.count += 1
    ctx.session = Pizza(1)
    ctx.session = None
    del ctx.session
    assert_type(pizzas.of(ctx), Session[Pizza])
    assert_type(pizzas.of(ctx).data.count, int)
    return "handled"


def on_photo(ctx: Context) -> int:
    """Handle an update without waiting."""
    return ctx.session.count


async def on_anything(ctx: PlainContext) -> None:
    """Handle an update with what a plugin may use."""
    assert_type(await session_data(ctx), Any)


async def as_middleware(ctx: Context, plain: PlainContext) -> None:
    """Run handlers."""
    assert_type(await pizzas(ctx, on_text), str)
    assert_type(await pizzas(ctx, on_photo), int)
    await pizzas(plain, on_anything)
    await asyncio.gather(pizzas(ctx, on_text), pizzas(ctx, on_photo))
    task = asyncio.create_task(pizzas(ctx, on_text))
    assert_type(await task, str)


async def opened(ctx: Context) -> None:
    """Open sessions where a loop runs."""
    async with pizzas.open(ctx) as pizza:
        assert_type(pizza, Session[Pizza])
        assert_type(pizza.data, Pizza)
        pizza.data.count += 1
        pizza.data = Pizza()
        pizza.data = None
        assert_type(pizza.key, str | None)
        assert_type(pizza.is_new, bool)
        await pizza.save(force=True)
        async with pizza.paused():
            pass
        await pizza.move(5, lambda theirs, mine: Pizza(theirs.count + mine.count))
    async with prefs.open(key=5) as pref:
        assert_type(pref.data["visits"], int)
    async with pizzas.open_many(1, "2") as many:
        assert_type(many, tuple[Session[Pizza], ...])
    opening = pizzas.open(5)
    assert_type(await opening.begin(), Session[Pizza])
    async with opening.hold():
        await opening.close()


def opened_in_a_thread(ctx: Context) -> None:
    """Open sessions in a thread."""
    with pizzas.open(ctx) as pizza:
        assert_type(pizza, SyncSession[Pizza])
        pizza.data.count += 1
        pizza.save()
        with pizza.paused():
            pass
    with pizzas.sync.open_many(1, 2) as many:
        assert_type(many, tuple[SyncSession[Pizza], ...])
    assert_type(pizzas.sync(ctx, on_photo), int)
    assert_type(pizzas.sync.of(ctx), SyncSession[Pizza])
    assert_type(pizzas.sync.get(5), Pizza)
    assert_type(pizzas.sync.update(5, lambda pizza: replace(pizza, count=1)), Pizza)
    assert_type(list(pizzas.sync.items()), list[tuple[str, Pizza]])


async def longer(pizza: Pizza) -> Pizza:
    """Make new data of old data."""
    return replace(pizza, count=pizza.count + 1)


async def by_key(ctx: Context) -> None:
    """Use sessions outside an update."""
    assert_type(await pizzas.get(ctx), Pizza)
    assert_type(await optional.get("5"), Pizza | None)
    assert_type(await pizzas.update(5, lambda pizza: replace(pizza, count=1)), Pizza)
    assert_type(await pizzas.update(5, longer), Pizza)
    assert_type(await pizzas.move("5", 6), bool)
    await pizzas.delete(5)
    assert_type([key async for key in pizzas.keys(chat=5)], list[str])
    assert_type([item async for item in pizzas.items()], list[tuple[str, Pizza]])
    async with pizzas.with_storage(MemorySessionStorage()) as others:
        assert_type(others, Sessions[Pizza])


@pizzas.inject
async def on_order(ctx: Context, session: Session[Pizza], size: int = 1) -> str:
    """Handle an update with the session at hand."""
    session.data.count += size
    return "ordered"


@pizzas.inject
def on_order_in_a_thread(ctx: Context, session: SyncSession[Pizza], *, size: int) -> int:
    """Handle an update in a thread."""
    session.data.count += size
    return session.data.count


async def injected(ctx: Context) -> None:
    """Call what is injected."""
    assert_type(await on_order(ctx), str)
    assert_type(await on_order(ctx, size=2), str)
    assert_type(on_order_in_a_thread(ctx, size=2), int)

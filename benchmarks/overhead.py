"""What a session adds to an update, as multiples of the same bot without sessions.

    python benchmarks/overhead.py            # a few minutes; one table
    python benchmarks/overhead.py --quick    # some seconds, noisier

Every bot below handles the same updates with the same handlers.  They take
turns in short slices within one run, in changing order, because the speed of a
shared machine drifts; a figure is the median over the rounds of

    (time of this bot - time of the reference) / time of the bare bot

in the same round.  Absolute times are given for orientation only.
"""

from __future__ import annotations

import argparse
import asyncio
import marshal
import platform
import statistics
import sys
from collections.abc import Awaitable, Callable
from time import perf_counter_ns
from typing import Any

from sessionkit import MemorySessionStorage, lazy_session, session
from sessionkit._locks.table import locks_of

CHATS = 10_000

SMALL: dict[str, Any] = {"count": 1, "name": "Ann", "latest": list(range(10))}
MEDIUM: dict[str, Any] = {
    "count": 1,
    "name": "Ann Smith",
    "language": "en",
    "joined": "2026-01-01T12:00:00Z",
    "points": 1250,
    "balance": 37.5,
    "premium": True,
    "blocked": False,
    "referrer": None,
    "step": "checkout",
    "cart": [{"id": 17, "quantity": 2}, {"id": 4, "quantity": 1}],
    "address": {"street": "1 High Street", "city": "Springfield", "zip": "12345"},
    "settings": {"theme": "dark", "mute": True, "digest": "weekly"},
    "latest": list(range(10)),
    "tags": ["vip", "beta"],
    "last_order": 90210,
    "visits": 321,
    "rating": 4.5,
    "note": "prefers evening delivery",
    "version": 3,
}


class Context:
    """What a framework makes of an update before it calls a handler."""

    def __init__(self, update: dict[str, Any]) -> None:
        message = update["message"]
        self.update = update
        self.message = message
        self.chat_id = message["chat"]["id"]
        self.text = message["text"]


Handler = Callable[[Any], Awaitable[Any]]
Middleware = Callable[[Any, Handler], Awaitable[Any]]
Bot = Callable[[Any], Awaitable[Any]]


def chat_key(ctx: Context) -> str:
    return str(ctx.chat_id)


async def count(ctx: Any) -> None:
    """Touch the session, as a handler does."""
    ctx.session["count"] += 1


async def ignore(ctx: Any) -> bool:
    """Look at the update, and leave the session alone."""
    return ctx.text == "/start"  # type: ignore[no-any-return]


# The bots: functions that handle one context


def bare_bot(handler: Handler) -> Bot:
    async def update(ctx: Context) -> Any:
        return await handler(ctx)

    return update


def bot_with(middleware: Middleware, handler: Handler) -> Bot:
    async def update(ctx: Context) -> Any:
        return await middleware(ctx, handler)

    return update


# The references: what the least that could do something similar costs


def isolation_floor(table: dict[str, bytes]) -> Middleware:
    """Copy the data out of a table and in again: isolation, and nothing else."""
    look_up, loads, dumps = table.get, marshal.loads, marshal.dumps

    async def floor(ctx: Any, handler: Handler) -> Any:
        key = chat_key(ctx)
        ctx.session = loads(look_up(key))  # type: ignore[arg-type]
        result = await handler(ctx)
        table[key] = dumps(ctx.session, 2)
        return result

    return floor


async def equal_wrapper(ctx: Any, handler: Handler) -> Any:
    """What any middleware with a key costs."""
    key = chat_key(ctx)
    if type(key) is not str:
        raise TypeError(key)
    try:
        return await handler(ctx)
    finally:
        del key


class Stub:
    """As small as an object that is shown on a context can be."""

    __slots__ = ("ctx", "key", "sessions", "state")

    ctx: Any
    key: str
    sessions: Any
    state: int


async def show_and_take_away(ctx: Any, handler: Handler) -> Any:
    """What showing a lazy session costs if nothing is checked, and nobody can find it."""
    key = chat_key(ctx)
    stub = Stub()
    stub.key, stub.ctx, stub.sessions, stub.state = key, ctx, None, 0
    ctx.session = stub
    result = await handler(ctx)
    del ctx.session
    return result


def locked_wrapper() -> Middleware:
    """The same, with the lock that sessions use, as they use it."""
    locks = locks_of(MemorySessionStorage())
    held, hold = locks.held, locks.held.setdefault

    async def locked(ctx: Any, handler: Handler) -> Any:
        key = chat_key(ctx)
        if type(key) is not str:
            raise TypeError(key)
        if hold(key, ctx) is not ctx:
            await locks.wait(key, ctx, 60)
        try:
            return await handler(ctx)
        finally:
            del held[key]
            if locks.waiting:
                locks.hand_over(key)

    return locked


def filled_storage(data: dict[str, Any]) -> MemorySessionStorage:
    storage = MemorySessionStorage()
    storage.write_many({str(chat): {**data, "count": chat} for chat in range(CHATS)})
    return storage


def filled_table(data: dict[str, Any]) -> dict[str, bytes]:
    return {str(chat): marshal.dumps({**data, "count": chat}, 2) for chat in range(CHATS)}


def shared(data: dict[str, Any]) -> type[Context]:
    """Contexts of the bare bot: their data is just there."""
    return type("SharedContext", (Context,), {"session": dict(data)})


def bots_for(data: dict[str, Any]) -> dict[str, tuple[Bot, type[Context]]]:
    at_hand = shared(data)
    empty: Callable[[], dict[str, Any]] = dict
    strict = session(initial=empty, storage=filled_storage(data), get_session_key=chat_key)
    plain = session(initial=lambda: dict(data), get_session_key=chat_key)
    lazy = lazy_session(initial=empty, storage=filled_storage(data), get_session_key=chat_key)
    by_default = lazy_session(initial=empty, storage=filled_storage(data))
    return {
        "bare": (bare_bot(count), at_hand),
        "isolation floor": (bot_with(isolation_floor(filled_table(data)), count), Context),
        "strict, in memory": (bot_with(strict, count), Context),
        "strict, untouched": (bot_with(strict, ignore), Context),
        "strict, held to JSON": (bot_with(plain, count), Context),
        "bare, ignoring": (bare_bot(ignore), at_hand),
        "lazy, untouched": (bot_with(lazy, ignore), Context),
        "lazy, untouched, keys.chat": (bot_with(by_default, ignore), Context),
        "lazy, nothing checked": (bot_with(show_and_take_away, ignore), Context),
        "equal wrapper": (bot_with(equal_wrapper, count), at_hand),
        "lock": (bot_with(locked_wrapper(), count), at_hand),
    }


ROWS = (
    # bot, its reference, the bare bot its cost is a multiple of, the goal
    ("isolation floor", "bare", "bare", None),
    ("strict, in memory", "bare", "bare", None),
    ("strict, in memory", "isolation floor", "bare", 2.5),
    ("strict, untouched", "bare", "bare", None),
    ("strict, held to JSON", "bare", "bare", None),
    ("lazy, nothing checked", "bare, ignoring", "bare, ignoring", None),
    ("lazy, untouched", "bare, ignoring", "bare, ignoring", 1.3),
    ("lazy, untouched, keys.chat", "bare, ignoring", "bare, ignoring", 1.3),
    ("lock", "equal wrapper", "bare", 0.4),
)


async def slice_of(bot: Bot, context: type[Context], updates: list[dict[str, Any]]) -> float:
    begin = perf_counter_ns()
    for update in updates:
        await bot(context(update))
    return (perf_counter_ns() - begin) / len(updates)


async def measure(
    bots: dict[str, tuple[Bot, type[Context]]], rounds: int, size: int
) -> dict[str, list[float]]:
    updates = [
        {"update_id": n, "message": {"chat": {"id": n * 7919 % CHATS}, "text": "hello"}}
        for n in range(CHATS)
    ]
    times: dict[str, list[float]] = {name: [] for name in bots}
    names = list(bots)
    for turn in range(-2, rounds):  # two rounds to warm up
        begin = turn * size % CHATS
        part = (updates + updates)[begin : begin + size]
        shift = turn % len(names)
        order = names[shift:] + names[:shift]
        for name in order if turn % 2 else order[::-1]:
            time = await slice_of(*bots[name], part)
            if turn >= 0:
                times[name].append(time)
    return times


def figure(times: dict[str, list[float]], bot: str, reference: str, bare: str) -> list[float]:
    rows = zip(times[bot], times[reference], times[bare], strict=True)
    return sorted((one - other) / unit for one, other, unit in rows)


def table(data_name: str, times: dict[str, list[float]]) -> str:
    lines = [
        f"| {data_name} | over | ns/update | added, in bare calls (quartiles) | goal |",
        "|---|---|---|---|---|",
        f"| bare | | {statistics.median(times['bare']):.0f} | | |",
    ]
    for bot, reference, bare, goal in ROWS:
        low, middle, high = statistics.quantiles(figure(times, bot, reference, bare), n=4)
        verdict = "" if goal is None else f"<= {goal}{'' if middle <= goal else ' MISSED'}"
        lines.append(
            f"| {bot} | {reference} | {statistics.median(times[bot]):.0f} "
            f"| {middle:.2f} ({low:.2f} to {high:.2f}) | {verdict} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    rounds = 30 if parser.parse_args().quick else 300
    print(f"Python {platform.python_version()}, {sys.platform}; {rounds} rounds of 500 updates")
    for name, data in (("small", SMALL), ("medium", MEDIUM)):
        print()
        print(table(name, asyncio.run(measure(bots_for(data), rounds, 500))))


if __name__ == "__main__":
    main()

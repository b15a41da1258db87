"""Ways through sessionkit alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import count as numbers
from typing import TYPE_CHECKING, Any

from pinned import PINNED

from overhead_ways.way import CHATS, Data, Way, fill
from sessionkit import (
    MemorySessionStorage,
    MultiSession,
    SQLiteSessionStorage,
    enhance_storage,
    errors,
    lazy_session,
    multi_session,
    session,
)
from sessionkit.adapters import Binding

if TYPE_CHECKING:
    from pathlib import Path


class Context:
    """What a framework makes of an update before it calls a handler."""

    def __init__(self, update: Data) -> None:
        message = update["message"]
        self.update = update
        self.message = message
        self.chat_id = message["chat"]["id"]
        self.text = message["text"]


class Numbered(Context):
    """The same with an update id that none has had before."""

    def __init__(self, number: Callable[[], int], update: Data) -> None:
        super().__init__(update)
        self.update_id = number()


def chat_key(ctx: Context) -> str:
    return str(ctx.chat_id)


async def count(ctx: Any) -> None:
    ctx.session["count"] += 1


async def count_field(ctx: Any) -> None:
    ctx.session.count += 1


async def count_lazy(ctx: Any) -> None:
    (await ctx.session)["count"] += 1


async def count_twice(ctx: Any) -> None:
    ctx.session.a["count"] += 1
    ctx.session.b["count"] += 1


async def ignore(ctx: Any) -> bool:
    return ctx.text == "/start"  # type: ignore[no-any-return]


def count_sync(ctx: Any) -> None:
    ctx.session["count"] += 1


def bump(data: Data) -> Data:
    data["count"] += 1
    return data


def same(data: Data) -> Data:
    return data


def middleware(sessions: Any, handler: Any, make: Any = Context) -> Callable[[Data], Any]:
    async def update(raw: Data) -> Any:
        return await sessions(make(raw), handler)

    return update


def bare(handler: Any, data: Any) -> Callable[[Data], Any]:
    """The same without sessions: the data is just there."""
    make: Any = type("AtHand", (Context,), {"session": data})

    async def update(raw: Data) -> Any:
        return await handler(make(raw))

    return update


def two_fragments(initial: Any, data: Data) -> Any:
    storage = MemorySessionStorage()

    class Both(MultiSession):
        a = session(initial=initial, storage=storage, get_session_key=chat_key, prefix="a")
        b = session(initial=initial, storage=storage, get_session_key=chat_key, prefix="b")

    for fragment, prefix in ((Both.a, "a"), (Both.b, "b")):
        fill(fragment, data, prefix)
    return multi_session(Both)


def ways(size: str, folder: Path) -> dict[str, Way]:
    data, kind, make = PINNED[size]

    def initial() -> Data:
        return dict(data)  # sessions copy what is in it

    def explicit(**options: Any) -> Any:
        storage = MemorySessionStorage(**options)
        return fill(session(initial=initial, storage=storage, get_session_key=chat_key), data)

    def lazily(**options: Any) -> Any:
        return fill(lazy_session(initial=initial, storage=MemorySessionStorage(), **options), data)

    strict = explicit()
    typed: Any = session(kind, initial=make, get_session_key=chat_key)
    fill(typed, data)
    plain = fill(session(initial=initial, get_session_key=chat_key), data)
    nothing = session(initial=initial, get_session_key=chat_key)
    lazy = lazily(get_session_key=chat_key)
    kept = SQLiteSessionStorage(folder / "core.db")
    durable = fill(session(initial=initial, storage=kept, get_session_key=chat_key), data)
    migrations: dict[int, Any] = {1: same, 2: same}
    enhanced = enhance_storage(MemorySessionStorage(), ttl=3600, migrations=migrations)
    late = fill(session(initial=initial, storage=enhanced, get_session_key=chat_key), data)
    bindings = {"dict": Binding(strict), "dataclass": Binding(typed), "SQLite": Binding(durable)}
    in_threads = strict.sync
    shared = type("AtHand", (Context,), {"session": dict(data)})
    both: Any = type("Fragments", (), {"a": dict(data), "b": dict(data)})()

    async def opened(raw: Data) -> None:
        async with strict.open(Context(raw)) as one:
            one.data["count"] += 1

    async def by_key(raw: Data) -> None:
        async with strict.open(Context(raw).chat_id) as one:
            one.data["count"] += 1

    async def updated(raw: Data) -> None:
        await strict.update(Context(raw).chat_id, bump)

    async def call(arguments: Data) -> None:
        arguments["session"].data["count"] += 1

    async def call_typed(arguments: Data) -> None:
        arguments["session"].data.count += 1

    def binding(name: str, call: Any) -> Any:
        run = bindings[name].run

        async def update(raw: Data) -> None:
            await run(Context(raw), call)

        return update

    def bare_sync(raw: Data) -> None:
        count_sync(shared(raw))

    def sync(raw: Data) -> None:
        in_threads(Context(raw), count_sync)

    def sync_opened(raw: Data) -> None:
        with strict.open(Context(raw)) as one:
            one.data["count"] += 1

    updates = [
        {"update_id": n, "message": {"chat": {"id": n * 7919 % CHATS}, "text": "hello"}}
        for n in range(CHATS)
    ]
    handlers = {
        "bare": bare(count, dict(data)),
        "bare field": bare(count_field, make()),
        "bare ignoring": bare(ignore, dict(data)),
        "bare two": bare(count_twice, both),
        "bare sync": bare_sync,
        "strict": middleware(strict, count),
        "default": middleware(plain, count),
        "dataclass": middleware(typed, count_field),
        "nothing": middleware(nothing, ignore),
        "open": opened,
        "open key": by_key,
        "update": updated,
        "lazy untouched": middleware(lazy, ignore),
        "lazy untouched keys.chat": middleware(lazily(), ignore),
        "lazy": middleware(lazy, count_lazy),
        "ttl": middleware(explicit(ttl=3600), count),
        "enhanced": middleware(late, count),
        "two": middleware(two_fragments(initial, data), count_twice),
        "binding": binding("dict", call),
        "binding dataclass": binding("dataclass", call_typed),
        "sync": sync,
        "sync open": sync_opened,
    }
    slow = {"SQLite": middleware(durable, count), "binding SQLite": binding("SQLite", call)}
    if hasattr(errors, "RepeatedUpdateError"):  # older versions have no once=
        again = partial(Numbered, numbers(1).__next__)
        once: dict[str, Any] = {"get_session_key": chat_key, "once": True}
        remembering = fill(session(initial=initial, storage=MemorySessionStorage(), **once), data)
        handlers["once"] = middleware(remembering, count, again)
        handlers["once default"] = middleware(
            fill(session(initial=initial, **once), data), count, again
        )
        handlers["once dataclass"] = middleware(
            fill(session(kind, initial=make, **once), data), count_field, again
        )
        kept_once = SQLiteSessionStorage(folder / "once.db")
        slow["once SQLite"] = middleware(
            fill(session(initial=initial, storage=kept_once, **once), data), count, again
        )
    quick = {name: Way(update, updates) for name, update in handlers.items()}
    return quick | {name: Way(update, updates, share=10) for name, update in slow.items()}

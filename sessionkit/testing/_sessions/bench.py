"""Sessions over the storage under test."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final, TypeAlias

from sessionkit import lazy_session, session
from sessionkit.testing._client import Client
from sessionkit.testing._equal import alike
from sessionkit.testing._sessions.noted import NotedStorage
from sessionkit.testing._show import show
from sessionkit.testing._subject import Subject
from sessionkit.testing.context import FakeContext

Change: TypeAlias = Callable[[Any], object]
Way: TypeAlias = "Callable[[Bench, Change], Coroutine[Any, Any, None]]"

_ZERO: Final = "lambda: {'n': 0}"


def zero() -> dict[str, Any]:
    """Return what a new chat begins with."""
    return {"n": 0}


def add_one(data: Any) -> None:
    """Count one more."""
    data["n"] += 1


class Bench:
    """Sessions over one opened storage, whose every step is written down.

    Args:
        client: The opened storage.

    Attributes:
        storage: What the sessions use: it notes what they ask, and can be made to fail.
    """

    def __init__(self, client: Client) -> None:
        self.client = client
        self.history = client.history
        self.storage = NotedStorage(client.storage, self.history, client.name)

    def sessions(self, name: str = "sessions", **options: Any) -> Any:
        """Return strict sessions that begin with ``{"n": 0}``."""
        return self._made(session, name, options)

    def lazy_sessions(self, **options: Any) -> Any:
        """Return lazy sessions that begin with ``{"n": 0}``."""
        return self._made(lazy_session, "sessions", options)

    def _made(self, make: Any, name: str, options: dict[str, Any]) -> Any:
        shown = {"initial": _ZERO, "storage": self.client.name}
        shown |= {each: show(given) for each, given in options.items() if each != "storage"}
        arguments = ", ".join(f"{each}={given}" for each, given in shown.items())
        self.history.note(f"{name} = {make.__name__}({arguments})")
        return make(**{"initial": zero, "storage": self.storage, **options})

    async def stored(self, expected: Any) -> None:
        """Break the promise unless *expected* is stored for chat 1."""
        await self.client.expect_read("1", expected)

    def expect(self, got: Any, expected: Any, what: str) -> None:
        """Break the promise unless two values are alike; *what* names them for people."""
        if not alike(got, expected):
            self.history.fail(expected=f"{what}: {expected!r}", got=repr(got))

    def nothing_written(self) -> None:
        """Break the promise if sessions wrote or deleted anything."""
        changed = [call for call in self.storage.calls if call.operation in ("write", "delete")]
        if changed:
            self.history.fail(expected="nothing is written", got=repr(changed[0]))


@asynccontextmanager
async def bench(subject: Subject, stored: Any = None) -> AsyncGenerator[Bench, None]:
    """Open the storage of a new namespace; *stored* (None: nothing) is there for chat 1."""
    async with subject.client() as client:
        if stored is not None:
            await client.write("1", stored)
        yield Bench(client)


# The ways to change what is stored for a chat.


async def _in_handler(bench: Bench, change: Change) -> None:
    sessions = bench.sessions()

    def handler(ctx: Any) -> None:
        change(ctx.session)

    bench.history.note(_line("await sessions(FakeContext(chat_id=1), handler)", change))
    await sessions(FakeContext(chat_id=1), handler)


async def _in_lazy_handler(bench: Bench, change: Change) -> None:
    sessions = bench.lazy_sessions()

    async def handler(ctx: Any) -> None:
        change(await ctx.session)

    bench.history.note(_line("await sessions(FakeContext(chat_id=1), handler)", change))
    await sessions(FakeContext(chat_id=1), handler)


async def _in_open_session(bench: Bench, change: Change) -> None:
    sessions = bench.sessions()
    bench.history.note(_line("async with sessions.open(1) as s: ...", change))
    async with sessions.open(1) as opened:
        change(opened.data)


async def _in_update(bench: Bench, change: Change) -> None:
    sessions = bench.sessions()

    def changed(data: Any) -> Any:
        change(data)
        return data

    bench.history.note(_line("await sessions.update(1, change)", change))
    await sessions.update(1, changed)


def _line(call: str, change: Change) -> str:
    return f"{call}  # {change.__doc__}"


WAYS: Final[tuple[Way, ...]] = (
    _in_handler,
    _in_lazy_handler,
    _in_open_session,
    _in_update,
)

"""Contexts, key functions and storages for the tests of sessions on contexts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias, TypeVar

from sessionkit import lazy_session, session
from tests.clocks import FakeTimeLoop

R = TypeVar("R")

Handler: TypeAlias = Callable[[Any], Any]


def run(main: Coroutine[Any, Any, R]) -> R:
    """Run *main* on a loop whose waits take no time."""
    with asyncio.Runner(loop_factory=FakeTimeLoop) as runner:
        return runner.run(main)


async def until(condition: Any) -> None:
    """Let others run until *condition* holds; an endless wait fails the test."""
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it did not get there")


class Ctx:
    """A plain object, as most frameworks hand them to handlers."""

    session: Any

    def __init__(self, chat: Any = "1") -> None:
        self.chat = chat


class Inline:
    """An update without a chat."""

    def __init__(self) -> None:
        self.update = {"inline_query": {"id": "1", "from": {"id": 3}}}
        self.inline_query = self.update["inline_query"]


NO_KEY = (
    "inline_query has no chat, so keys.chat gave no key. "
    "Use keys.chat_or_user, or check sessions.of(ctx).has_key."
)


def by_chat(ctx: Any) -> Any:
    return ctx.chat


async def update(sessions: Any, ctx: Any, handler: Handler) -> Any:
    """Handle an update: strict, lazy or multi."""
    return await sessions(ctx, handler)


def strict(**options: Any) -> Any:
    """Make sessions of dicts, keyed by ``ctx.chat``."""
    make: Any = session
    return make(dict, **{"get_session_key": by_chat, **options})


def lazy(**options: Any) -> Any:
    """Make lazy sessions of dicts, keyed by ``ctx.chat``."""
    make: Any = lazy_session
    return make(dict, **{"get_session_key": by_chat, **options})


class Spy:
    """A sync storage without any capability: keeps live references, and a log."""

    def __init__(self, **stored: Any) -> None:
        self.data: dict[str, Any] = {key.lstrip("_"): value for key, value in stored.items()}
        self.log: list[str] = []
        self.broken: set[str] = set()

    def read(self, key: str, /) -> Any:
        self._note("R", key)
        return self.data.get(key)

    def write(self, key: str, value: Any, /) -> Any:
        self._note("W", key)
        self.data[key] = value

    def delete(self, key: str, /) -> Any:
        self._note("D", key)
        self.data.pop(key, None)

    def _note(self, what: str, key: str) -> None:
        self.log.append(f"{what} {key}")
        if what in self.broken or f"{what} {key}" in self.broken:
            raise OSError(f"{what} {key} failed")

    @property
    def counts(self) -> str:
        """How often it was read, written, deleted from: "R1 W0 D0"."""
        return " ".join(f"{w}{sum(line[0] == w for line in self.log)}" for w in "RWD")


class AsyncSpy(Spy):
    """The same, async; each operation is suspended while ``gate`` is closed."""

    def __init__(self, **stored: Any) -> None:
        super().__init__(**stored)
        self.gate = asyncio.Event()
        self.gate.set()
        self.under_way: list[str] = []

    async def read(self, key: str, /) -> Any:
        await self._pass(f"R {key}")
        return super().read(key)

    async def write(self, key: str, value: Any, /) -> None:
        await self._pass(f"W {key}")
        super().write(key, value)

    async def delete(self, key: str, /) -> None:
        await self._pass(f"D {key}")
        super().delete(key)

    async def _pass(self, what: str) -> None:
        self.under_way.append(what)
        try:
            await self.gate.wait()
        finally:
            self.under_way.remove(what)


def assert_nothing_left(*all_sessions: Any) -> None:
    """Nobody holds or waits for a key, and no context is registered."""
    for sessions in all_sessions:
        settings = sessions._settings
        assert not settings.locks.held
        assert not settings.locks.waiting
        assert not settings.open_on

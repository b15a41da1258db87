"""Storages that misbehave on purpose, contexts and loops, for the tests of sessions."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar, cast

from sessionkit import (
    FileSessionStorage,
    MemorySessionStorage,
    Sessions,
    SQLiteSessionStorage,
    session,
)
from sessionkit._locks.owners import opened_by
from sessionkit.protocols import ANY, Expected, Revision
from tests.clocks import FakeTimeLoop

if TYPE_CHECKING:
    from pathlib import Path

R = TypeVar("R")

Data = dict[str, Any]

STORAGES = ("memory", "file", "sqlite")


def run(main: Coroutine[Any, Any, R]) -> R:
    """Run *main* on a loop whose waits take no time."""
    with asyncio.Runner(loop_factory=FakeTimeLoop) as runner:
        return runner.run(main)


def make_storage(kind: str, folder: Path, **options: Any) -> Any:
    """Open one of the storages of the core."""
    if kind == "memory":
        return MemorySessionStorage(**options)
    if kind == "file":
        return FileSessionStorage(folder / "sessions", **options)
    return SQLiteSessionStorage(folder / "sessions.db", **options)


class Ctx:
    """A context of a user's own: a plain object with a chat."""

    session: Any

    def __init__(self, chat: int | str | None = 1) -> None:
        self.chat = chat


@dataclass
class Pet:
    """Declared data."""

    name: str = ""
    age: int = 0


class Oops(Exception):
    """What handlers raise."""


def by_chat(ctx: Any) -> Any:
    """The chat of a context; as text, which is the quickest way through."""
    chat: Any = cast("Any", ctx)["chat"] if isinstance(ctx, dict) else ctx.chat
    return str(chat) if type(chat) is int else chat


class Live:
    """A bare dict, as users write it: hands out what it holds, knows no revisions."""

    def __init__(self, **values: Any) -> None:
        self.values: dict[str, Any] = values
        self.calls: list[tuple[str, str]] = []

    def read(self, key: str, /) -> Any:
        self.calls.append(("read", key))
        return self.values.get(key)

    def write(self, key: str, value: Any, /) -> None:
        self.calls.append(("write", key))
        self.values[key] = value

    def delete(self, key: str, /) -> None:
        self.calls.append(("delete", key))
        self.values.pop(key, None)

    def count(self, verb: str) -> int:
        return sum(called == verb for called, _ in self.calls)


class Remote:
    """An async storage with revisions, as behind a network: a write can be held up, or fail."""

    def __init__(self, **values: Any) -> None:
        self.values: dict[str, tuple[Any, int]] = {
            key: (value, number) for number, (key, value) in enumerate(values.items())
        }
        self.calls: list[tuple[str, str]] = []
        self.faults: dict[tuple[str, int], Exception] = {}
        """What the nth call of a method raises, instead of doing anything."""
        self.gates: dict[str, asyncio.Event] = {}
        """What the calls of a method wait for, before they do anything."""
        self.begun = asyncio.Event()
        """Set when a call waits at its gate."""
        self._revision = 1000

    def count(self, verb: str) -> int:
        return sum(called == verb for called, _ in self.calls)

    def fail(self, verb: str, call: int | None = None) -> None:
        """Let the next (or nth) call of a method fail."""
        self.faults[verb, call or self.count(verb) + 1] = OSError(f"{verb} failed")

    async def _enter(self, verb: str, key: str) -> None:
        self.calls.append((verb, key))
        fault = self.faults.get((verb, self.count(verb)))
        if fault is not None:
            raise fault
        if verb in self.gates:
            self.begun.set()
            await self.gates[verb].wait()
        await asyncio.sleep(0)

    async def read(self, key: str, /) -> Any:
        return (await self.read_with_revision(key))[0]

    async def write(self, key: str, value: Any, /) -> None:
        await self.write_if(key, value, ANY)

    async def delete(self, key: str, /) -> None:
        await self.write_if(key, None, ANY)

    async def read_with_revision(self, key: str, /) -> tuple[Any, Revision | None]:
        await self._enter("read", key)
        value, revision = self.values.get(key, (None, None))
        return copy.deepcopy(value), revision

    async def write_if(self, key: str, value: Any, expected: Expected, /) -> Revision | None:
        from sessionkit.errors import SessionConflictError

        await self._enter("write", key)
        if expected is not ANY and self.values.get(key, (None, None))[1] != expected:
            raise SessionConflictError("changed", key=key)
        return self.put(key, value)

    def put(self, key: str, value: Any) -> Revision | None:
        """Write as another process would."""
        self._revision += 1
        if value is None:
            self.values.pop(key, None)
            return None
        self.values[key] = (copy.deepcopy(value), self._revision)
        return self._revision

    def value(self, key: str) -> Any:
        return self.values.get(key, (None, None))[0]


@dataclass
class Lock:
    """A lock for ``lock=``, that notes what happens in which order."""

    log: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    fail_on: str = ""

    async def acquire(self, key: str) -> str:
        await self._note("acquire", key)
        return f"token of {key}"

    async def release(self, key: str, held: str) -> None:
        assert held == f"token of {key}"
        await self._note("release", key)

    async def _note(self, verb: str, key: str) -> None:
        if self.fail_on == verb:
            raise OSError(f"{verb} failed")
        await asyncio.sleep(0)
        self.log.append((verb, key))


class Clocked:
    """A clock that a test sets."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


async def until(condition: Callable[[], object]) -> None:
    """Let the loop run until something is so."""
    for _ in range(10_000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came to that")


def free(sessions: Any) -> bool:
    """Whether nobody holds a key of these sessions, or waits for one."""
    settings = sessions._settings
    owned = [holder for holders in opened_by.values() for holder in holders]
    return not (
        settings.locks.held
        or settings.locks.waiting
        or settings.open_on
        or any(getattr(holder, "_settings", None) is settings for holder in owned)
    )


def zero() -> dict[str, Any]:
    return {"n": 0}


def counters(storage: Any = None, **options: Any) -> Sessions[dict[str, Any]]:
    """Sessions that begin with ``{"n": 0}``."""
    others: dict[str, Any] = {"get_session_key": by_chat, **options}
    if storage is not None:
        others["storage"] = storage
    initial = others.pop("initial", zero)
    made: Sessions[Any] = session(initial=initial, **others)
    return made


def total(theirs: Data, mine: Data) -> Data:
    """Merge two counts."""
    return {"n": theirs["n"] + mine["n"]}


def add(data: Data) -> Data:
    """Count one more."""
    return {"n": data["n"] + 1}


async def listed(entries: AsyncIterator[Any]) -> list[Any]:
    """All that an async iterator gives, sorted."""
    return sorted([entry async for entry in entries])

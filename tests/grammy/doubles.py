"""Storages for the mirror: what is in them can be looked at and changed from outside."""

from __future__ import annotations

import asyncio
from copy import deepcopy
from typing import TYPE_CHECKING, Any, Protocol, Self

from sessionkit import MemorySessionStorage
from tests.grammy.outcome import Call, Op
from tests.grammy.process import JSError
from tests.grammy.wire import JSON, UNDEFINED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class ThrownError(Exception):
    """Raised by the step ``Raise``, and by everything that was made to fail."""


class OwnStorage(Protocol):
    """A storage for the mirror: what is in it can be looked at and changed from outside."""

    @property
    def storage(self) -> Any:
        """What the sessions get."""
        ...

    def recorded(self) -> list[Call] | None:
        """Return the calls since the last time this was asked; None if none are recorded."""
        ...

    def raw(self, key: str) -> JSON:
        """Return what is stored, UNDEFINED for nothing."""
        ...

    def put(self, key: str, raw: JSON) -> None:
        """Store *raw*; UNDEFINED removes what is there."""
        ...


class Recorded:
    """Three async methods; each call takes a turn of the loop, is recorded, and can fail."""

    def __init__(self, stored: Mapping[str, JSON] | None = None) -> None:
        self.stored = dict(stored or {})
        self.calls: list[Call] = []
        self.failing: set[Op] = set()

    @property
    def storage(self) -> Self:
        """What the sessions get: this."""
        return self

    async def read(self, key: str) -> JSON:
        """Return a copy of what is stored."""
        value = self.stored.get(key, UNDEFINED)
        await self._call(Call("R", key, deepcopy(value)), Call("R", key))
        return None if value is UNDEFINED else deepcopy(value)

    async def write(self, key: str, value: JSON) -> None:
        """Store a copy of *value*."""
        value = deepcopy(value)
        await self._call(Call("W", key, value), Call("W", key, value))
        self.stored[key] = value

    async def delete(self, key: str) -> None:
        """Remove *key*."""
        await self._call(Call("D", key), Call("D", key))
        self.stored.pop(key, None)

    def recorded(self) -> list[Call]:
        """Return the calls since the last time this was asked."""
        calls, self.calls = self.calls, []
        return calls

    def fail(self, *ops: Op) -> None:
        """Let each call of *ops* raise from now on, and all others work."""
        self.failing = set(ops)

    def raw(self, key: str) -> JSON:
        """Return what is stored, UNDEFINED for nothing."""
        return deepcopy(self.stored.get(key, UNDEFINED))

    def put(self, key: str, raw: JSON) -> None:
        """Store *raw*; UNDEFINED removes what is there."""
        self.stored[key] = deepcopy(raw)
        if raw is UNDEFINED:
            del self.stored[key]

    async def _call(self, done: Call, failed: Call) -> None:
        if done.op not in self.failing:
            self.calls.append(done)
            await asyncio.sleep(0)
            return
        message = f"{done.op} of {done.key} was made to fail"
        self.calls.append(Call(failed.op, failed.key, failed.value, JSError("Error", message)))
        await asyncio.sleep(0)
        raise ThrownError(message)


class Memory:
    """The storage of the core, with all it can do; nothing is recorded."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.storage = MemorySessionStorage(clock=clock)

    def recorded(self) -> None:
        """Return None: nothing is."""

    def raw(self, key: str) -> JSON:
        """Return what is stored, UNDEFINED for nothing."""
        value = self.storage.read(key)
        return UNDEFINED if value is None else value

    def put(self, key: str, raw: JSON) -> None:
        """Store *raw*; UNDEFINED removes what is there."""
        if raw is UNDEFINED:
            self.storage.delete(key)
        else:
            self.storage.write(key, raw)

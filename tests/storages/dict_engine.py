"""An engine in memory, for the tests of what is over engines; faults can be put into it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from sessionkit import SessionError
from sessionkit.protocols import ANY
from sessionkit.storages.authoring import Stored, UnknownOutcomeError, Write

PAGE = 3


class DictEngine:
    """Keeps what it is given in a dict.

    Attributes:
        calls: What was asked for: the name of the method, and the keys.
        lost: Called with each write that was done; if true, its reply is lost.
        undone: Called with each write; if true, it is lost on the way there.
        blind: Whether nothing can be looked for.
        failure: What writing raises.
        gate: If set, each call waits for it.
    """

    where = "in a dict"

    def __init__(self, rows: dict[str, Stored] | None = None, *, waits: bool = True) -> None:
        self.rows: dict[str, Stored] = {} if rows is None else rows
        self.calls: list[tuple[str, list[str]]] = []
        self.lost: Callable[[Write], bool] = lambda _: False
        self.undone: Callable[[Write], bool] = lambda _: False
        self.broken: Callable[[str], bool] = lambda _: False
        self.blind = False
        self.failure: BaseException | None = None
        self.gate: asyncio.Event | None = None
        self._waits = waits
        self._mutex = threading.Lock()

    async def load(self, keys: Sequence[str]) -> Sequence[Stored | SessionError | None]:
        await self._called("load", keys)
        if self.blind:
            raise SessionError("no server")
        return [SessionError("broken") if self.broken(key) else self.rows.get(key) for key in keys]

    async def expiries(
        self, keys: Sequence[str]
    ) -> Sequence[tuple[float | None] | SessionError | None]:
        await self._called("expiries", keys)
        return [None if key not in self.rows else (self.rows[key].expires,) for key in keys]

    async def apply(self, writes: Sequence[Write]) -> Sequence[bool | SessionError]:
        await self._called("apply", [write.key for write in writes])
        if self.failure is not None:
            raise self.failure
        return [self._outcome(write) for write in writes]

    async def touch(self, key: str, expires: float | None, now: float) -> bool:
        with self._mutex:
            row = self.rows.get(key)
            if not self._is_alive(row, now):
                return False
            if row is not None and row.expires is not None and expires is not None:
                self.rows[key] = row._replace(expires=expires)
            return True

    async def pages(self, prefix: str) -> AsyncIterator[Sequence[str]]:
        keys = [key for key in list(self.rows) if key.startswith(prefix)]
        for start in range(0, len(keys), PAGE):
            yield keys[start : start + PAGE]

    async def purge(self, now: float) -> AsyncIterator[int]:
        with self._mutex:
            gone = [key for key, row in self.rows.items() if not self._is_alive(row, now)]
            for key in gone:
                del self.rows[key]
        yield len(gone)

    async def close(self) -> None:
        self.calls.append(("close", []))

    async def _called(self, name: str, keys: Sequence[str]) -> None:
        self.calls.append((name, list(keys)))
        if self.gate is not None:
            await self.gate.wait()
        elif self._waits:
            await asyncio.sleep(0)

    def _outcome(self, write: Write) -> bool | SessionError:
        if self.undone(write):
            return UnknownOutcomeError("the connection was lost")
        with self._mutex:
            done = self._write(write)
        return UnknownOutcomeError("the connection was lost") if self.lost(write) else done

    def _write(self, write: Write) -> bool:
        row = self.rows.get(write.key)
        if not self._fits(row, write):
            return False
        if write.raw is None:
            if write.expected is not None:
                self.rows.pop(write.key, None)
        else:
            self.rows[write.key] = Stored(write.raw, write.token, write.expires)
        return True

    def _fits(self, row: Stored | None, write: Write) -> bool:
        if write.expected is ANY:
            return True
        if write.expected is None:
            return not self._is_alive(row, write.now)
        if row is not None and row.revision == write.expected:
            return True
        return write.lapsed and not self._is_alive(row, write.now)

    def _is_alive(self, row: Stored | None, now: float) -> bool:
        return row is not None and (row.expires is None or row.expires > now)


def keys_of(calls: Sequence[tuple[str, list[str]]], name: str) -> list[Any]:
    """The keys of each call of one method."""
    return [keys for method, keys in calls if method == name]

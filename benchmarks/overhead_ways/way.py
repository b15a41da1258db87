"""A way to handle an update, and what ways have in common."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from inspect import iscoroutinefunction
from time import process_time_ns
from typing import TYPE_CHECKING, Any

from pinned import PINNED

from sessionkit import MemorySessionStorage, SQLiteSessionStorage, session

if TYPE_CHECKING:
    import asyncio
    from pathlib import Path

CHATS = 10_000

Data = dict[str, Any]


@dataclass
class Way:
    """One way to handle an update, given one of *updates*.

    Attributes:
        update: Handles one; a plain function is a way for threads.
        updates: As many as there are chats.
        share: Slices of slow ways have only this share of the updates.
    """

    update: Callable[[Any], Any]
    updates: list[Any]
    share: int = 1

    def slice(self, runner: asyncio.Runner, begin: int, size: int) -> float:
        at = begin % CHATS
        part = (self.updates[at:] + self.updates[:at])[: max(1, size // self.share)]
        if iscoroutinefunction(self.update):
            spent = runner.run(_slice(self.update, part))
        else:
            spent = _slice_in_thread(self.update, part)
        return spent / len(part)


async def _slice(handle: Callable[[Any], Awaitable[Any]], part: list[Any]) -> int:
    begun = process_time_ns()
    for update in part:
        await handle(update)
    return process_time_ns() - begun


def _slice_in_thread(handle: Callable[[Any], Any], part: list[Any]) -> int:
    begun = process_time_ns()
    for update in part:
        handle(update)
    return process_time_ns() - begun


def fill(sessions: Any, data: Data, prefix: str = "") -> Any:
    values = {f"{prefix}{n}": {**data, "count": n} for n in range(CHATS)}
    getattr(sessions.storage, "sync", sessions.storage).write_many(values)
    return sessions


def stored(size: str, *, typed: bool, file: Path | None = None) -> Any:
    """Sessions with the default key, of dicts or of a dataclass, in SQLite if there is a *file*.

    Dicts in memory are in an explicit storage; a dataclass is given none, as in the README.
    """
    data, kind, make = PINNED[size]
    options: dict[str, Any] = {"data_type": kind, "initial": make} if typed else {"initial": dict}
    if file is not None:
        options["storage"] = SQLiteSessionStorage(file)
    elif not typed:
        options["storage"] = MemorySessionStorage()
    return fill(session(**options), data)


def raw_updates() -> list[Data]:
    return [
        {
            "update_id": n,
            "message": {
                "message_id": n,
                "date": 1_700_000_000,
                "chat": {"id": n * 7919 % CHATS, "type": "private", "first_name": "Ann"},
                "from": {"id": n * 7919 % CHATS, "is_bot": False, "first_name": "Ann"},
                "text": "hello",
            },
        }
        for n in range(CHATS)
    ]

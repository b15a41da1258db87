"""A bot that ends without warning at a point of its handling of an update; run as a script.

    python -m tests.once.crashing FOLDER KIND POINT

Handles update 1 of chat 5 and kills itself at POINT, or at none.  At its end it prints what
was returned, what ``redelivered`` was, and which data is stored.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any, Final, NoReturn

from sessionkit import REPEATED, MultiSession, multi_session, session
from tests.core import make_storage, total, zero
from tests.once.updates import Update

POINTS: Final = (
    "before the session is read",
    "after the change, before any write",
    "after the message, without `save()`",
    "when `save()` has begun to write",
    "after `save()`, before the message",
    "after `save()` and the message",
    "in `paused()`",
    "when the end has begun to write",
    "when the end has written, before the key is free",
    "after the end, before the update is acknowledged",
    "after a delete has been written at the end",
    "between the write of another session and that of the id",
    "between the two writes of `move()`",
    "after the data was moved, before the end",
)

READ: Final = {"before the session is read": 1}
WRITE: Final = {
    "when `save()` has begun to write": 1,
    "when the end has begun to write": 1,
    "between the write of another session and that of the id": 2,
    "between the two writes of `move()`": 2,
}
WRITTEN: Final = {
    "when the end has written, before the key is free": 1,
    "after a delete has been written at the end": 2,
}


def die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


class Dying:
    """A storage on the way to which, or back from which, the process ends."""

    def __init__(self, storage: Any, point: str) -> None:
        self.wrapped = storage
        self._point = point
        self._reads = self._writes = 0

    async def read(self, key: str, /) -> Any:
        return await self.wrapped.read(key)

    async def write(self, key: str, value: Any, /) -> None:
        raise AssertionError

    async def delete(self, key: str, /) -> None:
        raise AssertionError

    async def read_with_revision(self, key: str, /) -> Any:
        self._reads += 1
        if READ.get(self._point) == self._reads:
            die()
        return await self.wrapped.read_with_revision(key)

    async def write_if(self, key: str, value: Any, expected: Any, /) -> Any:
        self._writes += 1
        if WRITE.get(self._point) == self._writes:
            die()
        revision = await self.wrapped.write_if(key, value, expected)
        if WRITTEN.get(self._point) == self._writes:
            die()
        return revision


class Bot:
    def __init__(self, folder: Path, kind: str, point: str, *, careful: bool) -> None:
        self._folder = folder
        self._point = point
        self._careful = careful
        self.redelivered: bool | None = None
        self.storage = make_storage(kind, folder)
        dying = Dying(self.storage, point)

        class Both(MultiSession):
            other = session(initial=zero, storage=dying, prefix="o:")
            own = session(initial=zero, storage=dying, once=True)

        self.sessions = Both.own
        self._several = "another session" in os.environ["SCENARIO"]
        self.both: Any = multi_session(Both) if self._several else Both.own

    def at(self, point: str) -> None:
        if point == self._point:
            die()

    def send(self) -> None:
        with (self._folder / "sent").open("a") as sent:
            sent.write("message\n")

    async def handle(self, ctx: Any) -> None:
        opened: Any = self.sessions.of(ctx)
        self.redelivered = opened.redelivered
        scenario = os.environ["SCENARIO"]
        if not (self._careful and opened.redelivered):
            opened.data["n"] += 1
            if self._several:
                ctx.session.other["n"] += 1
            self.at("after the change, before any write")
            if "delete" in scenario or ("save" in scenario and "without" not in scenario):
                await opened.save()
        self.at("after `save()`, before the message")
        if "paused" in scenario:
            async with opened.paused():
                self.at("in `paused()`")
        if "move" in scenario:
            await opened.move(9, total)
            self.at("after the data was moved, before the end")
        if "delete" in scenario:
            del opened.data
        self.send()
        self.at("after the message, without `save()`")
        self.at("after `save()` and the message")

    async def run(self) -> None:
        result = await self.both(Update(1), self.handle)
        self.at("after the end, before the update is acknowledged")
        print(
            json.dumps(
                {
                    "ran": result is not REPEATED,
                    "redelivered": self.redelivered,
                    "stored": [await self.sessions.get(5), await self.sessions.get(9)],
                    "exists": await self.sessions.exists(5),
                    "other": await self.storage.read("o:5"),
                }
            )
        )
        await self.storage.close()


async def main() -> None:
    folder, kind, point = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    await Bot(folder, kind, point, careful="careful" in sys.argv).run()


if __name__ == "__main__":
    asyncio.run(main())

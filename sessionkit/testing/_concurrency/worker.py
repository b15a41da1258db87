"""A process that uses a storage on request; run as a module."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from types import FrameType
from typing import Any, Final

from sessionkit.errors import SessionConflictError
from sessionkit.testing._concurrency.channel import Channel
from sessionkit.testing._concurrency.pickled import Opener, PickledFactory
from sessionkit.testing._concurrency.places import Place
from sessionkit.testing._concurrency.stops import Act, Recorder, StopAt, Stops
from sessionkit.testing._ops import (
    Op,
    Outcome,
    answered,
    look,
    perform,
    raised,
    seen_by,
    write_if,
)

END: Final = ("end",)
GO_ON: Final = ("go on",)
_MOMENT: Final = 2e-4


class Worker:
    """Does what messages say, one after the other.

    Args:
        channel: Where messages come from, and answers go.
        opener: Opens the storages.
    """

    def __init__(self, channel: Channel, opener: Opener) -> None:
        self._channel = channel
        self._opener = opener
        self._stack = AsyncExitStack()
        self._storage: Any = None
        self._seen: dict[str, Any] = {}
        self._stops = Stops()
        self.go_on = threading.Event()

    async def open(self, namespace: str, now: float) -> Outcome:
        """Open the storage of *namespace*, whose clock shows *now*."""
        with self._stops.watching(threads=True):
            self._storage = await self._opener.open(namespace, now, self._stack)
        return answered(None)  # pragma: no cover (after watching())

    async def close(self) -> Outcome:
        """Close the storage that is open."""
        await self._stack.aclose()
        return answered(None)

    async def do(self, op: Op, stop: int) -> Outcome:
        """Do *op*; at its point number *stop*, say so and wait for word."""
        self.go_on.clear()

        return await self._watched(op, StopAt(stop, self._pause))

    async def record(self, op: Op) -> list[Place]:
        """Do *op*, and return the points it comes to."""
        recorder = Recorder()
        await self._watched(op, recorder)
        return recorder.places  # pragma: no cover (after watching())

    async def count(self, key: str, times: int) -> Outcome:
        """Add one by conditional writes, *times* times; the answer is how often it went through."""
        with self._stops.watching(threads=True):
            self._stops.arm(linger)
            done = await add(self._storage, key, times)
            self._stops.arm(None)
        return answered(done)  # pragma: no cover (after watching())

    def _pause(self, place: Place) -> None:
        self._channel.send("paused", place)
        self.go_on.wait()

    async def _watched(self, op: Op, act: Act) -> Outcome:
        with self._stops.watching(threads=True):
            self._stops.arm(act)
            try:
                outcome = answered(await perform(self._storage, op, self._seen))
                return outcome._replace(revision=_portable(seen_by(op, self._seen)))
            finally:
                self._stops.arm(None)


def _portable(revision: object) -> object:
    """Return what means the same in other processes, None if that is uncertain."""
    return revision if isinstance(revision, str | int | bytes) else None


def linger(_number: int, _frame: FrameType, _event: str) -> None:
    """Give other processes time to come in between."""
    time.sleep(_MOMENT)


async def add(storage: Any, key: str, times: int) -> int:
    """Add one by conditional writes, *times* times; return how often it went through."""
    seen: dict[str, Any] = {}
    done = 0
    while done < times:
        value = await perform(storage, look(key), seen)
        with suppress(SessionConflictError):
            await perform(storage, write_if(key, (value or 0) + 1), seen)
            done += 1
    return done


async def serve(channel: Channel, pickled: PickledFactory) -> None:
    """Do what messages say, until there are none."""
    worker = Worker(channel, Opener(pickled))
    channel.send("ready")
    inbox: asyncio.Queue[tuple[Any, ...]] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def deliver(message: tuple[Any, ...]) -> None:
        loop.call_soon_threadsafe(inbox.put_nowait, message)

    threading.Thread(target=_listen, args=(channel, worker.go_on, deliver), daemon=True).start()
    while (message := await inbox.get()) != END:
        method, *arguments = message
        try:
            channel.send("done", await getattr(worker, method)(*arguments))
        except Exception as error:  # noqa: BLE001  # pragma: no cover (after watching())
            channel.send("done", raised(error)._replace(error=None))


def _listen(channel: Channel, go_on: threading.Event, deliver: Callable[[Any], object]) -> None:
    message: tuple[Any, ...] = ()
    while message != END:
        message = channel.receive() or END
        if message != GO_ON:
            deliver(message)
        if message in (GO_ON, END):  # at the end, nobody is there any more who could say so
            go_on.set()


def main() -> None:
    """Serve the process that started this one."""
    channel = Channel.of_this_process()
    message = channel.receive()
    assert message is not None
    asyncio.run(serve(channel, *message))


if __name__ == "__main__":
    main()

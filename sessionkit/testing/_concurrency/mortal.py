"""Processes that are killed in the middle of a call; run as a module.

This process opens nothing itself.  For each call that is to be killed it forks: the child
opens the storage, and ends by SIGKILL, as a machine or an administrator would end it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import warnings
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

from sessionkit.testing._concurrency.channel import Channel
from sessionkit.testing._concurrency.ops import Op, perform
from sessionkit.testing._concurrency.parcel import Opener, Parcel
from sessionkit.testing._concurrency.places import Place
from sessionkit.testing._concurrency.stops import Act, Recorder, StopAt, Stops
from sessionkit.testing._show import show


def kill_this_process() -> None:
    """End as ``kill -9`` ends a process: at once, and nothing more is done."""
    os.kill(os.getpid(), signal.SIGKILL)


class Life:
    """What one child does.

    Args:
        channel: Where it says what it does.
        opener: Opens the storages.
        namespace: Which one to open.
        now: What its clock shows.
    """

    def __init__(self, channel: Channel, opener: Opener, namespace: str, now: float) -> None:
        self._channel = channel
        self._open = partial(opener.open, namespace, now)
        self._stops = Stops()

    async def end_in(self, confirmed: Sequence[Op], op: Op, stop: int) -> None:
        """Do what is *confirmed*, then *op* up to its point number *stop*, or past its end."""
        await self._live(confirmed, op, StopAt(stop, self._die))
        self._die(None)  # pragma: no cover (after watching())

    async def leave(self, ops: Sequence[Op]) -> None:
        """Do *ops*, close the storage, and end."""
        async with AsyncExitStack() as stack:
            storage = await self._open(stack)
            for each in ops:
                await perform(storage, each, {})
        self._channel.send("left", None)

    async def record(self, confirmed: Sequence[Op], op: Op) -> None:
        """Do the same, and tell the points that it comes to."""
        recorder = Recorder()
        await self._live(confirmed, op, recorder)
        self._channel.send("places", recorder.places)  # pragma: no cover (after watching())
        kill_this_process()  # pragma: no cover (after watching())

    def _die(self, place: Place | None) -> None:
        self._channel.send("dies", place)
        kill_this_process()

    async def _live(self, confirmed: Sequence[Op], op: Op, act: Act) -> None:
        seen: dict[str, object] = {}
        with self._stops.watching(threads=True):
            storage = await self._open(AsyncExitStack())
            for each in confirmed:
                await perform(storage, each, seen)
            self._stops.arm(act)
            await perform(storage, op, seen)
            self._stops.arm(None)


def _fork(channel: Channel, life: Callable[[], None]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads that a module began
        child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    try:
        life()
    except BaseException as error:  # noqa: BLE001  # pragma: no cover (after watching())
        channel.send("failed", f"raised {show(error)}")
    finally:
        kill_this_process()


def serve(channel: Channel, parcel: Parcel) -> None:
    """Beget and bury, until there are no messages."""

    async def unpack() -> Opener:
        return Opener(parcel)

    opener = asyncio.run(unpack())  # in a loop: a script that calls asyncio.run() must not run
    channel.send("ready")
    while (message := channel.receive()) not in (None, ("end",)):
        assert message is not None
        method, namespace, now, *arguments = message
        life = getattr(Life(channel, opener, namespace, now), method)
        _fork(channel, partial(_live, life, arguments))
        channel.send("buried")


def _live(life: Callable[..., Coroutine[Any, Any, None]], arguments: Sequence[Any]) -> None:
    asyncio.run(life(*arguments))


def main() -> None:
    """Serve the process that started this one."""
    channel = Channel.of_this_process()
    message = channel.receive()
    assert message is not None
    serve(channel, *message)


if __name__ == "__main__":
    main()

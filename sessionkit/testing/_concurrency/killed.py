"""Processes that are killed in the middle of a call; run as a module.

This process opens nothing itself.  For each call that is to be killed it forks: the child
opens the storage, and ends by SIGKILL, as a machine or an administrator would end it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import warnings
from collections.abc import Sequence
from typing import Any

from sessionkit.testing._concurrency.channel import Channel
from sessionkit.testing._concurrency.pickled import Opener, PickledFactory
from sessionkit.testing._concurrency.places import Place
from sessionkit.testing._concurrency.worker import Worker
from sessionkit.testing._show import show


def kill_this_process() -> None:
    """End as ``kill -9`` ends a process: at once, and nothing more is done."""
    os.kill(os.getpid(), signal.SIGKILL)


class KilledWorker(Worker):
    """A child: where a worker would be paused, it is killed."""

    async def run(self, messages: Sequence[Sequence[Any]]) -> None:
        """Do what *messages* say, one after the other, and send what the last one gave."""
        given: Any = None
        for method, *arguments in messages:  # pragma: no cover (watched, see Stops)
            given = await getattr(self, method)(*arguments)
        self._channel.send("ended", given)  # pragma: no cover (after watching())

    def _pause(self, place: Place) -> None:  # pragma: no cover (it is killed here)
        self._channel.send("dies", place)
        kill_this_process()


def _fork(channel: Channel, opener: Opener, messages: Sequence[Sequence[Any]]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads that a module began
        child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    try:
        asyncio.run(KilledWorker(channel, opener).run(messages))
    except BaseException as error:  # noqa: BLE001  # pragma: no cover (after watching())
        channel.send("failed", f"raised {show(error)}")
    finally:
        kill_this_process()


def serve(channel: Channel, pickled: PickledFactory) -> None:
    """Fork a child per request and wait for it, until EOF."""

    async def unpack() -> Opener:
        return Opener(pickled)

    opener = asyncio.run(unpack())  # in a loop: a script that calls asyncio.run() must not run
    channel.send("ready")
    while (messages := channel.receive()) not in (None, ("end",)):
        assert messages is not None
        _fork(channel, opener, messages)
        channel.send("gone")


def main() -> None:
    """Serve the process that started this one."""
    channel = Channel.of_this_process()
    message = channel.receive()
    assert message is not None
    serve(channel, *message)


if __name__ == "__main__":
    main()

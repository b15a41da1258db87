"""Other processes that use the same storage, seen from the process of the test."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, suppress
from functools import partial
from typing import Any, Final, Self

from sessionkit.testing._concurrency.actors import NEVER
from sessionkit.testing._concurrency.channel import Channel
from sessionkit.testing._concurrency.pickled import PickledFactory, pickled_factory
from sessionkit.testing._concurrency.threads import in_thread
from sessionkit.testing._history import History
from sessionkit.testing._needs import LeftOut
from sessionkit.testing._ops import read
from sessionkit.testing._subject import Subject

_FAREWELL: Final = 5.0
_TAIL: Final = 400


class Gone(Exception):  # noqa: N818 (it reads as what it says)
    """Raised if a process has ended that was still needed; the text is what it said last."""


class WorkerProcess:
    """A process of its own, which does what it is sent.

    Args:
        module: What it runs.
        pickled: What it needs to open storages.
    """

    def __init__(self, module: str, pickled: PickledFactory) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed by kill)
        self._process = subprocess.Popen(  # noqa: S603 (this very Python)
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path or "." for path in sys.path)},
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._channel = Channel(self._process.stdout, self._process.stdin)
        self._channel.send(pickled)
        self._inbox: asyncio.Queue[tuple[Any, ...] | None] = asyncio.Queue()
        self._is_ready = False
        in_thread(partial(self._listen, asyncio.get_running_loop()))

    async def begin(self) -> None:
        """Wait until it can be asked.

        Raises:
            Gone: It has ended before.
        """
        if not self._is_ready:
            await self.receive()
            self._is_ready = True

    def end(self) -> None:
        """Let it end by itself, but do not wait for long."""
        self.send("end")
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_FAREWELL)
        self.kill()

    def kill(self) -> None:
        """End it at once, and what it has begun."""
        if hasattr(os, "killpg"):  # pragma: no branch (everywhere but on Windows)
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        self._process.communicate()
        self._errors.close()

    def send(self, *message: Any) -> None:
        """Send a message; one that nobody reads any more is lost."""
        try:
            self._channel.send(*message)
        except OSError:
            return

    async def receive(self) -> tuple[Any, ...]:
        """Return the next message.

        Raises:
            Gone: The process has ended.
        """
        message = await self._inbox.get()
        if message is None:
            msg = f"the process has ended: {self._last_words()}"
            raise Gone(msg)
        return message

    async def ask(self, *message: Any) -> Any:
        """Send a message, and return what is answered."""
        self.send(*message)
        return (await self.receive())[1]

    def _listen(self, loop: asyncio.AbstractEventLoop) -> None:
        with suppress(RuntimeError, OSError, ValueError):  # nobody waits any more
            while True:
                message = self._channel.receive()
                loop.call_soon_threadsafe(self._inbox.put_nowait, message)
                if message is None:
                    return

    def _last_words(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1][:_TAIL] if lines else "it ended without a word"


class IdleWorkers:
    """Processes that wait for the next promise: to begin one takes longer than most promises."""

    def __init__(self) -> None:
        self._peers: dict[str, list[WorkerProcess]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        for running in self._peers.values():
            for process in running:
                process.end()

    def running(self, module: str) -> list[WorkerProcess]:
        """Return those that run *module*."""
        return self._peers.setdefault(module, [])


WORKER: Final = "sessionkit.testing._concurrency.worker"


@asynccontextmanager
async def workers(
    subject: Subject, count: int, module: str = WORKER
) -> AsyncGenerator[list[WorkerProcess], None]:
    """Have processes that can open the storages of *subject*.

    If the promise is broken they are ended: who knows what they are at.

    Raises:
        LeftOut: They cannot.
    """
    pickled = pickled_factory(subject)
    idle = subject.kept(IdleWorkers).running(module)
    while len(idle) < count:
        idle.append(WorkerProcess(module, pickled))
    with ExitStack() as killing:
        busy = [idle.pop() for _ in range(count)]
        for process in busy:
            killing.callback(process.kill)
        try:
            for process in busy:
                await process.begin()
        except Gone as error:
            msg = f"open() cannot be used in another process: {error}"
            raise LeftOut(msg) from None
        try:
            yield busy
        except LeftOut:
            idle += busy
            killing.pop_all()
            raise
        idle += busy
        killing.pop_all()


async def check_shared(subject: Subject, process: WorkerProcess) -> None:
    """Check that *process* finds what is written here.

    Raises:
        LeftOut: It does not: the data is not shared between processes.
    """
    namespace = subject.namespace()
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(subject.client(namespace, history=History()))
        await client.write("1", {"n": 1})
        if subject.limits.durable:
            await stack.aclose()
        await subject.lag.catch_up()
        found = await process.ask("open", namespace, subject.clock())
        if found.kind == "answer":
            found = await process.ask("do", read("1"), NEVER)
        await process.ask("close")
    if found.answer != {"n": 1}:
        msg = (
            "another process that opens the same namespace does not see what was written here, "
            f"so the data is not shared between processes (there, read('1') {found.text})"
        )
        raise LeftOut(msg)

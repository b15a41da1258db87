"""One node process that is asked one thing after the other, a line of JSON each."""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from tests.grammy.wire import JSON, UNDEFINED, encode

if TYPE_CHECKING:
    from collections.abc import Mapping

DRIVER = Path(__file__).with_name("driver.mjs")
PATIENCE = 60.0  # seconds: far more than anything takes


@dataclass(frozen=True)
class JSError:
    """What was thrown on the other side."""

    name: str
    message: str


class DriverError(Exception):
    """Raised if the driver refused a request, as ``error`` says.

    What handlers and storages throw during an update is not such an error: it is
    part of the outcome.
    """

    def __init__(self, error: JSError) -> None:
        super().__init__(f"{error.name}: {error.message}")
        self.error = error


class DriverDiedError(Exception):
    """Raised if node ended, or gave no answer in time."""


class NodeProcess:
    """The driver, running with the grammY that is installed in *home*."""

    def __init__(self, home: Path) -> None:
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 (closed by close)
        self.process = subprocess.Popen(
            ["node", str(DRIVER), str(home)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
        )
        self._answers: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._collect, daemon=True)
        self._reader.start()

    def ask(self, request: str, **given: JSON) -> JSON:
        """Return the answer; UNDEFINED if there is none to give.

        Raises:
            DriverError: The driver refused.
            DriverDiedError: The process is gone.
        """
        line = self._exchange(encode({"request": request, **given}))
        answer: Mapping[str, JSON] = json.loads(line)
        if "error" in answer:
            raise DriverError(JSError(**answer["error"]))
        return answer.get("value", UNDEFINED)

    def close(self) -> None:
        """End the process; a no-op the second time."""
        with contextlib.suppress(OSError):  # of a process that died with its input unread
            _pipe(self.process.stdin).close()
        self._wait()
        self._reader.join()
        _pipe(self.process.stdout).close()
        self._stderr.close()

    def _exchange(self, line: bytes) -> bytes:
        stdin = _pipe(self.process.stdin)
        try:
            stdin.write(line)
            stdin.flush()
            answer = self._answers.get(timeout=PATIENCE)
        except (OSError, queue.Empty) as error:
            raise self._died() from error
        if answer is None:
            raise self._died()
        return answer

    def _collect(self) -> None:
        for line in _pipe(self.process.stdout):
            self._answers.put(line)
        self._answers.put(None)

    def _wait(self) -> int:
        try:
            return self.process.wait(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def _died(self) -> DriverDiedError:
        code = self._wait()
        self._stderr.seek(0)
        said = self._stderr.read().decode(errors="replace").strip()
        return DriverDiedError(f"node gave no answer (exit code {code}):\n{said}")


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None
    return stream

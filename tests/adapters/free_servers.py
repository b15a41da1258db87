"""Free storages, served by ``sessionkit serve-free`` on free ports of this machine."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path

from tests.adapters.redis_servers import free_port

HERE = Path(__file__).parents[2]


def token_of(namespace: str) -> str:
    """The token of a bot, for each namespace another one."""
    return f"{zlib.crc32(namespace.encode())}:TEST-{namespace.encode().hex()}"


def damage(folder: Path, namespace: str, key: str) -> None:
    """Spoil what is stored, past the server with its data in *folder*."""
    place = f"bot{zlib.crc32(namespace.encode())}/{key}"
    with closing(sqlite3.connect(folder / "free.db", timeout=30)) as connection, connection:
        changed = connection.execute(
            "UPDATE sessions SET value = ? WHERE key = ?", (b'{"n": ', place)
        )
        assert changed.rowcount == 1


class Server:
    """One server, with its data in a folder, that can be stopped or killed, and started again."""

    def __init__(self, folder: Path, telegram_api: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/api"
        self.folder = folder
        self._telegram_api = telegram_api
        self.start()

    def start(self) -> None:
        """Start, and wait until it listens."""
        command = [sys.executable, "-m", "sessionkit", "serve-free", "sqlite:///free.db"]
        command += ["--telegram-api", self._telegram_api, "--port", str(self.port)]
        self.process, said = _started(command, self.folder)
        assert said == self.url, self.log

    def kill(self) -> None:
        """End as a machine ends that loses its power."""
        self.process.kill()
        self._ended()

    def stop(self) -> int:
        """Ask it to end; return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self._ended()

    @property
    def log(self) -> str:
        return self.folder.joinpath("log").read_text()

    def _ended(self) -> int:
        code = self.process.wait(60)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


def _started(command: list[str], folder: Path) -> tuple[subprocess.Popen[str], str]:
    """Start a process; return the first line that it prints."""
    path = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    with folder.joinpath("log").open("ab") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": path},
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


@contextmanager
def server() -> Generator[Server]:
    """A server of its own, that asks a Bot API of its own."""
    folder = Path(tempfile.mkdtemp(prefix="sessionkit-free-"))
    api, address = _started([sys.executable, "-m", "tests.adapters.bot_api_server"], folder)
    try:
        started = Server(folder, address)
        try:
            yield started
        finally:
            started.kill()
    finally:
        api.kill()
        api.communicate()
        shutil.rmtree(folder)

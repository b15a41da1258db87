"""Servers that speak MongoDB's protocol, on free ports of this machine."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pymongo
import pymongo.errors

from tests.adapters.redis_servers import free_port, until


class Server:
    """One server, with its data in a folder, that can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"mongodb://127.0.0.1:{self.port}/test?directConnection=true"
        self._folder = folder
        self.start()

    def start(self) -> None:
        """Start, and wait until it answers."""
        command = [sys.executable, "-m", "secantus", "--host", "127.0.0.1"]
        command += ["--port", str(self.port), "--storage-path", str(self._folder / "data")]
        with self._folder.joinpath("log").open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--sync-on-commit"], stdout=log, stderr=log, cwd=self._folder
            )
        until(self._answers)

    def kill(self) -> None:
        """End as a machine ends that loses its power."""
        self.process.kill()
        self.process.wait()

    def _answers(self) -> bool:
        assert self.process.poll() is None, self._folder.joinpath("log").read_text()
        try:
            with connect(self.url, serverSelectionTimeoutMS=100) as client:
                client.admin.command("ping")
        except pymongo.errors.PyMongoError:
            return False
        return True


@contextmanager
def server() -> Generator[Server]:
    """A server of its own."""
    folder = Path(tempfile.mkdtemp(prefix="sessionkit-mongo-"))
    try:
        started = Server(folder)
        try:
            yield started
        finally:
            started.kill()
    finally:
        shutil.rmtree(folder)


def connect(url: str, **options: Any) -> Any:
    """A plain client, for looking and damaging past the storage."""
    untyped: Any = pymongo.MongoClient
    return untyped(url, **options)

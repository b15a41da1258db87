"""The bot of several processes counts exactly over the servers it is made for."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.adapters import postgres_servers, redis_servers

EXAMPLE = Path(__file__).parents[2] / "examples" / "worker_bot.py"


@pytest.fixture(params=["redis", "postgres"])
def url(request: pytest.FixtureRequest) -> Generator[str]:
    servers = redis_servers if request.param == "redis" else postgres_servers
    with servers.server() as started:
        yield started.url


@pytest.mark.thorough
def test_four_workers_behind_a_web_hook_count_exactly(url: str) -> None:
    command = [sys.executable, "-W", "error", str(EXAMPLE), url, "2000"]

    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)

    assert (done.returncode, done.stderr) == (0, "")
    assert "messages counted: 2000; each chat as delivered: True" in done.stdout

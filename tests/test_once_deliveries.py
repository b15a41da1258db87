"""Updates that are delivered one to three times, to processes that are killed.

Workers of several frameworks share one storage: four that answer web hooks at the same time,
or one after the other that polls.  The sum in the sessions must be the number of updates,
exactly.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager

import pytest

from tests.profiles import thorough

pytest.importorskip("aiohttp")
pytest.importorskip("telegram")
pytest.importorskip("aiogram")

from typing import TYPE_CHECKING

from tests.once.telegram import deliver

if TYPE_CHECKING:
    from pathlib import Path


@contextmanager
def shared(kind: str, folder: Path) -> Generator[str]:
    """The URL of a storage that processes share."""
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'bot.db'}"
    elif kind == "file":
        yield f"file:{folder / 'sessions'}"
    elif kind == "redis":
        from tests.adapters import redis_servers

        with redis_servers.server() as server:
            yield server.url
    else:
        from tests.adapters import postgres_servers

        with postgres_servers.server() as database:
            yield database.url


MANY = 1_000  # 20,000, and more, by hand: python -m tests.once.telegram URL
CASES = [
    ("hooks", "sqlite", 60),
    *(thorough("hooks", kind, MANY) for kind in ("sqlite", "file", "redis", "postgres")),
    thorough("polls", "sqlite", MANY),  # by one after the other, whatever they share
]


@pytest.mark.parametrize(("way", "kind", "updates"), CASES)
def test_the_sum_is_the_number_of_updates(
    way: str, kind: str, updates: int, tmp_path: Path
) -> None:
    with shared(kind, tmp_path) as storage:
        chats, workers = (50, 4) if updates == MANY else (10, 2)
        counts = asyncio.run(deliver(way, storage, updates, chats, workers=workers))
    assert counts["stored"] == updates, counts
    assert counts["deliveries"] > updates
    assert counts["kills"] or updates < MANY

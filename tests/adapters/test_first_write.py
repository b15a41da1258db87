"""Where nothing was ever stored, reads find nothing and make nothing; the first write does."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Generator
from typing import Any
from uuid import uuid4

import pytest

from tests.adapters.loads import by_processes, total
from tests.adapters.served import MARIADB, MONGO, SQLITE, Running, Served, each_of


@pytest.fixture(autouse=True)
def _collected(served: Served) -> Generator[None]:
    yield
    if served is MONGO:
        gc.collect()


@pytest.fixture
def url(running: Running, served: Served) -> str:
    if served is MARIADB:
        return served.named_or_skip()
    server_url: str = running(served).url
    return server_url


@pytest.fixture
def name() -> str:
    """A name that a database that is kept has not had yet."""
    return f"first {uuid4().hex[:8]}"


every_one = each_of("redis", "postgres", "mongodb", "sqlite", more=(SQLITE, MARIADB))


async def found_in(storage: Any) -> list[Any]:
    """What all ways of reading say of the key "1"."""
    return [
        await storage.read("1"),
        await storage.has("1"),
        (await storage.read_with_revision("1"))[0],
        dict(await storage.read_many(["1", "2"])),
        list(await storage.read_entries(["1", "2"])),
        await storage.touch("1"),
        await storage.purge_expired(),
        [key async for key in storage.iter_keys()],
        [value async for _, value in storage.iter_items("1")],
        [entry.key async for entry in storage.iter_entries("1")],
    ]


@every_one
def test_reads_make_nothing(served: Served, url: str, name: str) -> None:
    async def main() -> None:
        async with served.open(url, name) as storage, served.open(url, name) as other:
            assert await found_in(storage) == [None, False, None, {}, [], False, 0, [], [], []]
            assert not served.has_made(url, name)
            await other.write("1", 5)
            assert served.has_made(url, name)
            assert await found_in(storage) == [
                *(5, True, 5, {"1": 5}, ["1"], True, 0, ["1"], [5], ["1"]),
            ]

    asyncio.run(main())


@every_one
def test_reads_of_threads_make_nothing(served: Served, url: str, name: str) -> None:
    with served.open_blocking(url, name) as storage:
        assert storage.read("1") is None
        assert list(storage.iter_entries()) == []
        assert not served.has_made(url, name)
        storage.write("1", 5)
        assert storage.read("1") == 5


@each_of("postgres", "sqlite", more=(SQLITE, MARIADB))
def test_processes_may_write_first_at_the_same_moment(served: Served, url: str, name: str) -> None:
    """They were opened before there was anything, and begin together."""
    place = served.url_for(url, 0), served.prefix + name
    successes, clashes = by_processes(served.name, *place, each=8)
    assert successes + clashes == 32

    async def main() -> None:
        async with served.open(url, name) as storage:
            assert await total(storage) == successes

    asyncio.run(main())

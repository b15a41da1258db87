"""The PostgreSQL storage when the server, the network or a lock lets it down."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from sessionkit import (
    SessionError,
    SessionLockTimeoutError,
    SessionWriteError,
    session,
)
from sessionkit.storages.authoring import this_process
from sessionkit_postgres import (
    BlockingPostgresLock,
    BlockingPostgresSessionStorage,
    PostgresLock,
    PostgresSessionStorage,
)
from tests.adapters import postgres_servers
from tests.adapters.ahead import Ahead, until
from tests.adapters.cutting_proxy import proxy
from tests.adapters.loads import (
    increments,
    through_cuts,
    total,
    zero,
)
from tests.adapters.served import POSTGRES, Running


@pytest.fixture(scope="module")
def server(running: Running) -> Any:
    return running(POSTGRES)


@pytest.mark.parametrize("in_flight", [256, 1000])
def test_a_pool_that_was_handed_in_is_not_overrun_and_stays_open(
    server: postgres_servers.Server, in_flight: int
) -> None:
    async def main() -> None:
        pool: Any = AsyncConnectionPool(server.url, min_size=1, max_size=2, open=False)
        async with pool:
            storage = PostgresSessionStorage(pool, table=f"handed_in_{in_flight}")
            sessions = session(initial=zero, storage=storage)
            assert await increments(sessions, 1000, 500, in_flight) == {"ok": 1000}
            assert await total(storage) == 1000
            await storage.close()
            async with pool.connection() as connection:
                assert await (await connection.execute("SELECT 1")).fetchone() == (1,)

    asyncio.run(main())


def test_a_pool_belongs_to_one_event_loop(server: postgres_servers.Server) -> None:
    async def main() -> None:
        async with AsyncConnectionPool(server.url, min_size=1, open=False) as pool:
            storage = PostgresSessionStorage(pool)
            await storage.read("1")
            with pytest.raises(SessionError, match="belongs to another event loop"):
                await asyncio.to_thread(asyncio.run, storage.read("1"))
            await storage.read("1")

    asyncio.run(main())


def test_a_blocking_pool_serves_threads(server: postgres_servers.Server) -> None:
    with ConnectionPool(server.url, min_size=1, open=True) as pool:
        storage = BlockingPostgresSessionStorage(pool, table="threads of a pool")
        storage.write("1", {"n": 1})
        storage.close()
        with pool.connection() as connection:
            found = connection.execute('SELECT value FROM "threads of a pool"').fetchone()
    assert found == ('{"n":1}',)


def test_a_pool_that_has_nothing_to_give_is_an_error(server: postgres_servers.Server) -> None:
    async def main() -> None:
        pool = AsyncConnectionPool(server.url, open=False)
        with pytest.raises(SessionError, match="Nothing was written"):
            await PostgresSessionStorage(pool).write("1", 1)
        await pool.open()
        storage = PostgresSessionStorage(pool, table="given back")
        await storage.write("1", 1)
        with postgres_servers.connect(server.url) as direct:  # as a server that starts again
            direct.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )
            others = (
                "SELECT count(*) FROM pg_stat_activity "
                "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )
            await until(lambda: direct.execute(others).fetchone() == (0,))
        await storage.write("1", 2)
        assert await storage.read("1") == 2
        await pool.close()

    asyncio.run(main())


@pytest.mark.thorough
def test_replies_that_a_pool_loses_are_never_taken_for_a_clash(
    server: postgres_servers.Server,
) -> None:
    async def main() -> None:
        async with (
            proxy(server.url) as (url, between),
            AsyncConnectionPool(url, min_size=1, open=False) as pool,
            PostgresSessionStorage(server.url, table="cut pool") as direct,
        ):
            writers: list[Any] = [PostgresSessionStorage(pool, table="cut pool") for _ in "12"]
            # few, since a pool waits before it connects again
            await through_cuts(between, writers, direct, 30, blocking=False)

    asyncio.run(main())


def test_replies_that_are_lost_for_many_at_once_are_unknown_for_each(
    server: postgres_servers.Server,
) -> None:
    async def main() -> None:
        async with (
            proxy(server.url) as (url, between),
            PostgresSessionStorage(url, table="many") as storage,
            PostgresSessionStorage(server.url, table="many") as direct,
        ):
            await storage.write_many({"1": 1, "2": 2})
            between.cut = 1.0
            with pytest.raises(SessionWriteError, match="may have been written") as caught:
                await storage.write_many({"1": 3, "2": 4})
            assert caught.value.failed == ("1", "2")
            between.cut = 0.0
            assert await direct.read_many(["1", "2"]) == {"1": 3, "2": 4}

    asyncio.run(main())


def test_a_server_that_cannot_be_reached_is_one_for_many_at_once() -> None:
    with (
        postgres_servers.server() as mortal,
        BlockingPostgresSessionStorage(mortal.url) as storage,
    ):
        storage.write_many({"1": 1, "2": 2})
        mortal.kill()
        # "nothing was written", or unknown if its end of the connection is not closed yet
        with pytest.raises(SessionWriteError, match="2 of 2 values could not be written"):
            storage.write_many({"1": 3, "2": 4})
        mortal.start()
        assert storage.read_many(["1", "2"]) == {"1": 1, "2": 2}


def test_a_connection_that_the_server_ends_is_lost(server: postgres_servers.Server) -> None:
    async def main() -> None:
        url = f"{server.url}?application_name=ended"
        async with PostgresSessionStorage(url, table="ended") as storage:
            await storage.write("1", {"n": 1})
            with postgres_servers.connect(server.url) as other:
                with postgres_servers.connect(server.url) as stranger, stranger.transaction():
                    stranger.execute("SELECT FROM ended FOR UPDATE")
                    writing = asyncio.ensure_future(storage.write("1", {"n": 2}))
                    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
                    while other.execute(waiting).fetchone() != (1,):
                        await asyncio.sleep(0.01)
                    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    other.execute(end + "WHERE application_name = 'ended'")
                    with pytest.raises(SessionWriteError, match="due to administrator command"):
                        await writing
                assert await storage.read("1") == {"n": 1}

    asyncio.run(main())


def test_a_write_whose_task_is_cancelled_ends_before_the_session_is_free(
    server: postgres_servers.Server,
) -> None:
    async def main() -> None:
        async with PostgresSessionStorage(server.url, table="cancelled") as storage:
            revision = await storage.write_if("1", {"n": 1}, None)
            writing = asyncio.ensure_future(storage.write_if("1", {"n": 2}, revision))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            writing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await writing
            stored = await storage.read("1")
            await storage.read("2")
            assert await storage.read("1") == stored

    asyncio.run(main())


def test_a_lock_by_which_a_server_lets_wait_is_an_error_within_the_deadline(
    server: postgres_servers.Server,
) -> None:
    """A stranger's transaction that keeps a row."""

    ahead = Ahead()

    async def main() -> None:
        async with PostgresSessionStorage(server.url, table="kept") as storage:
            await storage.write("1", {"n": 1})
            with postgres_servers.connect(server.url) as stranger, stranger.transaction():
                stranger.execute("SELECT FROM kept FOR UPDATE")
                async with ahead.hurrying():
                    with pytest.raises(SessionWriteError, match="may have been written, or not"):
                        await storage.write("1", {"n": 2})
            await storage.write("1", {"n": 3})

    ahead.run(main())


def test_a_lock_that_is_waited_for_is_free_when_its_holder_dies(
    server: postgres_servers.Server,
) -> None:
    async def main() -> None:
        async with (
            PostgresSessionStorage(server.url, table="dies") as storage,
            PostgresSessionStorage(server.url, table="dies") as other,
        ):
            held, waiting = PostgresLock(storage), PostgresLock(other)
            await held.acquire("1")
            waiter = asyncio.ensure_future(waiting.acquire("1"))
            await asyncio.sleep(0.05)
            assert not waiter.done()
            with postgres_servers.connect(server.url) as direct:
                pids = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted"
                direct.execute(f"SELECT pg_terminate_backend(pid) FROM ({pids}) held")
            await waiting.release("1", await waiter)

    asyncio.run(main())


def test_one_process_waits_for_itself_too(server: postgres_servers.Server) -> None:
    async def main() -> None:
        async with PostgresSessionStorage(server.url, table="itself") as storage:
            lock = PostgresLock(storage, patience=0.05)
            held = await lock.acquire("1")
            with pytest.raises(SessionLockTimeoutError, match=f"{this_process()} "):
                await lock.acquire("1")
            await lock.release("1", held)

    asyncio.run(main())


def test_threads_wait_for_a_lock(server: postgres_servers.Server) -> None:
    with (
        BlockingPostgresSessionStorage(server.url, table="waiting") as storage,
        BlockingPostgresSessionStorage(server.url, table="waiting") as other,
    ):
        ours, theirs = BlockingPostgresLock(storage), BlockingPostgresLock(other)
        held = [ours.acquire("1"), ours.acquire("2")]
        ended: list[str] = []

        def wait() -> None:
            theirs.release("1", theirs.acquire("1"))
            ended.append("theirs")

        waiter = threading.Thread(target=wait)
        waiter.start()
        time.sleep(0.1)
        ended.append("ours")
        for key, lease in zip("12", held, strict=True):
            ours.release(key, lease)
        waiter.join()
        assert ended == ["ours", "theirs"]

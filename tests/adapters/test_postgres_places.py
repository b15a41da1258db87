"""Where a URL or a pool leads to, and the table that is there."""

from __future__ import annotations

import asyncio
import os
import pickle
import selectors
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.pq import ConnStatus
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from sessionkit import (
    NewerVersionError,
    SessionConflictError,
    SessionDecodeError,
    SessionError,
    SessionWriteError,
    session,
    storage_from_url,
)
from sessionkit.codecs import PickleCodec
from sessionkit_postgres import (
    BlockingPostgresSessionStorage,
    PostgresLock,
    PostgresSessionStorage,
)
from sessionkit_postgres._texts import index_name, key_of_name, name_of, raw_of, text_of
from sessionkit_postgres._wire import _wait_on_loop
from tests.adapters import postgres_servers
from tests.adapters.loads import increments, total, zero
from tests.adapters.redis_servers import free_port, until
from tests.adapters.served import POSTGRES, Running


@pytest.fixture(scope="module")
def server(running: Running) -> Any:
    return running(POSTGRES)


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "POSTGRESQL"])
def test_a_url_opens_a_storage(server: postgres_servers.Server, scheme: str) -> None:
    storage = storage_from_url(server.url.replace("postgresql", scheme))

    assert isinstance(storage, PostgresSessionStorage)
    assert repr(storage) == (
        f"<PostgresSessionStorage in PostgreSQL at 127.0.0.1:{server.port}, database postgres, "
        'table "sessionkit">'
    )


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:s3cret/x@host/db",
        "postgresql://me:123/s3cret@host/db",
        "postgresql://me:s3@s3cret@host/db",
        "postgresql://me:s3cret%@host/db",
        "postgresql://host/db?pasword=s3cret",
        "host=h password='s3cret",
    ],
)
def test_a_url_that_cannot_be_read_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(ValueError, match="%2F") as caught:
        PostgresSessionStorage(url)
    assert "s3cret" not in repr(caught.value)
    assert caught.value.__cause__ is None


def test_the_password_of_a_pool_is_not_shown() -> None:
    pool = AsyncConnectionPool("postgresql://me:s3cret@nowhere:1/bot", open=False)
    other = AsyncConnectionPool(kwargs={"host": "nowhere", "password": "s3cret"}, open=False)

    assert "nowhere:1, database bot" in repr(PostgresSessionStorage(pool))
    assert "s3cret" not in repr(PostgresSessionStorage(pool))
    assert "nowhere:5432, database of the user" in repr(PostgresSessionStorage(other))


def test_pools_of_the_other_kind_are_refused() -> None:
    blocking, asynchronous = ConnectionPool(open=False), AsyncConnectionPool(open=False)
    with pytest.raises(TypeError, match="BlockingPostgresSessionStorage takes the other kind"):
        PostgresSessionStorage(blocking)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="PostgresSessionStorage takes the other kind"):
        BlockingPostgresSessionStorage(asynchronous)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"not builtins\.int"):
        BlockingPostgresSessionStorage(1)  # type: ignore[arg-type]
    with pytest.raises(AttributeError, match="no view for threads"):
        _ = PostgresSessionStorage(asynchronous).sync


@pytest.mark.parametrize("name", ["", "a\0b", "n" * 64])
def test_names_that_no_table_can_have_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="at most 63 bytes"):
        PostgresSessionStorage("postgresql://host/db", table=name)
    with pytest.raises(ValueError, match="at most 63 bytes"):
        PostgresSessionStorage("postgresql://host/db", schema=name)


def test_names_are_quoted(server: postgres_servers.Server) -> None:
    table, schema = 'Bobby"; DROP TABLE "t', 'the "schema"'
    with postgres_servers.connect(server.url) as direct:
        direct.execute('CREATE SCHEMA "the ""schema"""')
        with BlockingPostgresSessionStorage(server.url, table=table, schema=schema) as storage:
            storage.write("1", {"n": 1})
            assert storage.read("1") == {"n": 1}
        found = direct.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = %s", (schema,)
        ).fetchall()
    assert found == [(table,)]


def test_the_table_of_something_else_is_left_alone(server: postgres_servers.Server) -> None:
    with postgres_servers.connect(server.url) as direct:
        direct.execute("CREATE TABLE theirs (key text, value text, revision text)")
        for comment in ("NULL", "'sessions of sessionkit, layout one'"):
            direct.execute(f"COMMENT ON TABLE theirs IS {comment}")
            storage = BlockingPostgresSessionStorage(server.url, table="theirs")
            with pytest.raises(SessionError, match="made by something else"), storage:
                storage.write("1", 1)
        direct.execute("COMMENT ON TABLE theirs IS 'sessions of sessionkit, layout 2'")
        storage = BlockingPostgresSessionStorage(server.url, table="theirs")
        with pytest.raises(NewerVersionError, match="update sessionkit"), storage:
            storage.read("1")
        assert direct.execute("SELECT count(*) FROM theirs").fetchone() == (0,)


def test_a_table_is_created_on_request_only(server: postgres_servers.Server) -> None:
    with BlockingPostgresSessionStorage(server.url, table="asked", create_table=False) as storage:
        with pytest.raises(SessionError, match="create_table=True"):
            storage.read("1")
        with BlockingPostgresSessionStorage(server.url, table="asked") as creator:
            creator.write("1", 1)
        assert storage.read("1") == 1


def test_a_table_that_cannot_be_created_is_an_error(server: postgres_servers.Server) -> None:
    storage = BlockingPostgresSessionStorage(server.url, schema="missing")
    with pytest.raises(SessionError, match='schema "missing" does not exist'), storage:
        storage.write("1", 1)


def test_many_may_create_the_table_at_once(server: postgres_servers.Server) -> None:
    async def main() -> None:
        storages = [PostgresSessionStorage(server.url, table="race") for _ in range(8)]
        await asyncio.gather(*(each.write(str(n), n) for n, each in enumerate(storages)))
        assert len(await storages[0].read_many([str(n) for n in range(8)])) == 8
        for each in storages:
            await each.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    "key",
    ["a", "\\", "\0", "\ud800", "a\0b\\c\udfffd", "\\005c", "k" * 1001, "~" + "a" * 64, "é" * 600],
)
def test_keys_are_text_that_can_be_read_back(key: str) -> None:
    name = name_of(key)

    assert key_of_name(name) == key
    assert len(index_name(name).encode()) <= 1000
    assert index_name(index_name(name)) != index_name(name) or index_name(name) == name


def test_keys_begin_as_they_did() -> None:
    for key in ("\\\0\ud800", "x\\y"):
        assert all(name_of(key).startswith(name_of(key[:end])) for end in range(len(key)))


@pytest.mark.parametrize("raw", [b"{}", "é".encode(), b"", b"\0", b"\xff", b"\\x", b"\\x41"])
def test_all_bytes_are_text_that_can_be_read_back(raw: bytes) -> None:
    text = text_of(raw)

    assert b"\0" not in text
    assert text.decode().encode() == text
    assert raw_of("1", text, "here") == raw


def test_what_a_codec_gives_that_is_not_text_comes_back(server: postgres_servers.Server) -> None:
    options: Any = {"table": "pickled", "codec": PickleCodec()}
    with BlockingPostgresSessionStorage(server.url, **options) as storage:
        storage.write("1", {"at": {1, 2}})
        assert storage.read("1") == {"at": {1, 2}}
        with postgres_servers.connect(server.url) as direct:
            (text,) = direct.execute("SELECT value FROM pickled").fetchone()
            assert pickle.loads(bytes.fromhex(text.removeprefix("\\x"))) == {"at": {1, 2}}
            direct.execute("UPDATE pickled SET value = '\\xzz'")
        with pytest.raises(SessionDecodeError, match="is damaged"):
            storage.read("1")


def test_nothing_is_prepared_and_no_setting_is_changed(server: postgres_servers.Server) -> None:
    async def main() -> None:
        pool: Any = AsyncConnectionPool(server.url, min_size=1, max_size=1, open=False)
        async with pool:
            async with pool.connection() as connection:
                before = await (await connection.execute("SHOW ALL")).fetchall()
            sessions = session(initial=zero, storage=PostgresSessionStorage(pool, table="bare"))
            await increments(sessions, 100, 10)
            async with pool.connection() as connection:
                prepared = await connection.execute("SELECT count(*) FROM pg_prepared_statements")
                assert await prepared.fetchone() == (0,)
                assert await (await connection.execute("SHOW ALL")).fetchall() == before

    asyncio.run(main())


def test_a_pool_with_another_encoding_is_refused(server: postgres_servers.Server) -> None:
    kwargs = {"client_encoding": "LATIN1"}
    with (
        ConnectionPool(server.url, kwargs=kwargs, min_size=1, open=True) as pool,
        pytest.raises(SessionError, match="client_encoding='UTF8'"),
    ):
        BlockingPostgresSessionStorage(pool).read("1")


def test_expiry_is_by_the_clock_of_the_database(
    server: postgres_servers.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow_clock = time.time() - 86400
    monkeypatch.setattr(time, "time", lambda: slow_clock)
    with BlockingPostgresSessionStorage(server.url, table="clock", ttl=100) as storage:
        storage.write("1", {"n": 1})
        storage.write_if("2", {"n": 1}, None, expires=slow_clock - 1)
        with postgres_servers.connect(server.url) as direct:
            rows = direct.execute(
                "SELECT expires - extract(epoch from now()) FROM clock ORDER BY key"
            )
            ends = [float(left) for (left,) in rows]
            assert 90 < ends[0] <= 100
            assert -10 < ends[1] < 0
            assert list(storage.iter_keys()) == ["1"]
            direct.execute("UPDATE clock SET expires = extract(epoch from now()) - 1")
        assert storage.read("1") is None
        assert storage.touch("1") is False
        assert storage.write_if("1", {"n": 2}, None) is not None
        assert storage.touch("1") is True
        assert storage.purge_expired() == 1


def test_more_than_a_page_is_listed_and_purged(server: postgres_servers.Server) -> None:
    with BlockingPostgresSessionStorage(server.url, table="pages", ttl=60) as storage:
        keys = [f"{'a' * (number % 3 * 500)}{number}" for number in range(1100)]
        storage.write_many(dict.fromkeys(keys, 1))
        assert sorted(storage.iter_keys()) == sorted(keys)
        assert sorted(storage.iter_keys("a" * 501)) == sorted(
            k for k in keys if k[:501] == "a" * 501
        )
        with postgres_servers.connect(server.url) as direct:
            direct.execute("UPDATE pages SET expires = 0")
        assert storage.purge_expired() == 1100


def test_one_value_that_is_refused_touches_no_neighbour(server: postgres_servers.Server) -> None:
    with BlockingPostgresSessionStorage(server.url, table="checked") as storage:
        storage.write("9", 1)
        with postgres_servers.connect(server.url) as direct:
            direct.execute("ALTER TABLE checked ADD CHECK (value <> '13')")
        with pytest.raises(SessionWriteError, match="violates check constraint") as caught:
            storage.write_many({"1": 1, "2": 13, "3": 3})
        assert caught.value.failed == ("2",)
        assert storage.read_many(["1", "2", "3"]) == {"1": 1, "3": 3}


@pytest.mark.parametrize(("failures", "works"), [(4, True), (5, False)])
def test_what_the_server_took_back_is_tried_again_a_few_times(
    server: postgres_servers.Server, failures: int, *, works: bool
) -> None:
    table = f"again{failures}"
    with BlockingPostgresSessionStorage(server.url, table=table) as storage:
        storage.write("0", 0)
        with postgres_servers.connect(server.url) as direct:
            direct.execute(f"CREATE SEQUENCE {table}_calls")
            direct.execute(
                f"CREATE FUNCTION {table}_fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
                f"IF nextval('{table}_calls') <= {failures} THEN "
                "RAISE EXCEPTION USING ERRCODE = '40001'; END IF; RETURN NEW; END $$"
            )
            direct.execute(
                f"CREATE TRIGGER fail BEFORE INSERT ON {table} "
                f"FOR EACH ROW EXECUTE FUNCTION {table}_fail()"
            )
        if works:
            storage.write("1", 1)
        else:
            with pytest.raises(SessionError, match="Nothing was written"):
                storage.write("1", 1)
        assert storage.read("1") == (1 if works else None)


def test_values_of_many_megabytes_come_and_go(server: postgres_servers.Server) -> None:
    value = {"text": "0123456789abcdef" * 1_000_000}

    async def main() -> None:
        async with PostgresSessionStorage(server.url, table="large") as storage:
            await storage.write("1", value)
            assert await storage.read("1") == value
            await asyncio.to_thread(storage.sync.write, "2", value)
            assert await asyncio.to_thread(storage.sync.read, "2") == value

    asyncio.run(main())


def test_a_serialization_failure_is_repeated_and_ends_as_a_conflict(
    server: postgres_servers.Server,
) -> None:
    url = f"{server.url}?options=-cdefault_transaction_isolation%3Dserializable"

    async def main() -> None:
        async with (
            PostgresSessionStorage(url, table="strict") as one,
            PostgresSessionStorage(url, table="strict") as two,
        ):
            ended = [0, 0]
            await one.write("1", {"n": 0})

            async def count(storage: Any) -> None:
                for _ in range(100):
                    value, revision = await storage.read_with_revision("1")
                    try:
                        await storage.write_if("1", {"n": value["n"] + 1}, revision)
                    except SessionConflictError:
                        ended[1] += 1
                    else:
                        ended[0] += 1

            await asyncio.gather(count(one), count(two))
            assert sum(ended) == 200
            assert await one.read("1") == {"n": ended[0]}

    asyncio.run(main())


def test_batches_of_two_workers_in_any_order_do_not_wait_for_each_other(
    server: postgres_servers.Server,
) -> None:
    """Even if the server goes through them in the order in which they come."""
    settings = "".join(f"-cenable_{each}%3Doff%20" for each in ("hashjoin", "mergejoin", "sort"))
    url = f"{server.url}?options={settings}"

    async def main() -> None:
        async with (
            PostgresSessionStorage(url, table="crossed") as one,
            PostgresSessionStorage(url, table="crossed") as two,
        ):
            for round_ in range(15):
                keys = [f"{round_}-{number}" for number in range(100)]
                created = [one._put(key, 0, None) for key in keys]
                assert await one.engine.apply(created) == [True] * 100
                ours = [one._put(write.key, 1, write.token) for write in created]
                theirs = [two._put(write.key, 2, write.token) for write in reversed(created)]
                ended = await asyncio.gather(one.engine.apply(ours), two.engine.apply(theirs))
                assert sum(each is True for outcomes in ended for each in outcomes) == 100

    asyncio.run(main())
    with postgres_servers.connect(server.url) as direct:
        others = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
        until(lambda: direct.execute(others).fetchone() == (1,))  # then all is counted
        deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = 'postgres'"
        assert direct.execute(deadlocks).fetchone() == (0,)


def test_a_forked_child_has_connections_of_its_own(server: postgres_servers.Server) -> None:
    with BlockingPostgresSessionStorage(server.url, table="forked") as storage:
        storage.write("1", {"n": 1})
        child = os.fork()
        if child == 0:  # pragma: no cover
            try:
                storage.write("1", {"n": 2})
                os._exit(0 if storage.read("1") == {"n": 2} else 1)
            finally:
                os._exit(2)
        assert os.waitpid(child, 0)[1] == 0
        assert storage.read("1") == {"n": 2}


def test_connections_of_a_parent_are_left_to_it(
    server: postgres_servers.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a forked child, which shares their sockets."""
    with BlockingPostgresSessionStorage(server.url, table="forked") as storage:
        storage.write("1", {"n": 1})
        wire: Any = storage.place.wire
        (of_parent,) = wire._idle
        child = os.getpid() + 1
        monkeypatch.setattr(os, "getpid", lambda: child)
        assert storage.read("1") == {"n": 1}
        assert of_parent.is_silent()
        of_parent.close()


class Dying:
    """Passes on to a real connection, which has ended once something was sent."""

    def __init__(self, on: Any) -> None:
        self._on = on
        self._sent = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._on, name)

    def send_query_prepared(self, *arguments: Any) -> None:
        self._sent = True
        self._on.send_query_prepared(*arguments)

    @property
    def status(self) -> Any:
        return ConnStatus.BAD if self._sent else self._on.status


def test_what_is_refused_by_a_server_that_ends_is_unknown(
    server: postgres_servers.Server,
) -> None:
    with BlockingPostgresSessionStorage(server.url, table="dying") as storage:
        storage.write("1", 1)
        with postgres_servers.connect(server.url) as direct:
            direct.execute("ALTER TABLE dying ADD CHECK (value <> '13')")
        wire: Any = storage.place.wire
        wire._idle[0].on = Dying(wire._idle[0].on)
        with pytest.raises(SessionWriteError, match="may have been written, or not"):
            storage.write("1", 13)


def test_a_socket_may_be_ready_for_both_at_once() -> None:
    async def main() -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            theirs.send(b"hello")
            await _wait_on_loop(ours.fileno(), selectors.EVENT_READ | selectors.EVENT_WRITE)

    asyncio.run(main())


def test_closing_leaves_no_connection(server: postgres_servers.Server) -> None:
    async def main() -> None:
        storage = PostgresSessionStorage(f"{server.url}?application_name=closing")
        lock = PostgresLock(storage)
        await lock.release("1", await lock.acquire("1"))
        await storage.write("1", 1)
        await asyncio.to_thread(storage.sync.read, "1")
        await storage.close()
        await storage.close()

    asyncio.run(main())
    with postgres_servers.connect(server.url) as direct:
        count = (
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'closing' "
            "OR application_name LIKE 'sessionkit %'"
        )
        until(lambda: direct.execute(count).fetchone() == (0,))


def test_a_lock_outlives_the_loop_that_used_it_first(server: postgres_servers.Server) -> None:
    storage = PostgresSessionStorage(server.url, table="loops")
    lock = PostgresLock(storage, patience=1)

    async def use() -> None:
        await lock.release("1", await lock.acquire("1"))

    async def use_in_two() -> None:
        await use()
        await asyncio.to_thread(asyncio.run, use())
        await use()

    asyncio.run(use())
    asyncio.run(use())
    asyncio.run(use_in_two())
    asyncio.run(storage.close())


@contextmanager
def pgbouncer(server: postgres_servers.Server) -> Generator[str]:
    """PgBouncer in transaction mode before the server, if this machine has it."""
    binary = os.environ.get("SESSIONKIT_TEST_PGBOUNCER") or shutil.which("pgbouncer")
    if binary is None:
        pytest.skip("pgbouncer is not installed")
    port, folder = free_port(), Path(tempfile.mkdtemp(prefix="sessionkit-pgbouncer-"))
    users, settings = folder / "users.txt", folder / "pgbouncer.ini"
    users.write_text(f'"{postgres_servers.USER}" ""\n')
    settings.write_text(
        f"[databases]\npostgres = host=127.0.0.1 port={server.port}\n[pgbouncer]\n"
        f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
        f"auth_type = trust\nauth_file = {users}\npool_mode = transaction\n"
        "default_pool_size = 4\nserver_round_robin = 1\n"
    )
    folder.chmod(0o755)
    owner: dict[str, Any] = {"user": 65534, "group": 65534} if os.geteuid() == 0 else {}
    running = subprocess.Popen(
        [binary, str(settings)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **owner
    )
    url = server.url.replace(str(server.port), str(port))
    try:
        until(lambda: answers(url))
        yield url
    finally:
        running.terminate()
        running.wait()
        shutil.rmtree(folder)


def answers(url: str) -> bool:
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        return False
    return True


def test_a_pooler_of_transactions_serves_the_storage_and_not_the_lock(
    server: postgres_servers.Server,
) -> None:
    async def main(url: str) -> None:
        async with PostgresSessionStorage(url, table="pooled") as storage:
            sessions = session(initial=zero, storage=storage)
            assert await increments(sessions, 2000, 100) == {"ok": 2000}
            assert await total(storage) == 2000
            with pytest.raises(SessionError, match="the address of the server itself"):
                await PostgresLock(storage).acquire("1")
            lock = PostgresLock(storage, dsn=server.url)
            locked = session(initial=zero, storage=storage, lock=lock)
            assert await increments(locked, 100, 4) == {"ok": 100}

    with pgbouncer(server) as url:
        asyncio.run(main(url))


def test_a_lock_needs_a_connection_that_is_its_own(
    server: postgres_servers.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As behind a pooler: the connection says another number than the server does."""

    def another(line: object) -> int:
        return 0

    monkeypatch.setattr("sessionkit_postgres._wire.process_of", another)

    async def main() -> None:
        async with PostgresSessionStorage(server.url, table="pooled") as storage:
            with pytest.raises(SessionError, match="the address of the server itself"):
                await PostgresLock(storage).acquire("1")

    asyncio.run(main())


def test_without_psycopg_the_error_names_the_extra() -> None:
    code = "import sys; sys.modules['psycopg'] = None; import sessionkit_postgres"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert 'python -m pip install "<checkout>[postgres]"' in done.stderr.splitlines()[-1]

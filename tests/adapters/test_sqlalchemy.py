"""What sessionkit_sqlalchemy refuses, and what it does when the database lets it down."""

from __future__ import annotations

import asyncio
import math
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Column, Engine, Integer, MetaData, Table, create_engine, event, inspect
from sqlalchemy.ext.asyncio import create_async_engine

from sessionkit import (
    SessionConflictError,
    SessionError,
    SessionWriteError,
    session,
    storage_from_url,
)
from sessionkit_sqlalchemy import (
    BlockingSQLAlchemySessionStorage,
    SQLAlchemySessionStorage,
    sessions_table,
)
from tests.adapters.served import SQLALCHEMY, Running

if TYPE_CHECKING:
    from pathlib import Path

Spoil = Callable[[Any, str, Any], str | None]


@pytest.fixture
def engine(tmp_path: Path) -> Generator[Engine]:
    made = create_engine(f"sqlite:///{tmp_path}/bot.db")
    yield made
    made.dispose()


@pytest.fixture
def storage(engine: Engine) -> Generator[BlockingSQLAlchemySessionStorage]:
    with BlockingSQLAlchemySessionStorage(engine) as made:
        made.write("before", 1)
        yield made


def spoil(engine: Engine, how: Spoil) -> None:
    """Send what *how* makes of each statement; None leaves it as it is."""

    @event.listens_for(engine, "before_cursor_execute", retval=True)
    def _(connection: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> Any:
        return how(connection, statement, parameters) or statement, parameters


def close(connection: Any) -> None:
    connection.connection.dbapi_connection.close()


# Set-up


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (
            lambda: SQLAlchemySessionStorage("sqlite+aiosqlite://"),
            ValueError,
            "SQLite in memory cannot",
        ),
        (lambda: BlockingSQLAlchemySessionStorage("sqlite:///:memory:"), ValueError, "in memory"),
        (
            lambda: SQLAlchemySessionStorage("sqlite:///x.db"),
            ValueError,
            r"async driver: sqlite\+aio",
        ),
        (
            lambda: SQLAlchemySessionStorage("geheim://u:never shown@h"),
            ValueError,
            "SQLAlchemy cannot open",
        ),
        (lambda: SQLAlchemySessionStorage(1), TypeError, "or its URL, not int"),  # type: ignore[arg-type]
        (
            lambda: SQLAlchemySessionStorage(create_engine("sqlite:///x.db")),  # type: ignore[arg-type]
            TypeError,
            "this engine blocks: .* create_async_engine",
        ),
        (
            lambda: BlockingSQLAlchemySessionStorage(
                create_async_engine("sqlite+aiosqlite:///x.db")  # type: ignore[arg-type]
            ),
            TypeError,
            "needs an event loop: use SQLAlchemySessionStorage",
        ),
        (
            lambda: BlockingSQLAlchemySessionStorage("sqlite:///x.db", table=1),  # type: ignore[arg-type]
            TypeError,
            "made by sessions_table",
        ),
        (
            lambda: BlockingSQLAlchemySessionStorage(
                "sqlite:///x.db", table=Table("t", MetaData(), Column("name", Integer))
            ),
            ValueError,
            "'t' has no column full_key, value, revision, expires",
        ),
    ],
)
def test_what_cannot_work_is_refused_at_once(
    make: Callable[[], object], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text) as caught:
        make()
    assert "never shown" not in str(caught.value)


def test_without_sqlalchemy_the_extra_is_named() -> None:
    code = "import sys; sys.modules['sqlalchemy'] = None; import sessionkit_sqlalchemy"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "It comes with the extra 'sqlalchemy'" in run.stderr


def test_a_database_whose_locks_were_not_tried_is_refused(engine: Engine) -> None:
    engine.dialect.name = "other"
    with pytest.raises(ValueError, match="MySQL, not in other"):
        BlockingSQLAlchemySessionStorage(engine)


def test_a_url_opens_one_and_shows_no_password(tmp_path: Path) -> None:
    async def main() -> None:
        async with storage_from_url(f"sqlalchemy+sqlite+aiosqlite:///{tmp_path}/a.db") as storage:
            assert type(storage) is SQLAlchemySessionStorage
            sessions = session(dict[str, int], storage=storage)
            async with sessions.open(1) as opened:
                opened.data["n"] = 1
            assert await sessions.get(1) == {"n": 1}

    asyncio.run(main())
    shown = repr(SQLAlchemySessionStorage("postgresql+psycopg://u:geheim@h/bot"))
    assert shown == (
        "<SQLAlchemySessionStorage in sessionkit_sessions of postgresql+psycopg://u:***@h/bot>"
    )


def test_an_engine_that_was_handed_in_stays_open(engine: Engine) -> None:
    with BlockingSQLAlchemySessionStorage(engine) as storage:
        storage.write("1", 1)
    assert inspect(engine).get_table_names() == ["sessionkit_sessions"]
    assert repr(storage).startswith("<BlockingSQLAlchemySessionStorage in sessionkit_sessions of")


def test_an_async_engine_that_was_handed_in_stays_open(tmp_path: Path) -> None:
    async def main() -> None:
        engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/bot.db")
        spoil(engine.sync_engine, lambda _, text, __: "COMMIT it" if text == "COMMIT" else None)
        async with SQLAlchemySessionStorage(engine) as storage:
            with pytest.raises(SessionWriteError, match="may have been written"):
                await storage.write("1", 1)
        async with engine.connect() as connection:
            assert await connection.run_sync(lambda c: inspect(c).get_table_names())
        await engine.dispose()

    asyncio.run(main())


def test_two_that_create_the_table_at_once_both_have_it(tmp_path: Path, engine: Engine) -> None:
    table = sessions_table()

    @event.listens_for(table, "before_create", once=True)
    def _(*_: Any, **__: Any) -> None:
        with BlockingSQLAlchemySessionStorage(f"sqlite:///{tmp_path}/bot.db") as other:
            other.write("1", "theirs")

    with BlockingSQLAlchemySessionStorage(engine, table=table) as storage:
        with pytest.raises(SessionConflictError):
            storage.write_if("1", "ours", None)
        assert storage.read("1") == "theirs"


def test_a_table_that_cannot_be_created_is_an_error(engine: Engine) -> None:
    spoil(engine, lambda _, text, __: "CREATE nonsense" if "CREATE TABLE" in text else None)
    with BlockingSQLAlchemySessionStorage(engine) as storage:
        with pytest.raises(SessionError, match=r"syntax error\. Nothing was written"):
            storage.write("1", 1)
        assert storage.read("1") is None


@pytest.mark.parametrize("database", ["bot.db", "file:bot.db?uri=true"])
def test_reads_make_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database: str) -> None:
    async def main() -> None:
        async with SQLAlchemySessionStorage(f"sqlite+aiosqlite:///{database}") as storage:
            assert await storage.read("1") is None
            assert path.exists() is database.startswith("file:")  # the driver's own names
            await storage.write("1", 1)
            assert await storage.read("1") == 1

    path = tmp_path / "bot.db"
    monkeypatch.chdir(tmp_path)
    asyncio.run(main())
    with BlockingSQLAlchemySessionStorage(f"sqlite:///{tmp_path / 'other.db'}") as storage:
        assert storage.read("1") is None
    assert path.exists()
    assert not tmp_path.joinpath("other.db").exists()


def test_a_table_that_is_not_to_be_created_is_missed(engine: Engine) -> None:
    async def main() -> None:
        url = f"sqlite+aiosqlite:///{engine.url.database}"
        async with SQLAlchemySessionStorage(url, create=False) as storage:
            with pytest.raises(SessionError, match="no such table: sessionkit_sessions"):
                await storage.read("1")

    asyncio.run(main())


# Keys and pages


def test_more_than_a_page_is_listed_and_purged(engine: Engine) -> None:
    now = [0.0]
    with BlockingSQLAlchemySessionStorage(engine, ttl=60, clock=lambda: now[0]) as storage:
        long = ["long" * 100 + str(n) for n in range(600)]
        storage.write_many(dict.fromkeys(long, 1) | {"other": 1, "\ud800": 2, "end": 3})
        assert sorted(storage.iter_keys("long" * 100)) == sorted(long)
        assert sorted(storage.iter_keys("long" * 100 + "59")) == sorted(
            key for key in long if key.startswith("long" * 100 + "59")
        )
        assert len(list(storage.iter_items())) == 603
        now[0] = 60.0
        assert storage.purge_expired() == 603


def test_what_never_expires_may_be_said_by_infinity(
    storage: BlockingSQLAlchemySessionStorage,
) -> None:
    storage.write_if("1", 1, None, expires=math.inf)
    assert storage.read("1") == 1
    assert storage.touch("1")


# Trouble


def test_a_commit_that_fails_may_have_happened(
    engine: Engine, storage: BlockingSQLAlchemySessionStorage
) -> None:
    spoil(engine, lambda _, statement, __: "COMMIT it" if statement == "COMMIT" else None)
    with pytest.raises(
        SessionWriteError, match=r"may have been written, or not: the commit failed"
    ):
        storage.write("1", {"secret": 1})
    assert storage.read("1") is None


def test_a_commit_of_which_no_one_tells_is_looked_for(
    engine: Engine, storage: BlockingSQLAlchemySessionStorage
) -> None:
    @event.listens_for(engine, "after_cursor_execute")
    def _(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if statement == "COMMIT":
            raise ConnectionError("gone")

    storage.write("1", {"secret": 1})
    assert storage.read("1") == {"secret": 1}


def test_writes_that_collide_are_rolled_back_and_tried_again(
    engine: Engine, storage: BlockingSQLAlchemySessionStorage
) -> None:
    tries: list[str] = []

    def how(_connection: Any, statement: str, _parameters: Any) -> str | None:
        if not statement.startswith("INSERT"):
            return None
        tries.append(statement)
        return "INSERT nothing" if len(tries) < 3 else None

    spoil(engine, how)
    storage.write("1", 1)
    assert storage.read("1") == 1
    assert len(tries) == 3


def refuse_poison(_connection: Any, statement: str, parameters: Any) -> str | None:
    many: Any = parameters if hasattr(parameters, "append") else [parameters]
    values = [each.tobytes() for row in many for each in row if type(each) is memoryview]
    return "UPDATE nothing" if b'"poison"' in values else None


def test_only_what_is_refused_fails(
    engine: Engine, storage: BlockingSQLAlchemySessionStorage
) -> None:
    spoil(engine, refuse_poison)
    with pytest.raises(SessionWriteError, match="1 of 3 values could not be written") as caught:
        storage.write_many({"1": 1, "2": "poison", "3": 3})
    assert caught.value.failed == ("2",)
    assert dict(storage.iter_items()) == {"before": 1, "1": 1, "3": 3}
    assert "poison" not in "".join(str(e) for e in (caught.value, caught.value.__cause__))
    with pytest.raises(SessionError, match=r"syntax error\. Nothing was written"):
        storage.write("2", "poison")


def test_one_of_many_may_have_been_written(
    engine: Engine, storage: BlockingSQLAlchemySessionStorage
) -> None:
    def how(connection: Any, statement: str, parameters: Any) -> str | None:
        return "COMMIT it" if statement == "COMMIT" else refuse_poison(connection, "", parameters)

    spoil(engine, how)
    with pytest.raises(SessionWriteError, match="'1' may have been written") as caught:
        storage.write_many({"1": 1, "2": "poison"})
    assert caught.value.failed == ("1", "2")


def test_a_lost_connection_fails_what_was_not_written_yet(
    engine: Engine, storage: BlockingSQLAlchemySessionStorage
) -> None:
    begun: list[str] = []

    def how(connection: Any, statement: str, parameters: Any) -> str | None:
        if statement.startswith("BEGIN"):
            begun.append(statement)
        if len(begun) == 7 and "SELECT" in statement:  # four times all, twice one, this one
            begun.append("and closed")
            close(connection)
        return refuse_poison(connection, statement, parameters)

    spoil(engine, how)
    with pytest.raises(SessionWriteError) as caught:
        storage.write_many({"1": 1, "2": "fine", "3": 3, "4": "poison"})
    assert caught.value.written == ("1", "2")
    assert dict(storage.iter_items()) == {"before": 1, "1": 1, "2": "fine"}


def test_a_connection_lost_before_the_commit_has_written_nothing(
    engine: Engine, storage: BlockingSQLAlchemySessionStorage
) -> None:
    def how(connection: Any, statement: str, _parameters: Any) -> None:
        if statement.startswith("INSERT"):
            close(connection)

    spoil(engine, how)
    with pytest.raises(SessionError, match="Nothing was written") as caught:
        storage.write("1", 1)
    assert type(caught.value) is SessionError
    assert storage.read("1") is None


def test_what_a_driver_should_not_raise_has_written_nothing(
    engine: Engine, storage: BlockingSQLAlchemySessionStorage
) -> None:
    def how(_connection: Any, statement: str, _parameters: Any) -> None:
        if statement.startswith("INSERT"):
            raise TypeError("'str' object is not callable")

    spoil(engine, how)
    with pytest.raises(SessionError, match=r"not callable\. Nothing was written"):
        storage.write("1", 1)
    assert storage.read("1") is None


def test_a_database_that_cannot_be_reached_is_named(tmp_path: Path) -> None:
    storage = BlockingSQLAlchemySessionStorage(f"sqlite:///{tmp_path}/missing/bot.db")
    with pytest.raises(SessionError, match="failed: unable to open database file"):
        storage.read("1")
    storage.close()


def test_a_database_that_another_program_writes_is_waited_for_once(tmp_path: Path) -> None:
    path = tmp_path / "bot.db"
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": 0})
    begun: list[str] = []
    with BlockingSQLAlchemySessionStorage(engine) as storage:
        storage.write("1", 1)
        spoil(engine, lambda _, text, __: begun.append(text) if "BEGIN" in text else None)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(SessionError, match=r"not free: .* locked\. Nothing was written"):
                storage.write_many({"1": 2, "2": 2})
        assert len(begun) == 1
        assert storage.read("1") == 1
    engine.dispose()


def test_a_row_deleted_by_hand_is_a_conflict(
    engine: Engine, storage: BlockingSQLAlchemySessionStorage
) -> None:
    _, revision = storage.read_with_revision("before")
    with engine.begin() as connection:
        connection.execute(sessions_table().delete())
    assert revision is not None
    with pytest.raises(SessionConflictError):
        storage.write_if("before", 2, revision)


def test_a_row_that_another_creates_in_between_is_looked_at_again(
    running: Running,
) -> None:
    """Where rows are locked as they are read, one that is missing cannot be."""
    url = running(SQLALCHEMY).url
    with (
        SQLALCHEMY.open_blocking(url, "between") as storage,
        SQLALCHEMY.open_blocking(url, "between") as other,
    ):
        other.write("0", 0)
        engine: Any = storage._do.engine
        locked = engine._locked

        def slowly(*args: Any) -> Any:
            found = locked(*args)
            if other.read("1") is None:
                other.write("1", "theirs")
            return found

        engine._locked = slowly
        storage.write("1", "ours")
        assert storage.read("1") == "ours"

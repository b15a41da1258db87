"""SQLiteSessionStorage in trouble: damage, passing errors, files and locks that get lost."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import pytest

from sessionkit import session
from sessionkit.errors import SessionConflictError, SessionError
from sessionkit.storages._jobs import Kind, ThreadJob
from sessionkit.storages._sqlite import marks
from sessionkit.storages.sqlite import SQLiteSessionStorage
from tests.storages.sqlite_stage import (
    CONNECT,
    LARGE,
    SOON,
    Stage,
    busy_thread,
    sql,
    sqlite_error,
)

on_linux = pytest.mark.skipif(
    marks._QUERY is None, reason="lost locks can be noticed on Linux only"
)


class Ended(BaseException):
    """What nobody expects of a job."""


async def outcomes(*courses: Any) -> list[Any]:
    async with asyncio.timeout(SOON):
        return await asyncio.gather(*courses, return_exceptions=True)


async def use(storage: SQLiteSessionStorage) -> None:
    """Use everything that needs the storage's thread, which must be alive."""
    async with asyncio.timeout(SOON):
        await storage.write("good", LARGE)
        assert await storage.read("good") == LARGE
        await storage.close()


# Errors


def spoil_page_of(path: Path, key: str) -> None:
    """Overwrite the page of the file that holds the value of *key*."""
    sql(path, "PRAGMA wal_checkpoint(TRUNCATE)")
    raw = path.read_bytes()
    page = raw.index(f"value of {key} ".encode()) // 4096 * 4096
    path.write_bytes(raw[:page] + b"\xff" * 4096 + raw[page + 4096 :])


def test_a_damaged_page_fails_only_those_who_read_it(path: Path) -> None:
    with SQLiteSessionStorage(path) as storage:
        values = {str(number): f"value of {number} " * 8_000 for number in range(9)}
        storage.sync.write_many(values)
    spoil_page_of(path, "5")

    async def main() -> None:
        storage = SQLiteSessionStorage(path)
        for _ in range(2):
            good, bad, again = await outcomes(*(storage.read(key) for key in ("1", "5", "1")))
            assert (good, again) == (values["1"], values["1"])
            assert isinstance(bad, SessionError)
            assert "it is damaged" in str(bad)
        await use(storage)

    asyncio.run(main())


@pytest.mark.parametrize("statement", ["BEGIN", "SELECT CAST", "ROLLBACK"])
def test_an_error_that_passes_while_reading_fails_those_who_read(
    stage: Stage, path: Path, statement: str
) -> None:
    async def main() -> None:
        storage = SQLiteSessionStorage(path)
        await storage.write("a", LARGE)
        stage.stop_at = "COMMIT"
        busy = asyncio.create_task(storage.write("b", 1))
        await stage.is_reached()
        reads = [asyncio.create_task(storage.read("a")) for _ in range(2)]
        await asyncio.sleep(0)
        stage.failures = [(statement, sqlite_error(sqlite3.SQLITE_IOERR))]
        stage.statements.clear()
        stage.go_on.set()
        await busy
        read = await outcomes(*reads)
        assert all(each == LARGE or isinstance(each, SessionError) for each in read)
        assert stage.failures == []
        assert await storage.read("a") == LARGE
        assert stage.count("PRAGMA synchronous") == 1  # so it was opened again
        await use(storage)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("failures", "outcome"),
    [
        ([("BEGIN IMMEDIATE", sqlite3.SQLITE_IOERR)], "Nothing was written"),
        ([("UPDATE", sqlite3.SQLITE_CORRUPT)], "Nothing was written"),
        ([("COMMIT", sqlite3.SQLITE_FULL)], "Nothing was written"),
        ([("COMMIT", sqlite3.SQLITE_IOERR)], "not known whether"),
        ([("UPDATE", sqlite3.SQLITE_IOERR), ("ROLLBACK", sqlite3.SQLITE_IOERR)], "Nothing was"),
    ],
)
def test_an_error_that_passes_while_writing_fails_those_who_write(
    stage: Stage, path: Path, failures: list[tuple[str, int]], outcome: str
) -> None:
    async def main() -> None:
        storage = SQLiteSessionStorage(path)
        revision = await storage.write_if("a", 1, None)
        stage.failures = [(statement, sqlite_error(code)) for statement, code in failures[:1]]
        with pytest.raises(SessionError, match=outcome):
            async with asyncio.timeout(SOON):
                await storage.write_if("a", 2, revision)
        stage.failures = []
        assert await storage.read("a") == 1
        await storage.write_if("a", 3, revision)
        await use(storage)

    asyncio.run(main())


def test_what_no_job_should_raise_does_not_end_the_thread(path: Path) -> None:
    def raise_it(_cursor: object) -> None:
        raise Ended

    async def main() -> None:
        storage = SQLiteSessionStorage(path)
        run = storage._engine.worker.run
        for kind in (Kind.READ, Kind.WRITE):
            failed, good = await outcomes(run(kind, raise_it), storage.write("a", LARGE))
            assert isinstance(failed, SessionError)
            assert "Ended" in str(failed)
            assert good is None
        await use(storage)

    asyncio.run(main())


@pytest.mark.parametrize("step", ["read", "begin", "commit"])
def test_what_goes_wrong_between_the_jobs_fails_all_who_wait(
    path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def raise_it(*_: object) -> None:
        raise Ended

    async def main() -> None:
        storage = SQLiteSessionStorage(path)
        await storage.write("a", LARGE)
        with monkeypatch.context() as patch:
            async with busy_thread(storage):
                patch.setattr(storage._engine.worker._connection, step, raise_it)
                withdrawn = asyncio.create_task(storage.write("a", 1))
                await asyncio.sleep(0)
                withdrawn.cancel()
                in_thread = asyncio.to_thread(storage.sync.write, "b", 2)
                courses = [storage.read("a"), storage.write("a", 1), in_thread]
                tasks = [asyncio.create_task(course) for course in courses]
            read, *writes = await outcomes(*tasks)
        for failed in [read] if step == "read" else writes:
            assert isinstance(failed, SessionError)
            assert "Ended" in str(failed)
        await use(storage)

    asyncio.run(main())


def test_what_is_in_memory_outlives_an_error(stage: Stage) -> None:
    with SQLiteSessionStorage(":memory:") as storage:
        storage.sync.write("a", 1)
        stage.failures = [("COMMIT", sqlite_error(sqlite3.SQLITE_IOERR))]
        with pytest.raises(SessionError):
            storage.sync.write("a", 2)
        assert storage.sync.read("a") == 1


# Files that are not there any more


def remove(path: Path) -> None:
    path.unlink()


def remove_all(path: Path) -> None:
    for file in path.parent.iterdir():
        file.unlink()


def move(path: Path) -> None:
    path.rename(path.with_name("moved"))


def replace(path: Path) -> None:
    other = path.with_name("other")
    with SQLiteSessionStorage(other) as storage:
        storage.sync.write("a", "of the backup")
    other.replace(path)


def replace_folder(path: Path) -> None:
    path.parent.rename(path.parent.with_name("gone"))
    path.parent.mkdir()
    SQLiteSessionStorage(path)


@pytest.mark.parametrize("lose", [remove, remove_all, move, replace, replace_folder])
def test_a_file_that_is_lost_is_noticed_before_a_write_is_acknowledged(
    path: Path, lose: Callable[[Path], None]
) -> None:
    storage = SQLiteSessionStorage(path)
    storage.sync.write("a", 1)
    lose(path)

    with pytest.raises(SessionError, match=r"removed, moved or replaced .* Nothing was written"):
        storage.sync.write("a", 2)
    for use_it in (storage.sync.read, storage.sync.has, storage.sync.delete):
        with pytest.raises(SessionError, match=r"removed, moved or replaced .* Nothing was"):
            use_it("a")

    assert path.exists() == (lose in (replace, replace_folder))
    storage.sync.close()
    with SQLiteSessionStorage(path) as again:  # perhaps with the log that was left there
        assert again.sync.read("a") != 2


def test_a_file_that_is_lost_in_a_transaction_is_noticed(stage: Stage, path: Path) -> None:
    with SQLiteSessionStorage(path) as storage:
        storage.sync.write("a", 1)
        stage.stop_at = "COMMIT"
        errors: list[Exception] = []
        writing = threading.Thread(target=write_noting, args=(storage, errors))
        writing.start()
        assert stage.reached.wait(SOON)
        move(path)
        stage.go_on.set()
        writing.join(SOON)
        assert "writes are lost" in str(errors)


def write_noting(storage: SQLiteSessionStorage, errors: list[Exception]) -> None:
    try:
        storage.sync.write("a", 2)
    except SessionError as error:
        errors.append(error)


def test_a_file_that_is_lost_before_its_first_use_is_not_made_again(path: Path) -> None:
    with SQLiteSessionStorage(path) as storage:
        path.unlink()
        with pytest.raises(SessionError, match="cannot be opened"):
            storage.sync.read("a")
        assert not path.exists()


def test_a_file_that_is_replaced_while_it_is_opened_is_noticed(stage: Stage, path: Path) -> None:
    with SQLiteSessionStorage(path) as storage:
        storage.sync.write("a", 1)
        stage.failures = [("UPDATE", sqlite_error(sqlite3.SQLITE_IOERR))]
        with pytest.raises(SessionError):
            storage.sync.touch("a")
            storage.sync.write_if("a", 2, storage.sync.read_with_revision("a")[1])
        stage.stop_at = "PRAGMA synchronous"
        errors: list[Exception] = []
        writing = threading.Thread(target=write_noting, args=(storage, errors))
        writing.start()
        assert stage.reached.wait(SOON)
        replace(path)
        stage.go_on.set()
        writing.join(SOON)
        assert "Nothing was written" in str(errors)


def test_a_file_that_comes_back_is_used_again(path: Path) -> None:
    with SQLiteSessionStorage(path) as storage:
        storage.sync.write("a", 1)
        path.rename(path.with_name("moved"))
        with pytest.raises(SessionError):
            storage.sync.write("a", 2)
        path.with_name("moved").rename(path)

        storage.sync.write("a", 3)

        assert storage.sync.read("a") == 3


def test_a_log_that_is_removed_is_noticed(path: Path) -> None:
    with SQLiteSessionStorage(path) as storage:
        storage.sync.write("a", 1)
        path.with_name(f"{path.name}-wal").unlink()
        with pytest.raises(SessionError, match="not known whether"):
            storage.sync.write("a", 2)
        storage.sync.write("a", 3)
        assert storage.sync.read("a") == 3


# Locks that are lost, since something else in this process closed the file

LOOK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
print(connection.execute("SELECT count(*) FROM sessions").fetchone()[0])
connection.close()
"""


STAY = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("SELECT * FROM sessions").fetchall()
print("open", flush=True)
sys.stdin.read()
"""


def look_with_another_program(path: Path) -> int:
    """Let another process open and close the database, as a viewer does."""
    command = [sys.executable, "-c", LOOK, str(path)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@on_linux
def test_lost_locks_are_taken_again(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with SQLiteSessionStorage(path) as storage:
        storage.sync.write("0", 0)
        for number in range(1, 5):
            shutil.copyfile(path, path.with_name("copy"))
            assert look_with_another_program(path) == number
            storage.sync.write(str(number), number)
        assert len(caplog.messages) == 4
        assert "storage.backup()" in caplog.messages[0]
        log = path.with_name(f"{path.name}-wal")
        assert look_with_another_program(path) == 5
        assert log.exists()  # so the other one saw that it is in use


@on_linux
def test_locks_that_are_lost_in_a_transaction_are_not_taken_for_a_success(
    stage: Stage, path: Path
) -> None:
    with SQLiteSessionStorage(path) as storage:
        storage.sync.write("a", 1)
        stage.stop_at = "COMMIT"
        errors: list[Exception] = []
        writing = threading.Thread(target=write_noting, args=(storage, errors))
        writing.start()
        assert stage.reached.wait(SOON)
        path.read_bytes()
        stage.go_on.set()
        writing.join(SOON)
        assert "drops SQLite's locks. It is not known whether" in str(errors[0])
        storage.sync.write("a", 3)
        assert storage.sync.read("a") == 3


@on_linux
def test_locks_that_are_lost_show_among_other_processes(path: Path) -> None:
    """They lock the same bytes, and were there first."""
    SQLiteSessionStorage(path).sync.close()
    with subprocess.Popen(
        [sys.executable, "-c", STAY, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        with SQLiteSessionStorage(path) as storage:
            storage.sync.write("a", 1)
            witness = storage._engine.worker._connection._witness
            assert not witness.misses_locks
            path.read_bytes()
            assert witness.misses_locks


@on_linux
def test_the_end_of_one_storage_leaves_the_locks_of_others(path: Path) -> None:
    with SQLiteSessionStorage(path) as storage, closing(CONNECT(path)) as own:
        storage.sync.write("a", 1)
        own.execute("SELECT * FROM sessions").fetchall()
        with SQLiteSessionStorage(path, table="other") as other:
            other.sync.write("a", 1)
        assert not storage._engine.worker._connection._witness.misses_locks
        storage.sync.close()
        look_with_another_program(path)
        own.execute("INSERT INTO sessions (key, value, revision) VALUES ('b', '1', 1)")
        own.commit()
        assert look_with_another_program(path) == 2


@on_linux
def test_no_descriptor_is_left_behind(path: Path) -> None:
    def is_open() -> bool:
        return path in [link.resolve() for link in Path("/proc/self/fd").iterdir()]

    for _ in range(3):
        with SQLiteSessionStorage(path) as storage:
            storage.sync.write("a", 1)
            assert storage.sync.read("a") == 1
            assert is_open()
        assert not is_open()


def test_without_lock_queries_the_storage_works(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(marks, "_QUERY", None)
    with SQLiteSessionStorage(path) as storage:
        storage.sync.write("a", 1)
        path.read_bytes()
        storage.sync.write("a", 2)
        assert storage.sync.read("a") == 2


@on_linux
@pytest.mark.parametrize("refusal", [OSError("no locks here"), None])
def test_where_locks_cannot_be_queried_the_storage_works(
    path: Path, monkeypatch: pytest.MonkeyPatch, refusal: OSError | None
) -> None:
    def lockf(*_: object) -> None:
        if refusal is not None:
            raise refusal

    monkeypatch.setattr(marks.fcntl, "lockf", lockf)
    with SQLiteSessionStorage(path) as storage:
        storage.sync.write("a", 1)
        storage.sync.write("a", 2)
        assert storage.sync.read("a") == 2


# Edits by hand


def test_an_edit_by_hand_is_noticed_by_a_session_that_is_open(path: Path) -> None:
    async def main() -> None:
        async with SQLiteSessionStorage(path) as storage:
            sessions = session(dict[str, int], storage=storage)
            async with sessions.open(1) as s:
                s.data["count"] = 1
            sql(path, "UPDATE sessions SET value = '{\"count\": 50}' WHERE key = '1'")
            with pytest.raises(SessionConflictError):
                async with sessions.open(1) as s:
                    s.data["count"] += 1
                    sql(path, "UPDATE sessions SET value = '{\"count\": 1000}'")
            assert await sessions.get(1) == {"count": 1000}
            assert await sessions.update(1, lambda data: {"count": data["count"] + 1}) == {
                "count": 1001
            }

    asyncio.run(main())


def test_a_table_of_before_gets_its_trigger(path: Path) -> None:
    with SQLiteSessionStorage(path) as storage:
        storage.sync.write("a", 1)
    sql(path, "DROP TRIGGER sessions_edited")

    with SQLiteSessionStorage(path) as storage:
        revision = storage.sync.read_with_revision("a")[1]
        sql(path, "UPDATE sessions SET value = '2'")
        with pytest.raises(SessionConflictError):
            storage.sync.write_if("a", 3, revision)


def test_a_renewed_timeout_is_not_taken_for_an_edit(path: Path) -> None:
    with SQLiteSessionStorage(path, ttl=1000) as storage:
        revision = cast("int", storage.sync.write_if("a", 1, None))
        assert storage.sync.touch("a")
        assert storage.sync.read_with_revision("a") == (1, revision)


# Withdrawn jobs


def test_a_job_is_settled_once() -> None:
    job = ThreadJob(Kind.READ, str, ())
    job.run(None)
    job.wake()
    job.wake()
    assert job.settled

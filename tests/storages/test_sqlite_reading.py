"""Reads of the SQLite storage that are done on the thread of the caller."""

from __future__ import annotations

import asyncio
import inspect
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

import pytest

from sessionkit.errors import SessionClosedError, SessionDecodeError
from sessionkit.storages._sqlite import readers
from sessionkit.storages.sqlite import SQLiteSessionStorage
from tests.storages.sqlite_stage import LARGE, SOON, Stage, sql, sqlite_error

if TYPE_CHECKING:
    from pathlib import Path

SUSPENDED = object()


def on_the_spot(course: Coroutine[Any, Any, Any]) -> Any:
    """Return what *course* gives, SUSPENDED if it has to wait for that."""
    try:
        course.send(None)
    except StopIteration as end:
        return end.value
    course.close()
    return SUSPENDED


async def warmed_up(path: Path | str) -> SQLiteSessionStorage:
    storage = SQLiteSessionStorage(path)
    await storage.write_many({"small": 2, "large": LARGE})
    at_rest(storage)
    return storage


def at_rest(storage: SQLiteSessionStorage) -> None:
    """Wait until the thread has made the connection for readers that was missing."""
    with storage._engine.worker._at_work:
        pass


def test_what_is_small_is_read_without_suspending(path: Path) -> None:
    async def main() -> None:
        async with await warmed_up(path) as storage:
            assert on_the_spot(storage.read("small")) == 2
            assert on_the_spot(storage.read_with_revision("small"))[0] == 2
            assert on_the_spot(storage.has("small")) is True
            assert on_the_spot(storage.has("large")) is True
            assert on_the_spot(storage.read("missing")) is None
            assert on_the_spot(storage.has("missing")) is False
            assert on_the_spot(storage.read_with_revision("missing")) == (None, None)
            assert on_the_spot(storage.read("large")) is SUSPENDED
            assert await storage.read("large") == LARGE

            await storage.write("small", 3)
            at_rest(storage)
            assert on_the_spot(storage.read("small")) == 3
            sql(path, "UPDATE sessions SET value = '4' WHERE key = 'small'")
            assert on_the_spot(storage.read("small")) == 4
            sql(path, "UPDATE sessions SET value = 'broken' WHERE key = 'small'")
            with pytest.raises(SessionDecodeError):
                on_the_spot(storage.read("small"))

        for read in (storage.read, storage.has):
            with pytest.raises(SessionClosedError):
                await read("small")

    asyncio.run(main())


def test_the_deepest_value_is_read_from_a_deep_stack(path: Path) -> None:
    """As deep as sessions let it be, where a framework has used up most of the stack."""

    def at_depth(frames: int) -> object:
        return storage.sync.read("a") if frames == 0 else at_depth(frames - 1)

    value: object = 1
    for _ in range(100):
        value = [value]
    with SQLiteSessionStorage(path) as storage:
        storage.sync.write("a", value)
        depth = len(inspect.stack(0))
        assert at_depth(sys.getrecursionlimit() - depth - 180) == value


def test_what_is_in_memory_has_one_connection(stage: Stage) -> None:
    async def main() -> None:
        async with await warmed_up(":memory:") as storage:
            assert on_the_spot(storage.read("small")) is SUSPENDED
            assert await storage.read("small") == 2

    asyncio.run(main())


def test_threads_read_side_by_side_up_to_a_limit(stage: Stage, path: Path) -> None:
    """Each of them stops in the middle of a read; one too many is served by the worker."""
    everybody_reads = threading.Barrier(5)
    found: list[object] = []

    class Meeting(Stage):
        def __call__(self, statement: str) -> None:
            if statement.startswith("SELECT CASE"):
                everybody_reads.wait(SOON)

    def read() -> None:
        found.append(storage.sync.read("small"))

    storage = asyncio.run(warmed_up(path))
    for expected in (2, 3, 4, 4):  # one more whenever all were busy
        storage._engine.readers._was_short = True
        storage.sync.write("small", 2)
        at_rest(storage)
        assert len(storage._engine.readers._readers) == expected
    for reader in storage._engine.readers._readers:
        reader.cursor.stage = Meeting()  # type: ignore[attr-defined]
    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(not reader.busy.locked() for reader in storage._engine.readers._readers):
        pass
    assert storage.sync.read("small") == 2
    everybody_reads.wait(SOON)
    for thread in threads:
        thread.join(SOON)
    assert found == [2] * 4
    storage.sync.close()


def test_after_a_slow_read_the_worker_reads_for_a_while(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter([100.0, 100.02, 101.9, 102.1, 102.1])
    monkeypatch.setattr(readers, "perf_counter", lambda: next(times))

    async def main() -> None:
        async with await warmed_up(path) as storage:
            assert on_the_spot(storage.read("small")) == 2
            assert on_the_spot(storage.read("small")) is SUSPENDED
            assert on_the_spot(storage.read("small")) == 2

    asyncio.run(main())


@pytest.mark.parametrize("code", [sqlite3.SQLITE_BUSY, sqlite3.SQLITE_IOERR])
def test_a_read_that_fails_is_repeated_by_the_worker(stage: Stage, path: Path, code: int) -> None:
    async def main() -> None:
        async with await warmed_up(path) as storage:
            stage.failures = [("SELECT CASE", sqlite_error(code))]
            assert await storage.read("small") == 2
            assert on_the_spot(storage.read("small")) is SUSPENDED
            await storage.write("small", 3)
            at_rest(storage)
            assert on_the_spot(storage.read("small")) == 3

    asyncio.run(main())


def test_a_connection_that_cannot_be_made_is_done_without(stage: Stage, path: Path) -> None:
    async def main() -> None:
        stage.failures = [("PRAGMA query_only", sqlite_error(sqlite3.SQLITE_CANTOPEN))]
        async with await warmed_up(path) as storage:
            assert on_the_spot(storage.read("small")) is SUSPENDED
            assert await storage.read("small") == 2
            assert stage.failures == []

    asyncio.run(main())


def test_an_interrupted_read_gives_its_connection_back(stage: Stage, path: Path) -> None:
    async def main() -> None:
        async with await warmed_up(path) as storage:
            stage.failures = [("SELECT CASE", KeyboardInterrupt())]  # type: ignore[list-item]
            with pytest.raises(KeyboardInterrupt):
                on_the_spot(storage.read("small"))
            assert on_the_spot(storage.read("small")) == 2

    asyncio.run(main())


def test_closing_waits_for_a_read_that_is_under_way(stage: Stage, path: Path) -> None:
    storage = asyncio.run(warmed_up(path))
    stage.stop_at = "SELECT CASE"
    reading = threading.Thread(target=storage.sync.read, args=("small",))
    reading.start()
    assert stage.reached.wait(SOON)
    closing = threading.Thread(target=storage.sync.close)
    closing.start()
    closing.join(0.05)
    assert closing.is_alive()
    stage.go_on.set()
    closing.join(SOON)
    reading.join(SOON)
    assert list(path.parent.iterdir()) == [path]


def test_closing_does_not_wait_forever(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "_PATIENCE", 0.01)
    storage = asyncio.run(warmed_up(path))
    (reader,) = storage._engine.readers._readers
    with reader.busy:
        storage.sync.close()
    reader.close()


def test_writes_that_come_together_are_committed_together(stage: Stage, path: Path) -> None:
    """The first of them does not run ahead, once it has been seen that they come together."""

    async def main() -> None:
        async with SQLiteSessionStorage(path) as storage:
            for _ in range(3):
                stage.statements.clear()
                await asyncio.gather(*(storage.write(str(number), 1) for number in range(20)))
            assert stage.count("COMMIT") == 1
            for _ in range(20):
                await storage.write("alone", 1)
            assert storage._engine.worker._crowd == 0

    asyncio.run(main())


def test_loops_and_threads_that_come_together_all_ring(path: Path) -> None:
    with SQLiteSessionStorage(path) as storage:

        async def crowd() -> None:
            await asyncio.gather(*(storage.write(str(number), 1) for number in range(20)))

        for _ in range(3):
            asyncio.run(crowd())
            storage.sync.write("a", 1)
        ask_in_a_loop_that_ends(storage)
        asyncio.run(crowd())


def ask_in_a_loop_that_ends(storage: SQLiteSessionStorage) -> None:
    """Ask when several are expected, in a loop that is closed before it can ring."""
    loop = asyncio.new_event_loop()
    write = storage.write("a", 1)

    async def ask() -> None:
        on_the_spot(write)
        loop.stop()

    task = loop.create_task(ask())
    loop.run_forever()
    loop.close()
    assert task.done()


# Without the module


def test_sessionkit_can_be_imported_without_sqlite3() -> None:
    program = (
        "import sys; sys.modules['sqlite3'] = None\n"
        "import sessionkit\n"
        "assert sessionkit.session(dict)\n"
        "try: sessionkit.SQLiteSessionStorage('bot.db')\n"
        "except ImportError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert "without the module sqlite3" in done.stdout


def test_importing_sessionkit_does_not_import_sqlite3() -> None:
    program = "import sys, sessionkit; print('sqlite3' in sys.modules)"
    command = [sys.executable, "-c", program]
    env = {name: text for name, text in os.environ.items() if not name.startswith("COVERAGE")}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=env)
    assert done.stdout == "False\n"

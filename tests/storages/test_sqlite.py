"""SQLiteSessionStorage: what it promises, with real files, threads and processes.

The only doubles are connections that stop at a statement, or fail at it.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import timedelta
from functools import partial
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sessionkit.codecs import PickleCodec
from sessionkit.errors import (
    InvalidSessionKeyError,
    NewerVersionError,
    SessionClosedError,
    SessionConflictError,
    SessionDecodeError,
    SessionEncodeError,
    SessionError,
    SessionListingError,
)
from sessionkit.protocols import ANY
from sessionkit.storages.sqlite import SQLiteSessionStorage
from tests.core import Clocked
from tests.storages.sqlite_stage import (
    CONNECT,
    LARGE,
    SOON,
    Stage,
    busy_thread,
    listed,
    sql,
    sqlite_error,
    write_lock,
)

WORKER = Path(__file__).parent / "sqlite_worker.py"


def worker(job: str, path: Path, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *options, str(WORKER), job, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def output(job: str, path: Path, *options: str) -> str:
    with worker(job, path, *options) as process:
        printed, complaints = process.communicate(timeout=SOON)
    assert (complaints, process.returncode) == ("", 0)
    return printed


# Values and keys


def test_what_was_written_is_read_in_another_storage(path: Path) -> None:
    with SQLiteSessionStorage(path) as storage:
        storage.sync.write("42", {"count": 1})

    with SQLiteSessionStorage(path) as again:
        assert again.sync.read("42") == {"count": 1}
        assert again.sync.read("43") is None


def test_tasks_use_every_method(path: Path) -> None:
    async def main() -> None:
        async with SQLiteSessionStorage(path) as storage:
            await storage.write("a", 1)
            await storage.write_many({"b": 2, "c": 3})
            await storage.write_many({})
            assert await storage.read("a") == 1
            assert await storage.read_many(["a", "c", "x", "a"]) == {"a": 1, "c": 3}
            assert await storage.read_many([]) == {}
            assert await storage.has("a")
            assert await storage.touch("a")
            assert sorted(await listed(storage.iter_keys())) == ["a", "b", "c"]
            assert sorted(await listed(storage.iter_items("b"))) == [("b", 2)]
            await storage.delete("a")
            await storage.delete("a")
            assert not await storage.has("a")
            assert not await storage.touch("a")
            assert await storage.purge_expired() == 0

    asyncio.run(main())


def test_threads_use_every_method(storage: SQLiteSessionStorage) -> None:
    with storage.sync as blocking:
        blocking.write("a", 1)
        blocking.write_many({"b": 2, "c": 3})
        assert blocking.read("a") == 1
        assert blocking.read_many(["a", "c", "x"]) == {"a": 1, "c": 3}
        assert blocking.has("a")
        assert blocking.touch("a")
        assert sorted(blocking.iter_keys()) == ["a", "b", "c"]
        assert sorted(blocking.iter_items("b")) == [("b", 2)]
        value, revision = blocking.read_with_revision("a")
        assert value == 1
        blocking.write_if("a", 2, revision)
        blocking.delete("a")
        assert not blocking.has("a")
        assert blocking.purge_expired() == 0
        assert blocking.sync is blocking
        assert blocking.identity == storage.identity

    with pytest.raises(SessionClosedError):
        storage.sync.read("a")


@pytest.mark.parametrize("value", [0, "", False, [], {}, 0.0])
def test_falsy_values_are_not_missing(storage: SQLiteSessionStorage, value: object) -> None:
    storage.sync.write("a", value)

    assert storage.sync.read("a") == value
    assert type(storage.sync.read("a")) is type(value)
    assert storage.sync.has("a")


any_text = st.text(st.characters(exclude_categories=()))
any_key = st.text(st.sampled_from("a\0\ud800\udfff\ud83d\ude00\U0001f600é\uffff%_*'"), min_size=1)
plain = st.recursive(
    st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | any_text,
    lambda inner: st.lists(inner) | st.dictionaries(any_text, inner),
    max_leaves=5,
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(any_key | any_text.filter(bool), plain), any_key | st.just(""))
def test_any_key_and_value_come_back(values: Mapping[str, Any], prefix: str) -> None:
    with SQLiteSessionStorage(":memory:") as storage:
        storage.sync.write_many(values)

        assert dict(storage.sync.iter_items()) == values
        assert sorted(storage.sync.iter_keys()) == sorted(values)
        for key in values:
            assert storage.sync.read(key) == values[key]
        fitting = sorted(key for key in values if key.startswith(prefix))
        assert sorted(storage.sync.iter_keys(prefix)) == fitting


def test_listing_goes_through_many_pages(storage: SQLiteSessionStorage) -> None:
    values = {f"a{number}": number for number in range(512)}
    values |= {f"b\udc00{number}": number for number in range(300)}
    storage.sync.write_many(values)

    assert sorted(storage.sync.iter_items()) == sorted(values.items())
    assert len(list(storage.sync.iter_keys("a"))) == 512
    assert len(list(storage.sync.iter_keys("b"))) == 300
    assert list(storage.sync.iter_keys("c")) == []


def test_listing_takes_few_large_values_at_a_time(stage: Stage, path: Path) -> None:
    with SQLiteSessionStorage(path) as storage:
        values = {f"{number:03}": "x" * 1_500_000 for number in range(7)}
        storage.sync.write_many(values)
        stage.statements.clear()

        assert dict(storage.sync.iter_items()) == values
        assert stage.count("SELECT key") == 4  # 3, 3 and 1 of text, and none of bytes


def test_listing_misses_no_key_between_two_pages(storage: SQLiteSessionStorage) -> None:
    keys = [start + "\0" * length for start in ("k", "k\udc00") for length in range(300)]
    storage.sync.write_many(dict.fromkeys(keys, 1))

    assert sorted(storage.sync.iter_keys("k")) == sorted(keys)


def test_a_listing_can_be_dropped_in_the_middle(storage: SQLiteSessionStorage) -> None:
    storage.sync.write_many({"a": 1, "b": 2})

    assert next(iter(storage.sync.iter_keys())) == "a"
    gc.collect()


@pytest.mark.parametrize("key", ["", 42, None])
def test_what_is_not_a_key_is_refused(storage: SQLiteSessionStorage, key: Any) -> None:
    with pytest.raises(InvalidSessionKeyError, match="non-empty str"):
        storage.sync.read(key)
    with pytest.raises(InvalidSessionKeyError, match="non-empty str"):
        storage.sync.write(key, 1)


def test_what_the_caller_changes_after_the_call_is_not_written(path: Path) -> None:
    async def main() -> None:
        async with SQLiteSessionStorage(path) as storage:
            data = [1]
            writes = storage.write("a", data), storage.write_if("b", data, None)
            data.append(2)
            await asyncio.gather(*writes)
            assert await storage.read_many(["a", "b"]) == {"a": [1], "b": [1]}

    asyncio.run(main())


def test_a_codec_of_the_users_own(path: Path) -> None:
    with SQLiteSessionStorage(path, codec=PickleCodec()) as storage:
        storage.sync.write("a", {1: (2, 3)})

        assert storage.sync.read("a") == {1: (2, 3)}


@pytest.mark.parametrize("value", [None, {1, 2}, float("nan")])
def test_what_cannot_be_stored_leaves_what_is(storage: SQLiteSessionStorage, value: object) -> None:
    storage.sync.write_many({"a": 1, "b": 1})

    with pytest.raises(SessionEncodeError, match="'b'"):
        storage.sync.write("b", value)
    with pytest.raises(SessionEncodeError, match="'b'"):
        storage.sync.write_many({"a": 2, "b": value})

    assert storage.sync.read_many(["a", "b"]) == {"a": 1, "b": 1}


def test_an_undecodable_value_raises_and_stays(storage: SQLiteSessionStorage, path: Path) -> None:
    storage.sync.write("a", 1)
    sql(path, "UPDATE sessions SET value = ?", b"{broken")

    for attempt in (storage.sync.read, storage.sync.read_with_revision):
        with pytest.raises(SessionDecodeError, match=r"sessions\.db") as caught:
            cast("Any", attempt)("a")
        assert caught.value.key == "a"

    assert sql(path, "SELECT value FROM sessions") == [(b"{broken",)]
    assert storage.sync.has("a")


def test_a_listing_goes_past_what_cannot_be_read(storage: SQLiteSessionStorage, path: Path) -> None:
    storage.sync.write_many({str(number): number for number in range(300)})
    sql(path, "UPDATE sessions SET value = 'null' WHERE key LIKE '29_'")

    listed: list[tuple[str, Any]] = []
    with pytest.raises(SessionListingError, match=r"10 of .*'294' and 5 more\. ") as caught:
        for item in storage.sync.iter_items():
            listed.append(item)

    assert len(listed) == 290
    assert caught.value.keys == tuple(str(number) for number in range(290, 300))
    assert isinstance(caught.value.__cause__, SessionDecodeError)


def test_a_value_repaired_by_hand_is_read(storage: SQLiteSessionStorage, path: Path) -> None:
    storage.sync.write("42", {"count": 1})

    sql(path, "UPDATE sessions SET value = ? WHERE key = '42'", '{"count":2}')

    assert storage.sync.read("42") == {"count": 2}


# Expiry


def test_a_value_is_gone_at_the_instant_of_its_expiry(path: Path, clock: Clocked) -> None:
    with SQLiteSessionStorage(path, ttl=timedelta(seconds=10), clock=clock) as storage:
        storage.sync.write("a", 1)
        storage.sync.write_many({"b": 2})
        clock.now += 9.75
        assert storage.sync.read_many(["a", "b"]) == {"a": 1, "b": 2}

        clock.now += 0.25

        assert storage.sync.read("a") is None
        assert storage.sync.read_many(["a", "b"]) == {}
        assert not storage.sync.has("a")
        assert not storage.sync.touch("a")
        assert list(storage.sync.iter_keys()) == []
        assert list(storage.sync.iter_items()) == []


def test_an_expiry_given_with_the_value_wins(path: Path, clock: Clocked) -> None:
    with SQLiteSessionStorage(path, ttl=10, clock=clock) as storage:
        storage.sync.write_if("a", 1, ANY, expires=clock.now + 100)
        clock.now += 50
        assert storage.sync.read("a") == 1
        storage.sync.write("a", 2)
        clock.now += 10
        assert storage.sync.read("a") is None


def test_an_expiry_must_be_a_time(storage: SQLiteSessionStorage) -> None:
    with pytest.raises(ValueError, match="NaN"):
        storage.sync.write_if("a", 1, ANY, expires=float("nan"))


def test_a_listing_skips_what_expires_on_the_way(path: Path, clock: Clocked) -> None:
    with SQLiteSessionStorage(path, clock=clock) as storage:
        storage.sync.write("a", 1)
        storage.sync.write_if("b", 1, None, expires=clock.now + 1)
        keys = storage.sync.iter_keys()
        assert next(keys) == "a"
        clock.now += 1
        assert list(keys) == []


def test_touch_restarts_the_timeout(path: Path, clock: Clocked) -> None:
    with SQLiteSessionStorage(path, ttl=10, clock=clock) as storage:
        storage.sync.write("a", 1)
        revision = storage.sync.read_with_revision("a")[1]
        clock.now += 9
        assert storage.sync.touch("a")
        clock.now += 9
        assert storage.sync.read_with_revision("a") == (1, revision)
        clock.now += 1
        assert not storage.sync.touch("a")
        assert storage.sync.read("a") is None
        assert not storage.sync.touch("missing")


def test_touch_only_tells_where_there_is_no_timeout(path: Path, clock: Clocked) -> None:
    with SQLiteSessionStorage(path, clock=clock) as storage:
        storage.sync.write("a", 1)
    with SQLiteSessionStorage(path, ttl=10, clock=clock) as storage:
        assert storage.sync.touch("a")
        clock.now += 1000
        assert storage.sync.read("a") == 1


def test_purge_removes_expired_values_in_small_transactions(
    stage: Stage, path: Path, clock: Clocked
) -> None:
    with SQLiteSessionStorage(path, ttl=10, clock=clock) as storage:
        storage.sync.write_many({str(number): number for number in range(1200)})
        clock.now += 10
        storage.sync.write("7", "written in between")
        stage.statements.clear()

        assert storage.sync.purge_expired() == 1199
        assert stage.count("COMMIT") == 3
        assert sql(path, "SELECT key FROM sessions") == [("7",)]
        assert storage.sync.purge_expired() == 0


def test_purge_finds_expired_values_by_an_index(path: Path, storage: SQLiteSessionStorage) -> None:
    plan = sql(path, "EXPLAIN QUERY PLAN SELECT rowid FROM sessions WHERE expires <= ?", 1)

    assert "USING COVERING INDEX sessions_expires" in plan[0][3]


# Revisions


def test_a_write_on_condition_goes_through_only_once(storage: SQLiteSessionStorage) -> None:
    assert storage.sync.read_with_revision("a") == (None, None)
    first = storage.sync.write_if("a", 1, None)
    assert storage.sync.read_with_revision("a") == (1, first)

    second = storage.sync.write_if("a", 2, first)

    with pytest.raises(SessionConflictError, match="'a'") as caught:
        storage.sync.write_if("a", 3, first)
    assert caught.value.key == "a"
    assert storage.sync.read_with_revision("a") == (2, second)


@pytest.mark.parametrize("value", [3, None])
@pytest.mark.parametrize("expected", [None, 0, -1, 2**70, "a", (1,), 1.5])
def test_a_revision_that_is_not_the_stored_one_conflicts(
    storage: SQLiteSessionStorage, value: object, expected: Any
) -> None:
    storage.sync.write("a", 1)

    with pytest.raises(SessionConflictError):
        storage.sync.write_if("a", value, expected)

    assert storage.sync.read("a") == 1


def test_a_revision_of_what_is_missing_conflicts(storage: SQLiteSessionStorage) -> None:
    revision = storage.sync.write_if("a", 1, None)
    storage.sync.delete("a")

    for value in (2, None):
        with pytest.raises(SessionConflictError):
            storage.sync.write_if("a", value, revision)

    assert not storage.sync.has("a")


def test_deletes_can_be_conditional(storage: SQLiteSessionStorage) -> None:
    revision = storage.sync.write_if("a", 1, None)
    assert storage.sync.write_if("a", None, revision) is None
    assert not storage.sync.has("a")
    assert storage.sync.write_if("a", None, None) is None
    storage.sync.write("a", 2)
    assert storage.sync.write_if("a", None, ANY) is None
    assert not storage.sync.has("a")


def test_a_revision_is_never_used_again(path: Path) -> None:
    seen: set[object] = set()
    for _ in range(3):
        with SQLiteSessionStorage(path) as storage:
            for value in (1, 1, 2):
                storage.sync.write("a", value)
                seen.add(storage.sync.read_with_revision("a")[1])
                seen.add(storage.sync.write_if("a", value, ANY))
                storage.sync.delete("a")
                seen.add(storage.sync.write_if("a", value, None))
    assert len(seen) == 27


def test_an_expired_value_is_missing_and_has_a_revision(path: Path, clock: Clocked) -> None:
    with SQLiteSessionStorage(path, ttl=10, clock=clock) as storage:
        revision = storage.sync.write_if("a", 1, None)
        clock.now += 10
        assert storage.sync.read_with_revision("a") == (None, revision)

        storage.sync.write_if("a", 2, revision)
        clock.now += 10
        storage.sync.write_if("a", 3, None)

        assert storage.sync.read("a") == 3
        clock.now += 10
        assert storage.sync.write_if("a", None, None) is None


# One commit for many


def test_writes_in_flight_share_a_commit_and_reads_a_snapshot(stage: Stage, path: Path) -> None:
    async def main() -> None:
        async with SQLiteSessionStorage(path) as storage:
            await storage.read("the thread has begun")
            stage.statements.clear()
            with write_lock(path):
                writes = [asyncio.create_task(storage.write(str(n), n)) for n in range(64)]
                reads = [storage.read(str(n)) for n in range(64)]
                assert await asyncio.gather(*reads) == [None] * 64
                assert not any(write.done() for write in writes)
                assert stage.count("COMMIT") <= 2
                stage.statements.clear()
            await asyncio.gather(*writes)
            assert stage.count("COMMIT") == 1
            assert len(await listed(storage.iter_keys())) == 64

    asyncio.run(main())


def test_writes_that_come_while_others_commit_wait_for_the_next(stage: Stage, path: Path) -> None:
    async def main() -> None:
        async with SQLiteSessionStorage(path) as storage:
            stage.stop_at = "COMMIT"
            first = asyncio.create_task(storage.write("a", 1))
            await stage.is_reached()
            stage.statements.clear()
            rest = [asyncio.create_task(storage.write(str(n), n)) for n in range(63)]
            read = asyncio.create_task(storage.read("a"))
            await asyncio.sleep(0)
            stage.go_on.set()
            await asyncio.gather(first, *rest)
            assert await read == 1
            assert stage.count("COMMIT") == 1

    asyncio.run(main())


def test_who_asked_during_a_commit_shares_the_next_with_those_whom_it_wakes(
    stage: Stage, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else two groups would take turns, with twice as many commits."""
    monkeypatch.setattr("sessionkit.storages._sqlite.worker._LONGEST_TURN", SOON)

    async def main() -> None:
        async with SQLiteSessionStorage(path) as storage:
            await storage.read("the thread has begun")

            async def writes_twice(key: str) -> None:
                await storage.write(key, 1)
                assert not stage.begun.wait(0.05)  # all the others wait for this loop
                await storage.write(key, 2)

            with write_lock(path):
                early = [asyncio.create_task(writes_twice(key)) for key in "ab"]
                await asyncio.sleep(0)
                stage.stop_at = "COMMIT"
            await stage.is_reached()
            late = asyncio.create_task(storage.write("c", 1))
            await asyncio.sleep(0)
            stage.statements.clear()
            stage.begun.clear()
            stage.go_on.set()
            await asyncio.gather(*early, late)
            assert stage.count("COMMIT") == 1

    asyncio.run(main())


def test_what_is_queued_while_a_transaction_begins_belongs_to_it(stage: Stage, path: Path) -> None:
    async def main() -> None:
        async with SQLiteSessionStorage(path) as storage:
            await storage.read("the thread has begun")
            stage.statements.clear()
            stage.stop_at = "BEGIN IMMEDIATE"
            first = asyncio.create_task(storage.write("a", 1))
            await stage.is_reached()
            second = asyncio.create_task(storage.write("b", 2))
            read = asyncio.create_task(storage.read("a"))
            await asyncio.sleep(0)
            stage.go_on.set()
            await asyncio.gather(first, second, read)
            assert stage.count("COMMIT") == 1

    asyncio.run(main())


def test_a_conflict_does_not_fail_its_neighbours(path: Path) -> None:
    async def main() -> None:
        async with SQLiteSessionStorage(path) as storage:
            await storage.write("a", 1)
            async with busy_thread(storage):
                batch = [storage.write("b", 2), storage.write_if("a", 3, None)]
                tasks = [asyncio.create_task(course) for course in [*batch, storage.write("c", 4)]]
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            assert isinstance(outcomes[1], SessionConflictError)
            assert [outcomes[0], outcomes[2]] == [None, None]
            assert await storage.read_many("abc") == {"a": 1, "b": 2, "c": 4}

    asyncio.run(main())


@pytest.mark.parametrize(("reaction", "kept"), [("ABORT", {"a": 1, "c": 4}), ("ROLLBACK", {})])
def test_a_failing_write_takes_its_neighbours_along_only_if_sqlite_does(
    path: Path, reaction: str, kept: dict[str, int]
) -> None:
    async def main() -> None:
        async with SQLiteSessionStorage(path) as storage:
            sql(
                path,
                "CREATE TRIGGER refuse BEFORE INSERT ON sessions WHEN NEW.key = 'bad' "
                f"BEGIN SELECT RAISE({reaction}, 'refused'); END",
            )
            async with busy_thread(storage):
                courses = [
                    storage.write("a", 1),
                    storage.write_many({"b": 2, "bad": 3}),
                    storage.write("c", 4),
                ]
                tasks = [asyncio.create_task(course) for course in courses]
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            errors = [error for error in outcomes if isinstance(error, SessionError)]
            assert len(errors) == 3 - len(kept)
            assert all("refused" in str(error) and str(path) in str(error) for error in errors)
            assert dict(await listed(storage.iter_items())) == kept
            await storage.write("next", 5)

    asyncio.run(main())


@pytest.mark.parametrize("statement", ["COMMIT", "BEGIN IMMEDIATE"])
def test_if_a_transaction_fails_all_fail_and_nothing_is_written(
    stage: Stage, path: Path, statement: str
) -> None:
    async def main() -> None:
        async with SQLiteSessionStorage(path) as storage:
            async with busy_thread(storage):
                courses = [storage.write("a", 1), storage.write("b", 2)]
                tasks = [asyncio.create_task(course) for course in courses]
                stage.failures = [(statement, sqlite_error(sqlite3.SQLITE_FULL))]
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            assert all("Make room on the disk" in str(outcome) for outcome in outcomes)
            assert outcomes[0] is not outcomes[1]
            assert await listed(storage.iter_keys()) == []
            await storage.write("c", 3)
            assert await listed(storage.iter_keys()) == ["c"]

    asyncio.run(main())


# Locked by others


def test_writes_fail_when_another_program_keeps_the_file_locked(path: Path) -> None:
    with SQLiteSessionStorage(path, busy_timeout=0.05) as storage:
        storage.sync.write("a", 1)
        with write_lock(path):
            with pytest.raises(SessionError, match="kept it locked") as caught:
                storage.sync.write("a", 2)
            assert str(path) in str(caught.value)
            assert isinstance(caught.value.__cause__, sqlite3.OperationalError)
            assert storage.sync.read("a") == 1
        storage.sync.write("b", 3)
        assert dict(storage.sync.iter_items()) == {"a": 1, "b": 3}


def test_reads_wait_while_the_file_cannot_be_read(stage: Stage, path: Path) -> None:
    with SQLiteSessionStorage(path) as storage:
        storage.sync.write("a", 1)
        stage.failures = [("SELECT", sqlite_error(sqlite3.SQLITE_BUSY))] * 3

        assert storage.sync.read("a") == 1
        assert stage.failures == []


def test_reads_that_find_their_file_busy_do_not_hold_up_others(stage: Stage, path: Path) -> None:
    async def main() -> None:
        async with SQLiteSessionStorage(path) as storage:
            await storage.write("a", 1)
            stage.stop_at = "COMMIT"
            write = asyncio.create_task(storage.write("b", 2))
            await stage.is_reached()
            reads = [asyncio.create_task(storage.read("a")) for _ in range(3)]
            await asyncio.sleep(0)
            stage.failures = [("SELECT", sqlite_error(sqlite3.SQLITE_BUSY))]
            stage.go_on.set()
            assert await asyncio.gather(write, *reads) == [None, 1, 1, 1]

    asyncio.run(main())


def test_reads_fail_if_the_file_stays_busy(stage: Stage, path: Path) -> None:
    with SQLiteSessionStorage(path, busy_timeout=0.01) as storage:
        storage.sync.write("a", 1)
        stage.failures = [("SELECT", sqlite_error(sqlite3.SQLITE_BUSY))] * 1000

        with pytest.raises(SessionError, match="kept it locked"):
            storage.sync.read("a")


def test_a_file_that_cannot_be_opened_any_more_fails_those_who_wait(
    stage: Stage, path: Path
) -> None:
    with SQLiteSessionStorage(path) as storage:
        stage.failures = [("PRAGMA", sqlite_error(sqlite3.SQLITE_CANTOPEN))]

        with pytest.raises(SessionError, match="cannot be opened"):
            storage.sync.write("a", 1)

        storage.sync.write("a", 2)
        assert storage.sync.read("a") == 2


# Cancelled


def test_a_write_cancelled_in_the_queue_never_happens(stage: Stage, path: Path) -> None:
    async def main() -> None:
        async with SQLiteSessionStorage(path) as storage:
            await storage.read("the file is there")
            with write_lock(path):
                stage.stop_at = "BEGIN IMMEDIATE"
                write = asyncio.create_task(storage.write("a", 1))
                await stage.is_reached()
                write.cancel()
                stage.go_on.set()
                with pytest.raises(asyncio.CancelledError):
                    await asyncio.wait_for(write, SOON)
            await storage.write("b", 2)
            assert await listed(storage.iter_keys()) == ["b"]

    asyncio.run(main())


def test_closing_does_not_wait_for_what_was_cancelled(stage: Stage, path: Path) -> None:
    async def main() -> None:
        storage = SQLiteSessionStorage(path, busy_timeout=1000)
        await storage.read("the file is there")
        with write_lock(path):
            stage.stop_at = "BEGIN IMMEDIATE"
            write = asyncio.create_task(storage.write("a", 1))
            await stage.is_reached()
            write.cancel()
            stage.go_on.set()
            await asyncio.wait_for(storage.close(), SOON)

    asyncio.run(main())
    assert sql(path, "SELECT key FROM sessions") == []


def test_a_write_cancelled_in_the_commit_ends_when_it_is_through(stage: Stage, path: Path) -> None:
    async def main() -> None:
        async with SQLiteSessionStorage(path) as storage:
            stage.stop_at = "COMMIT"
            write = asyncio.create_task(storage.write("a", 1))
            await stage.is_reached()
            for _ in range(3):
                write.cancel("enough")
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                assert not write.done()
            assert sql(path, "SELECT key FROM sessions") == []
            stage.go_on.set()
            with pytest.raises(asyncio.CancelledError, match="enough"):
                await write
            assert sql(path, "SELECT key FROM sessions") == [("a",)]

    asyncio.run(main())


def test_a_timeout_in_the_commit_is_a_timeout_once_it_is_through(stage: Stage, path: Path) -> None:
    async def main() -> None:
        async with SQLiteSessionStorage(path) as storage:
            stage.stop_at = "COMMIT"
            limit = asyncio.timeout(None)

            async def expire() -> None:
                await stage.is_reached()
                limit.reschedule(asyncio.get_running_loop().time())
                while not limit.expired():
                    await asyncio.sleep(0)
                stage.go_on.set()

            expiring = asyncio.create_task(expire())
            with pytest.raises(TimeoutError):
                async with limit:
                    await storage.write("a", 1)
            await expiring
            assert sql(path, "SELECT key FROM sessions") == [("a",)]

    asyncio.run(main())


def test_a_write_that_is_through_before_its_task_is_cancelled_counts(
    stage: Stage, path: Path
) -> None:
    async def main() -> None:
        async with SQLiteSessionStorage(path) as storage:
            write = asyncio.create_task(storage.write("a", 1))
            await asyncio.sleep(0)
            while not sql(path, "SELECT key FROM sessions"):
                pass  # the loop does not go on, so it cannot notice
            write.cancel()
            with pytest.raises(asyncio.CancelledError):
                await write
            assert await storage.read("a") == 1

    asyncio.run(main())


def test_a_cancelled_read_ends_at_once(stage: Stage, path: Path) -> None:
    async def main() -> None:
        async with SQLiteSessionStorage(path) as storage:
            await storage.write("a", LARGE)
            stage.stop_at = "SELECT CAST"
            reads = [asyncio.create_task(storage.read("a")) for _ in range(2)]
            await stage.is_reached()
            reads[0].cancel()
            with pytest.raises(asyncio.CancelledError):
                await reads[0]
            stage.go_on.set()
            assert await reads[1] == LARGE

    asyncio.run(main())


def _keep_quiet(_loop: asyncio.AbstractEventLoop, _context: dict[str, Any]) -> None:
    """Expect that a task is destroyed while it is pending."""


def test_a_loop_that_is_closed_too_early_harms_nobody(stage: Stage, path: Path) -> None:
    with SQLiteSessionStorage(path) as storage:
        stage.stop_at = "COMMIT"
        loop = asyncio.new_event_loop()
        course = storage.write("a", 1)
        task = loop.create_task(course)
        loop.run_until_complete(stage.is_reached())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
        loop.set_exception_handler(_keep_quiet)
        course.close()
        del task
        stage.go_on.set()

        assert storage.sync.read("a") == 1


def test_an_awaitable_that_is_dropped_withdraws_its_write(path: Path) -> None:
    async def main() -> None:
        async with SQLiteSessionStorage(path) as storage:
            with write_lock(path):
                write = storage.write("a", 1)
                write.send(None)
                write.close()
                await storage.read("a")
            await storage.write("b", 2)
            assert await listed(storage.iter_keys()) == ["b"]

    asyncio.run(main())


class SoftLimit(Exception):
    """What the signal handler of a task queue raises when the time is up."""


@contextmanager
def interrupting(
    error: type[BaseException], since: threading.Event, then: Callable[[], None]
) -> Generator[None]:
    """Raise *error* in this thread again and again while it blocks; after some time do *then*."""
    over = threading.Event()
    main = threading.main_thread().ident
    assert main is not None

    def press(thread: int) -> None:
        assert since.wait(SOON)
        for times in count(1):
            signal.pthread_kill(thread, signal.SIGINT)
            if times == 3:
                then()
            if over.wait(0.005):
                return

    def interrupt(*_: object) -> None:
        if not over.is_set():
            raise error

    presser = threading.Thread(target=press, args=(main,))
    before = signal.signal(signal.SIGINT, interrupt)
    presser.start()
    try:
        with pytest.raises(error):
            try:
                yield
            finally:
                over.set()
    finally:
        presser.join()
        signal.signal(signal.SIGINT, before)


INTERRUPTIONS = pytest.mark.parametrize("error", [KeyboardInterrupt, SoftLimit])


@INTERRUPTIONS
def test_an_interruption_withdraws_what_a_thread_waits_for(
    stage: Stage, path: Path, error: type[BaseException]
) -> None:
    with SQLiteSessionStorage(path) as storage:
        stage.stop_at = "BEGIN IMMEDIATE"
        with interrupting(error, stage.reached, lambda: None):
            storage.sync.write("a", 1)
        stage.go_on.set()
        assert not storage.sync.has("a")


@INTERRUPTIONS
def test_an_interruption_of_the_commit_is_raised_when_it_is_through(
    stage: Stage, path: Path, error: type[BaseException]
) -> None:
    seen: list[object] = []

    def go_on() -> None:
        seen.extend(sql(path, "SELECT key FROM sessions"))
        stage.go_on.set()

    with SQLiteSessionStorage(path) as storage:
        stage.stop_at = "COMMIT"
        with interrupting(error, stage.reached, go_on):
            storage.sync.write("a", 1)
        assert seen == []
        assert storage.sync.read("a") == 1


# Closed


def test_a_closed_storage_refuses_to_be_used(path: Path) -> None:
    async def main() -> None:
        storage = SQLiteSessionStorage(path)
        await storage.write("a", 1)
        await asyncio.gather(storage.close(), storage.close())
        await storage.close()
        for course in (storage.read("a"), storage.write("a", 2), storage.purge_expired()):
            with pytest.raises(SessionClosedError, match="make a new SQLiteSessionStorage"):
                await course
        with pytest.raises(SessionClosedError):
            await listed(storage.iter_keys())
        storage.sync.close()

    asyncio.run(main())
    assert sorted(path.parent.iterdir()) == [path]


def test_a_storage_closed_before_its_first_use_is_closed(storage: SQLiteSessionStorage) -> None:
    storage.sync.close()

    with pytest.raises(SessionClosedError):
        storage.sync.read("a")


def test_what_was_never_used_closes_at_once(path: Path) -> None:
    async def main() -> None:
        async with SQLiteSessionStorage(path):
            pass

    asyncio.run(main())
    assert list(path.parent.iterdir()) == [path]


def test_closing_finishes_what_is_queued(stage: Stage, path: Path) -> None:
    async def main() -> None:
        storage = SQLiteSessionStorage(path)
        stage.stop_at = "COMMIT"
        writes = [asyncio.create_task(storage.write("a", 1))]
        await stage.is_reached()
        writes += [asyncio.create_task(storage.write(str(n), n)) for n in range(3)]
        await asyncio.sleep(0)
        closing = asyncio.create_task(storage.close())
        await asyncio.sleep(0)
        stage.go_on.set()
        await asyncio.gather(*writes, closing)

    asyncio.run(main())
    assert len(sql(path, "SELECT key FROM sessions")) == 4


@pytest.mark.parametrize("is_first_use", [True, False])
def test_who_comes_while_another_thread_closes_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch, is_first_use: bool
) -> None:
    storage = SQLiteSessionStorage(path)
    if not is_first_use:
        storage.sync.write("a", 1)
    getpid = os.getpid

    def close_meanwhile() -> int:
        monkeypatch.setattr(os, "getpid", getpid)
        storage.sync.close()
        return getpid()

    monkeypatch.setattr(os, "getpid", close_meanwhile)
    with pytest.raises(SessionClosedError):
        storage.sync.write("a", 2)


def test_two_threads_may_begin_at_a_time(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    getpid = os.getpid

    with SQLiteSessionStorage(path) as both:

        def begin_meanwhile() -> int:
            monkeypatch.setattr(os, "getpid", getpid)
            both.sync.write("a", 1)
            return getpid()

        monkeypatch.setattr(os, "getpid", begin_meanwhile)
        both.sync.write("b", 2)
        assert sorted(both.sync.iter_keys()) == ["a", "b"]


def test_a_storage_that_nobody_holds_is_closed(path: Path) -> None:
    storage = SQLiteSessionStorage(path)
    storage.sync.write("a", 1)
    view = storage.sync
    del storage
    gc.collect()
    assert view.read("a") == 1
    assert len(list(path.parent.iterdir())) == 3

    del view
    gc.collect()

    assert list(path.parent.iterdir()) == [path]
    SQLiteSessionStorage(path)
    gc.collect()


def test_a_storage_dropped_by_its_own_thread_is_closed(stage: Stage, path: Path) -> None:
    threads = set(threading.enumerate())
    storage = SQLiteSessionStorage(path)
    storage.sync.write("a", 1)
    (thread,) = set(threading.enumerate()) - threads

    async def leave_the_last_reference_to_the_thread(storage: SQLiteSessionStorage) -> None:
        stage.stop_at = "COMMIT"
        write = storage.write("b", 2)
        write.send(None)
        await stage.is_reached()
        write.close()

    dropped = leave_the_last_reference_to_the_thread(storage)
    del storage
    asyncio.run(dropped)
    assert thread.is_alive()
    stage.go_on.set()

    thread.join(SOON)
    assert not thread.is_alive()
    assert sql(path, "SELECT key FROM sessions") == [("a",), ("b",)]


def test_a_call_outlives_the_name_of_its_storage(path: Path) -> None:
    async def main() -> None:
        write = SQLiteSessionStorage(path).write("a", 1)
        gc.collect()
        await write
        assert await SQLiteSessionStorage(path).read("a") == 1

    asyncio.run(main())


# Set-up


def test_a_directory_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SessionError, match="its directory does not exist"):
        SQLiteSessionStorage(tmp_path / "missing" / "sessions.db")


def test_a_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SessionError, match="is a directory"):
        SQLiteSessionStorage(tmp_path)


@pytest.mark.parametrize(
    ("wrong", "error"), [("", ValueError), (b"sessions.db", TypeError), (None, TypeError)]
)
def test_what_is_not_a_path_is_refused(wrong: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="path"):
        SQLiteSessionStorage(wrong)


@pytest.mark.parametrize("table", ["", "a b", 'a"b', "1a", "sqlite_a", "SessionKit_tables", "ä"])
def test_a_table_name_must_be_an_identifier_of_ones_own(path: Path, table: str) -> None:
    with pytest.raises(ValueError, match="table"):
        SQLiteSessionStorage(path, table=table)
    assert not path.exists()


@pytest.mark.parametrize("option", ["ttl", "busy_timeout"])
def test_spans_must_be_positive(path: Path, option: str) -> None:
    options: dict[str, Any] = {option: 0}
    with pytest.raises(ValueError, match=option):
        SQLiteSessionStorage(path, **options)
    assert not path.exists()


def test_a_file_that_is_not_a_database_is_refused_and_left_alone(path: Path) -> None:
    path.write_text("not a database, but long enough to be taken for one" * 100)
    before = path.read_bytes()

    with pytest.raises(SessionError, match="not an SQLite database") as caught:
        SQLiteSessionStorage(path)

    assert str(path) in str(caught.value)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


@pytest.fixture
def open_to_all() -> Iterator[Path]:
    """Return a directory that any user can reach, unlike those of pytest."""
    with TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)
        Path(directory).chmod(0o755)


def test_a_file_that_may_only_be_read_is_refused(open_to_all: Path) -> None:
    path = open_to_all / "sessions.db"
    SQLiteSessionStorage(path)
    path.chmod(0o444)
    open_to_all.chmod(0o555)

    complaint = output("open_as_nobody", path)

    assert "it is read-only here. Let the user that this program runs as" in complaint
    assert str(path) in complaint


def test_a_directory_that_may_not_be_entered_is_refused(open_to_all: Path) -> None:
    open_to_all.chmod(0o000)

    complaint = output("open_as_nobody", open_to_all / "inner" / "sessions.db")

    assert "may not look into it" in complaint


def test_a_database_that_refuses_writers_is_refused(stage: Stage, path: Path) -> None:
    SQLiteSessionStorage(path)
    stage.failures = [("BEGIN IMMEDIATE", sqlite_error(sqlite3.SQLITE_READONLY))]

    with pytest.raises(SessionError, match="read-only"):
        SQLiteSessionStorage(path)


def test_a_file_that_is_locked_at_set_up_is_refused(path: Path) -> None:
    SQLiteSessionStorage(path)
    with closing(CONNECT(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("BEGIN EXCLUSIVE")
        with pytest.raises(SessionError, match="kept it locked"):
            SQLiteSessionStorage(path, busy_timeout=0.02)


def test_set_up_waits_for_a_lock_to_be_given_back(stage: Stage, path: Path) -> None:
    stage.failures = [("BEGIN IMMEDIATE", sqlite_error(sqlite3.SQLITE_BUSY))] * 3

    with SQLiteSessionStorage(path) as storage:
        storage.sync.write("a", 1)


def test_set_up_does_not_wait_for_a_writer(path: Path) -> None:
    SQLiteSessionStorage(path)
    with write_lock(path), SQLiteSessionStorage(path, busy_timeout=1000) as storage:
        assert storage.sync.read("a") is None


def test_a_place_without_write_ahead_log_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def connect_to_a_temporary_database(_path: str, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = CONNECT("", **options)
        return connection

    monkeypatch.setattr(sqlite3, "connect", connect_to_a_temporary_database)
    with pytest.raises(SessionError, match="Use a local disk"):
        SQLiteSessionStorage("anywhere.db")


def test_a_table_of_somebody_else_is_refused_and_left_alone(path: Path) -> None:
    sql(path, "CREATE TABLE Sessions (something TEXT)")

    with pytest.raises(SessionError, match="give table= another name"):
        SQLiteSessionStorage(path)

    assert sql(path, "SELECT name FROM sqlite_master") == [("Sessions",)]
    with SQLiteSessionStorage(path, table="chats") as storage:
        storage.sync.write("a", 1)
    assert sql(path, "SELECT * FROM Sessions") == []


def test_a_table_of_a_newer_sessionkit_is_refused(path: Path) -> None:
    SQLiteSessionStorage(path)
    sql(path, "UPDATE sessionkit_tables SET version = 2")

    with pytest.raises(NewerVersionError, match="update sessionkit") as caught:
        SQLiteSessionStorage(path)

    assert (caught.value.version, caught.value.latest) == (2, 1)


def test_a_table_that_was_dropped_is_made_again(path: Path) -> None:
    SQLiteSessionStorage(path)
    sql(path, "DROP TABLE sessions")

    with SQLiteSessionStorage(path) as storage:
        assert storage.sync.read("a") is None


def test_two_set_ups_at_a_time_make_one_table(stage: Stage, path: Path) -> None:
    stage.stop_at = "BEGIN IMMEDIATE"
    thread = threading.Thread(target=SQLiteSessionStorage, args=(path,))
    thread.start()
    assert stage.reached.wait(SOON)
    with SQLiteSessionStorage(path) as storage:
        storage.sync.write("a", 1)
        stage.go_on.set()
        thread.join(SOON)
        assert storage.sync.read("a") == 1


def test_storages_with_tables_of_their_own_share_a_file(path: Path) -> None:
    with SQLiteSessionStorage(path) as one, SQLiteSessionStorage(path, table="Other") as other:
        one.sync.write("a", 1)
        other.sync.write("a", 2)
        assert (one.sync.read("a"), other.sync.read("a")) == (1, 2)
        assert one.identity != other.identity


def test_storages_on_the_same_data_have_the_same_identity(path: Path) -> None:
    link = path.parent / "link.db"
    link.symlink_to(path)
    one, same = SQLiteSessionStorage(path), SQLiteSessionStorage(str(link), table="SESSIONS")

    assert one.identity == same.identity
    assert hash(one.identity) == hash(same.identity)
    memories = SQLiteSessionStorage(":memory:"), SQLiteSessionStorage(":memory:")
    assert memories[0].identity != memories[1].identity


def test_memory_is_private_to_its_storage() -> None:
    with SQLiteSessionStorage(":memory:") as one, SQLiteSessionStorage(":memory:") as other:
        one.sync.write("a", 1)
        assert one.sync.read("a") == 1
        assert other.sync.read("a") is None


@pytest.mark.parametrize(("durable", "level"), [(True, "FULL"), (False, "NORMAL")])
def test_durability_is_what_was_asked_for(
    stage: Stage, path: Path, durable: bool, level: str
) -> None:
    with SQLiteSessionStorage(path, durable=durable) as storage:
        storage.sync.write("a", 1)
        assert sql(path, "PRAGMA journal_mode") == [("wal",)]

    assert {noted for noted in stage.statements if "synchronous" in noted} == {
        f"PRAGMA synchronous = {level}"
    }


def test_it_says_what_it_is(storage: SQLiteSessionStorage, path: Path) -> None:
    assert repr(storage) == f"<SQLiteSessionStorage {str(path)!r}, table 'sessions'>"
    assert repr(storage.sync) == f"{storage!r}.sync"
    assert storage.isolated
    assert storage.settles
    assert storage.supports_expiry
    assert storage.sync.settles


# Threads, loops and processes


def test_loops_and_threads_count_together_on_one_storage(path: Path) -> None:
    async def count(storage: SQLiteSessionStorage) -> None:
        done = 0
        while done < 10:
            value, revision = await storage.read_with_revision("count")
            try:
                await storage.write_if("count", (value or 0) + 1, revision)
            except SessionConflictError:
                continue
            done += 1

    async def count_in_two_tasks(storage: SQLiteSessionStorage) -> None:
        await asyncio.gather(count(storage), count(storage))

    def loop(storage: SQLiteSessionStorage) -> None:
        asyncio.run(count_in_two_tasks(storage))

    def block(storage: SQLiteSessionStorage) -> None:
        for _ in range(20):
            storage.sync.write(f"thread {threading.get_ident()}", 1)

    with SQLiteSessionStorage(path, durable=False) as storage:
        threads = [threading.Thread(target=target, args=(storage,)) for target in (loop, block) * 3]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert storage.sync.read("count") == 60


def test_four_processes_count_without_losing_one(path: Path) -> None:
    processes = [worker("increment", path) for _ in range(4)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    results = [partial(process.communicate, "go\n", timeout=60) for process in processes]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    counted = [int(result()[0]) for result in results]

    with SQLiteSessionStorage(path) as storage:
        assert storage.sync.read("count") == sum(counted) == 200


def test_what_was_acknowledged_survives_kill_9(path: Path) -> None:
    for round_number in range(3):
        with worker("acknowledge", path) as process:
            assert process.stdout is not None
            printed = [process.stdout.readline() for _ in range(40 * (round_number + 1))]
            process.kill()
            printed += process.stdout.readlines()
            process.communicate()
        # a lane begins again at 1 in each round, so only its last word counts
        words = [line.split() for line in printed if line.endswith("\n")]
        acknowledged = {f"lane {lane}": int(number) for lane, number in words}
        with SQLiteSessionStorage(path) as storage:
            stored = storage.sync.read_many(list(acknowledged))
        assert len(acknowledged) == 4
        for key, number in acknowledged.items():
            assert number <= stored[key] <= number + 1


def test_a_program_may_end_without_closing(path: Path) -> None:
    printed = output("leave", path, "-X", "dev", "-W", "error")

    assert printed == "written\n"
    assert list(path.parent.iterdir()) == [path]
    with SQLiteSessionStorage(path) as storage:
        assert storage.sync.read("a") == 1


def test_a_storage_works_on_both_sides_of_a_fork(path: Path) -> None:
    counted = output("fork_after_use", path, "-W", "ignore").split()

    assert counted == ["child", "50", "parent", "50"]
    with SQLiteSessionStorage(path) as storage:
        assert storage.sync.read("count") == 100


def test_what_a_child_writes_outlives_the_end_of_its_parent(path: Path) -> None:
    assert output("fork_and_end_first", path, "-W", "ignore") == "written\n"

    with SQLiteSessionStorage(path) as storage:
        assert storage.sync.read("child") == 1


def test_a_storage_in_memory_says_that_it_was_left_in_the_parent() -> None:
    complaint, item = output("fork_in_memory", Path(":memory:"), "-W", "ignore").splitlines()

    assert "before this process was forked" in complaint
    assert item == "in the parent"


def test_a_fork_does_not_wait_forever_for_a_commit(path: Path) -> None:
    complaint, item = output("fork_in_a_commit", path, "-W", "ignore").splitlines()

    assert "before this process was forked" in complaint
    assert item == "in the parent"


def test_a_storage_not_used_before_a_fork_works_on_both_sides(path: Path) -> None:
    revisions = output("fork_before_use", path).split()

    assert len(set(revisions)) == 3
    with SQLiteSessionStorage(path) as storage:
        assert storage.sync.read("a") == "in the parent"


def test_another_process_id_is_taken_for_a_fork(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with SQLiteSessionStorage(path) as storage:
        storage.sync.write("a", 1)
        with monkeypatch.context() as child:
            child.setattr(os, "getpid", lambda: -1)
            with pytest.raises(SessionError, match="in each process of its own"):
                storage.sync.write("a", 2)
        assert storage.sync.read("a") == 1

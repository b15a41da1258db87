"""``lock="file"``: the processes of one host wait for each other."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sessionkit import (
    FileLock,
    FileSessionStorage,
    MemorySessionStorage,
    SessionError,
    SessionLockTimeoutError,
    SQLiteSessionStorage,
    enhance_storage,
    multi_session,
    session,
)
from sessionkit.storages._file.flock import try_lock
from sessionkit.testing import FakeContext
from tests.storages import file_lock_worker as worker

URLS = ("sqlite:///{}/bot.db", "file:{}/sessions")


def start(action: str, url: str, *rest: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.storages.file_lock_worker", action, url]
    return subprocess.Popen(
        [*command, *map(str, rest)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )


@contextmanager
def holding(url: str, action: str = "hold") -> Generator[subprocess.Popen[bytes]]:
    with start(action, url) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture(params=URLS, ids=["sqlite", "files"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(request.param).format(tmp_path)


async def counts(url: str) -> list[int]:
    sessions = worker.counters(url)
    found = [(await sessions.get(chat))["n"] for chat in range(worker.CHATS)]
    await sessions.storage.close()
    return found


@pytest.mark.parametrize(
    ("ways", "times"),
    [
        pytest.param(("increment",) * 4, 500, marks=pytest.mark.thorough),
        (("increment", "increment_in_threads") * 2, 50),
    ],
)
def test_processes_lose_nothing(url: str, ways: tuple[str, ...], times: int) -> None:
    asyncio.run(worker.increment(url, 0))  # make the files once
    processes = [start(way, url, times) for way in ways]

    assert [process.wait(120) for process in processes] == [0] * 4
    for process in processes:
        process.communicate()
    assert sum(asyncio.run(counts(url))) == 4 * times


def test_many_keys_at_once_lock_in_one_order(url: str) -> None:
    asyncio.run(worker.increment(url, 0))
    processes = [start("increment_many", url, 30) for _ in range(3)]

    assert [process.wait(60) for process in processes] == [0] * 3
    for process in processes:
        process.communicate()
    assert sum(asyncio.run(counts(url))) == 3 * 2 * 30


@pytest.mark.parametrize("action", ["hold", "fork_holding"])
def test_a_process_that_is_killed_frees_its_keys(url: str, action: str) -> None:
    with holding(url, action) as process:
        if action == "hold":
            process.kill()
            process.wait()
        asyncio.run(worker.increment(url, worker.CHATS))

    assert asyncio.run(counts(url)) == [1] * worker.CHATS


def test_a_process_that_is_stopped_is_named(url: str) -> None:
    async def main() -> None:
        sessions = session(storage=url, lock="file", lock_timeout=0.2)
        async with sessions.open(2):  # others are free
            with pytest.raises(SessionLockTimeoutError) as caught:
                await sessions.open(1).begin()
        assert f"process {process.pid} on " in str(caught.value)
        assert (caught.value.key, caught.value.timeout) == ("1", 0.2)
        with pytest.raises(SessionLockTimeoutError):
            await asyncio.to_thread(lambda: sessions.open(1).__enter__())
        process.send_signal(signal.SIGCONT)
        await sessions.close()

    with holding(url) as process:
        process.send_signal(signal.SIGSTOP)
        asyncio.run(main())


def test_who_is_cancelled_while_it_waits_holds_nothing(url: str) -> None:
    async def main() -> None:
        sessions = worker.counters(url)
        waiting = asyncio.ensure_future(sessions.open(1).begin())
        await asyncio.sleep(0.01)
        waiting.cancel()
        await asyncio.wait([waiting])
        process.kill()
        process.wait()
        async with sessions.open(1) as s:
            s.data["n"] += 1
        await sessions.storage.close()

    with holding(url) as process:
        asyncio.run(main())
    assert asyncio.run(worker_value(url)) == 1


async def worker_value(url: str) -> int:
    sessions = worker.counters(url)
    value: int = (await sessions.get(1))["n"]
    await sessions.storage.close()
    return value


def test_nothing_is_left_of_keys_that_are_free(tmp_path: Path) -> None:
    lock = FileLock(tmp_path / "locks")
    keys = ["1", "A", "a/b", "x" * 300, "\ud800", "con"]
    held = [lock.acquire(key) for key in keys]

    assert len(list((tmp_path / "locks").iterdir())) == len(keys)
    for key, descriptor in zip(keys, held, strict=True):
        assert isinstance(descriptor, int)
        lock.release(key, descriptor)
    assert list((tmp_path / "locks").iterdir()) == []
    assert repr(lock) == f"FileLock('{tmp_path / 'locks'}')"


def test_what_a_forked_child_closes_it_does_not_hold(tmp_path: Path) -> None:
    parent, child = FileLock(tmp_path), FileLock(tmp_path)
    child.acquire("1")
    child._leave_to_parent()  # here no parent has it

    held = parent.acquire("1")

    assert isinstance(held, int)
    parent.release("1", held)


def test_a_lock_file_that_was_removed_just_now_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, theirs = FileLock(tmp_path), FileLock(tmp_path)
    held: Any = theirs.acquire("1")

    def release_first(descriptor: int) -> bool:
        monkeypatch.undo()
        theirs.release("1", held)
        return try_lock(descriptor)

    monkeypatch.setattr("sessionkit.storages.file_lock.try_lock", release_first)
    again: Any = mine.acquire("1")

    assert os.fstat(again).st_nlink == 1
    mine.release("1", again)


def memory() -> Any:
    return MemorySessionStorage()


def in_memory() -> Any:
    return SQLiteSessionStorage(":memory:")


@pytest.mark.parametrize("open_storage", [memory, in_memory])
def test_what_no_other_process_has_needs_no_files(open_storage: Callable[[], Any]) -> None:
    async def main() -> None:
        sessions = session(dict[str, Any], storage=open_storage(), lock="file")
        async with sessions.open(1) as s:
            s.data["n"] = 1

    asyncio.run(main())


def test_tables_wrappers_and_views_have_their_place(tmp_path: Path) -> None:
    file = tmp_path / "bot.db"
    one, two = SQLiteSessionStorage(file), SQLiteSessionStorage(file, table="Other")
    files = FileSessionStorage(tmp_path / "sessions")

    assert repr(one.file_lock(1)) == f"FileLock('{file}.locks{os.sep}sessions')"
    assert repr(one.sync.file_lock(1)) == repr(one.file_lock(1))
    assert repr(two.file_lock(1)) == f"FileLock('{file}.locks{os.sep}other')"
    assert repr(files.sync.file_lock(1)) == repr(files.file_lock(None))
    sessions = session(storage=enhance_storage(files, ttl=60), lock="file")
    assert repr(sessions._settings.lock) == repr(files.file_lock(1))
    elsewhere = sessions.with_storage(MemorySessionStorage())
    assert elsewhere._settings.lock is None
    with one, two, files:
        pass


def test_fragments_of_several_storages_lock_in_one_order(tmp_path: Path) -> None:
    """By a name that all processes know: an id differs between them."""

    async def main() -> None:
        order: list[str] = []
        b, a = (SQLiteSessionStorage(tmp_path / f"{name}.db") for name in "ba")
        both = multi_session(
            b=session(storage=b, lock=Noting("b", order)),
            a=session(storage=a, lock=Noting("a", order)),
        )
        async with b, a, both.open(FakeContext(chat_id=1)):
            assert order == ["a", "b"]

    asyncio.run(main())


class Noting:
    """A lock that notes in which order it was acquired."""

    def __init__(self, name: str, order: list[str]) -> None:
        self._name = name
        self._order = order

    def acquire(self, key: str, /) -> None:
        self._order.append(self._name)

    def release(self, key: str, held: None, /) -> None:
        pass


def test_mistakes_are_named_when_sessions_are_made(tmp_path: Path) -> None:
    class Remote:
        def read(self, key: str, /) -> Any: ...
        def write(self, key: str, value: Any, /) -> None: ...
        def delete(self, key: str, /) -> None: ...

    with pytest.raises(TypeError, match=r"lock='file' needs a storage in files or SQLite"):
        session(storage=Remote(), lock="file")
    with pytest.raises(TypeError, match="lock must be True, False, 'file', or an object"):
        untyped: Any = "redis"
        session(lock=untyped)
    with pytest.raises(ValueError, match="patience"):
        FileLock(tmp_path, patience=timedelta(0))
    (tmp_path / "file").write_text("")
    with pytest.raises(SessionError, match="the folder of a FileLock cannot be made"):
        FileLock(tmp_path / "file" / "locks")


def test_a_folder_that_is_gone_is_an_error_before_anything_is_read(tmp_path: Path) -> None:
    lock = FileLock(tmp_path / "locks", patience=None)
    (tmp_path / "locks").rmdir()

    with pytest.raises(SessionError, match="'1' cannot be locked"):
        lock.acquire("1")


def test_a_python_without_file_locks_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sessionkit.storages.file_lock.AVAILABLE", False)

    with pytest.raises(SessionError, match="no file locks"):
        FileLock(tmp_path)


@pytest.mark.parametrize("fault", ["lock", "sign"])
def test_a_fault_leaves_no_file_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    def fail(_: int) -> bool:
        raise OSError(5, "broken")

    lock = FileLock(tmp_path)
    before = len(list(Path("/proc/self/fd").iterdir()))
    name = {"lock": "try_lock", "sign": "sign"}[fault]
    monkeypatch.setattr(f"sessionkit.storages.file_lock.{name}", fail)

    with pytest.raises(SessionError, match=r"'1' cannot be locked: .*broken"):
        lock.acquire("1")
    assert len(list(Path("/proc/self/fd").iterdir())) == before

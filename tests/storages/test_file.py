"""What a file storage promises: nothing torn, nothing late, nothing taken for missing."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import shutil
import threading
import zlib
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from sessionkit._types import (
    ANY,
    Storage,
    SupportsClose,
    SupportsHas,
    SupportsListing,
    SupportsPurge,
    SupportsRevisions,
    SupportsSync,
    SupportsTouch,
)
from sessionkit.codecs import JSONCodec, PickleCodec
from sessionkit.errors import (
    InvalidSessionKeyError,
    SessionClosedError,
    SessionConflictError,
    SessionDecodeError,
    SessionEncodeError,
    SessionError,
)
from sessionkit.storages._file.locks import STRIPES, locked, renew_thread_locks
from sessionkit.storages.file import FileSessionStorage, SyncFileSessionStorage

LONG = "long" * 250
KEYS = ["424242", "3/-100", LONG]


class FakeClock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def storage(tmp_path: Path) -> SyncFileSessionStorage:
    return FileSessionStorage(tmp_path).sync


def put(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def unfinished(folder: Path) -> list[Path]:
    return list(folder.joinpath(".sessionkit", "unfinished").iterdir())


# --- reading and writing ------------------------------------------------------------------


def test_it_is_a_storage_with_these_capabilities(tmp_path: Path) -> None:
    storage = FileSessionStorage(tmp_path)
    for view in (storage, storage.sync):
        _basic: Storage[dict[str, int]] = view
        _has: SupportsHas = view
        _listing: SupportsListing[Any] = view
        _revisions: SupportsRevisions[Any] = view
        _touch: SupportsTouch = view
        _purge: SupportsPurge = view
        _sync: SupportsSync[Any] = view
        _close: SupportsClose = view
        assert view.isolated
        assert view.settles
        assert not hasattr(view, "supports_expiry")


@pytest.mark.parametrize("key", KEYS)
def test_awaited_and_blocking_use_see_the_same_data(tmp_path: Path, key: str) -> None:
    storage = FileSessionStorage(tmp_path)

    async def use() -> None:
        assert await storage.read(key) is None
        assert not await storage.has(key)
        await storage.write(key, {"n": 1})
        assert storage.sync.read(key) == {"n": 1}
        storage.sync.write(key, {"n": 2})
        assert await storage.read(key) == {"n": 2}
        assert await storage.has(key)
        assert storage.sync.has(key)
        assert [key async for key in storage.iter_keys()] == [key]
        assert [item async for item in storage.iter_items()] == [(key, {"n": 2})]
        assert await storage.touch(key)
        await storage.delete(key)
        await storage.delete(key)
        assert not storage.sync.touch(key)
        assert not await storage.has(key)
        assert [key async for key in storage.iter_keys()] == []

    asyncio.run(use())


FALSY_OR_ODD: list[Any] = [0, "", {}, [], False, 1.5, "Ж🍕\ud800", {"a": [None, {}]}]


@pytest.mark.parametrize("value", FALSY_OR_ODD)
def test_falsy_and_odd_values_come_back(storage: SyncFileSessionStorage, value: object) -> None:
    storage.write("1", value)

    assert storage.read("1") == value
    assert type(storage.read("1")) is type(value)
    assert storage.has("1")


def test_what_is_written_is_what_the_value_was_at_the_call(tmp_path: Path) -> None:
    storage = FileSessionStorage(tmp_path)
    value = {"n": 1}

    async def write() -> None:
        written = storage.write("1", value)
        value["n"] = 2
        await written

    asyncio.run(write())
    assert storage.sync.read("1") == {"n": 1}


def test_what_is_read_is_a_copy(storage: SyncFileSessionStorage) -> None:
    storage.write("1", {"list": []})

    storage.read("1")["list"].append(1)

    assert storage.read("1") == {"list": []}


def test_values_that_cannot_be_stored_leave_the_old_one(storage: SyncFileSessionStorage) -> None:
    storage.write("1", "old")

    for value in (object(), float("nan"), None):
        with pytest.raises(SessionEncodeError, match="'1'") as caught:
            storage.write("1", value)
        assert caught.value.key == "1"

    assert storage.read("1") == "old"


def test_none_is_refused_before_anything_is_awaited(tmp_path: Path) -> None:
    with pytest.raises(SessionEncodeError, match="delete '1' instead"):
        _never_awaited = FileSessionStorage(tmp_path).write("1", None)


@pytest.mark.parametrize("key", ["", 1, None, b"bytes"])
def test_a_key_that_is_no_text_raises_at_the_call(tmp_path: Path, key: Any) -> None:
    storage = FileSessionStorage(tmp_path)

    for use in (storage.read, storage.delete, storage.sync.read, storage.sync.has):
        with pytest.raises(InvalidSessionKeyError, match="not empty"):
            cast("Callable[[Any], object]", use)(key)


def test_another_codec_is_used(tmp_path: Path) -> None:
    storage = FileSessionStorage(tmp_path, codec=PickleCodec(), ttl=1).sync

    storage.write("1", {(1, 2)})

    assert storage.read("1") == {(1, 2)}


def test_a_write_is_complete_when_the_system_takes_it_in_small_pieces(
    storage: SyncFileSessionStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write

    def write_three(descriptor: int, data: bytes) -> int:
        return write(descriptor, data[:3])

    monkeypatch.setattr(os, "write", write_three)

    storage.write("1", "a longer text")

    assert storage.read("1") == "a longer text"


# --- setting up ---------------------------------------------------------------------------


def test_the_folder_is_made(tmp_path: Path) -> None:
    storage = FileSessionStorage(str(tmp_path / "a" / "b")).sync

    storage.write("1", 1)

    assert tmp_path.joinpath("a/b/1/1.json").read_bytes() == b"1"


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_a_folder_that_is_a_file_raises_at_set_up(tmp_path: Path, name: str) -> None:
    put(tmp_path / "file", b"")

    with pytest.raises(SessionError, match=r"cannot be kept in .*file.*may write") as caught:
        FileSessionStorage(tmp_path / name)

    assert isinstance(caught.value.__cause__, OSError)
    assert tmp_path.joinpath("file").read_bytes() == b""


def test_a_folder_that_cannot_be_written_raises_at_set_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "open", failing(errno.EROFS))

    with pytest.raises(SessionError, match="Read-only file system"):
        FileSessionStorage(tmp_path / "sessions")


def test_a_drive_that_is_missing_raises_at_set_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "mkdir", failing(errno.ENOENT))

    with pytest.raises(SessionError, match="No such file or directory"):
        FileSessionStorage(tmp_path / "sessions")


def test_a_disk_that_is_full_raises_at_set_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    FileSessionStorage(tmp_path)
    monkeypatch.setattr(os, "write", failing(errno.ENOSPC))

    with pytest.raises(SessionError, match="No space left"):
        FileSessionStorage(tmp_path)

    assert unfinished(tmp_path) == []


def test_wrong_options_raise_at_set_up(tmp_path: Path) -> None:
    class Text:
        def encode(self, value: object, /) -> str:
            return str(value)

    folder = tmp_path / "sessions"
    with pytest.raises(TypeError, match=r"codec.encode\(\) must return bytes"):
        FileSessionStorage(folder, codec=cast("Any", Text()))
    with pytest.raises(ValueError, match="ttl must be positive"):
        FileSessionStorage(folder, ttl=0)
    with pytest.raises(TypeError):
        FileSessionStorage(cast("Any", None))
    assert not folder.exists()


def test_storages_on_one_folder_have_one_identity(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "sessions"
    storage = FileSessionStorage(folder)
    tmp_path.joinpath("link").symlink_to(folder)
    monkeypatch.chdir(tmp_path)

    others = [FileSessionStorage("sessions"), FileSessionStorage("link"), storage.sync]

    assert {other.identity for other in others} == {storage.identity}
    assert storage.identity != FileSessionStorage(tmp_path).identity
    assert str(folder) in repr(storage)


# --- damage is never taken for missing ----------------------------------------------------

DAMAGED = [b"", b"{", b'{"n": 1', b"null", b"\xff", b"NaN", b'{"n":1}{"n":1}']


@pytest.mark.parametrize("content", DAMAGED)
@pytest.mark.parametrize("ttl", [None, 60])
def test_a_damaged_file_raises_and_stays(tmp_path: Path, content: bytes, ttl: int | None) -> None:
    storage = FileSessionStorage(tmp_path, ttl=ttl).sync
    file = put(tmp_path / "42/42.json", content)

    for use in (storage.read, storage.read_with_revision, storage.touch):
        with pytest.raises(SessionDecodeError, match=r"42\.json") as caught:
            use("42")
        assert caught.value.key == "42"
    with pytest.raises(SessionDecodeError, match=r"42\.json"):
        list(storage.iter_items())
    with pytest.raises(SessionConflictError):
        storage.write_if("42", "new", None)

    assert storage.has("42")
    assert list(storage.iter_keys()) == ["42"]
    assert storage.purge_expired() == 0
    assert file.read_bytes() == content
    storage.delete("42")
    assert storage.read("42") is None


def test_a_file_that_cannot_be_read_raises(tmp_path: Path) -> None:
    storage = FileSessionStorage(tmp_path)
    tmp_path.joinpath("42/42.json").mkdir(parents=True)
    put(tmp_path / "17", b"a file where a folder should be")

    for key in ("42", "17"):
        with pytest.raises(OSError, match=key):
            storage.sync.read(key)
        with pytest.raises(OSError, match=key):
            asyncio.run(storage.write(key, 1))
    assert unfinished(tmp_path) == []


def test_a_folder_that_has_gone_is_not_a_folder_without_sessions(tmp_path: Path) -> None:
    storage = FileSessionStorage(tmp_path / "sessions").sync
    storage.write("42", 1)

    shutil.rmtree(tmp_path / "sessions")

    uses: list[Callable[[], object]] = [
        lambda: storage.read("42"),
        lambda: storage.has("42"),
        lambda: storage.write("42", 1),
        lambda: storage.delete("42"),
        lambda: list(storage.iter_keys()),
    ]
    for use in uses:
        with pytest.raises(SessionError, match="unmounted"):
            use()
    assert not tmp_path.joinpath("sessions").exists()


# --- failures leave the old value ---------------------------------------------------------


def failing(code: int) -> Callable[..., Any]:
    def fail(*args: object, **options: object) -> None:
        raise OSError(code, os.strerror(code))

    return fail


@pytest.mark.parametrize("call", ["open", "write", "fsync", "replace"])
@pytest.mark.parametrize("key", KEYS)
def test_a_write_that_fails_leaves_the_old_value_and_no_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, key: str
) -> None:
    storage = FileSessionStorage(tmp_path)
    storage.sync.write(key, "old")

    with monkeypatch.context() as broken:
        broken.setattr(os, call, failing(errno.ENOSPC))
        with pytest.raises(OSError, match="No space left"):
            asyncio.run(storage.write(key, "new"))

    assert storage.sync.read(key) == "old"
    assert unfinished(tmp_path) == []
    storage.sync.write(key, "newer")
    assert storage.sync.read(key) == "newer"


def test_a_full_disk_half_way_through_leaves_the_old_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = FileSessionStorage(tmp_path).sync
    storage.write("42", "old")
    write = os.write
    pieces = iter([b"1", b"2"])

    def fill_up(descriptor: int, data: bytes) -> int:
        if next(pieces, None) is None:
            failing(errno.ENOSPC)()
        return write(descriptor, data[:2])

    with monkeypatch.context() as broken:
        broken.setattr(os, "write", fill_up)
        with pytest.raises(OSError, match="No space left"):
            storage.write("42", "a longer text")

    assert storage.read("42") == "old"
    assert unfinished(tmp_path) == []


def test_an_interrupted_write_leaves_the_old_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = FileSessionStorage(tmp_path).sync
    storage.write("42", "old")

    def interrupt(source: object, target: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(os, "replace", interrupt)
        with pytest.raises(KeyboardInterrupt):
            storage.write("42", "new")

    assert storage.read("42") == "old"
    assert unfinished(tmp_path) == []
    storage.write("42", "the lock was given back")


def test_file_and_folder_are_flushed_before_a_write_is_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = FileSessionStorage(tmp_path).sync
    events: list[str] = []
    fsync, replace = os.fsync, os.replace

    def noting_fsync(descriptor: int) -> None:
        events.append("folder" if Path(f"/dev/fd/{descriptor}").is_dir() else "file")
        fsync(descriptor)

    def noting_replace(source: Path, target: Path) -> None:
        events.append("rename")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", noting_fsync)
    monkeypatch.setattr(os, "replace", noting_replace)

    storage.write("42", 1)
    new_folder = ["file", "rename", "folder", "rename", "folder"]
    assert events == new_folder  # the first rename found no folder
    events.clear()
    storage.write("42", 2)
    assert events == ["file", "rename", "folder"]
    events.clear()
    storage.delete("42")
    assert events == ["folder"]


# --- no late effect -----------------------------------------------------------------------


class Gate:
    """Holds writers at the moment they flush, until opened."""

    def __init__(self) -> None:
        self.arrived = threading.Semaphore(0)
        self.open = threading.Event()
        self._fsync = os.fsync

    def fsync(self, descriptor: int) -> None:
        self.arrived.release()
        assert self.open.wait(30)
        self._fsync(descriptor)

    async def wait_for(self, writers: int) -> None:
        for _ in range(writers):
            assert await asyncio.to_thread(self.arrived.acquire, timeout=30)


@contextmanager
def gate(monkeypatch: pytest.MonkeyPatch) -> Generator[Gate, None, None]:
    held = Gate()
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", held.fsync)
        try:
            yield held
        finally:
            held.open.set()


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def test_a_cancelled_write_that_has_begun_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = FileSessionStorage(tmp_path)

    async def cancel() -> None:
        with gate(monkeypatch) as held:
            task = asyncio.ensure_future(storage.write("42", "new"))
            await held.wait_for(1)
            for _ in range(3):
                task.cancel()
                await turns()
                assert not task.done()
            assert storage.sync.read("42") is None
            held.open.set()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert storage.sync.read("42") == "new"

    asyncio.run(cancel())


def test_a_cancelled_write_that_waits_in_the_queue_is_withdrawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = FileSessionStorage(tmp_path)
    # One key per lock file, so that none of the 16 threads waits for another.
    apart = {zlib.crc32(str(n).encode()) % STRIPES: str(n) for n in range(500)}
    keys = sorted(apart.values())[:16]

    async def cancel() -> None:
        with gate(monkeypatch) as held:
            busy = [asyncio.ensure_future(storage.write(key, 1)) for key in keys]
            await held.wait_for(16)
            late = asyncio.ensure_future(storage.write("late", 1))
            await turns()
            late.cancel()
            with pytest.raises(asyncio.CancelledError):
                await late
            held.open.set()
            await asyncio.gather(*busy)
        await storage.close()

    asyncio.run(cancel())
    assert sorted(FileSessionStorage(tmp_path).sync.iter_keys()) == keys


def test_a_write_that_is_cancelled_and_fails_reports_the_cancellation_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = FileSessionStorage(tmp_path)
    reports: list[object] = []

    async def cancel() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, report: reports.append(report))
        with gate(monkeypatch) as held:
            task = asyncio.ensure_future(storage.write("42", "new"))
            await held.wait_for(1)
            task.cancel()
            await turns()
            monkeypatch.setattr(os, "replace", failing(errno.EIO))
            held.open.set()
            with pytest.raises(asyncio.CancelledError):
                await task
        await storage.close()
        del task
        gc.collect()
        await turns()

    asyncio.run(cancel())
    assert FileSessionStorage(tmp_path).sync.read("42") is None
    assert reports == []


def test_a_cancelled_read_does_not_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, released = threading.Event(), threading.Event()

    class SlowCodec(JSONCodec):
        def decode(self, raw: bytes, /) -> Any:
            begun.set()
            assert released.wait(30)
            return super().decode(raw)

    storage = FileSessionStorage(tmp_path, codec=SlowCodec())

    async def cancel() -> None:
        await storage.write("42", 1)
        task = asyncio.ensure_future(storage.read("42"))
        assert await asyncio.to_thread(begun.wait, 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        released.set()
        await storage.close()

    asyncio.run(cancel())


def test_writes_of_different_chats_flush_at_the_same_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = FileSessionStorage(tmp_path)

    async def write() -> None:
        with gate(monkeypatch) as held:
            tasks = [asyncio.ensure_future(storage.write(key, 1)) for key in ("1", "2")]
            await held.wait_for(2)  # both, while neither has gone on
            held.open.set()
            await asyncio.gather(*tasks)

    asyncio.run(write())


# --- revisions ----------------------------------------------------------------------------


@pytest.mark.parametrize("key", KEYS)
def test_a_conditional_write_succeeds_on_what_was_read_only(
    storage: SyncFileSessionStorage, key: str
) -> None:
    assert storage.read_with_revision(key) == (None, None)
    first = storage.write_if(key, 1, None)
    assert first is not None
    assert storage.read_with_revision(key) == (1, first)
    second = storage.write_if(key, 2, first)

    for value in (3, None):
        for expected in (first, None, "made up"):
            with pytest.raises(SessionConflictError, match="not what was read") as caught:
                storage.write_if(key, value, expected)
            assert caught.value.key == key

    assert storage.read_with_revision(key) == (2, second)
    assert storage.write_if(key, None, second) is None
    assert storage.read_with_revision(key) == (None, None)
    with pytest.raises(SessionConflictError):
        storage.write_if(key, 3, second)
    assert storage.write_if(key, None, None) is None
    assert storage.write_if(key, 4, ANY) is not None
    assert storage.write_if(key, None, ANY) is None
    assert not storage.has(key)


def test_a_conditional_write_can_be_awaited(tmp_path: Path) -> None:
    storage = FileSessionStorage(tmp_path)

    async def use() -> None:
        revision = await storage.write_if("1", 1, None)
        assert await storage.read_with_revision("1") == (1, revision)
        with pytest.raises(SessionConflictError):
            await storage.write_if("1", 2, None)

    asyncio.run(use())


def test_threads_and_event_loops_that_count_lose_nothing(tmp_path: Path) -> None:
    async def increment(storage: FileSessionStorage) -> None:
        value, revision = await storage.read_with_revision("1")
        try:
            await storage.write_if("1", (value or 0) + 1, revision)
        except SessionConflictError:
            await increment(storage)

    async def work(storage: FileSessionStorage) -> None:
        await asyncio.gather(*(increment(storage) for _ in range(4)))

    shared = FileSessionStorage(tmp_path)
    storages = [shared, shared, FileSessionStorage(tmp_path)]
    threads = [threading.Thread(target=asyncio.run, args=[work(each)]) for each in storages]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert shared.sync.read("1") == 12


def test_a_forked_child_does_not_wait_for_threads_that_it_does_not_have(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.mkdir()
    theirs.mkdir()

    with locked(theirs, 0):  # as if by a thread of the parent
        renew_thread_locks()  # as after fork()
        with locked(ours, 0):
            pass


def test_a_forked_child_has_threads_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = FileSessionStorage(tmp_path)

    async def threads_of_a_read() -> set[threading.Thread]:
        await storage.read("1")
        return {t for t in threading.enumerate() if t.name.startswith("sessionkit-file")}

    in_parent = asyncio.run(threads_of_a_read())
    monkeypatch.setattr(os, "getpid", lambda: -1)
    assert asyncio.run(threads_of_a_read()) - in_parent


# --- timeouts -----------------------------------------------------------------------------


def test_at_the_instant_of_expiry_a_value_is_gone(tmp_path: Path, clock: FakeClock) -> None:
    storage = FileSessionStorage(tmp_path, ttl=60, clock=clock).sync
    storage.write("42", {"n": 1})
    _, revision = storage.read_with_revision("42")

    clock.now += 59.999
    assert storage.read("42") == {"n": 1}
    clock.now += 0.001

    assert storage.read("42") is None
    assert not storage.has("42")
    assert list(storage.iter_keys()) == []
    assert list(storage.iter_items()) == []
    assert not storage.touch("42")
    assert storage.read_with_revision("42") == (None, revision)


def test_an_expired_value_can_be_overwritten_by_its_revision_or_as_missing(
    tmp_path: Path, clock: FakeClock
) -> None:
    storage = FileSessionStorage(tmp_path, ttl=60, clock=clock).sync
    for expected_none in (True, False):
        storage.write("42", "old")
        clock.now += 60
        revision = storage.read_with_revision("42")[1]

        storage.write_if("42", "new", None if expected_none else revision)

        assert storage.read("42") == "new"
        with pytest.raises(SessionConflictError):
            storage.write_if("42", "newer", revision)


def test_a_touch_lets_the_timeout_begin_anew(tmp_path: Path, clock: FakeClock) -> None:
    storage = FileSessionStorage(tmp_path, ttl=60, clock=clock)
    storage.sync.write("42", {"n": 1})
    clock.now += 59

    assert asyncio.run(storage.touch("42"))
    clock.now += 59
    assert storage.sync.read("42") == {"n": 1}
    clock.now += 1
    assert storage.sync.read("42") is None


def test_an_expiry_counts_without_the_option_too(tmp_path: Path, clock: FakeClock) -> None:
    FileSessionStorage(tmp_path, ttl=60, clock=clock).sync.write("42", {"n": 1})
    storage = FileSessionStorage(tmp_path, clock=clock).sync

    assert storage.read("42") == {"n": 1}
    assert storage.touch("42")
    clock.now += 60
    assert storage.read("42") is None
    storage.write("42", {"n": 2})
    clock.now += 1e9
    assert storage.read("42") == {"n": 2}


def test_what_was_written_without_a_ttl_does_not_expire_until_it_is_written(
    tmp_path: Path, clock: FakeClock
) -> None:
    storage = FileSessionStorage(tmp_path, ttl=60, clock=clock).sync
    values: list[Any] = [1, {"__d": 1, "e": 5, "ttl": 1}]
    for value in values:
        FileSessionStorage(tmp_path, clock=clock).sync.write("42", value)

        assert storage.touch("42")
        clock.now += 60
        assert storage.read("42") == value
        storage.write("42", 2)
        clock.now += 60
        assert storage.read("42") is None


@pytest.mark.parametrize("ttl", [None, 60])
def test_data_that_looks_like_ours_comes_back(
    tmp_path: Path, clock: FakeClock, ttl: float | None
) -> None:
    storage = FileSessionStorage(tmp_path, ttl=ttl, clock=clock).sync
    odd: list[Any] = [
        {"__d": 1, "e": 5, "ttl": 1},
        {"__d": {"__d": 1, "e": 5, "ttl": 1}, "e": 5, "ttl": 1},
        {"__d": None, "e": 5, "ttl": 1},
        {"__d": 1, "e": "5", "ttl": 1},
        {"__d": 1, "e": 5},
        {"__d": 1, "v": 2, "e": 5},
    ]
    for value in odd:
        storage.write("42", value)

        assert storage.read("42") == value
        assert storage.touch("42")
        assert storage.read("42") == value
        assert dict(storage.iter_items()) == {"42": value}


def test_null_within_our_shape_is_not_taken_for_missing(tmp_path: Path) -> None:
    put(tmp_path / "42/42.json", b'{"__d":null,"e":5,"ttl":1}')

    assert FileSessionStorage(tmp_path).sync.read("42") == {"__d": None, "e": 5, "ttl": 1}


def test_purging_removes_what_has_expired_and_counts_it(tmp_path: Path, clock: FakeClock) -> None:
    storage = FileSessionStorage(tmp_path, ttl=60, clock=clock)
    for key in (*KEYS, "A"):
        storage.sync.write(key, 1)
    clock.now += 30
    storage.sync.write("later", 1)
    FileSessionStorage(tmp_path).sync.write("for ever", 1)
    clock.now += 30

    assert asyncio.run(storage.purge_expired()) == 4
    assert storage.sync.purge_expired() == 0
    files = {path.name for path in tmp_path.rglob("*.*") if path.is_file()}
    assert files == {"later.json", "for%20ever.json"}


def test_purging_leaves_a_value_that_is_written_meanwhile(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = 0

    class WritingCodec(JSONCodec):
        """Writes anew when purge has just found the value expired."""

        def decode(self, raw: bytes, /) -> Any:
            nonlocal decoded
            decoded += 1
            if decoded == 1:
                other.write("42", "new")
            return super().decode(raw)

    storage = FileSessionStorage(tmp_path, codec=WritingCodec(), ttl=60, clock=clock).sync
    other = FileSessionStorage(tmp_path, ttl=60, clock=clock).sync
    other.write("42", "old")
    clock.now += 60

    assert storage.purge_expired() == 0
    assert storage.read("42") == "new"


def test_purging_goes_on_when_a_value_is_deleted_meanwhile(
    tmp_path: Path, clock: FakeClock
) -> None:
    class DeletingCodec(JSONCodec):
        def decode(self, raw: bytes, /) -> Any:
            other.delete("42")
            return super().decode(raw)

    storage = FileSessionStorage(tmp_path, codec=DeletingCodec(), ttl=60, clock=clock).sync
    other = FileSessionStorage(tmp_path, ttl=60, clock=clock).sync
    other.write("42", "old")
    clock.now += 60

    assert storage.purge_expired() == 0


def test_purging_removes_what_killed_writers_left_an_hour_ago(
    tmp_path: Path, clock: FakeClock
) -> None:
    storage = FileSessionStorage(tmp_path, clock=clock).sync
    storage.write("42", 1)
    for name, age in (("old", 3601), ("young", 3599)):
        left = put(tmp_path / ".sessionkit/unfinished" / name, b'{"n":')
        os.utime(left, (clock.now - age, clock.now - age))

    assert list(storage.iter_keys()) == ["42"]
    assert storage.purge_expired() == 0
    assert [path.name for path in unfinished(tmp_path)] == ["young"]


# --- listing ------------------------------------------------------------------------------


def test_listing_goes_by_prefix(storage: SyncFileSessionStorage) -> None:
    for key in ("cart:1", "cart:2", "Cart:1", "prefs:1", "cart:" + LONG, "car"):
        storage.write(key, key)

    assert sorted(storage.iter_keys("cart:")) == ["cart:1", "cart:2", "cart:" + LONG]
    assert dict(storage.iter_items("prefs:")) == {"prefs:1": "prefs:1"}
    assert list(storage.iter_keys("cart:1x")) == []


def test_files_of_strangers_are_not_listed(tmp_path: Path) -> None:
    storage = FileSessionStorage(tmp_path).sync
    storage.write("42", 1)
    storage.write(LONG, 1)
    for name in (
        "README.md",
        "17",
        "42.json",
        "42/readme.txt",
        "42/noextension",
        "42/43.json",
        "42/.json",
        "notes/es/notes.json",
        "escaped/README.md",
        "escaped/61/%61.json",
        "escaped/ar/foo~bar.json",
        "escaped/ff/%ff.json",
        os.fsdecode(b"42/\xff42.json"),
    ):
        put(tmp_path / name, b"1")

    assert sorted(storage.iter_keys()) == ["42", LONG]
    assert storage.purge_expired() == 0


def test_what_vanishes_while_listing_is_left_out(tmp_path: Path) -> None:
    storage = FileSessionStorage(tmp_path).sync
    for key in ("142", "242", "342", LONG):
        storage.write(key, 1)
    listing = storage.iter_items()

    first, _ = next(listing)
    for key in ("142", "242", "342", LONG):
        storage.delete(key)

    assert first.endswith("42")
    assert list(listing) == []


def test_a_folder_of_files_that_vanishes_while_listing_is_left_out(tmp_path: Path) -> None:
    storage = FileSessionStorage(tmp_path).sync
    storage.write("1", 1)
    storage.write("2", 2)
    listing = storage.iter_keys()

    first = next(listing)
    shutil.rmtree(tmp_path / {"1": "2", "2": "1"}[first])

    assert list(listing) == []


def test_many_are_listed_and_purged_off_the_event_loop(tmp_path: Path, clock: FakeClock) -> None:
    threads: set[int] = set()

    class NotingCodec(JSONCodec):
        def decode(self, raw: bytes, /) -> Any:
            threads.add(threading.get_ident())
            return super().decode(raw)

    storage = FileSessionStorage(tmp_path, codec=NotingCodec(), clock=clock)
    for number in range(100, 350):
        content = b'{"__d":%d,"e":2000000,"ttl":1}' % number
        put(tmp_path / f"{number % 100:02}" / f"{number}.json", content)

    async def use() -> None:
        keys = [key async for key in storage.iter_keys()]
        assert sorted(keys) == [str(number) for number in range(100, 350)]
        items = {key: value async for key, value in storage.iter_items("3")}
        assert items == {str(number): number for number in range(300, 350)}
        clock.now = 2000
        assert await storage.purge_expired() == 250

    asyncio.run(use())
    assert threads
    assert threading.get_ident() not in threads


def test_the_name_of_a_long_key_is_put_right_by_a_write(tmp_path: Path) -> None:
    storage = FileSessionStorage(tmp_path).sync
    storage.write(LONG, 1)
    (key_file,) = tmp_path.rglob("*.key")

    for damage in (b"", b"\xff", b"another key"):
        key_file.write_bytes(damage)
        assert storage.read(LONG) == 1
        with pytest.raises(SessionDecodeError, match=r"\.key should hold the key"):
            list(storage.iter_keys())
        storage.write(LONG, 1)
        assert list(storage.iter_keys()) == [LONG]

    key_file.unlink()
    assert list(storage.iter_keys()) == []
    storage.write(LONG, 1)
    assert list(storage.iter_keys()) == [LONG]
    storage.delete(LONG)
    assert not key_file.exists()


# --- closing ------------------------------------------------------------------------------


def test_a_closed_storage_raises_at_every_use(tmp_path: Path) -> None:
    storage = FileSessionStorage(tmp_path)
    sync = storage.sync
    asyncio.run(storage.close())

    uses: list[Callable[[], object]] = [
        lambda: storage.read("1"),
        lambda: storage.write("1", 1),
        lambda: storage.delete("1"),
        lambda: storage.has("1"),
        lambda: storage.touch("1"),
        lambda: storage.read_with_revision("1"),
        lambda: storage.write_if("1", 1, None),
        storage.iter_keys,
        storage.iter_items,
        lambda: asyncio.run(storage.purge_expired()),
        lambda: sync.read("1"),
        lambda: sync.write("1", 1),
        lambda: sync.delete("1"),
        lambda: sync.has("1"),
        lambda: sync.touch("1"),
        lambda: sync.read_with_revision("1"),
        lambda: sync.write_if("1", 1, None),
        sync.iter_keys,
        sync.iter_items,
        sync.purge_expired,
    ]
    for use in uses:
        with pytest.raises(SessionClosedError, match="closed; make a new one"):
            use()
    assert sync.sync is sync


def test_closing_twice_is_fine(tmp_path: Path) -> None:
    storage = FileSessionStorage(tmp_path)

    storage.sync.close()
    storage.sync.close()
    asyncio.run(storage.close())


def test_leaving_a_context_closes(tmp_path: Path) -> None:
    async def use() -> FileSessionStorage:
        async with FileSessionStorage(tmp_path) as storage:
            await storage.write("1", 1)
        return storage

    closed: list[FileSessionStorage | SyncFileSessionStorage] = [asyncio.run(use())]
    with FileSessionStorage(tmp_path) as storage:
        assert storage.sync.read("1") == 1
        closed.append(storage)
    with FileSessionStorage(tmp_path).sync as sync:
        assert sync.read("1") == 1
        closed.append(sync)

    for each in closed:
        with pytest.raises(SessionClosedError):
            each.iter_keys()


def test_closing_waits_for_writes_that_were_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = FileSessionStorage(tmp_path)

    async def use() -> None:
        with gate(monkeypatch) as held:
            write = asyncio.ensure_future(storage.write("1", 1))
            await held.wait_for(1)
            close = asyncio.ensure_future(storage.close())
            await turns()
            with pytest.raises(SessionClosedError):
                _never_awaited = storage.read("1")
            assert not close.done()
            held.open.set()
            await close
            await write

    asyncio.run(use())
    assert FileSessionStorage(tmp_path).sync.read("1") == 1


def test_a_call_made_before_closing_and_awaited_after_it_raises(tmp_path: Path) -> None:
    storage = FileSessionStorage(tmp_path)

    async def use() -> None:
        write: Awaitable[object] = storage.write("1", 1)
        await storage.close()
        with pytest.raises(SessionClosedError):
            await write

    asyncio.run(use())
    assert FileSessionStorage(tmp_path).sync.read("1") is None


def test_a_thread_that_closes_at_the_worst_moment_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = FileSessionStorage(tmp_path)
    process = os.getpid()

    def close_between_check_and_use() -> int:
        storage.sync.close()
        return process

    async def use() -> None:
        with monkeypatch.context() as patched:
            patched.setattr(os, "getpid", close_between_check_and_use)
            with pytest.raises(SessionClosedError):
                await storage.read("1")

    asyncio.run(use())


def test_a_system_without_room_for_a_thread_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = FileSessionStorage(tmp_path)

    async def use() -> None:
        def no_room(thread: threading.Thread) -> None:
            msg = "can't start new thread"
            raise RuntimeError(msg)

        monkeypatch.setattr(threading.Thread, "start", no_room)
        with pytest.raises(RuntimeError, match="new thread"):
            await storage.read("1")

    asyncio.run(use())


def test_a_storage_nobody_closed_leaves_nothing_behind(tmp_path: Path) -> None:
    storage: FileSessionStorage | None = FileSessionStorage(tmp_path)
    assert storage
    asyncio.run(storage.write("1", 1))
    threads = [t for t in threading.enumerate() if t.name.startswith("sessionkit-file")]
    assert threads

    del storage
    gc.collect()

    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()

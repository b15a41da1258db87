"""What a file storage promises: nothing torn, nothing late, nothing taken for missing."""

from __future__ import annotations

import asyncio
import errno
import gc
import json
import math
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from sessionkit import enhance_storage, session
from sessionkit.codecs import JSONCodec, PickleCodec
from sessionkit.errors import (
    InvalidSessionKeyError,
    SessionClosedError,
    SessionConflictError,
    SessionDecodeError,
    SessionEncodeError,
    SessionError,
    SessionListingError,
)
from sessionkit.protocols import (
    ANY,
    Storage,
    SupportsClose,
    SupportsExpiry,
    SupportsHas,
    SupportsListing,
    SupportsPurge,
    SupportsRevisions,
    SupportsSync,
    SupportsTouch,
)
from sessionkit.storages._file import folder as folder_module
from sessionkit.storages._file.disk import read
from sessionkit.storages._file.locks import STRIPES
from sessionkit.storages.file import FileSessionStorage, SyncFileSessionStorage
from sessionkit.types import Entry
from tests.core import Clocked

LONG = "long" * 250
LARGE = "x" * 100_000  # more than is read on an event loop's thread
KEYS = ["424242", "3/-100", LONG]


@pytest.fixture
def storage(tmp_path: Path) -> SyncFileSessionStorage:
    return FileSessionStorage(tmp_path).sync


def put(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def unfinished(folder: Path) -> list[Path]:
    return [
        path
        for path in folder.joinpath(".sessionkit", "unfinished").iterdir()
        if path.suffix != ".lock"
    ]


# --- reading and writing ------------------------------------------------------------------


def test_it_is_a_storage_with_these_capabilities(tmp_path: Path) -> None:
    storage = FileSessionStorage(tmp_path)
    for view in (storage, storage.sync):
        _basic: Storage[dict[str, int]] = view
        _has: SupportsHas = view
        _listing: SupportsListing[Any] = view
        _revisions: SupportsRevisions[Any] = view
        _expiry: SupportsExpiry[Any] = view
        _touch: SupportsTouch = view
        _purge: SupportsPurge = view
        _sync: SupportsSync[Any] = view
        _close: SupportsClose = view
        assert view.isolated
        assert view.settles


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
    with pytest.raises(SessionEncodeError, match="under '1': use delete"):
        _never_awaited = FileSessionStorage(tmp_path).write("1", None)


@pytest.mark.parametrize("key", ["", 1, None, b"bytes"])
def test_a_key_that_is_not_text_raises_at_the_call(tmp_path: Path, key: Any) -> None:
    storage = FileSessionStorage(tmp_path)

    for use in (storage.read, storage.delete, storage.sync.read, storage.sync.has):
        with pytest.raises(InvalidSessionKeyError, match="must be a non-empty str"):
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


@pytest.mark.parametrize("name", ["sessions", "a/b/sessions"])
def test_a_drive_that_is_missing_raises_at_set_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(os, "mkdir", failing(errno.ENOENT))
    monkeypatch.setattr(Path, "exists", is_a_drive)

    with pytest.raises(SessionError, match="No such file or directory"):
        FileSessionStorage(tmp_path / name)


def is_a_drive(path: Path) -> bool:
    return path == path.parent


def test_a_python_without_file_locks_raises_at_set_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_module, "AVAILABLE", False)

    with pytest.raises(SessionError, match=r"no file locks \(no module fcntl\)"):
        FileSessionStorage(tmp_path)


def test_sessionkit_is_imported_where_there_is_no_fcntl() -> None:
    code = "import sys; sys.modules['fcntl'] = None; import sessionkit; sessionkit.session(dict)"
    subprocess.run([sys.executable, "-c", code], check=True)


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
    with pytest.raises(ValueError, match="ttl"):
        FileSessionStorage(folder, ttl=1e308)
    with pytest.raises(ValueError, match="busy_timeout must be positive"):
        FileSessionStorage(folder, busy_timeout=0)
    for mode in (0, 0o400, 0o700, 600):
        with pytest.raises(ValueError, match="mode must be"):
            FileSessionStorage(folder, mode=mode)
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


@pytest.mark.parametrize(
    ("mode", "file", "folder"),
    [(0o600, 0o600, 0o700), (0o660, 0o660, 0o770), (0o644, 0o644, 0o755), (0o666, 0o666, 0o777)],
)
@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
def test_files_and_folders_have_the_permissions_that_were_given(
    tmp_path: Path, mode: int, file: int, folder: int, umask: int
) -> None:
    before = os.umask(umask)
    try:
        root = tmp_path / "above" / "sessions"
        storage = FileSessionStorage(root, mode=mode).sync
        for key in KEYS:
            storage.write(key, 1)
        storage.backup(tmp_path / "backup")
    finally:
        os.umask(before)
    for made in (root, tmp_path / "backup"):
        for path in (made, *made.rglob("*")):
            assert path.stat().st_mode & 0o777 == (folder if path.is_dir() else file), path
    assert tmp_path.joinpath("above").stat().st_mode & 0o777 == 0o777 & ~umask


def test_permissions_can_be_left_to_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        storage = FileSessionStorage(tmp_path / "sessions", mode=None).sync
        storage.write("42", 1)
    finally:
        os.umask(before)
    for path in tmp_path.joinpath("sessions").rglob("*"):
        assert path.stat().st_mode & 0o777 == (0o750 if path.is_dir() else 0o640), path


def test_a_file_takes_the_permissions_of_the_storage_that_writes_it(tmp_path: Path) -> None:
    file = put(tmp_path / "42/42.json", b"1")
    file.chmod(0o644)
    storage = FileSessionStorage(tmp_path).sync
    assert storage.read("42") == 1
    assert file.stat().st_mode & 0o777 == 0o644
    storage.write("42", 2)
    assert file.stat().st_mode & 0o777 == 0o600


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
    with pytest.raises(SessionListingError, match=r"42\.json") as listing:
        list(storage.iter_items())
    assert listing.value.keys == ("42",)
    with pytest.raises(SessionConflictError):
        storage.write_if("42", "new", None)

    assert storage.has("42")
    assert list(storage.iter_keys()) == ["42"]
    assert storage.purge_expired() == 0
    assert file.read_bytes() == content
    storage.delete("42")
    assert storage.read("42") is None


def test_listings_and_purges_go_past_what_cannot_be_read(tmp_path: Path, clock: Clocked) -> None:
    storage = FileSessionStorage(tmp_path, ttl=60, clock=clock)
    for number in range(3):
        storage.sync.write(str(number), number)
    put(tmp_path / "1/1.json", b"{damaged")
    tmp_path.joinpath("5/5.json").mkdir(parents=True)

    async def use() -> None:
        for listing in (storage.iter_items(), as_async(storage.sync.iter_items())):
            listed: list[tuple[str, Any]] = []
            with pytest.raises(SessionListingError) as caught:
                async for item in listing:
                    listed.append(item)
            assert sorted(listed) == [("0", 0), ("2", 2)]
            assert sorted(caught.value.keys) == ["1", "5"]
        assert sorted([key async for key in storage.iter_keys()]) == ["0", "1", "2", "5"]
        clock.now += 60
        assert await storage.purge_expired() == 2

    asyncio.run(use())


async def as_async(items: Iterator[Any]) -> AsyncIterator[Any]:
    for item in items:
        yield item


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


def _removed(folder: Path, _: Path) -> None:
    shutil.rmtree(folder)


def _moved(folder: Path, elsewhere: Path) -> None:
    folder.rename(elsewhere)


def _replaced_by_an_empty_one(folder: Path, elsewhere: Path) -> None:
    folder.rename(elsewhere)
    folder.mkdir()


def _replaced_by_a_copy(folder: Path, elsewhere: Path) -> None:
    folder.rename(elsewhere)
    shutil.copytree(elsewhere, folder)


def _a_link_to_another(folder: Path, elsewhere: Path) -> None:
    folder.rename(elsewhere)
    folder.symlink_to(elsewhere.with_name("other"))
    FileSessionStorage(folder)


GONE = [_removed, _moved, _replaced_by_an_empty_one, _replaced_by_a_copy, _a_link_to_another]


@pytest.mark.parametrize("change", GONE)
def test_a_folder_that_is_not_the_one_that_was_opened_is_noticed(
    tmp_path: Path, change: Callable[[Path, Path], None]
) -> None:
    folder = tmp_path / "sessions"
    storage = FileSessionStorage(folder)
    storage.sync.write("42", 1)
    tmp_path.joinpath("other").mkdir()

    change(folder, tmp_path / "elsewhere")
    before = sorted(tmp_path.rglob("*"))

    uses: list[Callable[[], object]] = [
        lambda: storage.sync.read("1"),
        lambda: storage.sync.has("1"),
        lambda: storage.sync.write("42", 2),
        lambda: storage.sync.delete("42"),
        lambda: storage.sync.touch("42"),
        lambda: asyncio.run(storage.write("42", 2)),
        lambda: list(storage.sync.iter_keys()),
        lambda: storage.sync.backup(tmp_path / "backup"),
    ]
    for use in uses:
        with pytest.raises(SessionError, match="deleted, moved or replaced"):
            use()
    assert sorted(tmp_path.rglob("*")) == before
    if change is _moved:
        tmp_path.joinpath("elsewhere").rename(folder)
        assert storage.sync.read("42") == 1


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("change", GONE)
def test_a_folder_that_goes_during_a_write_is_noticed_before_it_is_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path, Path], None], key: str
) -> None:
    folder = tmp_path / "sessions"
    storage = FileSessionStorage(folder)
    storage.sync.write(key, 1)
    tmp_path.joinpath("other").mkdir()
    replace = os.replace

    def replace_late(source: str, target: Path) -> None:
        replace(source, target)
        change(folder, tmp_path / "elsewhere")

    with monkeypatch.context() as broken:
        broken.setattr(os, "replace", replace_late)
        with pytest.raises((SessionError, OSError), match=r"is lost with it|may be lost|No such"):
            asyncio.run(storage.write(key, 2))


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
        with pytest.raises(OSError, match=rf"No space left.*{re.escape(str(tmp_path))}"):
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


def test_whatever_a_job_raises_ends_no_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = FileSessionStorage(tmp_path).sync
    storage.write("42", "old")

    def interrupt(source: object, target: object) -> None:
        raise SystemExit

    with monkeypatch.context() as broken:
        broken.setattr(os, "replace", interrupt)
        for _ in range(20):
            with pytest.raises(RuntimeError, match="SystemExit"):
                storage.write("42", "new")

    assert storage.read("42") == "old"
    assert unfinished(tmp_path) == []
    storage.write("42", "the lock was given back")


def test_the_error_says_that_a_change_may_be_lost_if_only_its_last_step_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = FileSessionStorage(tmp_path).sync
    storage.write("42", "old")
    fsync = os.fsync

    def fail_for_folders(descriptor: int) -> None:
        if Path(f"/dev/fd/{descriptor}").is_dir():
            failing(errno.EIO)()
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fail_for_folders)
    changes: list[Callable[[], None]] = [
        lambda: storage.write("42", "new"),
        lambda: storage.delete("42"),
    ]
    for change in changes:
        with pytest.raises(OSError, match=r"error; the change .* may be lost.*42\.json"):
            change()


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


# --- what killed writers left ----------------------------------------------------------------


def test_opening_removes_what_killed_writers_left_and_nothing_of_living_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Clocked
) -> None:
    storage = FileSessionStorage(tmp_path, clock=clock)
    for name in ("0123456789abcdef-0.new", "0123456789abcdef.lock", "fedcba9876543210-1.new"):
        put(tmp_path / ".sessionkit/unfinished" / name, b'{"n":')
    # Earlier versions did not lock theirs.
    for name, age in (("old", 3601), ("young", 3599)):
        left = put(tmp_path / ".sessionkit/unfinished" / name, b'{"n":')
        os.utime(left, (clock.now - age, clock.now - age))

    async def use() -> None:
        with gate(monkeypatch) as held:
            write = asyncio.ensure_future(storage.write("42", 1))
            await held.wait_for(1)
            assert len(unfinished(tmp_path)) == 5
            held.open.set()
            FileSessionStorage(tmp_path, clock=clock)
            await write

    asyncio.run(use())
    assert storage.sync.read("42") == 1
    assert [path.name for path in unfinished(tmp_path)] == ["young"]
    storage.sync.close()
    gc.collect()
    FileSessionStorage(tmp_path, clock=clock).sync.close()
    at_last = tmp_path.joinpath(".sessionkit", "unfinished").iterdir()
    assert [path.name for path in at_last] == ["young"]


# --- backups ------------------------------------------------------------------------------


def test_a_backup_that_is_there_outlives_a_loss_of_power(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage, target = FileSessionStorage(tmp_path / "sessions"), tmp_path / "backup"
    storage.sync.write("1", 1)
    flushed: list[tuple[Path, bool]] = []

    def flush(path: Path) -> None:
        flushed.append((path, target.exists()))

    monkeypatch.setattr(folder_module, "flush_folder", flush)

    asyncio.run(storage.backup(target))

    assert flushed[-1] == (tmp_path, True)


def test_a_backup_is_a_folder_of_the_same_sessions(tmp_path: Path) -> None:
    folder, target = tmp_path / "sessions", tmp_path / "a" / "b" / "backup"
    storage = FileSessionStorage(folder, ttl=60)
    for number, key in enumerate((*KEYS, "A", "b/C")):
        storage.sync.write(key, number)
    put(folder / "17/17.json", b"{damaged")
    for name in ("notes.txt", "17/notes.txt", "no/notes.txt"):
        put(folder / name, b"a stranger's")

    asyncio.run(storage.backup(target))

    def files(root: Path) -> dict[str, bytes]:
        found = (path for path in root.glob("[!.]*/**/*") if path.is_file())
        return {str(path.relative_to(root)): path.read_bytes() for path in found}

    copied = files(target)
    original = files(folder)
    assert {name for name in original if name not in copied} == {"17/notes.txt", "no/notes.txt"}
    assert copied.items() < original.items()
    with pytest.raises(SessionListingError):
        list(FileSessionStorage(target).sync.iter_items())
    assert sorted(tmp_path.joinpath("a/b").iterdir()) == [target]


def test_a_backup_never_writes_over_anything(tmp_path: Path) -> None:
    storage = FileSessionStorage(tmp_path / "sessions").sync
    storage.write("42", 1)
    tmp_path.joinpath("empty").mkdir()
    put(tmp_path / "file", b"")
    tmp_path.joinpath("link").symlink_to("nowhere")
    for name in ("empty", "file", "link", "sessions"):
        with pytest.raises(FileExistsError, match=name):
            storage.backup(tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "file", "link", "sessions"]


def test_a_backup_leaves_out_what_is_deleted_meanwhile(tmp_path: Path) -> None:
    storage = FileSessionStorage(tmp_path / "sessions").sync
    for key in ("117", "217", "317"):
        storage.write(key, key)
    steps = storage._engine.folder.copy_to(tmp_path / "backup")
    next(steps)
    for key in ("117", "217", "317"):
        storage.delete(key)
    assert list(steps) == [False, False, True]
    assert len(list(FileSessionStorage(tmp_path / "backup").sync.iter_keys())) == 1


@pytest.mark.parametrize("call", ["fsync", "write", "rename"])
def test_a_backup_that_fails_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    storage = FileSessionStorage(tmp_path / "sessions")
    storage.sync.write("42", 1)
    with monkeypatch.context() as broken:
        broken.setattr(os, call, failing(errno.ENOSPC))
        with pytest.raises(OSError, match="No space left"):
            asyncio.run(storage.backup(tmp_path / "backup"))
    assert [path.name for path in tmp_path.iterdir()] == ["sessions"]


def test_a_backup_that_is_cancelled_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = FileSessionStorage(tmp_path / "sessions")
    for key in range(3):
        storage.sync.write(str(key), 1)

    async def use() -> None:
        with gate(monkeypatch) as held:
            backup = asyncio.ensure_future(storage.backup(tmp_path / "backup"))
            await held.wait_for(1)
            backup.cancel()
            await turns()
            assert not backup.done()
            held.open.set()
            with pytest.raises(asyncio.CancelledError):
                await backup

    asyncio.run(use())
    assert [path.name for path in tmp_path.iterdir()] == ["sessions"]


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
    # One key per lock file, so that none of the 32 threads waits for another.
    apart = {zlib.crc32(str(n).encode()) % STRIPES: str(n) for n in range(500)}
    keys = sorted(apart.values())[:40]

    async def cancel() -> None:
        with gate(monkeypatch) as held:
            busy = [asyncio.ensure_future(storage.write(key, 1)) for key in keys]
            await held.wait_for(32)
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
        await storage.write("42", LARGE)
        task = asyncio.ensure_future(storage.read("42"))
        assert await asyncio.to_thread(begun.wait, 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        released.set()
        await storage.close()

    asyncio.run(cancel())


def test_after_a_slow_read_files_are_read_on_threads(tmp_path: Path) -> None:
    threads: list[int] = []
    slow = True

    class NotingCodec(JSONCodec):
        def decode(self, raw: bytes, /) -> Any:
            threads.append(threading.get_ident())
            if slow:
                time.sleep(0.03)
            return super().decode(raw)

    storage = FileSessionStorage(tmp_path, codec=NotingCodec())

    async def use() -> None:
        nonlocal slow
        await storage.write("42", 1)
        await storage.read("42")
        slow = False
        await storage.read("42")
        storage._readers._is_slow_until = 0.0  # as after a second
        await storage.read("42")
        here = threading.get_ident()
        assert [thread == here for thread in threads] == [True, False, True]

    asyncio.run(use())


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
            with pytest.raises(SessionConflictError, match="in between") as caught:
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


@pytest.mark.parametrize("key", KEYS)
def test_a_hand_edit_under_an_open_session_is_noticed(tmp_path: Path, key: str) -> None:
    sessions = session(dict[str, int], storage=FileSessionStorage(tmp_path))
    with sessions.open(key) as s:
        s.data["n"] = 1
    (file,) = (path for path in tmp_path.rglob("*.json"))
    with pytest.raises(SessionConflictError), sessions.open(key) as s:
        s.data["n"] += 1
        file.write_text('{"n": 50}')
    assert sessions.sync.get(key) == {"n": 50}


def test_a_child_goes_on_without_what_its_parent_had_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = FileSessionStorage(tmp_path)
    storage.sync.write("42", LARGE)
    parent = unfinished_lock(tmp_path)

    # As after fork(), but for the thread, which does not live on in a child.
    storage._writers._ready.put(None)
    storage._writers._threads[0].join(30)
    storage._writers.restart()
    storage._engine.folder.locks.leave_to_parent()
    storage._engine.folder._workshop.leave_to_parent()
    monkeypatch.setattr(os, "getpid", lambda: -1)

    async def use() -> None:
        assert await storage.read("42") == LARGE
        await storage.write("42", 1)

    asyncio.run(use())
    assert storage.sync.read("42") == 1
    assert unfinished_lock(tmp_path) > parent


def unfinished_lock(folder: Path) -> set[str]:
    return {path.name for path in folder.joinpath(".sessionkit", "unfinished").glob("*.lock")}


# --- timeouts -----------------------------------------------------------------------------


def test_at_the_instant_of_expiry_a_value_is_gone(tmp_path: Path, clock: Clocked) -> None:
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
    tmp_path: Path, clock: Clocked
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


def test_a_touch_restarts_the_timeout(tmp_path: Path, clock: Clocked) -> None:
    storage = FileSessionStorage(tmp_path, ttl=60, clock=clock)
    storage.sync.write("42", {"n": 1})
    clock.now += 59

    assert asyncio.run(storage.touch("42"))
    clock.now += 59
    assert storage.sync.read("42") == {"n": 1}
    clock.now += 1
    assert storage.sync.read("42") is None


def test_an_expiry_counts_without_the_option_too(tmp_path: Path, clock: Clocked) -> None:
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
    tmp_path: Path, clock: Clocked
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
    tmp_path: Path, clock: Clocked, ttl: float | None
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


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        ({"n": 1}, {"__d": {"n": 1}, "e": 2_000_000, "ttl": None}),
        # From here on, as ``enhance_storage`` and ``once=`` write: readable for grammY.
        ({"__d": 1, "e": 2_000_000}, {"__d": 1, "e": 2_000_000}),
        ({"v": 3, "__d": 1, "e": 2_000_000}, {"v": 3, "__d": 1, "e": 2_000_000}),
        ({"v": 3, "__d": 1}, {"v": 3, "__d": 1, "e": 2_000_000, "ttl": None}),
        ({"__d": None, "__u": [7]}, {"__d": None, "__u": [7], "e": 2_000_000, "ttl": None}),
        # And these nobody does; they come back all the same.
        ({"__d": 1}, {"__d": {"__d": 1}, "e": 2_000_000, "ttl": None}),
        ({"__d": 1, "e": 5}, {"__d": {"__d": 1, "e": 5}, "e": 2_000_000, "ttl": None}),
        (
            {"__d": 1, "ttl": 1, "__u": 2},
            {"__d": {"__d": 1, "ttl": 1, "__u": 2}, "e": 2_000_000, "ttl": None},
        ),
    ],
    ids=repr,
)
def test_a_value_is_stored_with_its_end_in_one_envelope(
    tmp_path: Path, clock: Clocked, value: Any, stored: Any
) -> None:
    clock.now = 1000
    storage = FileSessionStorage(tmp_path, clock=clock).sync
    revision = storage.write_if("42", value, None, expires=2000)

    assert json.loads(tmp_path.joinpath("42/42.json").read_bytes()) == stored
    assert storage.read_with_revision("42") == (value, revision)
    assert list(storage.iter_entries()) == [Entry("42", value, 2000)]
    clock.now = 2000
    assert storage.read_with_revision("42") == (None, revision)
    assert storage.purge_expired() == 1


def test_what_an_enhancer_stores_ends_when_it_says(tmp_path: Path, clock: Clocked) -> None:
    clock.now = 1000
    storage = FileSessionStorage(tmp_path, ttl=9000, clock=clock).sync
    enhanced = enhance_storage(storage, ttl=60, migrations={1: dict}, clock=clock)
    enhanced.write("42", {"n": 1})

    content = tmp_path.joinpath("42/42.json").read_text()
    assert content == '{"v":1,"__d":{"n":1},"e":1060000}'
    assert [entry.expires for entry in storage.iter_entries()] == [1060]
    clock.now += 59
    assert enhanced.touch("42")
    clock.now += 59
    assert enhanced.read("42") == {"n": 1}
    clock.now += 1
    assert storage.purge_expired() == 1


def test_an_enhancer_with_another_clock_decides_alone(tmp_path: Path, clock: Clocked) -> None:
    storage = FileSessionStorage(tmp_path).sync
    enhanced = enhance_storage(storage, ttl=60, clock=clock)
    enhanced.write("42", {"n": 1})

    assert clock.now + 60 < time.time()
    assert enhanced.read("42") == {"n": 1}
    assert storage.purge_expired() == 0
    clock.now += 60
    assert enhanced.read("42") is None
    assert enhanced.purge_expired() == 1


@pytest.mark.parametrize("end", [math.inf, 1e300])
def test_an_end_that_nobody_will_see_is_none(tmp_path: Path, clock: Clocked, end: float) -> None:
    storage = FileSessionStorage(tmp_path, clock=clock).sync
    storage.write_if("42", {"n": 1}, None, expires=end)
    storage.write_if("43", {"n": 1}, None, expires=-end)

    assert storage.read("42") == {"n": 1}
    assert storage.read("43") is None


def test_null_within_our_shape_is_not_taken_for_missing(tmp_path: Path) -> None:
    put(tmp_path / "42/42.json", b'{"__d":null,"e":5,"ttl":1}')

    assert FileSessionStorage(tmp_path).sync.read("42") == {"__d": None, "e": 5, "ttl": 1}


def test_purging_removes_what_has_expired_and_counts_it(tmp_path: Path, clock: Clocked) -> None:
    storage = FileSessionStorage(tmp_path, ttl=60, clock=clock)
    for key in (*KEYS, "A"):
        storage.sync.write(key, 1)
    clock.now += 30
    storage.sync.write("later", 1)
    FileSessionStorage(tmp_path).sync.write("without ttl", 1)
    clock.now += 30

    assert asyncio.run(storage.purge_expired()) == 4
    assert storage.sync.purge_expired() == 0
    files = {path.name for path in tmp_path.rglob("*.*") if path.suffix in {".json", ".key"}}
    assert files == {"later.json", "without%20ttl.json"}


def test_what_expired_and_was_purged_is_created_again_by_its_reader(
    tmp_path: Path, clock: Clocked
) -> None:
    storage = FileSessionStorage(tmp_path, ttl=60, clock=clock).sync
    storage.write("42", 1)
    _, revision = storage.read_with_revision("42")
    storage.delete("42")
    with pytest.raises(SessionConflictError):  # it was deleted, and has not expired
        storage.write_if("42", 2, revision)
    storage.write_if("42", 1, None)
    _, revision = storage.read_with_revision("42")
    clock.now += 60
    assert storage.purge_expired() == 1
    storage.write_if("42", 2, revision)
    assert storage.read("42") == 2


def test_purging_leaves_a_value_that_is_written_meanwhile(
    tmp_path: Path, clock: Clocked, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = 0

    class WritingCodec(JSONCodec):
        """Writes again when purge has just found the value expired."""

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


def test_purging_goes_on_when_a_value_is_deleted_meanwhile(tmp_path: Path, clock: Clocked) -> None:
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
    tmp_path: Path, clock: Clocked
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


@pytest.fixture
def opened_files(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are read in a folder."""
    opened: list[str] = []

    def noting_read(path: Path | str, at_most: int | None = None) -> bytes | None:
        opened.append(Path(path).name)
        return read(path, at_most)

    monkeypatch.setattr(folder_module, "read", noting_read)
    return opened


def test_keys_are_listed_by_names_alone(tmp_path: Path, opened_files: list[str]) -> None:
    storage = FileSessionStorage(tmp_path)
    for key in KEYS:
        storage.sync.write(key, 1)
    opened_files.clear()

    async def listed() -> list[str]:
        return [key async for key in storage.iter_keys()]

    assert sorted(asyncio.run(listed())) == sorted(KEYS)
    assert [Path(name).suffix for name in opened_files] == [".key"]  # its name is a hash


def test_once_a_value_ends_keys_are_listed_without_what_has_expired(
    tmp_path: Path, clock: Clocked, opened_files: list[str]
) -> None:
    FileSessionStorage(tmp_path, clock=clock).sync.write("41", 1)
    storage = FileSessionStorage(tmp_path, clock=clock).sync
    opener = FileSessionStorage(tmp_path, clock=clock).sync
    opener.write_if("42", 1, None, expires=clock.now + 1)
    clock.now += 1
    storage.backup(tmp_path.parent / "backup")

    copy = FileSessionStorage(tmp_path.parent / "backup", clock=clock).sync
    again = FileSessionStorage(tmp_path, clock=clock).sync
    for opened in (storage, opener, copy, again):
        opened_files.clear()
        assert list(opened.iter_keys()) == ["41"]
        assert sorted(opened_files) == ["41.json", "42.json"]


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


def test_many_are_listed_and_purged_off_the_event_loop(tmp_path: Path, clock: Clocked) -> None:
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
        storage.write("1", 1)
        listed = storage.iter_keys()
        assert next(listed) == "1"
        with pytest.raises(SessionListingError, match=r"\.key should hold the key"):
            next(listed)
        storage.delete("1")
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
    storage.sync.write("1", LARGE)

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

        FileSessionStorage(tmp_path).sync.write("1", LARGE)
        busy = FileSessionStorage(tmp_path)
        with gate(monkeypatch) as held:
            first = asyncio.ensure_future(busy.write("3", 1))
            await held.wait_for(1)
            with monkeypatch.context() as crowded:
                crowded.setattr(threading.Thread, "start", no_room)
                second = asyncio.ensure_future(busy.write("4", 1))
                await turns()
            held.open.set()
            await asyncio.gather(first, second)  # one after the other
        with monkeypatch.context() as crowded:
            crowded.setattr(threading.Thread, "start", no_room)
            for use in (lambda: storage.read("1"), lambda: storage.write("1", 1)):
                with pytest.raises(RuntimeError, match="new thread"):
                    await use()
        await storage.write("2", 2)
        assert await storage.read("1") == LARGE

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

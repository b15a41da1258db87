"""Copies of an SQLite file that is in use, and the permissions of what is made."""

from __future__ import annotations

import asyncio
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sessionkit import enhance_storage
from sessionkit._storage.sync_or_async import resolve
from sessionkit.errors import SessionClosedError, SessionError
from sessionkit.storages._sqlite.backup import Backup
from sessionkit.storages.sqlite import SQLiteSessionStorage
from tests.storages.sqlite_stage import LARGE, SOON, sql

if TYPE_CHECKING:
    from sessionkit.types import SupportsBackup


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return tmp_path / "copy.db"


def stored(path: Path) -> dict[str, object]:
    with SQLiteSessionStorage(path) as storage:
        return dict(storage.sync.iter_items())


def files_of(path: Path) -> list[str]:
    return sorted(file.name for file in path.parent.iterdir() if file.name.startswith(path.name))


@pytest.mark.parametrize("place", ["sessions.db", ":memory:"])
def test_a_copy_has_everything_that_is_stored(tmp_path: Path, copy: Path, place: str) -> None:
    path = place if place == ":memory:" else tmp_path / place

    async def main() -> None:
        async with SQLiteSessionStorage(path) as storage:
            _capable: SupportsBackup = storage
            await storage.write_many({str(number): number for number in range(3000)})
            await storage.backup(copy)
            await storage.write("0", "later")
            await resolve(enhance_storage(storage).backup(f"{copy}.2"))
            storage.sync.backup(f"{copy}.3")
            enhance_storage(storage).sync.backup(f"{copy}.4")

    asyncio.run(main())
    before = {str(number): number for number in range(3000)}
    assert stored(copy) == before
    for number in (2, 3, 4):
        assert stored(Path(f"{copy}.{number}")) == {**before, "0": "later"}
    assert files_of(copy) == [copy.name, *(f"{copy.name}.{number}" for number in (2, 3, 4))]


def test_a_copy_is_of_one_moment_while_writes_go_on(path: Path, copy: Path) -> None:
    """Each round counts all keys up together, so all are equal at any moment."""
    keys = [str(number) for number in range(40)]
    stopped = threading.Event()

    def count(storage: SQLiteSessionStorage) -> None:
        number = 0
        while not stopped.is_set():
            number += 1
            storage.sync.write_many(dict.fromkeys(keys, f"{number} {LARGE}"))

    with SQLiteSessionStorage(path, durable=False) as storage:
        storage.sync.write_many(dict.fromkeys(keys, "0"))
        counting = threading.Thread(target=count, args=(storage,))
        counting.start()
        for _ in range(3):
            storage.sync.backup(copy)
            assert len(set(stored(copy).values())) == 1
            copy.unlink()
        stopped.set()
        counting.join(SOON)


def test_a_copy_does_not_restart_with_each_write(
    path: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = 0

    def write_meanwhile(_backup: Backup, *_: int) -> None:
        nonlocal steps
        steps += 1
        storage.sync.write("0", steps)
        assert steps < 10

    monkeypatch.setattr(Backup, "_look_up", write_meanwhile)
    with SQLiteSessionStorage(path) as storage:
        storage.sync.write_many(dict.fromkeys(map(str, range(100)), LARGE))
        storage.sync.backup(copy)

    assert steps > 2
    assert stored(copy)["0"] == LARGE


def test_other_tables_are_copied_too(path: Path, copy: Path) -> None:
    with SQLiteSessionStorage(path, table="other") as other, SQLiteSessionStorage(path) as storage:
        other.sync.write("a", 1)
        storage.sync.backup(copy)

    assert sql(copy, "SELECT key FROM other") == [("a",)]


def exists(path: Path) -> None:
    path.write_text("mine")


def is_a_dead_link(path: Path) -> None:
    path.symlink_to(path.with_name("missing"))


@pytest.mark.parametrize("make", [exists, is_a_dead_link, Path.mkdir])
def test_what_is_at_the_path_is_left_alone(
    path: Path, copy: Path, make: Callable[[Path], None]
) -> None:
    make(copy)
    with SQLiteSessionStorage(path) as storage:
        with pytest.raises(FileExistsError, match="with the date in it"):
            storage.sync.backup(copy)
        with pytest.raises(FileExistsError):
            storage.sync.backup(path)

    assert files_of(copy) == [copy.name]


@pytest.mark.parametrize("links", [True, False])
def test_what_comes_to_the_path_meanwhile_is_left_alone(
    path: Path, copy: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    link = os.link

    def come_meanwhile(source: str, target: str) -> None:
        copy.write_text("mine")
        if not links:
            raise PermissionError
        link(source, target)

    monkeypatch.setattr(os, "link", come_meanwhile)
    with SQLiteSessionStorage(path) as storage, pytest.raises(FileExistsError):
        storage.sync.backup(copy)

    assert copy.read_text() == "mine"
    assert files_of(copy) == [copy.name]


def test_a_copy_is_made_where_files_have_no_links(
    path: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "link", link)
    with SQLiteSessionStorage(path) as storage:
        storage.sync.write("a", 1)
        storage.sync.backup(copy)

    assert stored(copy) == {"a": 1}
    assert files_of(copy) == [copy.name]


def test_a_cancelled_backup_leaves_nothing(
    path: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached, go_on = threading.Event(), threading.Event()
    look_up = Backup._look_up

    def stop_there(backup: Backup, *numbers: int) -> None:
        reached.set()
        assert go_on.wait(SOON)
        look_up(backup, *numbers)

    monkeypatch.setattr(Backup, "_look_up", stop_there)

    async def main() -> None:
        async with SQLiteSessionStorage(path) as storage:
            await storage.write_many(dict.fromkeys(map(str, range(40)), LARGE))
            backup = asyncio.create_task(storage.backup(copy))
            assert await asyncio.to_thread(reached.wait, SOON)
            await storage.write("a", 1)
            backup.cancel()
            await asyncio.sleep(0)
            assert not backup.done()
            go_on.set()
            with pytest.raises(asyncio.CancelledError):
                await backup

    asyncio.run(main())
    assert files_of(copy) == []


def test_a_copy_that_cannot_be_made_leaves_nothing(path: Path, copy: Path) -> None:
    with SQLiteSessionStorage(path) as storage:
        with pytest.raises(FileNotFoundError):
            storage.sync.backup(copy.parent / "missing" / "copy.db")
        storage.sync.write_many(dict.fromkeys(map(str, range(9)), LARGE))
        sql(path, "PRAGMA wal_checkpoint(TRUNCATE)")
        with path.open("r+b") as file:
            file.write(b"\0" * 4096)
        with pytest.raises(SessionError, match="not an SQLite database"):
            storage.sync.backup(copy)

    assert files_of(copy) == []


def test_a_closed_storage_makes_no_copy(path: Path, copy: Path) -> None:
    storage = SQLiteSessionStorage(path)
    storage.sync.close()

    with pytest.raises(SessionClosedError):
        storage.sync.backup(copy)
    with pytest.raises(SessionClosedError):
        asyncio.run(storage.backup(copy))


# Permissions


def modes_of(path: Path) -> set[int]:
    return {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
@pytest.mark.parametrize(
    ("options", "mode"), [({}, 0o600), ({"mode": 0o640}, 0o640), ({"mode": None}, 0o644)]
)
def test_new_files_are_for_their_owner_by_default(
    path: Path, copy: Path, options: dict[str, Any], mode: int
) -> None:
    umask = os.umask(0o022)
    try:
        with SQLiteSessionStorage(path, **options) as storage:
            storage.sync.write("a", 1)
            storage.sync.backup(copy)
            assert len(list(path.parent.iterdir())) == 4
            assert modes_of(path) == {mode}
    finally:
        os.umask(umask)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_a_file_that_is_there_keeps_its_permissions(path: Path) -> None:
    path.touch()
    path.chmod(0o660)
    with SQLiteSessionStorage(path) as storage:
        storage.sync.write("a", 1)
        assert modes_of(path) == {0o660}

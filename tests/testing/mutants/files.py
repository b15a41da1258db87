"""Mistakes of storages on disk, which several processes use, and which are killed."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from sessionkit.errors import SessionConflictError
from sessionkit.protocols import ANY, Expected
from sessionkit.testing._subject import Subject
from tests.testing.mutants.on_disk import Files, Rows
from tests.testing.mutants.registry import mutant

if TYPE_CHECKING:
    from pathlib import Path

K = TypeVar("K", bound=type[Files | Rows])
_mutex = threading.RLock()
_cache: dict[Path, Any] = {}


def open_on_disk(kind: type[Files | Rows], namespace: str, folder: Path) -> Files | Rows:
    """Open a storage of that class; a function that other processes find by its name."""
    return kind(folder / namespace)


def subject_on_disk(kind: type[Files | Rows], **options: Any) -> Subject:
    """Return the kit over a storage of that class."""
    return Subject(partial(open_on_disk, kind), **options)


def on_disk(mistake: str, *caught_by: str) -> Callable[[K], K]:
    def register(kind: K) -> K:
        made = partial(subject_on_disk, kind)
        return mutant("files", mistake, *caught_by, subject=made)(kind)

    return register


@on_disk(
    "The file is opened for writing, which empties it, and then written.",
    "reading_sees_old_or_new_among_processes",
    "kill_leaves_old_or_new",
)
class WritesInPlace(Files):
    def replace(self, path: Path, text: str) -> None:
        with path.open("w") as file:
            file.write(text[: len(text) // 2])
            file.flush()
            file.write(text[len(text) // 2 :])


@on_disk(
    "The lock is one of threads, and other processes do not know it.",
    "one_of_two_conditional_writes_wins_among_processes",
)
class LocksThreadsOnly(Files):
    @contextmanager
    def locked(self) -> Generator[None, None, None]:
        with _mutex:
            yield


@on_disk(
    "All unfinished writes have one file.",
    "writes_of_different_keys_all_land_among_processes",
)
class OneUnfinishedFile(Files):
    def replace(self, path: Path, text: str) -> None:
        new = self.folder / "new"
        new.write_text(text)
        new.replace(path)

    @contextmanager
    def locked(self) -> Generator[None, None, None]:
        yield


@on_disk(
    "All values are in one file, which is read, changed and replaced.",
    "writes_of_different_keys_all_land_among_processes",
)
class OneFile(Files):
    def everything(self) -> dict[str, Any]:
        file = self.folder / "all.json"
        found: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
        return found

    def read(self, key: str) -> Any:
        return self.everything().get(key)

    def write(self, key: str, value: Any) -> None:
        text = json.dumps({**self.everything(), key: value})
        self.replace(self.folder / "all.json", text)

    def delete(self, key: str) -> None:
        rest = {name: value for name, value in self.everything().items() if name != key}
        self.replace(self.folder / "all.json", json.dumps(rest))

    read_with_revision: Any = None
    write_if: Any = None


@on_disk(
    "The condition is asked for by SELECT, and then comes the write.",
    "one_of_two_conditional_writes_wins_among_processes",
)
class SelectsThenWrites(Rows):
    def write_if(self, key: str, value: Any, expected: Expected) -> Any:
        if expected is not ANY and expected != self.read_with_revision(key)[1]:
            raise SessionConflictError("changed", key=key)
        return super().write_if(key, value, ANY)


@on_disk(
    "The old row is deleted, and the new one inserted, in two transactions.",
    "reading_sees_old_or_new_among_processes",
)
class DeletesThenInsertsRow(Rows):
    def write(self, key: str, value: Any) -> None:
        text = json.dumps(value)
        self.delete(key)
        super().write(key, json.loads(text))


@on_disk("What was read is kept for the whole process.", "writes_are_seen_by_other_processes")
class CachedInProcess(Files):
    def read(self, key: str) -> Any:
        return _cache.setdefault(self.path(key), super().read(key))

    def write_if(self, key: str, value: Any, expected: Expected) -> Any:
        revision = super().write_if(key, value, expected)
        _cache[self.path(key)] = value
        return revision


@on_disk("Files are written by a thread, some time later.", "kill_loses_nothing_that_was_confirmed")
class WritesBehind(Files):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.unwritten: dict[Path, str] = {}
        self.timer: threading.Timer | None = None

    def read_with_revision(self, key: str) -> Any:
        text = self.unwritten.get(self.path(key))
        if text is None:
            return super().read_with_revision(key)
        found = json.loads(text)
        return found["value"], found["revision"]

    def write_if(self, key: str, value: Any, expected: Expected) -> Any:
        if value is None:
            self.flush()
        return super().write_if(key, value, expected)

    def replace(self, path: Path, text: str) -> None:
        self.unwritten[path] = text
        self.timer = self.timer or threading.Timer(0.05, self.flush)
        if not self.timer.is_alive():
            self.timer.start()

    def flush(self) -> None:
        self.timer = None
        with _mutex:
            for path in list(self.unwritten):
                super().replace(path, self.unwritten[path])
                del self.unwritten[path]

    def close(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
        self.flush()


@on_disk("A process that is killed leaves its lock file behind.", "kill_leaves_old_or_new")
class LeavesLockBehind(Files):
    @contextmanager
    def locked(self) -> Generator[None, None, None]:
        with suppress(FileExistsError):
            (self.folder / "held").mkdir()
            try:
                yield
            finally:
                (self.folder / "held").rmdir()
            return
        raise TimeoutError("somebody else holds the lock")


@on_disk("Revisions are counted in memory, from 1.", "revisions_outlive_a_kill")
class CountsInMemory(Files):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.count = 0

    def write_if(self, key: str, value: Any, expected: Expected) -> Any:
        with self.locked():
            if expected is not ANY and expected != self.read_with_revision(key)[1]:
                raise SessionConflictError("changed", key=key)
            if value is None:
                self.path(key).unlink(missing_ok=True)
                return None
            self.count += 1
            self.replace(self.path(key), json.dumps({"value": value, "revision": self.count}))
            return self.count


@on_disk(
    "One transaction is open until close().",
    "kill_loses_nothing_that_was_confirmed",
)
class CommitsAtTheEnd(Rows):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.database = self.connect()

    def connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self.file, timeout=0.1, check_same_thread=False)

    def run(self, statement: str, *given: Any) -> Any:
        return self.database.execute(statement, given).fetchall()

    def read(self, key: str) -> Any:
        return super().read_with_revision(key)[0]

    def close(self) -> None:
        self.database.commit()
        self.database.close()

    read_with_revision: Any = None
    write_if: Any = None

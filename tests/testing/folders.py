"""A storage on disk that is safe among processes, and others that are not; found by name."""

from __future__ import annotations

import fcntl
import hashlib
import itertools
import json
import math
import os
import sys
import time
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sessionkit import MemorySessionStorage, SQLiteSessionStorage
from sessionkit.errors import SessionConflictError
from sessionkit.protocols import ANY, Expected

if TYPE_CHECKING:
    from pathlib import Path


LAG = 0.02


class Folder:
    """A file per key, replaced as a whole, under a lock that all processes share."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder

    def path(self, key: str) -> Path:
        return self.folder / f"{key}.json"

    @contextmanager
    def locked(self) -> Generator[None]:
        with (self.folder / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def load(self, key: str) -> Any:
        try:
            return json.loads(self.path(key).read_text())
        except FileNotFoundError:
            return None, None

    def save(self, key: str, text: str) -> None:
        new = self.folder / uuid.uuid4().hex
        new.write_text(text)
        new.replace(self.path(key))

    def new_revision(self) -> Any:
        return uuid.uuid4().hex

    def read(self, key: str) -> Any:
        return self.load(key)[0]

    def read_with_revision(self, key: str) -> Any:
        return tuple(self.load(key))

    def write(self, key: str, value: Any) -> None:
        self.write_if(key, value, ANY)

    def delete(self, key: str) -> None:
        self.write_if(key, None, ANY)

    def write_if(self, key: str, value: Any, expected: Expected) -> Any:
        with self.locked():
            if expected is not ANY and self.load(key)[1] != expected:
                raise SessionConflictError("changed", key=key)
            if value is None:
                self.path(key).unlink(missing_ok=True)
                return None
            revision = self.new_revision()
            self.save(key, json.dumps([value, revision]))
            return revision

    def close(self) -> None:
        """Nothing is kept open."""


class Unlocked(Folder):
    @contextmanager
    def locked(self) -> Generator[None]:
        yield


class PlainUnlocked(Folder):
    def write(self, key: str, value: Any) -> None:
        self.save(key, json.dumps([value, self.new_revision()]))

    def delete(self, key: str) -> None:
        self.path(key).unlink(missing_ok=True)


class InPlace(Folder):
    def save(self, key: str, text: str) -> None:
        self.path(key).write_text(text)


class RemovesFirst(Folder):
    def save(self, key: str, text: str) -> None:
        self.path(key).unlink(missing_ok=True)
        super().save(key, text)


class RevisionLater(Folder):
    def read_with_revision(self, key: str) -> Any:
        value = self.read(key)
        return value, self.load(key)[1]


class OneFile(Folder):
    """All keys in one file, read and written back together, without a lock."""

    def load(self, key: str) -> Any:
        return self.load_all().get(key, (None, None))

    def load_all(self) -> Any:
        try:
            return json.loads(self.path("all").read_text())
        except FileNotFoundError:
            return {}

    def write(self, key: str, value: Any) -> None:
        stored = self.load_all()
        stored[key] = (value, self.new_revision())
        self.save("all", json.dumps(stored))


class Cached(Folder):
    """Keeps what it has read."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.cache: dict[str, Any] = {}

    def read(self, key: str) -> Any:
        if key not in self.cache:
            self.cache[key] = super().read(key)
        return self.cache[key]

    def save(self, key: str, text: str) -> None:
        super().save(key, text)
        self.cache[key] = json.loads(text)[0]


class WrittenLater(Folder):
    """Confirms a write that is still in a buffer."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.unwritten: dict[str, str] = {}

    def load(self, key: str) -> Any:
        return json.loads(self.unwritten[key]) if key in self.unwritten else super().load(key)

    def save(self, key: str, text: str) -> None:
        self.unwritten[key] = text

    def close(self) -> None:
        for key, text in self.unwritten.items():
            super().save(key, text)
        self.unwritten.clear()


class Lagging(Folder):
    """Other openings see a write only after a while."""

    lag = LAG

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.mine: set[str] = set()

    def path(self, key: str) -> Path:
        return self.folder / hashlib.sha256(key.encode()).hexdigest()

    def versions(self, key: str) -> list[Any]:
        return [each for each in super().load(key) if each]

    def load(self, key: str) -> Any:
        old = time.time() - self.lag
        seen = [each for each in self.versions(key) if each[2] < old or each[3] in self.mine]
        return seen[-1][:2] if seen else (None, None)

    def write_if(self, key: str, value: Any, expected: Expected) -> Any:
        with self.locked():
            versions = self.versions(key)
            newest = versions[-1][1] if versions else None
            if expected is not ANY and newest != expected:
                raise SessionConflictError("changed", key=key)
            mark = self.new_revision()
            revision = None if value is None else mark
            self.save(key, json.dumps([*versions, [value, revision, time.time(), mark]]))
            self.mine.add(mark)
            return revision


class NeverShown(Lagging):
    """Other openings never see a write."""

    lag = math.inf


class LockFile(Folder):
    """Its lock is a file that stays if the process is killed."""

    @contextmanager
    def locked(self) -> Generator[None]:
        path = self.folder / "exclusive"
        if path.exists():
            raise TimeoutError("the lock was not free for a minute")
        path.touch()
        yield
        path.unlink()


class CountedInMemory(Folder):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.counter = itertools.count(1)

    def new_revision(self) -> Any:
        return next(self.counter)


class SilentOnceClosed(WrittenLater):
    """Writes what it has on ``close()``, and looks at nothing that comes later."""

    closed = False

    def save(self, key: str, text: str) -> None:
        if not self.closed:
            super().save(key, text)

    def close(self) -> None:
        self.closed = True
        super().close()


def folder(namespace: str, folder: Path) -> Folder:
    return Folder(folder / namespace)


def unlocked(namespace: str, folder: Path) -> Folder:
    return Unlocked(folder / namespace)


def plain_unlocked(namespace: str, folder: Path) -> Folder:
    return PlainUnlocked(folder / namespace)


def in_place(namespace: str, folder: Path) -> Folder:
    return InPlace(folder / namespace)


def removes_first(namespace: str, folder: Path) -> Folder:
    return RemovesFirst(folder / namespace)


def revision_later(namespace: str, folder: Path) -> Folder:
    return RevisionLater(folder / namespace)


def one_file(namespace: str, folder: Path) -> Folder:
    return OneFile(folder / namespace)


def cached(namespace: str, folder: Path) -> Folder:
    return Cached(folder / namespace)


def written_later(namespace: str, folder: Path) -> Folder:
    return WrittenLater(folder / namespace)


def lagging(namespace: str, folder: Path) -> Folder:
    return Lagging(folder / namespace)


def never_shown(namespace: str, folder: Path) -> Folder:
    return NeverShown(folder / namespace)


def lock_file(namespace: str, folder: Path) -> Folder:
    return LockFile(folder / namespace)


def counted_in_memory(namespace: str, folder: Path) -> Folder:
    return CountedInMemory(folder / namespace)


def silent_once_closed(namespace: str, folder: Path) -> Folder:
    return SilentOnceClosed(folder / namespace)


def raises_in_children(namespace: str, folder: Path) -> Folder:
    marker = folder / "first"
    if marker.exists() and marker.read_text() != str(os.getpid()):
        raise RuntimeError("only one process may open it")
    marker.write_text(str(os.getpid()))
    return Folder(folder / namespace)


BROKEN = {
    "one_of_two_conditional_writes_wins_among_processes": unlocked,
    "conditional_write_notices_plain_one_among_processes": plain_unlocked,
    "reading_sees_old_or_new_among_processes": in_place,
    "value_and_revision_belong_together_among_processes": revision_later,
    "writes_of_different_keys_all_land_among_processes": one_file,
    "an_order_explains_all_answers_among_processes": one_file,
    "no_addition_is_lost_among_processes": unlocked,
    "writes_are_seen_by_other_processes": cached,
    "closing_loses_no_write_of_a_thread": silent_once_closed,
    "kill_leaves_old_or_new": in_place,
    "kill_loses_nothing_that_was_confirmed": written_later,
    "revisions_outlive_a_kill": counted_in_memory,
}
OTHERS = [
    ("kill_leaves_old_or_new", lock_file),
    ("kill_leaves_old_or_new", removes_first),
    ("writes_are_seen_by_other_processes", written_later),
]


class Unfindable:
    """Can be sent to another process, where it cannot be made again."""

    def __call__(self, namespace: str, folder: Path) -> Folder:
        return Folder(folder / namespace)

    def __reduce__(self) -> Any:
        return int, ("no number",)


refuses_to_be_found = Unfindable()

MEMORY: dict[str, MemorySessionStorage] = {}


def memory(namespace: str) -> MemorySessionStorage:
    return MEMORY.setdefault(namespace, MemorySessionStorage())


def _is_child() -> bool:
    return "pytest" not in sys.modules


class FailsInChildren(Folder):
    def write(self, key: str, value: Any) -> None:
        if _is_child() and self.read(key) is not None:
            raise OSError("no space left")
        super().write(key, value)


class EndsInChildren(Folder):
    def write(self, key: str, value: Any) -> None:
        if _is_child() and self.read(key) is not None:
            os._exit(1)
        super().write(key, value)


def fails_in_children(namespace: str, folder: Path) -> Folder:
    return FailsInChildren(folder / namespace)


def ends_in_children(namespace: str, folder: Path) -> Folder:
    return EndsInChildren(folder / namespace)


def sqlite(namespace: str, folder: Path) -> SQLiteSessionStorage:
    return SQLiteSessionStorage(folder / f"{namespace}.db", durable=False)


def sqlite_for_a_minute(namespace: str, clock: Any, folder: Path) -> SQLiteSessionStorage:
    return SQLiteSessionStorage(folder / f"{namespace}.db", durable=False, ttl=60, clock=clock)

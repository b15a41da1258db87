"""What only the memory storage does: any value, a limit of entries, revisions by identity."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from typing import Any

import pytest

from sessionkit import (
    MemorySessionStorage,
    SessionConflictError,
    SessionEncodeError,
    enhance_storage,
    session,
)
from sessionkit._data.snapshots import freeze
from sessionkit.protocols import ANY
from tests.core import Clocked


def test_it_tells_how_much_it_holds() -> None:
    storage = MemorySessionStorage()
    storage.write("1", 1)
    assert repr(storage) == "<MemorySessionStorage with 1 entries>"
    assert storage.sync is storage


@pytest.mark.parametrize("value", [b"raw", {1: {2}}, (1, [2]), "x", bytearray(b"s"), True, 0])
def test_any_python_value_comes_back(value: Any) -> None:
    storage = MemorySessionStorage()
    storage.write("1", value)
    assert storage.read("1") == value
    assert type(storage.read("1")) is type(value)


def test_what_cannot_be_copied_is_refused_and_the_old_value_kept() -> None:
    storage = MemorySessionStorage()
    storage.write("1", 5)
    with pytest.raises(SessionEncodeError):
        storage.write("1", lambda: None)
    with pytest.raises(SessionEncodeError):
        storage.write_many({"1": 6, "2": lambda: None})
    assert dict(storage.iter_items()) == {"1": 5}


@pytest.mark.parametrize("value", [True, 0, {"n": 1}, "", (), ...])
def test_a_revision_is_never_used_again(value: Any) -> None:
    storage = MemorySessionStorage()
    first = storage.write_if("1", value, None)
    storage.delete("1")
    assert storage.write_if("1", value, None) is not first
    with pytest.raises(SessionConflictError):
        storage.write_if("1", 2, first)


@pytest.mark.parametrize("options", [{"max_entries": 0}, {"max_entries": -1}, {"ttl": 0}])
def test_impossible_options_are_refused(options: Any) -> None:
    with pytest.raises(ValueError, match="must be"):
        MemorySessionStorage(**options)


@pytest.mark.parametrize("options", [{"max_entries": 1.5}, {"max_entries": True}, {"ttl": "1"}])
def test_options_of_a_wrong_type_are_refused(options: Any) -> None:
    with pytest.raises(TypeError, match="must be"):
        MemorySessionStorage(**options)


def test_what_was_not_used_for_the_longest_time_makes_room() -> None:
    storage = MemorySessionStorage(max_entries=2)
    storage.write("1", 1)
    storage.write("2", 2)
    assert storage.read("1") == 1
    storage.write("3", 3)
    assert dict(storage.iter_items()) == {"1": 1, "3": 3}
    storage.write("1", 4)
    storage.write("4", 4)
    assert sorted(storage.iter_keys()) == ["1", "4"]
    storage.write_many({"5": 5, "6": 6, "7": 7})
    assert sorted(storage.iter_keys()) == ["6", "7"]


def test_an_own_expiry_goes_before_the_ttl() -> None:
    clock = Clocked()
    storage = MemorySessionStorage(ttl=100, clock=clock)
    storage.write_if("1", 1, ANY, expires=clock.now + 5)
    storage.write_if("2", 2, ANY)
    clock.now += 5
    assert list(storage.iter_keys()) == ["2"]
    eternal = MemorySessionStorage(clock=clock)
    eternal.write_if("1", 1, ANY, expires=clock.now + 5)
    assert eternal.touch("1")
    clock.now += 5
    assert eternal.read("1") is None


def test_expired_entries_do_not_pile_up() -> None:
    clock = Clocked()
    storage = MemorySessionStorage(ttl=1, clock=clock)
    for number in range(1000):
        storage.write(str(number), number)
        clock.now += 0.1
    assert len(storage._table) < 100


def test_snapshots_go_in_and_out_as_they_are() -> None:
    storage = MemorySessionStorage()
    snapshot = freeze({"n": 1})
    revision = storage.write_snapshot("1", snapshot, {"n": 1}, None)
    assert storage.read_snapshot("1") == (snapshot, {"n": 1}, revision)
    assert storage.read("1") == {"n": 1}
    assert storage.write_snapshot("1", None, None, revision) is None
    assert storage.read_snapshot("1") == (None, None, None)


def test_a_backup_is_missing_in_the_class_as_well() -> None:
    assert not callable(MemorySessionStorage.__dict__["backup"])
    assert MemorySessionStorage.backup is MemorySessionStorage.__dict__["backup"]  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match="has no attribute 'backup'"):
        _ = MemorySessionStorage().backup  # type: ignore[attr-defined]


class _Crowded(OrderedDict[str, Any]):
    """A table that another thread looks at in the middle of each change."""

    def __init__(self, other: threading.Thread) -> None:
        super().__init__()
        self.other = other

    def pop(self, key: str, *default: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        taken = super().pop(key, *default)
        self._let_in()
        return taken

    def move_to_end(self, key: str, last: bool = True) -> None:
        super().move_to_end(key, last)
        self._let_in()

    def _let_in(self) -> None:
        if self.other.ident is None:
            self.other.start()
            self.other.join(0.05)  # it may have to wait for this thread


@pytest.mark.parametrize("use", ["read", "write"])
def test_no_thread_takes_what_is_used_elsewhere_for_missing(use: str) -> None:
    storage = MemorySessionStorage(max_entries=9)
    found: list[Any] = []

    def look() -> None:
        found.append(storage.read("1"))
        found.append(storage.has("1") or None)
        found.append(storage.read_many(["1"]).get("1"))

    storage.write("1", 1)
    other = threading.Thread(target=look)
    table = _Crowded(other)
    table.update(storage._table)
    storage._table = storage._by_use = table
    storage.read("1") if use == "read" else storage.write("1", 2)
    other.join()
    assert len(found) == 3
    assert None not in found


def test_an_open_session_is_not_evicted() -> None:
    storage = MemorySessionStorage(max_entries=2)
    sessions = session(dict[str, Any], storage=enhance_storage(storage, ttl=60))
    with sessions.open(1) as first:
        first.data["n"] = 1
    with sessions.open(1) as first, sessions.open(2) as second:
        first.data["n"] += 1
        second.data["n"] = 2
        second.save()
        for number in (3, 4, 5):
            storage.write(str(number), number)
            assert sorted(storage.iter_keys()) == ["1", "2", str(number)]
    assert [sessions.sync.get(key) for key in (1, 2)] == [{"n": 2}, {"n": 2}]
    storage.write("6", 6)
    assert len(list(storage.iter_keys())) == 2


def test_there_are_more_entries_than_allowed_while_more_sessions_are_open() -> None:
    storage = MemorySessionStorage(max_entries=1)
    sessions = session(dict[str, Any], storage=storage)
    with sessions.open_many(*range(50)) as opened:
        for each in opened:
            each.data["n"] = 1
            each.save()
        for number in range(100, 200):
            storage.write(str(number), number)
            assert storage.read(str(number)) == number
        assert sum(int(key) < 100 for key in storage.iter_keys()) == 50
    for number in range(9):
        storage.write(str(number), number)
    assert list(storage.iter_keys()) == ["8"]


def test_what_expired_and_was_removed_while_it_was_open_is_created_again() -> None:
    clock = Clocked()
    storage = MemorySessionStorage(ttl=10, clock=clock)
    storage.write("1", 1)
    _, revision = storage.read_with_revision("1")
    clock.now += 9
    storage.touch("1")
    clock.now += 9
    storage.delete("1")
    with pytest.raises(SessionConflictError):  # it was deleted, and has not expired
        storage.write_if("1", 2, revision)
    clock.now += 1
    storage.write_if("1", 2, revision)
    assert storage.read("1") == 2


def test_plain_memory_refuses_what_a_durable_storage_would() -> None:
    storage = MemorySessionStorage(plain=True)
    sessions = session(dict[str, Any], storage=storage)
    storage.write("1", {"list": [1]})
    for value in ({"when": {1}}, {1: 1}, (1,), float("nan")):
        with pytest.raises(SessionEncodeError, match="kept"):
            storage.write("1", value)
        with pytest.raises(SessionEncodeError, match="kept"):
            storage.write_many({"2": 1, "1": value})
        with pytest.raises(SessionEncodeError, match="kept"), sessions.open(1) as s:
            s.data["value"] = value
    assert dict(storage.iter_items()) == {"1": {"list": [1]}}
    assert not storage.any_value
    assert MemorySessionStorage().any_value


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork() is not for Windows")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_child_does_not_wait_for_a_thread_that_it_does_not_have() -> None:
    storage = MemorySessionStorage(max_entries=5)
    storage.write("1", 1)
    with storage._mutex:  # as if another thread were at work
        child = os.fork()  # type: ignore[attr-defined,unused-ignore]  # not on Windows
        if not child:
            os._exit(0 if storage.read("1") == 1 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_threads_count_right_by_conditional_writes() -> None:
    storage = MemorySessionStorage()

    def count() -> None:
        left = 200
        while left:
            value, revision = storage.read_with_revision("1")
            try:
                storage.write_if("1", (value or 0) + 1, revision)
            except SessionConflictError:
                continue
            left -= 1

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert storage.read("1") == 800

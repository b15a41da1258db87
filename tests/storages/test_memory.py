"""What only the memory storage does: any value, a limit of entries, revisions by identity."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from sessionkit import ANY, MemorySessionStorage, SessionConflictError, SessionEncodeError
from sessionkit._frozen import freeze
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


def test_the_express_table_is_only_there_where_entries_need_no_care() -> None:
    assert MemorySessionStorage().express_table is not None
    assert MemorySessionStorage(ttl=1).express_table is None
    assert MemorySessionStorage(max_entries=1).express_table is None


def test_frozen_values_go_in_and_out_as_they_are() -> None:
    storage = MemorySessionStorage()
    frozen = freeze({"n": 1})
    revision = storage.write_frozen("1", frozen, None)
    value, found, again = storage.read_frozen("1")
    assert (value, again) == ({"n": 1}, frozen)
    assert found is revision
    assert storage.write_frozen("1", None, revision) is None
    assert storage.read_frozen("1") == (None, None, None)


def test_a_key_that_goes_while_it_is_marked_as_used_stays_gone() -> None:
    storage = MemorySessionStorage(max_entries=5)
    storage._mark_used("1")
    assert storage.read("1") is None


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

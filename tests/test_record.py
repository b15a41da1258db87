"""The verbs of an open session, in every order, and what counts as a change."""

from __future__ import annotations

import array
import asyncio
import datetime
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from sessionkit import (
    MemorySessionStorage,
    SessionEncodeError,
    session,
)
from tests.core import (
    Live,
    Oops,
    counters,
    free,
    make_storage,
    run,
)

if TYPE_CHECKING:
    from pathlib import Path


# Verbs


class Model:
    """What a session should be, said as simply as possible."""

    def __init__(self, stored: Any) -> None:
        self.stored = stored
        self.data: Any = None
        self.reload()

    def reload(self) -> None:
        self.data = {"n": 0} if self.stored is None else dict(self.stored)
        self.base = self.stored

    def save(self) -> None:
        if self.is_changed:
            self.stored = self.base = None if self.data is None else dict(self.data)

    def revert(self) -> None:
        self.data = {"n": 0} if self.base is None else dict(self.base)

    def reset(self) -> None:
        self.data = {"n": 0}

    def delete(self) -> None:
        self.data = None
        self.save()

    def change(self) -> None:
        self.data = {"n": (self.data or {"n": 50})["n"] + 1}

    @property
    def is_changed(self) -> bool:
        if self.stored is None:
            return self.data not in (None, {"n": 0})
        return bool(self.data != self.stored)


VERBS = ("change", "save", "revert", "reset", "reload", "delete")


@pytest.mark.parametrize("stored", [None, {"n": 5}])
def test_verbs_in_every_order_do_what_a_simple_model_does(stored: Any) -> None:
    async def follow(history: tuple[str, ...]) -> None:
        storage = MemorySessionStorage()
        if stored:
            storage.write("1", stored)
        model = Model(stored)
        sessions = counters(storage)
        async with sessions.open(1) as opened:
            for verb in history:
                if verb == "change":
                    model.change()
                    opened.data = {"n": (opened.data or {"n": 50})["n"] + 1}
                else:
                    getattr(model, verb)()
                    answer = getattr(opened, verb)()
                    if answer is not None:
                        await answer
                assert opened.data == model.data, history
                assert storage.read("1") == model.stored, history
                assert opened.is_new == (model.stored is None), history
        model.save()
        assert storage.read("1") == model.stored, history
        assert free(sessions)

    async def main() -> None:
        for history in itertools.product(VERBS, repeat=4):
            await follow(history)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("before", "after", "changed"),
    [
        (1, 1, False),
        (1, 1.0, True),
        (1, True, True),
        (0, False, True),
        (0.0, -0.0, True),
        ([1, 2], [2, 1], True),
        ([1, 2], [1, 2], False),
        ({"a": {"b": [1]}}, {"a": {"b": [1]}}, False),
        ({"a": {"b": [1]}}, {"a": {"b": [1.0]}}, True),
        ("1", 1, True),
        ([], {}, True),
        (None, 0, True),
        (2**70, 2**70, False),
        ("\ud800", "\ud800", False),
        ("\u00e9", "e\u0301", True),
    ],
)
def test_a_change_of_type_or_order_is_a_change(
    storage: Any, before: Any, after: Any, changed: bool
) -> None:
    async def main() -> None:
        sessions = counters(storage)
        storage.sync.write("1", {"value": before})
        async with sessions.open(1) as opened:
            opened.data["value"] = after
            assert opened.is_changed is changed
        found = (await sessions.get(1))["value"]
        assert repr(found) == repr(after)

    run(main())


def test_a_tuple_for_a_list_is_a_change_where_any_value_can_be_kept() -> None:
    async def main() -> None:
        sessions = counters(MemorySessionStorage())
        async with sessions.open(1) as opened:
            opened.data = {"value": [1]}
        async with sessions.open(1) as opened:
            opened.data["value"] = (1,)
            assert opened.is_changed
        assert await sessions.get(1) == {"value": (1,)}

    run(main())


def test_a_nested_change_in_place_is_seen(storage: Any) -> None:
    async def main() -> None:
        sessions = counters(storage)
        storage.sync.write("1", {"a": {"b": [{"c": 1}]}})
        async with sessions.open(1) as opened:
            opened.data["a"]["b"][0]["c"] += 1
        assert await sessions.get(1) == {"a": {"b": [{"c": 2}]}}

    run(main())


@dataclass
class Pet:
    name: str
    age: int = 3
    friends: list[str] = field(default_factory=list[str])


def test_a_dataclass_with_new_and_unknown_fields_is_written_only_if_it_changed() -> None:
    async def main() -> None:
        storage = Live(**{"1": {"name": "Rex", "colour": "red"}})
        sessions = session(Pet, initial=lambda: Pet(""), storage=storage)
        async with sessions.open(1) as opened:
            assert opened.data == Pet("Rex", 3)
        assert storage.count("write") == 0
        async with sessions.open(1) as opened:
            opened.data.age = 4
        stored: dict[str, Any] = {"name": "Rex", "age": 4, "friends": [], "colour": "red"}
        assert storage.values["1"] == stored
        async with sessions.open(1) as opened:
            opened.reset()
        assert storage.values["1"] == {"name": "", "age": 3, "friends": []}

    run(main())


# What can be kept


NOT_JSON: list[tuple[Any, str]] = [
    ({"last": {"at": datetime.datetime(2026, 1, 1)}}, "['last']['at']"),
    ({"t": (1, 2)}, "['t']"),
    ({"s": {1}}, "['s']"),
    ({"b": b"x"}, "['b']"),
    ({"b": bytearray(b"x")}, "['b']"),
    ({"l": [0, {"x": float("nan")}]}, "['l'][1]['x']"),
    ({"k": {1: 2}}, "['k']"),
]


@pytest.mark.parametrize(("data", "path"), NOT_JSON)
def test_what_json_cannot_hold_is_refused_by_path_and_the_old_value_kept(
    tmp_path: Path, data: Any, path: str
) -> None:
    async def main() -> None:
        stores: list[Any] = [None, Live(), make_storage("sqlite", tmp_path)]
        for storage in stores:
            sessions = counters(storage, prefix="p-")
            await sessions.update(1, lambda _: {"n": 5})
            with pytest.raises(SessionEncodeError) as caught:
                async with sessions.open(1) as opened:
                    opened.data = data
            assert caught.value.path == path
            assert caught.value.key == "p-1"
            assert "The stored value was kept" in str(caught.value)
            assert await sessions.get(1) == {"n": 5}
            assert free(sessions)
        await stores[2].close()

    run(main())


def test_a_datetime_in_a_dict_says_declare_a_dataclass() -> None:
    async def main() -> None:
        with pytest.raises(SessionEncodeError) as caught:
            async with session(initial=dict[str, Any]).open(1) as opened:
                opened.data = {"last": {"at": datetime.datetime(2026, 1, 1)}}
        assert str(caught.value) == (
            "session.data['last']['at'] is a datetime, JSON cannot hold it: declare a dataclass "
            "and session(YourType). The stored value was kept."
        )

    run(main())


@pytest.mark.parametrize(
    "value",
    [
        b"x",
        bytearray(b"x"),
        array.array("i", [1, 2]),
        {1, 2},
        frozenset({"a"}),
        datetime.datetime(2026, 1, 1),
        Pet("Rex"),
        (1, (2, [3])),
        {1: 2, "1": 3, None: 4},
        1 + 2j,
        ...,
    ],
)
def test_a_memory_given_by_the_user_keeps_any_value(value: Any) -> None:
    async def main() -> None:
        sessions = counters(MemorySessionStorage())
        for data in (value, {"nested": [value]}):
            async with sessions.open(1) as opened:
                opened.data = data
            async with sessions.open(1) as opened:
                assert opened.data == data
                assert type(opened.data) is type(data)
                assert repr(opened.data) == repr(data)
                assert not opened.is_changed

    run(main())


@pytest.mark.parametrize("value", [bytearray(b"x"), Pet("Rex"), array.array("b", b"x")])
def test_a_memory_never_hands_out_what_it_keeps(value: Any) -> None:
    def change(data: Any) -> None:
        if isinstance(data, Pet):
            data.friends.append("x")
        else:
            data.append(1)

    async def main() -> None:
        sessions = counters(MemorySessionStorage())
        async with sessions.open(1) as opened:
            opened.data = {"value": value}
        before = await sessions.get(1)
        change(value)
        change(opened_value := (await sessions.get(1))["value"])
        with pytest.raises(Oops):
            async with sessions.open(1) as opened:
                change(opened.data["value"])
                assert opened.is_changed
                raise Oops
        assert await sessions.get(1) == before
        assert opened_value == value

    run(main())


def test_what_cannot_even_be_copied_is_refused() -> None:
    async def main() -> None:
        sessions = counters(MemorySessionStorage(), prefix="p-")
        with pytest.raises(SessionEncodeError, match="must be copyable") as caught:
            async with sessions.open(1) as opened:
                opened.data = {"f": lambda: None}
        assert caught.value.key == "p-1"
        assert await sessions.get(1) == {"n": 0}

    run(main())

"""Frozen copies: equal for equal data, different for any change, apart from what was copied."""

from __future__ import annotations

import array
import collections
import datetime
import enum
import gc
import types
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionkit import SessionEncodeError
from sessionkit._data import snapshots
from sessionkit._data.snapshots import Pickled, copied, freeze, freeze_loaded, thaw

ATOMS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters())
    | st.binary()
    | st.binary().map(bytearray)
    | st.complex_numbers(allow_nan=False)
    | st.dates()
    | st.decimals(allow_nan=False)
)
KEYS = st.none() | st.booleans() | st.integers() | st.text() | st.binary() | st.tuples(st.text())


def nested(*more: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        ATOMS,
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.tuples(inner, inner)
            | st.dictionaries(KEYS, inner, max_size=4)
            | st.one_of(*more)
        ),
        max_leaves=8,
    )


VALUES = nested(st.sets(KEYS, max_size=3), st.frozensets(KEYS, max_size=3))


@given(VALUES)
def test_what_is_thawed_is_equal_types_included(value: Any) -> None:
    again = copied(value)
    assert again == value
    assert type(again) is type(value)
    assert shape(again) == shape(value)


def shape(value: Any) -> Any:
    """The types within a value, at which ``==`` does not look."""
    if isinstance(value, dict):
        return [(shape(key), shape(item)) for key, item in value.items()]  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, list | tuple):
        parts = cast("Any", value)
        return type(parts), [shape(item) for item in parts]
    return type(value), repr(value) if isinstance(value, float) else None


# Of sets that have to be pickled the order may differ: they are written once too often
@given(nested())
def test_a_copy_freezes_to_the_same(value: Any) -> None:
    assert freeze(copied(copied(value))) == freeze(copied(value))


@given(
    st.recursive(
        st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=8,
    )
)
def test_plain_data_freezes_the_same_whatever_it_came_from(value: Any) -> None:
    assert freeze(value) == freeze(copied(value)) == freeze_loaded(value)
    assert type(freeze(value)) is bytes


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, True),
        (1, 1.0),
        (0.0, -0.0),
        ((1,), [1]),
        (b"x", bytearray(b"x")),
        ({1}, frozenset({1})),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ("a", b"a"),
        ([b"s"], [bytearray(b"s")]),
    ],
)
def test_types_and_order_make_a_difference(one: Any, other: Any) -> None:
    assert freeze(one) != freeze(other)


class Color(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


class Text(str):
    __slots__ = ()


class Raw(bytes):
    __slots__ = ()


@dataclass
class Pet:
    friends: list[str] = field(default_factory=list[str])


NOT_MARSHALLED: list[Any] = [
    b"y",
    bytearray(b"x"),
    array.array("i", [1]),
    {"s": array.array("b", b"abc")},
    (bytearray(b"s"),),
    {"a": {"b": [("s", bytearray(b"x"))]}},
    {b"key": 1},
    Raw(b"z"),
    Text("x"),
    Level.LOW,
    Color.RED,
    Pet(["a"]),
    collections.OrderedDict(a=1),
    collections.defaultdict(list, a=[1]),
    collections.deque([1]),
    datetime.datetime(2026, 1, 1),
    Decimal("1.10"),
    range(3),
]


@pytest.mark.parametrize("value", NOT_MARSHALLED)
def test_what_marshal_would_change_or_refuse_is_pickled(value: Any) -> None:
    frozen = freeze(value)
    assert type(frozen) is Pickled
    for again in (thaw(frozen), thaw(freeze({"in": [value]}))["in"][0]):
        assert again == value
        assert type(again) is type(value)


@pytest.mark.parametrize("value", [bytearray(b"x"), [1], {"a": [1]}, {1}, Pet()])
def test_a_copy_shares_nothing_that_can_change(value: Any) -> None:
    assert copied(value) is not value
    if isinstance(value, dict):
        assert copied(value)["a"] is not value["a"]
    if isinstance(value, Pet):
        assert copied(value).friends is not value.friends


def test_texts_that_look_like_bytes_stay_plain() -> None:
    data = {"s": "sss", "list": ["s", ("s", 115, {"s"}), frozenset({"s"})], "n": {1: None}}
    assert type(freeze(data)) is bytes
    assert copied(data) == data


@pytest.mark.parametrize("text", ["s\x01\0\0\0" * 3, "s\x01\0\0\0"])
def test_texts_that_look_like_bytes_stay_plain_beside_what_json_lacks(text: str) -> None:
    value = (text,)
    assert type(freeze(value)) is bytes
    assert copied(value) == value


def test_large_data_is_looked_at_for_bytes_too() -> None:
    large = "s" * 0x10000
    assert type(freeze([large])) is bytes
    assert type(freeze([large, bytearray(b"x")])) is Pickled


def test_data_that_holds_itself_twice_is_copied() -> None:
    """marshal would write it again and again, and could be stopped by nothing."""
    parent: dict[str, Any] = {"children": []}
    parent["children"] += [{"parent": parent}, {"parent": parent, "of": Pet()}]

    copy = copied(parent)

    assert copy is not parent
    assert [child["parent"] for child in copy["children"]] == [copy, copy]


def test_data_within_itself_and_very_deep_data_is_copied_or_refused() -> None:
    ring: list[Any] = [1]
    ring.append(ring)
    again = copied(ring)
    assert again[1] is again
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(SessionEncodeError, match="must be copyable, and list is not"):
        freeze(deep)
    while deep:  # or taking it apart would go as deep
        deep = deep.pop()


@pytest.mark.parametrize("value", [lambda: None, {"a": object}, (part for part in "ab")])
def test_what_cannot_be_pickled_is_refused(value: Any) -> None:
    if isinstance(value, dict):
        assert copied(value) == value  # classes are pickled by name
        return
    with pytest.raises(SessionEncodeError) as caught:
        freeze(value)
    assert "session data must be copyable" in str(caught.value)
    assert "The stored value was kept" in str(caught.value)
    assert caught.value.__cause__ is not None


def test_what_a_storage_of_plain_values_gave_is_frozen_without_a_second_look() -> None:
    assert freeze_loaded({"a": 1}) == freeze({"a": 1})
    assert thaw(freeze_loaded(Pet(["x"]))) == Pet(["x"])


def test_nothing_but_plain_data_is_asked_what_it_refers_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The iterator of a future, once it is gone, ends the process in Python 3.12."""
    asked: list[object] = []

    def get_referents(*objects: Any) -> list[Any]:
        asked.extend(objects)
        return gc.get_referents(*objects)

    monkeypatch.setattr(snapshots, "get_referents", get_referents)
    strange = types.SimpleNamespace(inner=[1])
    for value in ([strange], {"a": [{"b": (strange, 1)}]}, strange, [[[[[[strange]]]]]]):
        snapshots.freeze(value)
    assert all(type(each) in snapshots._KNOWN for each in asked)

"""Data of attrs, msgspec and pydantic: what goes in comes out, and nothing is lost silently."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sessionkit import (
    MemorySessionStorage,
    SessionConflictError,
    SessionDecodeError,
    SessionEncodeError,
    enhance_storage,
    lazy_session,
    merge_fields,
    session,
)
from sessionkit._data.converters import DataConverter, converter_for
from sessionkit._data.plain import check_plain
from sessionkit._data.record_types import field_names
from sessionkit._data.snapshots import freeze
from sessionkit.codecs import JSONCodec
from tests.adapters import data_types as types

CARTS = [
    (types.AttrsCart, types.AttrsLine),
    (types.StructCart, types.StructLine),
    (types.ModelCart, types.ModelLine),
]
SHELVES: list[tuple[Any, Any]] = [
    (types.Shelf, types.Tag),
    (types.AttrsShelf, types.AttrsTag),
    (types.StructShelf, types.StructTag),
    (types.ModelShelf, types.ModelTag),
]
BOXES = [types.AttrsBox, types.StructBox, types.ModelBox]
CODEC = JSONCodec()
TEXTS = st.text(max_size=4)
LISTS = st.lists(st.integers() | TEXTS, max_size=3)


def needed(data_type: Any) -> DataConverter[Any]:
    converter = converter_for(data_type)
    assert converter is not None
    return converter


CONVERTERS = {kind: needed(kind) for kind, _ in CARTS}


def through_json(converter: DataConverter[Any], data: Any, unknown: Any = None) -> Any:
    """What is stored, after all checks that sessions do."""
    frozen, plain, simple = converter.freeze(data, unknown)
    converter.check(data, plain, frozen, simple)
    check_plain(plain)
    return CODEC.decode(CODEC.encode(plain))


def fields_for(line: Any) -> dict[str, Any]:
    lines = (
        st.builds(line, TEXTS, st.decimals(allow_nan=False, allow_infinity=False), st.none())
        if line is not types.ModelLine
        else st.builds(line, name=TEXTS, price=st.decimals(allow_nan=False, allow_infinity=False))
    )
    return {
        "lines": st.lists(lines, max_size=2),
        "count": st.integers(),
        "best": st.none() | lines,
        "color": st.sampled_from(types.Color),
        "at": st.none() | st.datetimes().map(lambda at: at.replace(fold=0, tzinfo=UTC)),
        "day": st.dates(),
        "span": st.integers(-(10**9), 10**9).map(lambda s: timedelta(seconds=s)),
        "ident": st.uuids(),
        "raw": st.binary(max_size=4),
        "by": st.dictionaries(TEXTS, lines, max_size=2),
        "pair": st.tuples(st.integers(), TEXTS),
        "unique": st.sets(st.integers(), max_size=3),
        "literal": st.sampled_from(["a", 1]),
        "ratio": st.floats(allow_nan=False, allow_infinity=False),
        "anything": st.none() | LISTS | st.dictionaries(TEXTS, LISTS, max_size=2),
        "note": st.builds(types.Note, TEXTS),
    }


def is_to_be_written(converter: Any, data: Any, unknown: Any, stored: Any) -> bool:
    """What a session finds: that pydantic writes sets in another order is not a change."""
    frozen = converter.freeze(data, unknown)[0]
    if frozen == freeze(stored):
        return False
    return unknown is None or frozen != converter.freeze(*converter.open(stored))[0]


def typed(value: Any) -> Any:
    """What *value* is made of, with the type of each part: 1, 1.0 and True differ."""
    kind: Any = value.__class__
    names = field_names(value)
    if names is not None:
        return kind, [(name, typed(getattr(value, name))) for name in names]
    if kind is dict:
        return kind, [(typed(key), typed(item)) for key, item in value.items()]
    if kind in (list, tuple):
        return kind, [typed(item) for item in value]
    if kind in (set, frozenset):
        return kind, sorted((typed(item) for item in value), key=repr)
    return kind, value


@pytest.mark.parametrize(("cart", "line"), CARTS)
def test_data_comes_back_equal_and_is_not_written_again(cart: Any, line: Any) -> None:
    converter = CONVERTERS[cart]

    @settings(max_examples=25)
    @given(st.builds(cart, **fields_for(line)))
    def test(data: Any) -> None:
        stored = through_json(converter, data)
        back, unknown = converter.open(stored)
        assert back == data
        assert typed(back) == typed(data)
        assert not is_to_be_written(converter, back, unknown, stored)

    test()


def shelf_of(shelf: Any, tag: Any) -> st.SearchStrategy[Any]:
    tags = st.builds(tag, name=TEXTS, at=st.dates())
    rows = st.lists(tags, max_size=2).map(tuple)
    return st.builds(
        shelf,
        row=rows,
        pair=st.tuples(tags, st.integers()),
        by=st.dictionaries(TEXTS, tags, max_size=2),
        by_day=st.dictionaries(st.dates(), tags, max_size=2),
        deep=st.dictionaries(TEXTS, st.lists(rows, max_size=2), max_size=2),
        either=st.none() | st.integers() | tags,
        unique=st.sets(tags, max_size=3),
        fixed=st.frozensets(tags, max_size=3),
    )


def numbered(plain: Any, tags: list[Any]) -> Any:
    """Give each stored tag a field that its class does not know, another number for each."""
    if plain.__class__ is dict:
        made: dict[str, Any] = {key: numbered(item, tags) for key, item in plain.items()}
        if "name" in plain:
            made["newer"] = len(tags)
            tags.append(made)
        return made
    return [numbered(item, tags) for item in plain] if plain.__class__ is list else plain


def unordered(plain: Any) -> Any:
    """The same, with what is stored for sets in the order of its text."""
    return plain | {name: sorted(plain[name], key=repr) for name in ("unique", "fixed")}


@pytest.mark.parametrize(("shelf", "tag"), SHELVES)
def test_objects_in_containers_come_back_with_what_they_do_not_know(shelf: Any, tag: Any) -> None:
    converter = needed(shelf)

    @settings(max_examples=25)
    @given(shelf_of(shelf, tag))
    def test(data: Any) -> None:
        stored = through_json(converter, data)
        back, unknown = converter.open(stored)
        assert typed(back) == typed(data)
        assert not is_to_be_written(converter, back, unknown, stored)

        newer = numbered(stored, [])
        back, unknown = converter.open(newer)
        assert unordered(through_json(converter, back, unknown)) == unordered(newer)
        assert not is_to_be_written(converter, back, unknown, newer)

    test()


@pytest.mark.parametrize(("cart", "line"), CARTS)
def test_unknown_fields_are_kept_with_their_object(cart: Any, line: Any) -> None:
    converter = CONVERTERS[cart]
    stored = converter.encode(cart(lines=[line(name="a"), line(name="b")], best=line(name="c")))
    stored["newer"] = 1
    stored["lines"][0]["color"] = "red"
    stored["best"]["stars"] = 5

    data, unknown = converter.open(stored)
    assert converter.close(data, unknown) == stored
    data.lines.reverse()
    data.best = line(name="new")
    plain = through_json(converter, data, unknown)

    assert plain["newer"] == 1
    assert plain["lines"][1]["color"] == "red"
    assert "color" not in plain["lines"][0]
    assert "stars" not in plain["best"]


@pytest.mark.parametrize(("cart", "_"), CARTS)
def test_new_fields_take_their_defaults(cart: Any, _: Any) -> None:
    data, unknown = CONVERTERS[cart].open({"count": 3})

    assert data == cart(count=3)
    assert unknown is not None


@pytest.mark.parametrize(("cart", "line"), CARTS)
def test_what_does_not_fit_is_refused_with_its_path_and_without_data(cart: Any, line: Any) -> None:
    converter = CONVERTERS[cart]
    with pytest.raises(SessionDecodeError, match=r"session\.data\.lines\[1\]\.price") as caught:
        converter.decode({"lines": [{"name": "a"}, {"name": "b", "price": "secret"}]})
    assert "secret" not in str(caught.value)
    data = cart()
    data.count = "secret"
    with pytest.raises(SessionEncodeError, match=r"session\.data\.count") as refused:
        through_json(converter, data)
    assert "secret" not in str(refused.value)
    with pytest.raises(SessionDecodeError):
        converter.decode({"count": "3"})


@pytest.mark.parametrize("box", BOXES)
def test_generics(box: Any) -> None:
    converter = needed(box[date])
    kind: Any = box.__class_getitem__(date) if box is types.ModelBox else box

    data = kind(content=date.min, more=[date.max])

    assert through_json(converter, data) == {"content": "0001-01-01", "more": ["9999-12-31"]}
    assert converter.decode(through_json(converter, data)) == data


def test_they_hold_each_other() -> None:
    converter = needed(types.Holder)
    data = types.Holder(
        types.AttrsLine("a"), types.StructLine("b"), types.ModelLine(name="c"), [None]
    )
    stored = through_json(converter, data)
    for name in ("attrs_line", "struct_line", "model_line"):
        stored[name]["newer"] = 1

    back, unknown = converter.open(stored)

    assert back == data
    assert converter.close(back, unknown) == stored


@pytest.mark.parametrize(("cart", "line"), CARTS)
def test_changes_are_merged_field_by_field(cart: Any, line: Any) -> None:
    theirs, mine = cart(count=2, best=line(name="a")), cart(ratio=1.5, best=line(name="a"))
    base = cart(best=line(name="a"))

    assert merge_fields(base, theirs, mine) == cart(count=2, ratio=1.5, best=line(name="a"))
    with pytest.raises(SessionConflictError, match=r"session\.data\.count was changed both"):
        merge_fields(base, cart(count=2), cart(count=3))


@pytest.mark.parametrize("make", [session, lazy_session])
@pytest.mark.parametrize(("cart", "line"), CARTS)
def test_in_a_session(cart: Any, line: Any, make: Any) -> None:
    async def main() -> None:
        memory = MemorySessionStorage()
        seen: list[Any] = []

        def migrate(plain: Any) -> Any:
            seen.append(plain)
            return plain | {"count": plain["count"] + 10}

        sessions = make(cart, storage=memory)
        async with sessions.open(1) as opened:
            data = await opened.data if make is lazy_session else opened.data
            data.lines.append(line(name="a", price=Decimal("1.10")))
        stored = memory.read("1")
        assert stored["lines"][0]["price"] == "1.10"
        async with sessions.open(1) as opened:
            data = await opened.data if make is lazy_session else opened.data
            assert not opened.is_changed
            assert data.lines[0].price == Decimal("1.10")
        await sessions.delete(1)
        memory.write("2", stored)
        migrated = make(cart, storage=enhance_storage(memory, migrations={1: migrate}), prefix="")
        assert (await migrated.get(2)).count == 10
        assert type(seen[0]) is dict

    asyncio.run(main())


@pytest.mark.parametrize(("_", "line"), CARTS)
def test_required_fields_are_asked_for_at_set_up(_: Any, line: Any) -> None:
    with pytest.raises(TypeError, match=r"has required fields 'name': give initial=lambda: "):
        session(line)
    session(line, initial=lambda: line(name="x"))

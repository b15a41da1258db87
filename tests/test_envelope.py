"""Envelopes that meet sessions without ``enhance_storage``: read, kept, or refused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionkit import enhance_storage, lazy_session, session
from sessionkit._data.envelope import close_plain, open_plain
from sessionkit.errors import NewerVersionError, SessionDecodeError
from tests.enhanced import Plain

NAMES = st.sampled_from(["__d", "__u", "v", "e", "n"])
DATA = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda parts: st.dictionaries(NAMES, parts, max_size=3) | st.lists(parts, max_size=2),
    max_leaves=6,
)
KEPT = st.none() | st.dictionaries(st.sampled_from(["__u", "__x"]), DATA)


@given(DATA, KEPT)
def test_what_was_closed_opens_to_the_same(data: Any, kept: Any) -> None:
    opened, found = open_plain(close_plain(data, kept), "5")

    assert opened == data
    assert (found or {}) == (kept or {})


@given(DATA)
def test_data_that_is_not_a_mapping_with_the_mark_is_stored_as_it_is(data: Any) -> None:
    is_marked = type(data) is dict and "__d" in data
    assert (close_plain(data, None) is data) is not is_marked


@dataclass
class Pizza:
    n: int = 0


def typed(storage: Any) -> Any:
    return session(Pizza, storage=storage)


def untyped(storage: Any) -> Any:
    return session(dict, initial=lambda: {"n": 0}, storage=storage)


MAKES: list[Callable[[Any], Any]] = [typed, untyped]


async def count(sessions: Any) -> int:
    async with sessions.open(5) as s:
        if isinstance(s.data, Pizza):
            s.data.n += 1
            return s.data.n
        s.data["n"] += 1
        return int(s.data["n"])


@pytest.mark.parametrize("make", MAKES)
def test_what_belongs_to_another_release_is_kept_beside_the_data(make: Any) -> None:
    inner = Plain(**{"5": {"__d": {"n": 1, "other": 2}, "__u": [7], "__x": None}})

    assert asyncio.run(count(make(inner))) == 2
    assert inner.stored == {"5": {"__d": {"n": 2, "other": 2}, "__u": [7], "__x": None}}


@pytest.mark.parametrize("make", MAKES)
@pytest.mark.parametrize("stored", [{"__d": {"n": 1}, "__u": [7]}, {"__d": {"n": 1}}])
def test_what_did_not_change_is_not_written(make: Any, stored: Any) -> None:
    async def look() -> None:
        async with make(inner).open(5) as s:
            assert s.data is not None

    inner = Plain(**{"5": stored})
    asyncio.run(look())

    assert inner.calls == ["read"]


@pytest.mark.parametrize("make", MAKES)
def test_a_session_may_have_nothing_but_what_is_kept(make: Any) -> None:
    inner = Plain(**{"5": {"__d": None, "__u": [7]}})

    assert asyncio.run(count(make(inner))) == 1
    assert inner.stored == {"5": {"__d": {"n": 1}, "__u": [7]}}


def test_so_it_may_where_there_is_no_initial() -> None:
    async def assign() -> None:
        sessions: Any = session(storage=inner)
        async with sessions.open(5) as s:
            s.data = 1

    inner = Plain(**{"5": {"__d": None, "__u": [7]}})
    asyncio.run(assign())

    assert inner.stored == {"5": {"__d": 1, "__u": [7]}}


def test_a_deleted_session_leaves_nothing_behind() -> None:
    async def delete() -> None:
        async with untyped(inner).open(5) as s:
            del s.data

    inner = Plain(**{"5": {"__d": {"n": 1}, "__u": [7]}})
    asyncio.run(delete())

    assert inner.stored == {}


@pytest.mark.parametrize("make", MAKES)
@pytest.mark.parametrize(
    ("beside", "error", "said"),
    [
        ({"v": 2}, NewerVersionError, r"has no migrations: .*enhance_storage\(storage, migrations"),
        ({"v": 2, "e": 9}, NewerVersionError, "version 2"),
        ({"e": 9}, SessionDecodeError, r"has a timeout.*storage=enhance_storage\(storage\)"),
    ],
    ids=["version", "version and expiry", "expiry"],
)
def test_a_version_or_an_expiry_is_refused_and_kept(
    make: Any, beside: Any, error: Any, said: str
) -> None:
    inner = Plain(**{"5": {"__d": {"n": 1}, **beside}})

    with pytest.raises(error, match=said) as caught:
        asyncio.run(count(make(inner)))

    assert caught.value.key == "5"
    assert inner.stored == {"5": {"__d": {"n": 1}, **beside}}


def test_what_reads_nothing_passes_by() -> None:
    async def scenario() -> None:
        async with lazy_session(int, storage=inner).open(5) as s:
            s.data = 7
        await session(int, storage=inner).delete(6)

    inner = Plain(**{"5": {"__d": 1, "v": 2}, "6": {"__d": 1, "v": 2}})
    asyncio.run(scenario())

    assert inner.stored == {"5": 7}


def test_data_with_the_mark_comes_back_enhanced_or_not() -> None:
    async def scenario(storage: Any) -> Any:
        sessions = untyped(storage)
        async with sessions.open(5) as s:
            s.data = {"__d": 1, "v": 2}
        return await sessions.get(5)

    for storage in (Plain(), enhance_storage(Plain(), migrations={1: dict})):
        assert asyncio.run(scenario(storage)) == {"__d": 1, "v": 2}
    enhanced: Any = enhance_storage(Plain())
    asyncio.run(scenario(enhanced))
    assert enhanced.wrapped.stored == {"5": {"__d": {"__d": 1, "v": 2}}}


@dataclass
class Person:
    first: str = ""
    last: str = ""


def split(data: dict[str, Any]) -> dict[str, Any]:
    first, _, last = data["name"].partition(" ")
    return {"first": first, "last": last}


@pytest.mark.parametrize("options", [None, {"ttl": 60}, {"migrations": {}}], ids=str)
def test_the_first_migration_can_be_rolled_back(options: Any) -> None:
    async def scenario() -> None:
        async with old.open(5) as s:
            s.data["name"] = "Ada Lovelace"
        async with new.open(5) as t:
            assert t.data == Person("Ada", "Lovelace")
        with pytest.raises(NewerVersionError):
            await old.get(5)
        with pytest.raises(NewerVersionError):
            await old.update(5, dict)
        assert await new.get(5) == Person("Ada", "Lovelace")

    db = Plain()
    below: Any = db if options is None else enhance_storage(db, **options)
    old = untyped(below)
    new = session(Person, storage=enhance_storage(db, migrations={1: split}))
    asyncio.run(scenario())

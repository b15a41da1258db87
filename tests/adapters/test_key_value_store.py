"""A storage of sessionkit as a store of py-key-value answers as py-key-value's own stores do."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import pytest
from key_value.aio.errors import (
    DeserializationError,
    InvalidKeyError,
    KeyValueStoreError,
    SerializationError,
)
from key_value.aio.protocols.key_value import (
    AsyncCullProtocol,
    AsyncDestroyCollectionProtocol,
    AsyncDestroyStoreProtocol,
    AsyncEnumerateCollectionsProtocol,
    AsyncEnumerateKeysProtocol,
    AsyncKeyValue,
)
from key_value.aio.stores.memory import MemoryStore

from sessionkit import (
    FileSessionStorage,
    InvalidSessionKeyError,
    MemorySessionStorage,
    SessionError,
    SQLiteSessionStorage,
    enhance_storage,
    session,
)
from sessionkit.testing import FakeClock
from sessionkit_key_value import (
    KeyValueSessionStorage,
    ListingSessionkitStore,
    SessionkitStore,
)
from sessionkit_redis import GrammyRedisStorage, RedisSessionStorage
from tests.adapters import redis_servers
from tests.adapters.loads import zero
from tests.adapters.test_key_value import WRAPPERS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Dict:
    """The smallest storage."""

    def __init__(self) -> None:
        self.rows: dict[str, Any] = {}

    def read(self, key: str, /) -> Any:
        return self.rows.get(key)

    def write(self, key: str, value: Any, /) -> None:
        self.rows[key] = value

    def delete(self, key: str, /) -> None:
        self.rows.pop(key, None)


@pytest.fixture(scope="module")
def valkey() -> Iterator[str]:
    with redis_servers.server() as started:
        yield started.url


def opened(kind: str, folder: Path, request: pytest.FixtureRequest) -> Any:
    """A storage, to be closed."""
    if kind in ("redis", "grammy"):
        redis = RedisSessionStorage if kind == "redis" else GrammyRedisStorage  # it keeps no ends
        return redis(request.getfixturevalue("valkey"), prefix=f"{folder.name}:")
    if kind == "sqlite":
        return SQLiteSessionStorage(folder / "bot.db")
    return FileSessionStorage(folder / "bot") if kind == "files" else MemorySessionStorage()


KINDS = ["memory", "sqlite", "files", "redis", "grammy"]

NOT_JSON: Any = object()
VALUES: list[Any] = [
    {},
    {"text": "Zoë 🍕\0\ud83d", "n": 2**100, "x": -0.0, "deep": {"list": [1, "a", None, True]}},
    {"tuple": (1, 2)},
    {"": 1, "$a.b": 2},
]
TTLS: list[Any] = [None, 100, 0.5, "5", 0, -1, True, math.nan, math.inf, 1e12, NOT_JSON]

ODD = "odd::/ %:ä" * 20


class Call(NamedTuple):
    method: str
    args: tuple[Any, ...]
    options: dict[str, Any]


def call(method: str, *args: Any, **options: Any) -> Call:
    return Call(method, args, options)


CALLS: list[Call] = [
    *(call("put", f"k{number}", value) for number, value in enumerate(VALUES)),
    *(call("get", f"k{number}") for number in range(len(VALUES))),
    *(call("put", "ttl", {"a": 1}, ttl=ttl) for ttl in TTLS),
    call("get", "ttl"),
    call("put", "bad", {"a": NOT_JSON}),
    call("put", "bad", {1: "a"}),
    call("get", "bad"),
    call("get", "missing"),
    call("ttl", "missing"),
    call("ttl", "k0"),
    call("get_many", ["k1", "missing", "k1", "k0"]),
    call("get_many", []),
    call("ttl_many", ["k0", "missing"]),
    call("put_many", ["m1", "m2", "m1"], [{"a": 1}, {"a": 2}, {"a": 3}]),
    call("put_many", ["m1"], []),
    call("put_many", [], []),
    call("put_many", ["m3", "m4"], ({"a": 3}, {"a": 4}), ttl=100),
    call("put_many", ["m3"], [{"a": NOT_JSON}]),
    call("get_many", ["m1", "m2", "m3", "m4"]),
    call("delete", "m1"),
    call("delete", "m1"),
    call("delete_many", ["m1", "m2", "m2", "m3"]),
    call("get_many", ["m1", "m2", "m3", "m4"]),
    call("put", "k0", {"c": 1}, collection="other"),
    call("put", "", {"a": "no key"}, collection=ODD),
    call("put", "K" * 300, {"a": 1}, collection=ODD),
    call("get", "", collection=ODD),
    call("get", "K" * 300, collection=ODD),
    call("get", "k0", collection="other"),
    call("get", "k0"),
    call("delete", "k0", collection="empty"),
    call("delete", "k0", collection="other"),
    call("get", "k0"),
]


async def answer(made: Call, store: Any) -> Any:
    """What a call gives, the kind of its error; how long an entry lives is not exact."""
    try:
        return without_ttl(await getattr(store, made.method)(*made.args, **made.options))
    except Exception as error:
        return type(error)


def without_ttl(given: Any) -> Any:
    if isinstance(given, list):
        return [without_ttl(each) for each in cast("list[object]", given)]
    if isinstance(given, tuple):
        value, ttl = cast("tuple[Any, Any]", given)
        return value, ttl is None
    return given


@pytest.mark.parametrize("kind", KINDS)
def test_calls_are_answered_as_by_a_store_of_py_key_value(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    async def main() -> None:
        async with opened(kind, tmp_path, request) as storage:
            ours, theirs = ListingSessionkitStore(storage), MemoryStore()
            for each in CALLS:
                assert (each, await answer(each, ours)) == (each, await answer(each, theirs))
            assert sorted(await ours.keys()) == sorted(await theirs.keys())
            assert await ours.keys("empty") == []
            assert set(await ours.collections()) <= set(await theirs.collections())

    asyncio.run(main())


def test_the_smallest_storage_is_enough() -> None:
    async def main() -> None:
        ours, theirs = SessionkitStore(Dict()), MemoryStore()
        for each in CALLS:
            assert (each, await answer(each, ours)) == (each, await answer(each, theirs))
        assert not isinstance(ours, AsyncEnumerateKeysProtocol)

    asyncio.run(main())


@pytest.mark.parametrize("wrapper", [name for name in WRAPPERS if name != "of sessionkit"])
def test_it_works_under_the_wrappers_of_py_key_value(wrapper: str) -> None:
    async def main() -> None:
        ours = WRAPPERS[wrapper](SessionkitStore(MemorySessionStorage()))
        theirs = WRAPPERS[wrapper](MemoryStore())
        for each in CALLS:
            assert (each, await answer(each, ours)) == (each, await answer(each, theirs))

    asyncio.run(main())


def test_it_has_the_protocols_of_what_it_can() -> None:
    store = ListingSessionkitStore(MemorySessionStorage())

    assert isinstance(store, AsyncKeyValue)
    assert isinstance(store, AsyncEnumerateKeysProtocol)
    assert isinstance(store, AsyncEnumerateCollectionsProtocol)
    assert isinstance(store, AsyncDestroyStoreProtocol)
    assert isinstance(store, AsyncDestroyCollectionProtocol)
    assert isinstance(store, AsyncCullProtocol)
    assert repr(store).startswith("ListingSessionkitStore(<MemorySessionStorage")


# --- expiry -------------------------------------------------------------------------------


class Later(datetime):
    """An hour later, for what asks the time of py-key-value."""

    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return datetime.now(tz) + timedelta(hours=1)


@pytest.fixture
def an_hour_later(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    return lambda: monkeypatch.setattr("key_value.aio._utils.time_to_live.datetime", Later)


@pytest.mark.parametrize("kind", KINDS)
def test_entries_end_though_the_storage_still_has_them(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest, an_hour_later: Callable[[], None]
) -> None:
    async def main() -> None:
        async with opened(kind, tmp_path, request) as storage:
            store = ListingSessionkitStore(storage)
            await store.put_many(["a", "b"], [{"n": 1}, {"n": 2}], ttl=3599.5)
            await store.put("c", {"n": 3})
            value, left = await store.ttl("a")
            assert value == {"n": 1}
            assert left is not None
            assert 3000 < left <= 3599.5
            an_hour_later()
            assert await store.get_many(["a", "b", "c"]) == [None, None, {"n": 3}]
            assert await store.ttl("a") == (None, None)
            assert sorted(await store.keys()) == ["a", "b", "c"]
            await store.cull()
            assert await store.keys() == ["c"]
            assert await store.delete("a") is False

    asyncio.run(main())


def test_a_storage_that_keeps_ends_gets_them() -> None:
    async def main() -> None:
        clock = FakeClock(datetime.now(UTC).timestamp())
        storage = MemorySessionStorage(clock=clock)
        store = ListingSessionkitStore(storage)
        await store.put("a", {"n": 1}, ttl=100)
        await store.put("b", {"n": 1}, ttl=100)
        await store.put("b", {"n": 2})
        clock.advance(200)
        assert await store.keys() == ["b"]
        await store.cull()
        assert repr(storage) == "<MemorySessionStorage with 1 entries>"

    asyncio.run(main())


@pytest.mark.parametrize(
    "storage",
    [
        MemorySessionStorage(ttl=60),
        enhance_storage(MemorySessionStorage(), ttl=60),
        enhance_storage(MemorySessionStorage(), migrations={1: lambda data: data}),
    ],
    ids=["ttl", "enhanced", "migrations"],
)
def test_a_storage_with_a_timeout_of_its_own_is_refused(storage: Any) -> None:
    with pytest.raises(ValueError, match="a TTLClampWrapper around this store"):
        SessionkitStore(storage)


# --- places -------------------------------------------------------------------------------


def test_collections_and_sessions_keep_apart_in_one_storage() -> None:
    async def main() -> None:
        storage = MemorySessionStorage()
        store = ListingSessionkitStore(storage)
        sessions = session(initial=zero, storage=storage)
        async with sessions.open(1) as opened:
            opened.data["n"] = 1
        for collection, key in [("a", "b:c"), ("a:b", "c"), ("a%3ab", "c"), ("a::b", "")]:
            await store.put(key, {"at": [collection, key]}, collection=collection)

        assert await sessions.get(1) == {"n": 1}
        assert list(storage.iter_keys("key-value:a:")) == ["key-value:a:b:c"]
        assert sorted(await store.collections()) == ["a", "a%3ab", "a::b", "a:b"]
        assert await store.collections(limit=2) == (await store.collections())[:2]
        assert await store.keys("a:b") == ["c"]
        assert await store.keys("a:b", limit=0) == []
        assert await store.destroy_collection("a:b") is True
        assert await store.destroy_collection("a:b") is False
        assert await store.get("b:c", collection="a") == {"at": ["a", "b:c"]}
        storage.write("key-value:no collection", 1)
        assert sorted(await store.collections()) == ["a", "a%3ab", "a::b"]
        assert await store.destroy() is True
        assert list(storage.iter_keys()) == ["1"]

    asyncio.run(main())


@pytest.mark.parametrize(
    "damaged", [5, {}, {"value": {}, "expires": "soon"}, {"value": 5}], ids=str
)
def test_what_is_not_an_entry_raises_and_can_be_deleted(damaged: Any) -> None:
    async def main() -> None:
        storage = MemorySessionStorage()
        store = ListingSessionkitStore(storage)
        name = "key-value:default_collection:a"
        storage.write(name, damaged)
        with pytest.raises(DeserializationError, match="nothing was changed"):
            await store.get("a")
        await store.cull()
        assert storage.read(name) == damaged
        assert await store.delete("a") is True
        assert await store.get("a") is None

    asyncio.run(main())


def test_a_file_that_is_damaged_raises_and_can_be_deleted(tmp_path: Path) -> None:
    async def main() -> None:
        async with FileSessionStorage(tmp_path) as storage:
            store = ListingSessionkitStore(storage)
            await store.put("a", {"n": 1})
            for file in tmp_path.rglob("*default*.json"):
                file.write_text('{"value": ')
            with pytest.raises(DeserializationError):
                await store.get("a")
            await store.cull()
            assert await store.delete("a") is True
            assert await store.delete("a") is False

    asyncio.run(main())


@pytest.mark.parametrize(
    ("error", "raised"),
    [(SessionError, KeyValueStoreError), (InvalidSessionKeyError, InvalidKeyError)],
    ids=["any", "key"],
)
def test_errors_of_the_storage_are_those_of_py_key_value(error: Any, raised: Any) -> None:
    class Failing(Dict):
        def read(self, key: str, /) -> Any:
            raise error("no disk")

    with pytest.raises(raised, match="no disk"):
        asyncio.run(SessionkitStore(Failing()).get("a"))


def test_what_the_storage_cannot_hold_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        async with SQLiteSessionStorage(tmp_path / "bot.db") as storage:
            store = SessionkitStore(storage)
            await store.put("a", {"n": 1})
            with pytest.raises(SerializationError):
                await store.put("a", {"n": math.nan})
            assert await store.get("a") == {"n": 1}

    asyncio.run(main())


@pytest.mark.parametrize("storage", [5, Dict, "sqlite:///bot.db"], ids=["number", "class", "url"])
def test_what_is_not_a_storage_is_refused(storage: Any) -> None:
    with pytest.raises(TypeError, match="not a storage with"):
        SessionkitStore(storage)


def test_a_storage_that_does_not_list_makes_no_listing_store() -> None:
    storage = KeyValueSessionStorage(SessionkitStore(MemorySessionStorage()))

    with pytest.raises(
        TypeError, match="not a storage with iter_keys, read_with_revision, write_if"
    ):
        ListingSessionkitStore(storage)

"""What sessionkit_key_value puts into a store, and what it does when that lets it down."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, SupportsFloat

import pytest
from key_value.aio.stores.filetree import FileTreeStore
from key_value.aio.stores.memory import MemoryStore
from key_value.aio.stores.null import NullStore
from key_value.aio.stores.redis import RedisStore
from key_value.aio.wrappers.base import BaseWrapper
from key_value.aio.wrappers.compression import CompressionWrapper
from key_value.aio.wrappers.fallback import FallbackWrapper
from key_value.aio.wrappers.limit_size import LimitSizeWrapper
from key_value.aio.wrappers.logging import LoggingWrapper
from key_value.aio.wrappers.passthrough_cache import PassthroughCacheWrapper
from key_value.aio.wrappers.prefix_collections import PrefixCollectionsWrapper
from key_value.aio.wrappers.prefix_keys import PrefixKeysWrapper
from key_value.aio.wrappers.retry import RetryWrapper
from key_value.aio.wrappers.routing import RoutingWrapper
from key_value.aio.wrappers.single_collection import SingleCollectionWrapper
from key_value.aio.wrappers.statistics import StatisticsWrapper
from key_value.aio.wrappers.timeout import TimeoutWrapper
from key_value.aio.wrappers.ttl_clamp import TTLClampWrapper

from sessionkit import (
    SessionClosedError,
    SessionDecodeError,
    SessionError,
    SessionListingError,
    SessionWriteError,
    cached,
    enhance_storage,
    session,
)
from sessionkit.codecs import JSONCodec
from sessionkit.storages.authoring import BlockingView
from sessionkit.testing import FakeClock
from sessionkit_key_value import KeyValueSessionStorage, SessionkitStore
from tests.adapters import redis_servers
from tests.adapters.cutting_proxy import proxy
from tests.adapters.loads import increments, through_a_crash, total, zero
from tests.clocks import FakeTimeLoop
from tests.testing.others.redis_client import connect

if TYPE_CHECKING:
    from pathlib import Path

    from key_value.aio.protocols.key_value import AsyncKeyValue

COLLECTION = "sessionkit"


class Watched(BaseWrapper):
    """A store in memory that notes what it gets, and does what a test tells it before and after."""

    def __init__(self) -> None:
        self.key_value: AsyncKeyValue = MemoryStore()
        self.ttls: list[Any] = []
        self.calls: Counter[str] = Counter()
        self.before: Callable[[str], Awaitable[None]] = nothing
        self.after: Callable[[str], Awaitable[None]] = nothing

    async def get(self, key: str, *, collection: str | None = None) -> dict[str, Any] | None:
        async with self._around("get", key):
            return await self.key_value.get(key, collection=collection)

    async def put(
        self,
        key: str,
        value: Mapping[str, Any],
        *,
        collection: str | None = None,
        ttl: SupportsFloat | None = None,
    ) -> None:
        self.ttls.append(ttl)
        async with self._around("put", key):
            await self.key_value.put(key, value, collection=collection, ttl=ttl)

    async def delete(self, key: str, *, collection: str | None = None) -> bool:
        async with self._around("delete", key):
            return await self.key_value.delete(key, collection=collection)

    def _around(self, method: str, key: str) -> _Around:
        if not key.startswith("_probe"):
            self.calls[method] += 1
            return _Around(self.before, self.after, method)
        return _Around(nothing, nothing, method)

    async def entry(self, name: str) -> Any:
        """What is stored, past all that is watched."""
        return await self.key_value.get(name, collection=COLLECTION)

    async def set_entry(self, name: str, fields: dict[str, Any]) -> None:
        await self.key_value.put(name, fields, collection=COLLECTION)


async def nothing(_method: str) -> None:
    pass


class _Around:
    def __init__(self, before: Any, after: Any, method: str) -> None:
        self._before, self._after, self._method = before, after, method

    async def __aenter__(self) -> None:
        await self._before(self._method)

    async def __aexit__(self, *exc_info: object) -> None:
        await self._after(self._method)


def on(method: str, error: Exception) -> Callable[[str], Awaitable[None]]:
    """What raises *error* at *method*."""

    async def fail(called: str) -> None:
        if called == method:
            raise error

    return fail


@pytest.fixture(scope="module")
def valkey() -> Iterator[str]:
    with redis_servers.server() as started:
        yield started.url


# --- what is stored -----------------------------------------------------------------------


def test_an_entry_is_one_ascii_text_with_key_token_end_and_value() -> None:
    async def main() -> None:
        store = Watched()
        storage = KeyValueSessionStorage(store, ttl=1.5, clock=FakeClock(1000.0))
        await storage.write("3/-100", {"name": "Zoë 🍕\ud83d", "n": 1})

        fields = await store.entry("3_2f-100")
        about, value = json.loads(fields["session"])
        assert fields["session"].isascii()
        assert list(fields) == ["session"]
        assert about == {"key": "3/-100", "token": about["token"], "expires": 1001.5}
        assert value == {"name": "Zoë 🍕\ud83d", "n": 1}

    asyncio.run(main())


@pytest.mark.parametrize(
    ("ttl", "stores"), [(None, None), (1, 2), (1.5, 3), (60.0, 61), (0.001, 2)]
)
def test_a_store_keeps_an_entry_for_longer_than_it_lives(ttl: Any, stores: Any) -> None:
    store = Watched()
    storage = KeyValueSessionStorage(store, ttl=ttl)

    asyncio.run(storage.write("1", 1))

    assert store.ttls == [60, stores]  # first the entry that proves the store


def test_a_value_is_gone_at_its_end_though_the_store_has_it() -> None:
    async def main() -> None:
        store, clock = MemoryStore(), FakeClock()
        storage = KeyValueSessionStorage(store, ttl=60, clock=clock)
        await storage.write("1", {"n": 1})
        clock.advance(59.9)
        assert await storage.read("1") == {"n": 1}
        clock.advance(0.1)
        assert await storage.read("1") is None
        assert [key async for key in storage.iter_keys()] == []
        assert await store.get("1", collection=COLLECTION) is not None

    asyncio.run(main())


KEYS = [
    *("1", "-100", "3/-100", "a", "A", "_", "_5f", "a_b", "a/b", "a b", ".", "..", "ß", "ss"),
    *("\u00e9", "e\u0301", "\0", "\ud83d", "🍕", "x" * 180, "x" * 181, "y" * 5000, "Y" * 5000),
    *("y" * 4999 + "z", "a" * 115 + "~" + "0" * 64),
]


def test_every_key_has_a_name_of_its_own_that_file_systems_and_databases_take(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        store = FileTreeStore(data_directory=tmp_path)  # which takes names as they are
        storage = KeyValueSessionStorage(store)
        for key in KEYS:
            await storage.write(key, {"key": key})
        for key in KEYS:
            assert await storage.read(key) == {"key": key}

    asyncio.run(main())
    names = [path.stem for path in (tmp_path / COLLECTION).iterdir()]
    assert len({name.casefold() for name in names}) == len(KEYS)
    assert max(map(len, names)) == 180
    assert all(name.isascii() and name == name.lower() for name in names)


def test_long_keys_are_listed_whole_and_by_prefix() -> None:
    async def main() -> None:
        storage = KeyValueSessionStorage(MemoryStore())
        for key in KEYS:
            await storage.write(key, 1)
        assert sorted([key async for key in storage.iter_keys()]) == sorted(KEYS)
        for prefix in ("y", "y" * 4999, "x" * 181, "a", "3/"):
            fitting = [key for key in KEYS if key.startswith(prefix)]
            assert sorted([key async for key in storage.iter_keys(prefix)]) == sorted(fitting)

    asyncio.run(main())


class Packed:
    def encode(self, value: Any, /) -> bytes:
        return zlib.compress(JSONCodec().encode(value))

    def decode(self, raw: bytes, /) -> Any:
        return JSONCodec().decode(zlib.decompress(raw))


def test_what_another_codec_makes_is_stored_in_base64() -> None:
    async def main() -> None:
        store = Watched()
        storage = KeyValueSessionStorage(store, codec=Packed())
        await storage.write("1", {"n": "é"})

        assert json.loads((await store.entry("1"))["session"])[0]["encoding"] == "base64"
        assert await storage.read("1") == {"n": "é"}
        with pytest.raises(SessionDecodeError, match="left where it is, in collection"):
            await KeyValueSessionStorage(store).read("1")

    asyncio.run(main())


# --- damage -------------------------------------------------------------------------------

DAMAGED: list[dict[str, Any]] = [
    {},
    {"session": None},
    {"session": 5},
    {"session": ""},
    {"session": "["},
    {"session": "null"},
    {"session": '[{"key":"1","token":"t"}'},
    {"session": '[{"key":"1","token":"t"} 5]'},
    {"session": '[{"key":"1","token":"t"},{"n":]'},
    {"session": '[{"key":"1","token":"t"},{"n":5}'},
    {"session": '[{"key":"1","token":"t"},55'},
    {"session": '[{"key":"1","token":"t"},5]]'},
    {"session": '[{"key":"1","token":"t"},]'},
    {"session": '[{"key":"1","token":"t"},null]'},
    {"session": '[{"key":"1","token":"t"},"\ud83d"]'},
    {"session": '[{"key":"1","token":5},5]'},
    {"session": '[{"token":"t"},5]'},
    {"session": '[{"key":"1","token":"t","expires":"soon"},5]'},
    {"session": '[{"key":"1","token":"t","encoding":"base64"},"?"]'},
    {"session": '[{"key":"1","token":"t","encoding":"base64"},[1]]'},
    {"session": "[[1],5]"},
    {"session": '[{"key":"2","token":"t"},5]'},
]


@pytest.mark.parametrize("fields", DAMAGED, ids=str)
def test_a_damaged_entry_raises_stays_and_disturbs_no_other(fields: dict[str, Any]) -> None:
    async def main() -> None:
        store = Watched()
        storage = KeyValueSessionStorage(store)
        await storage.write("2", 2)
        await store.set_entry("1", fields)

        with pytest.raises(SessionDecodeError) as caught:
            await storage.read("1")
        assert caught.value.key == "1"
        assert await storage.read("2") == 2
        assert await store.entry("1") == fields

        listed = KeyValueSessionStorage(store.key_value)
        assert sorted([key async for key in listed.iter_keys()]) == ["1", "2"]
        items: list[Any] = []
        with pytest.raises(SessionListingError) as left_out:
            async for item in listed.iter_items():
                items.append(item)
        assert items == [("2", 2)]
        assert left_out.value.keys == ("1",)
        await storage.delete("1")
        assert await storage.read("1") is None

    asyncio.run(main())


def test_an_entry_of_another_key_is_not_taken_for_ones_own() -> None:
    async def main() -> None:
        store = Watched()
        storage = KeyValueSessionStorage(store)
        await storage.write("a", 1)
        await store.set_entry("b", await store.entry("a"))  # as a store that confuses names
        with pytest.raises(SessionDecodeError, match="it is of 'a': the store takes two keys"):
            await storage.read("b")

    asyncio.run(main())


def test_a_damaged_entry_of_a_long_key_is_reported_by_its_name() -> None:
    async def main() -> None:
        store = MemoryStore()
        storage = KeyValueSessionStorage(store)
        await storage.write("y" * 200, 1)
        await storage.write("1", 1)
        [name] = [name for name in await store.keys(COLLECTION) if name != "1"]
        await store.put(name, {"session": "?"}, collection=COLLECTION)
        await store.put("Foreign", {"session": "?"}, collection=COLLECTION)

        keys: list[str] = []
        with pytest.raises(SessionListingError) as caught:
            async for key in storage.iter_keys():
                keys.append(key)
        assert keys == ["1"]
        assert caught.value.keys == (name,)

    asyncio.run(main())


def test_what_an_encrypting_wrapper_cannot_read_is_damaged() -> None:
    encryption = pytest.importorskip("key_value.aio.wrappers.encryption")
    fernet = pytest.importorskip("cryptography.fernet").Fernet

    async def main() -> None:
        store = MemoryStore()
        storages = [
            KeyValueSessionStorage(
                encryption.FernetEncryptionWrapper(store, fernet=fernet(fernet.generate_key()))
            )
            for _ in range(2)
        ]
        await storages[0].write("1", 1)
        assert await storages[0].read("1") == 1
        with pytest.raises(SessionDecodeError):
            await storages[1].read("1")

    asyncio.run(main())


# --- stores that are of no use ------------------------------------------------------------


def test_a_store_that_does_not_give_back_is_found_out_before_a_session_is_lost(
    valkey: str,
) -> None:
    async def main() -> None:
        async with connect(valkey, decode_responses=True) as client:
            good = KeyValueSessionStorage(RedisStore(client=client))
            await good.write("1", {"n": 1})
            async with connect(valkey) as of_bytes:
                storage = KeyValueSessionStorage(RedisStore(client=of_bytes))
                sessions = session(initial=zero, storage=storage)
                with pytest.raises(SessionError, match="decode_responses=True"):
                    async with sessions.open(1) as opened:
                        opened.data["n"] += 1
            assert await good.read("1") == {"n": 1}

    asyncio.run(main())


@pytest.mark.filterwarnings("ignore:A configured store is unstable")
def test_a_store_that_forgets_is_found_out() -> None:
    with pytest.raises(SessionError, match="a store that forgets is of no use"):
        asyncio.run(KeyValueSessionStorage(NullStore()).write("1", 1))


def test_a_store_that_fails_its_first_use_got_nothing() -> None:
    async def main() -> None:
        class Failing(MemoryStore):
            async def get(self, key: str, *, collection: str | None = None) -> Any:
                raise OSError("no disk")

        storage = KeyValueSessionStorage(Failing())
        with pytest.raises(SessionError, match=r"no disk.*Nothing was written") as caught:
            await storage.write("1", 1)
        assert type(caught.value) is SessionError

    asyncio.run(main())


@pytest.mark.parametrize("store", [MemoryStore, "redis://localhost", None, {}], ids=str)
def test_what_is_not_a_store_is_refused(store: Any) -> None:
    with pytest.raises(TypeError, match="give a store of py-key-value"):
        KeyValueSessionStorage(store)


@pytest.mark.parametrize("collection", ["", "a::b", "a*", "ä", "x" * 51, "a/b"])
def test_collections_that_stores_confuse_are_refused(collection: str) -> None:
    with pytest.raises(ValueError, match="collection must be letters"):
        KeyValueSessionStorage(MemoryStore(), collection=collection)


def test_without_py_key_value_the_extra_is_named() -> None:
    code = "import sys; sys.modules['key_value'] = None; import sessionkit_key_value"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "It comes with the extra 'key-value'" in run.stderr


def test_what_needs_conditional_writes_is_refused() -> None:
    storage = KeyValueSessionStorage(MemoryStore())

    with pytest.raises(TypeError, match="does not write on condition"):
        cached(storage)
    with pytest.raises(TypeError, match="once= needs a storage with"):
        session(dict, storage=storage, once=True)
    with pytest.raises(ValueError, match="on_conflict is of no use"):
        session(dict, storage=storage, on_conflict=lambda base, theirs, mine: mine)
    assert "KeyValueSessionStorage" in repr(storage)
    assert storage.ttl is None


# --- a store that fails -------------------------------------------------------------------


def test_what_a_store_refuses_was_not_written() -> None:
    async def main() -> None:
        store = MemoryStore()
        storage = KeyValueSessionStorage(LimitSizeWrapper(store, max_size=200))
        await storage.write("1", "small")
        with pytest.raises(SessionError, match=r"EntryTooLarge.*Nothing was written") as caught:
            await storage.write("1", "large" * 100)
        assert type(caught.value) is SessionError
        assert caught.value.key == "1"
        assert await storage.read("1") == "small"

    asyncio.run(main())


def test_a_write_whose_answer_is_lost_is_looked_for() -> None:
    async def main() -> None:
        store = Watched()
        storage = KeyValueSessionStorage(store)
        store.after = on("put", ConnectionError("reset"))
        await storage.write("1", 1)  # it is there
        store.after, store.before = nothing, on("put", ConnectionError("reset"))
        with pytest.raises(SessionWriteError, match="'1' may have been written, or not") as caught:
            await storage.write("1", 2)
        assert caught.value.unknown == ("1",)
        assert await storage.read("1") == 1
        store.before = on("delete", ConnectionError("reset"))
        with pytest.raises(SessionWriteError, match="may have been written"):
            await storage.delete("1")

        async def always(_method: str) -> None:
            raise ConnectionError("down")

        store.before = always
        with pytest.raises(SessionWriteError):
            await storage.write("1", 3)
        with pytest.raises(SessionError, match="down") as failed:
            await storage.read("1")
        assert type(failed.value) is SessionError
        assert failed.value.key == "1"

    asyncio.run(main())


def test_a_store_that_hangs_is_an_error_at_the_deadline_and_nothing_waits_longer() -> None:
    async def main() -> None:
        store = Watched()
        storage = KeyValueSessionStorage(store, deadline=5)
        await storage.write("2", 2)

        async def hang(method: str) -> None:
            if method == "put":
                await asyncio.sleep(1000)

        store.before = hang
        writing = asyncio.ensure_future(storage.write("1", 1))
        reading = asyncio.ensure_future(storage.read("1"))
        assert await storage.read("2") == 2
        results = await asyncio.gather(writing, reading, return_exceptions=True)
        assert isinstance(results[0], SessionWriteError)
        assert "no answer within 5 seconds" in str(results[0])
        assert type(results[1]) is SessionError
        assert asyncio.get_running_loop().time() < 20
        assert await storage.read("1") is None

        async def give_up(_method: str) -> None:
            raise TimeoutError("of the driver")

        store.before = give_up
        with pytest.raises(SessionError, match="of the driver"):
            await storage.read("1")

    with asyncio.Runner(loop_factory=FakeTimeLoop) as runner:
        runner.run(main())


def test_a_store_that_removes_what_has_expired_as_it_reads_removes_no_later_write() -> None:
    async def main() -> None:
        store, clock = Watched(), FakeClock()
        storage = KeyValueSessionStorage(store, ttl=60, clock=clock)
        await storage.write("1", "old")
        clock.advance(3600)
        reached, go_on = asyncio.Event(), asyncio.Event()

        async def remove(method: str) -> None:
            if method == "get":
                reached.set()
                await go_on.wait()
                await store.key_value.delete("1", collection=COLLECTION)

        store.after = remove
        reading = asyncio.ensure_future(storage.read("1"))
        await reached.wait()
        writing = asyncio.ensure_future(storage.write("1", "new"))
        await asyncio.sleep(0)
        go_on.set()
        await asyncio.gather(reading, writing)
        store.after = nothing
        assert await storage.read("1") == "new"

    asyncio.run(main())


def test_many_updates_at_once_do_not_crowd_a_store() -> None:
    async def main() -> None:
        store = Watched()
        inside = most = 0

        async def enter(_method: str) -> None:
            nonlocal inside, most
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)

        async def leave(_method: str) -> None:
            nonlocal inside
            inside -= 1

        store.before, store.after = enter, leave
        storage = KeyValueSessionStorage(store)
        await asyncio.gather(*(storage.write(str(n), n) for n in range(1000)))
        assert most == 16

    asyncio.run(main())


# --- closing, loops, threads --------------------------------------------------------------


def test_closing_waits_and_leaves_the_store_open() -> None:
    async def main() -> None:
        store = Watched()
        go_on = asyncio.Event()

        async def wait(_method: str) -> None:
            await go_on.wait()

        async with KeyValueSessionStorage(store) as storage:
            await storage.write("1", 1)
            store.before = wait
            writing = asyncio.ensure_future(storage.write("1", 2))
            while store.calls["put"] < 2:
                await asyncio.sleep(0)
            closing = asyncio.ensure_future(storage.close())
            await asyncio.sleep(0)
            assert not closing.done()
            go_on.set()
            await closing
            assert writing.done()
        for use in (storage.read("1"), storage.write("1", 1), storage.delete("1")):
            with pytest.raises(SessionClosedError):
                await use
        async with KeyValueSessionStorage(store.key_value) as again:
            assert await again.read("1") == 2
            listing = again.iter_keys()
        with pytest.raises(SessionClosedError):
            await anext(listing)

    asyncio.run(main())


def test_a_storage_belongs_to_one_loop_at_a_time_and_threads_use_a_view() -> None:
    store = MemoryStore()
    storage = KeyValueSessionStorage(store)
    for n in range(2):
        asyncio.run(storage.write(str(n), n))

    async def in_two_loops() -> None:
        await storage.write("0", 0)
        with pytest.raises(SessionError, match="belongs to the event loop that used it first"):
            await asyncio.to_thread(lambda: asyncio.run(storage.write("1", 2)))
        assert await storage.read("1") == 1
        await asyncio.to_thread(lambda: asyncio.run(storage.close()))

    asyncio.run(in_two_loops())
    with BlockingView(lambda: KeyValueSessionStorage(store)) as view:
        sessions = session(initial=zero, storage=view)
        with sessions.open(5) as opened:
            opened.data["n"] += 1
        assert sorted(view.iter_keys()) == ["0", "1", "5"]


# --- listing ------------------------------------------------------------------------------


def test_a_listing_that_may_be_cut_off_is_refused() -> None:
    async def main() -> None:
        store = MemoryStore()
        storage = KeyValueSessionStorage(store)
        await storage.write("0", 0)
        entry = await store.get("0", collection=COLLECTION)
        assert entry is not None
        for n in range(1, 9_999):
            await store.put(str(n), entry, collection=COLLECTION)
        assert len(await store.keys(COLLECTION, limit=20_000)) == 9_999
        with pytest.raises(SessionListingError):  # the copies; but all are looked at
            assert [key async for key, _ in storage.iter_items()] == ["0"]
        await storage.write("more", 0)
        with pytest.raises(SessionError, match="lists 10000 keys at most"):
            await anext(storage.iter_keys())

    asyncio.run(main())


def test_a_listing_that_fails_says_so() -> None:
    async def main() -> None:
        class Failing(MemoryStore):
            async def keys(self, collection: str | None = None, *, limit: int | None = None) -> Any:
                raise OSError("no disk")

        with pytest.raises(SessionError, match="no disk"):
            await anext(KeyValueSessionStorage(Failing()).iter_keys())

    asyncio.run(main())


def test_a_store_that_does_not_list_makes_a_storage_that_does_not() -> None:
    storage = KeyValueSessionStorage(Watched())

    assert not hasattr(storage, "iter_keys")
    assert not hasattr(storage, "iter_items")


# --- loads and wrappers -------------------------------------------------------------------


@pytest.mark.parametrize("at_once", [64, 1000])
def test_no_update_is_lost_in_one_process(valkey: str, at_once: int) -> None:
    async def main() -> None:
        async with RedisStore(url=valkey) as store:
            storage = KeyValueSessionStorage(store, collection=f"load{at_once}")
            sessions = session(initial=zero, storage=storage)
            ended = await increments(sessions, 2000, 8, at_once)
            assert ended == {"ok": 2000}
            assert await total(storage) == 2000

    asyncio.run(main())


def test_lost_replies_are_found_or_raise(valkey: str) -> None:
    async def main() -> None:
        async with proxy(valkey) as (url, between), RedisStore(url=valkey) as direct:
            client = connect(url, decode_responses=True, retry=None)
            storage = KeyValueSessionStorage(RedisStore(client=client), collection="cut")
            sessions = session(initial=zero, storage=storage)
            await storage.read("1")
            between.cut = 0.2
            ended = await increments(sessions, 200, 2, 4)
            between.cut = 0.0
            await client.aclose()
            stored = await total(KeyValueSessionStorage(direct, collection="cut"))
        assert between.cuts > 10
        assert set(ended) <= {"ok", "SessionError", "SessionWriteError"}
        assert 0 < ended["ok"] <= stored <= ended["ok"] + ended["SessionWriteError"]

    asyncio.run(main())


@pytest.mark.thorough
def test_a_server_that_is_killed_in_a_load_loses_nothing_acknowledged() -> None:
    async def main(server: redis_servers.Server) -> None:
        async with connect(server.url, decode_responses=True, retry=None) as client:
            storage = KeyValueSessionStorage(RedisStore(client=client))
            await through_a_crash(server, session(initial=zero, storage=storage), storage)

    options = ("--appendonly", "yes", "--appendfsync", "always")
    with redis_servers.server(*options) as mortal:
        asyncio.run(main(mortal))


WRAPPERS: dict[str, Callable[[AsyncKeyValue], AsyncKeyValue]] = {
    "compression": lambda store: CompressionWrapper(store, min_size_to_compress=1),
    "fallback": lambda store: FallbackWrapper(store, MemoryStore()),
    "limit": lambda store: LimitSizeWrapper(store, max_size=1000),
    "logging": LoggingWrapper,
    "cache": lambda store: PassthroughCacheWrapper(store, MemoryStore()),
    "prefixed collections": lambda store: PrefixCollectionsWrapper(store, "bot"),
    "prefixed keys": lambda store: PrefixKeysWrapper(store, "bot"),
    "retries": RetryWrapper,
    "routing": lambda store: RoutingWrapper(lambda _: store, MemoryStore()),
    "one collection": lambda store: SingleCollectionWrapper(store, "all"),
    "statistics": StatisticsWrapper,
    "timeout": TimeoutWrapper,
    "clamped": lambda store: TTLClampWrapper(store, 1, 3600),
    "of sessionkit": lambda store: SessionkitStore(KeyValueSessionStorage(store)),
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_sessions_work_through_the_wrappers_of_py_key_value(wrapper: str) -> None:
    async def main() -> None:
        wrapped = WRAPPERS[wrapper](MemoryStore())
        storage = KeyValueSessionStorage(wrapped, ttl=None if wrapper == "of sessionkit" else 60)
        sessions = session(initial=zero, storage=enhance_storage(storage, ttl=3600))
        for _ in range(3):
            async with sessions.open("3/-100") as opened:
                opened.data["n"] += 1
        assert await sessions.get("3/-100") == {"n": 3}
        await sessions.delete("3/-100")
        assert await storage.read("3/-100") is None

    asyncio.run(main())

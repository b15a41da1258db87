from __future__ import annotations

import asyncio
import copy
import json
import math
import pickle
from collections.abc import AsyncIterable, Callable, Iterable, Iterator
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionkit._data.snapshots import freeze
from sessionkit._storage.listing import LeftOut, each
from sessionkit._storage.sync_or_async import resolve
from sessionkit.enhance import EnhancedRevision, EnhancedStorage, enhance_storage
from sessionkit.errors import (
    NewerVersionError,
    SessionConflictError,
    SessionDecodeError,
    SessionEncodeError,
    SessionListingError,
    SessionMigrationError,
)
from sessionkit.protocols import ANY, MaybeAwaitable
from sessionkit.storages.memory import MemorySessionStorage
from tests.enhanced import (
    Clock,
    Expiring,
    Full,
    FullAsync,
    Listed,
    ListedAsync,
    Plain,
    PlainAsync,
    Revised,
    add,
    at_once,
    listed,
    tracked,
)

if TYPE_CHECKING:
    from pathlib import Path

OPTIONAL = {
    *("has", "iter_keys", "iter_items", "read_many", "write_many", "read_with_revision"),
    *("write_if", "touch", "renew", "purge_expired", "backup", "sync", "close"),
}


SNAPSHOTS = {"read_snapshot", "write_snapshot"}


def run(ask: Callable[[], MaybeAwaitable[Any]]) -> Any:
    async def wait() -> Any:
        return await resolve(ask())

    return asyncio.run(wait())


async def collect(listing: Any) -> list[Any]:
    assert not isinstance(listing, Iterable)
    return [item async for item in listing]


# What is stored.


def test_without_options_data_is_wrapped_as_grammy_does_it() -> None:
    inner = Plain()
    storage = enhance_storage(inner)

    storage.write("a", {"n": 1})

    assert inner.stored == {"a": {"__d": {"n": 1}}}
    assert storage.read("a") == {"n": 1}


def test_version_data_and_expiry_are_stored_in_the_order_of_grammy_with_integer_milliseconds() -> (
    None
):
    inner = Plain()
    storage = enhance_storage(
        inner, ttl=timedelta(minutes=1), migrations={1: add("1")}, clock=Clock(1000.25)
    )

    storage.write("a", [1])

    assert json.dumps(inner.stored["a"]) == '{"v": 1, "__d": [1], "e": 1060250}'


@pytest.mark.parametrize(
    ("version", "stored"),
    [(2, "2"), (2.0, "2"), ("3", "3"), (10.1, "10.1"), (Decimal("0.5"), "0.5"), ("-1", "-1")],
)
def test_versions_are_stored_as_json_numbers(version: Any, stored: str) -> None:
    inner = Plain()

    enhance_storage(inner, migrations={version: add("x")}).write("a", 0)

    assert json.dumps(inner.stored["a"]["v"]) == stored


@pytest.mark.parametrize("data", [0, "", False, [], {}, 1.5, "x", [None], {"a": None}])
def test_falsy_and_scalar_data_come_back(data: Any) -> None:
    storage = enhance_storage(Plain(), ttl=1, migrations={1: add("1")})

    storage.write("a", data)

    assert storage.read("a") == data


def test_none_is_refused_since_it_means_missing() -> None:
    inner = Full(a=1)
    storage = enhance_storage(inner)

    with pytest.raises(SessionEncodeError, match="delete 'a' instead"):
        storage.write("a", None)
    with pytest.raises(SessionEncodeError, match="delete 'a' instead"):
        storage.write_many({"a": None})

    assert inner.stored == {"a": 1}


def test_stored_null_data_is_missing_but_never_purged() -> None:
    inner = Full(a={"__d": None})
    storage = enhance_storage(inner, ttl=1)

    assert storage.read("a") is None
    assert not storage.has("a")
    assert storage.purge_expired() == 0
    assert storage.write_if("a", 1, None)


@pytest.mark.parametrize(
    "bare",
    [
        {"__d": 1, "other": 2},
        {"v": 1, "e": 2},
        {"__d": 1, "v": "1"},
        {"__d": 1, "v": True},
        {"__d": 1, "e": False},
        {"__d": 1, "e": [1]},
        ["__d"],
        "__d",
        0,
    ],
)
def test_what_is_not_an_envelope_is_data_as_it_is(bare: Any) -> None:
    inner = Plain(a=bare)
    storage = enhance_storage(inner, ttl=5)

    assert storage.read("a") == bare


def test_data_that_looks_like_an_envelope_is_wrapped_once_more() -> None:
    storage = enhance_storage(Plain())

    storage.write("a", {"__d": 1, "e": 0})

    assert storage.read("a") == {"__d": 1, "e": 0}


@pytest.mark.parametrize("nothing", [None, math.nan])
def test_a_null_version_is_older_than_all_and_a_null_expiry_never_comes(nothing: Any) -> None:
    inner = Plain(a={"v": nothing, "__d": {}, "e": nothing})

    assert enhance_storage(inner, ttl=1, migrations={1: add("1")}).read("a") == {"path": ["1"]}


def test_neither_given_nor_stored_values_are_changed() -> None:
    def grow(data: dict[str, Any]) -> dict[str, Any]:
        data["deep"].append(1)
        return data

    inner = Full(old={"__d": {"deep": []}}, bare={"deep": []})
    before = copy.deepcopy(inner.stored)
    given: dict[str, Any] = {"deep": []}
    storage = enhance_storage(inner, ttl=1, migrations={1: grow})

    storage.write("new", given)
    for key in ("old", "bare"):
        assert storage.read(key) == {"deep": [1]}
        assert storage.read_many([key]) == {key: {"deep": [1]}}
    assert dict(listed(storage.iter_items(""))) == {
        "old": {"deep": [1]},
        "bare": {"deep": [1]},
        "new": {"deep": []},
    }

    assert given == {"deep": []}
    assert {key: inner.stored[key] for key in before} == before
    assert inner.calls.count("write") == 1


# Set-up.


@pytest.mark.parametrize("ttl", [0, -1, 0.0, math.nan, math.inf, timedelta(0), 1e300, 1e13])
def test_a_ttl_that_is_not_a_span_of_time_is_refused(ttl: Any) -> None:
    with pytest.raises(ValueError, match="ttl"):
        enhance_storage(Plain(), ttl=ttl)


@pytest.mark.parametrize("ttl", ["1", True, [1]])
def test_a_ttl_of_a_wrong_type_is_refused(ttl: Any) -> None:
    with pytest.raises(TypeError, match="ttl"):
        enhance_storage(Plain(), ttl=ttl)


def test_a_ttl_below_a_millisecond_lasts_one() -> None:
    clock = Clock()
    storage = enhance_storage(Plain(), ttl=1e-9, clock=clock)

    storage.write("a", 1)

    assert storage.read("a") == 1
    clock.now += 0.001
    assert storage.read("a") is None


def test_sliding_needs_a_ttl() -> None:
    with pytest.raises(ValueError, match="give ttl"):
        enhance_storage(Plain(), sliding=True)


def test_migrations_must_be_a_mapping() -> None:
    wrong: Any = [add("1")]

    with pytest.raises(TypeError, match="map versions to functions"):
        enhance_storage(Plain(), migrations=wrong)


@pytest.mark.parametrize("version", [None, True, (1,), Fraction(1, 2)])
def test_versions_of_a_wrong_type_are_refused(version: Any) -> None:
    with pytest.raises(TypeError, match="must be a number"):
        enhance_storage(Plain(), migrations={version: add("1")})


@pytest.mark.parametrize(
    "version",
    ["one", "", math.nan, math.inf, "NaN", Decimal("Infinity"), 10**400, "1.00000000000000000001"],
)
def test_versions_that_are_not_storable_number_are_refused(version: Any) -> None:
    with pytest.raises(ValueError, match="number"):
        enhance_storage(Plain(), migrations={version: add("1")})


@pytest.mark.parametrize("other", [Decimal("1.00"), "1", "1.0", "1e0"])
def test_equal_versions_are_refused_by_naming_both(other: Any) -> None:
    with pytest.raises(ValueError, match="same number") as error:
        enhance_storage(Plain(), migrations={"01": add("1"), other: add("2")})

    assert "'01'" in str(error.value)
    assert repr(other) in str(error.value)


def test_a_migration_must_be_callable() -> None:
    wrong: Any = {1.5: {"n": 0}}

    with pytest.raises(TypeError, match=r"version 1\.5 must be a function"):
        enhance_storage(Plain(), migrations=wrong)


def test_the_clock_must_be_callable() -> None:
    wrong: Any = 12.5

    with pytest.raises(TypeError, match=r"time\.time"):
        enhance_storage(Plain(), clock=wrong)


@pytest.mark.parametrize("name", ["read", "write", "delete"])
def test_a_storage_without_one_of_the_methods_is_refused_by_naming_it(name: str) -> None:
    storage: Any = Plain()
    setattr(storage, name, None)

    with pytest.raises(TypeError, match=f"it has no method {name}\\."):
        enhance_storage(storage)


@pytest.mark.parametrize(
    ("wrong", "advice"),
    [
        (Plain, r"is a class: Plain\(\)"),
        ("sqlite:///x.db", "storage_from_url"),
        (1, "it has no method read, write, delete"),
    ],
)
def test_what_is_not_a_storage_is_refused_with_advice(wrong: Any, advice: str) -> None:
    with pytest.raises(TypeError, match=advice):
        enhance_storage(wrong)


def test_enhancing_does_not_stack_not_even_through_a_wrapper() -> None:
    class Wrapper(Plain):
        wrapped = enhance_storage(Plain(), ttl=1)

    for storage in (Wrapper.wrapped, Wrapper()):
        with pytest.raises(TypeError, match="in one call"):
            enhance_storage(storage, migrations={1: add("1")})


def test_a_wrapper_of_something_else_can_be_enhanced() -> None:
    class Wrapper(Plain):
        wrapped = Plain()

    assert enhance_storage(Wrapper()).read("a") is None


# Capabilities.


def offered(storage: EnhancedStorage) -> set[str]:
    return {name for name in OPTIONAL if hasattr(storage, name)}


def test_a_plain_storage_gains_nothing_but_what_the_options_provide() -> None:
    assert offered(enhance_storage(Plain())) == set()
    assert offered(enhance_storage(Plain(), migrations={1: add("1")})) == set()
    assert offered(enhance_storage(Plain(), ttl=1)) == {"touch"}
    assert offered(enhance_storage(Plain(), ttl=1, sliding=True)) == {"touch", "renew"}


def test_each_capability_is_there_exactly_if_the_storage_inside_has_it() -> None:
    listed = {"has", "iter_keys", "iter_items"}
    revised = {"read_with_revision", "write_if"}

    assert offered(enhance_storage(Listed())) == listed
    assert offered(enhance_storage(Revised())) == revised
    assert offered(enhance_storage(Full())) == {
        *(listed | revised),
        *("read_many", "write_many", "purge_expired", "close"),
    }
    assert offered(enhance_storage(Expiring(Clock()))) == {*revised, "write_many", "purge_expired"}
    assert offered(enhance_storage(MemorySessionStorage())) == OPTIONAL - {"renew", "backup"}
    assert enhance_storage(MemorySessionStorage()).capabilities >= SNAPSHOTS
    assert not SNAPSHOTS & enhance_storage(Full()).capabilities
    assert not SNAPSHOTS & enhance_storage(LiesAboutReads()).capabilities
    later = enhance_storage(MemorySessionStorage(), migrations={1: add_later})
    assert not SNAPSHOTS & later.capabilities


def test_a_missing_capability_is_a_missing_attribute_that_says_what_there_is() -> None:
    storage = enhance_storage(Plain(), ttl=1)

    assert getattr(storage, "iter_keys", None) is None
    with pytest.raises(AttributeError, match=r"no attribute 'sync'.*offers touch"):
        _ = storage.sync
    with pytest.raises(AttributeError, match="offers nothing"):
        enhance_storage(Plain()).touch("a")


def test_the_documentation_of_optional_methods_can_be_read_from_the_class() -> None:
    assert "epoch" not in (EnhancedStorage.touch.__doc__ or "")
    assert all(getattr(EnhancedStorage, name).__doc__ for name in OPTIONAL)


def test_promises_are_forwarded_but_not_the_identity() -> None:
    class Promising(Plain):
        isolated = settles = any_value = True
        identity = "x"

    promising, plain = enhance_storage(Promising()), enhance_storage(Plain())

    assert promising.isolated
    assert promising.settles
    assert promising.any_value
    assert not (plain.isolated or plain.settles or plain.any_value)
    assert not hasattr(promising, "identity")
    assert isinstance(promising.wrapped, Promising)


def test_it_tells_what_it_enhances() -> None:
    assert "MemorySessionStorage" in repr(enhance_storage(MemorySessionStorage()))


def test_closing_closes_the_storage_inside() -> None:
    inner = Full()

    enhance_storage(inner).close()

    assert inner.closed


def test_the_sync_view_is_enhanced_alike() -> None:
    class WithView(PlainAsync):
        @property
        def sync(self) -> Plain:
            view = Plain()
            view.stored = self.stored
            return view

    clock = Clock()
    storage = enhance_storage(WithView(), ttl=5, migrations={1: add("1")}, clock=clock)

    storage.sync.write("a", {})
    clock.now += 4.999
    assert storage.sync.read("a") == {}
    assert run(lambda: storage.read("a")) == {}
    clock.now += 0.001
    assert storage.sync.read("a") is None
    assert storage.sync is storage.sync
    assert not hasattr(storage.sync, "sync")


def test_a_storage_that_is_its_own_sync_view_stays_one() -> None:
    storage = enhance_storage(MemorySessionStorage())

    assert storage.sync is storage


def test_listings_honour_expiry_and_prefix_and_count_reads_only() -> None:
    clock = Clock()
    inner = Listed(bare={}, forever={"__d": {}}, gone={"__d": {}, "e": 1_000_000_000})
    storage = enhance_storage(inner, migrations={1: add("1")}, clock=clock)

    assert listed(storage.iter_keys()) == ["bare", "forever"]
    assert listed(storage.iter_items("b")) == [("bare", {"path": ["1"]})]
    assert [storage.has(key) for key in ("bare", "forever", "gone", "never")] == [
        *(True, True, False, False)
    ]
    assert "write" not in inner.calls


def test_listings_are_async_over_async_ones() -> None:
    inner = ListedAsync(a={}, gone={"__d": {}, "e": 0})
    storage = enhance_storage(inner, migrations={1: add("1")})

    assert asyncio.run(collect(storage.iter_keys())) == ["a"]
    assert asyncio.run(collect(storage.iter_items())) == [("a", {"path": ["1"]})]


class AsyncMigration:
    async def __call__(self, data: Any) -> Any:
        await asyncio.sleep(0)
        return add("1")(data)


async def plus_arguments(name: str, data: Any) -> Any:
    return add(name)(data)


ASYNC_MIGRATIONS = [AsyncMigration(), partial(plus_arguments, "1")]


class Hidden:
    """Gives awaitables from plain functions: it cannot be seen that it is async."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.inner, name)

        def plain(*arguments: Any, **options: Any) -> Any:
            return method(*arguments, **options)

        return plain


async def all_of(storage: EnhancedStorage) -> list[Any]:
    """Ask for all that an async storage has; each answer must be awaited."""
    _, revision = await awaited(storage.read_with_revision("a"))
    written = await awaited(storage.write_if("a", {"n": 1}, revision))
    answers = [
        storage.read("a"),
        storage.read_tracked("a"),
        storage.has("a"),
        storage.read_many(["a"]),
        storage.write("b", {}),
        storage.write_many({"b": {}}),
        storage.write_if("b", {}, ANY),
        storage.renew("a", written),
        storage.touch("b"),
        storage.delete("b"),
        storage.purge_expired(),
    ]
    found = [await awaited(answer) for answer in answers]
    return [*found, await collect(storage.iter_keys()), await collect(storage.iter_items())]


async def awaited(answer: Any) -> Any:
    assert asyncio.iscoroutine(answer)
    return await answer


def hidden(**stored: Any) -> Any:
    return Hidden(FullAsync(**stored))


@pytest.mark.parametrize("migrate", ASYNC_MIGRATIONS)
@pytest.mark.parametrize("over", [Full, FullAsync, hidden])
def test_all_is_async_if_the_storage_inside_is_or_a_migration(over: Any, migrate: Any) -> None:
    storage = enhance_storage(over(a={}), ttl=1, sliding=True, migrations={1: migrate})

    found = asyncio.run(all_of(storage))

    assert found[0] == {"n": 1}
    assert found[-2:] == [["a"], [("a", {"n": 1})]]


@pytest.mark.parametrize("over", [FullAsync, hidden])
def test_what_hides_that_it_is_async_is_followed(over: Any) -> None:
    storage = enhance_storage(over(a={}), migrations={1: add("1")})

    assert asyncio.run(awaited(storage.read("a"))) == {"path": ["1"]}
    assert asyncio.run(awaited(storage.write("a", 2))) is None
    assert asyncio.run(awaited(storage.read("a"))) == 2
    assert asyncio.run(awaited(storage.write_if("b", 1, None))).inner == 2
    assert asyncio.run(collect(storage.iter_items())) == [("a", 2), ("b", 1)]
    _, revision = asyncio.run(awaited(storage.read_with_revision("a")))
    assert asyncio.run(awaited(storage.write_if("a", 3, revision))).inner == 3
    with pytest.raises(SessionConflictError):
        asyncio.run(awaited(storage.write_if("a", 4, revision)))
    assert asyncio.run(awaited(storage.read("a"))) == 3


@pytest.mark.parametrize("over", [Full, FullAsync, hidden])
def test_what_expired_and_was_purged_while_it_was_used_is_written_again(over: Any) -> None:
    clock = Clock()
    storage = enhance_storage(over(a={"__d": 1, "e": 1_000_000_001}), ttl=1, clock=clock)
    _, revision = run(lambda: storage.read_with_revision("a"))
    clock.now += 1
    run(storage.purge_expired)

    written = run(lambda: storage.write_if("a", 2, revision))

    assert run(lambda: storage.read("a")) == 2
    with pytest.raises(SessionConflictError):
        run(lambda: storage.write_if("a", 3, revision))
    assert written.inner == run(lambda: storage.read_with_revision("a"))[1].inner


def test_a_storage_answers_the_same_where_a_loop_runs_and_where_none_does() -> None:
    async def in_a_loop() -> Any:
        return enhance_storage(Plain(a={}), ttl=1, migrations={1: add("1")}).read("a")

    assert asyncio.run(in_a_loop()) == {"path": ["1"]}
    later = enhance_storage(PlainAsync(a={"n": 1})).read("a")
    assert asyncio.run(awaited(later)) == {"n": 1}


def test_threads_get_no_view_of_what_has_to_be_awaited() -> None:
    assert hasattr(enhance_storage(MemorySessionStorage(), migrations={1: add("1")}), "sync")
    storage = enhance_storage(MemorySessionStorage(), migrations={1: AsyncMigration()})
    assert not hasattr(storage, "sync")


def test_the_error_for_a_plain_function_that_has_to_wait_asks_for_async_def() -> None:
    def later(data: Any) -> Any:
        return AsyncMigration()(data)

    inner = Full(a={})
    storage = enhance_storage(inner, migrations={1: later})

    for ask in (lambda: storage.read("a"), lambda: storage.read_many(["a"])):
        with pytest.raises(SessionMigrationError, match="returned an awaitable: declare it with"):
            ask()
    with pytest.raises(SessionListingError, match="declare it with 'async def'"):
        listed(storage.iter_items())
    assert inner.stored == {"a": {}}


def test_an_error_and_a_cancellation_reach_what_is_under_way() -> None:
    class Slow(FullAsync):
        async def read_with_revision(self, key: str) -> Any:
            await asyncio.sleep(60)

    class Broken(FullAsync):
        async def write_if(self, key: str, *arguments: Any, **options: Any) -> Any:
            await asyncio.sleep(0)
            raise OSError(key)

    async def scenario() -> None:
        reading = asyncio.ensure_future(awaited(enhance_storage(Slow(), ttl=1).touch("a")))
        await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        with pytest.raises(OSError, match="a"):
            await awaited(enhance_storage(Broken(), ttl=1).write_if("a", 1, ANY))

    asyncio.run(scenario())


class Damaged(Full):
    """Cannot read what is stored under the keys that begin with "bad"."""

    def read_with_revision(self, key: str) -> tuple[Any, int | None]:
        if key.startswith("bad"):
            raise SessionDecodeError("damaged", key=key)
        return super().read_with_revision(key)

    def iter_items(self, prefix: str = "") -> Iterator[tuple[str, Any]]:
        left_out = LeftOut()
        for key, value in super().iter_items(prefix):
            if key.startswith("bad"):
                left_out.add(SessionDecodeError("damaged", key=key), key)
            else:
                yield key, value
        left_out.report()


class DamagedAsync(Damaged):
    async def iter_items(self, prefix: str = "") -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        for item in super().iter_items(prefix):
            yield item


@pytest.mark.parametrize("kind", [Damaged, DamagedAsync])
def test_listings_and_purges_go_past_what_cannot_be_read(kind: type[Damaged]) -> None:
    def refuse_b(data: Any) -> Any:
        if data == "b":
            raise ValueError
        return data

    entries = {
        "gone": {"__d": 1, "e": 1},
        "bad": "",
        "b": "b",
        "c": "c",
        "last": {"__d": 1, "e": 1},
    }
    storage = enhance_storage(kind(**entries), migrations={1: refuse_b}, clock=Clock())
    seen: list[Any] = []

    async def go_through(listing: Any) -> None:
        async for item in each(listing):
            seen.append(item)

    with pytest.raises(SessionListingError) as caught:
        asyncio.run(go_through(storage.iter_items()))
    assert seen == [("c", "c")]
    assert sorted(caught.value.keys) == ["b", "bad"]

    seen.clear()
    asyncio.run(go_through(storage.iter_keys()))
    assert sorted(seen) == ["b", "bad", "c"]

    assert run(storage.purge_expired) == 2
    assert sorted(storage.wrapped.stored) == ["b", "bad", "c"]  # type: ignore[attr-defined]


def test_a_purge_leaves_alone_what_was_damaged_after_it_was_listed() -> None:
    class DamagedLater(Full):
        def read_with_revision(self, key: str) -> tuple[Any, int | None]:
            raise SessionDecodeError("damaged", key=key)

    storage = enhance_storage(DamagedLater(a={"__d": 1, "e": 0}), clock=Clock())

    assert storage.purge_expired() == 0


def test_a_backup_is_made_by_the_storage_inside(tmp_path: Path) -> None:
    class WithBackup(Full):
        def backup(self, path: Path) -> None:
            path.write_text("copied")

    enhance_storage(WithBackup()).backup(tmp_path / "copy")

    assert (tmp_path / "copy").read_text() == "copied"
    with pytest.raises(AttributeError, match="own tool"):
        enhance_storage(Full()).backup(tmp_path / "second")


def test_batches_expire_and_migrate() -> None:
    clock = Clock()
    inner = Full(old={"__d": {}}, gone={"__d": {}, "e": 0})
    storage = enhance_storage(inner, ttl=1, migrations={1: add("1")}, clock=clock)

    storage.write_many({"x": {"n": 1}, "y": {"n": 2}})

    assert inner.stored["y"] == {"v": 1, "__d": {"n": 2}, "e": 1_000_001_000}
    assert storage.read_many(["x", "old", "gone", "never"]) == {
        "x": {"n": 1},
        "old": {"path": ["1"]},
    }


# Migrations.


def test_migrations_run_in_numeric_order_from_the_stored_version() -> None:
    migrations: dict[Any, Any] = {"11": add("11"), 10.1: add("10.1"), 2: add("2"), 10: add("10")}
    inner = Plain(bare={}, at2={"__d": {}, "v": 2}, between={"__d": {}, "v": 10.05})
    inner.stored["newest"] = {"__d": {}, "v": 11.0}
    storage = enhance_storage(inner, migrations=migrations)

    assert storage.read("bare") == {"path": ["2", "10", "10.1", "11"]}
    assert storage.read("at2") == {"path": ["10", "10.1", "11"]}
    assert storage.read("between") == {"path": ["10.1", "11"]}
    assert storage.read("newest") == {}
    assert storage.read("never") is None


def test_a_stored_version_equals_its_migration_however_it_was_given() -> None:
    inner = Plain(a={"__d": {}, "v": 10.1})

    assert enhance_storage(inner, migrations={Decimal("10.10"): add("x")}).read("a") == {}


def test_async_migrations_are_awaited_between_others() -> None:
    async def first(data: dict[str, Any]) -> dict[str, Any]:
        await asyncio.sleep(0)
        return add("1")(data)

    storage = enhance_storage(Plain(a={}), migrations={1: first, 2: add("2"), 3: first})

    assert run(lambda: storage.read("a")) == {"path": ["1", "2", "1"]}


def test_a_failing_migration_raises_and_leaves_the_stored_value() -> None:
    def fail(data: dict[str, Any]) -> Any:
        data.clear()
        raise KeyError("petNames")

    inner = Full(a={"__d": {"n": 1}, "v": 1})
    storage = enhance_storage(inner, migrations={1: add("1"), 2: add("2"), 2.5: fail})

    for read in (storage.read, storage.read_with_revision, storage.read_tracked):
        with pytest.raises(SessionMigrationError, match=r"'a' to version 2\.5.*petNames") as error:
            read("a")
        assert (error.value.key, error.value.version) == ("a", 2.5)
        assert isinstance(error.value.__cause__, KeyError)

    assert inner.stored == {"a": {"__d": {"n": 1}, "v": 1}}
    assert "write" not in inner.calls


def test_the_error_for_a_migration_that_returns_none_asks_for_return() -> None:
    storage = enhance_storage(Plain(a={}), migrations={3: lambda _: None})

    with pytest.raises(SessionMigrationError, match=r"returned None: forgot return\?") as error:
        storage.read("a")

    assert error.value.version == 3


@pytest.mark.parametrize("version", [99, 1.5, math.inf])
def test_newer_data_is_never_given_to_older_code(version: float) -> None:
    inner = Full(a={"__d": {}, "v": version})
    storage = enhance_storage(inner, migrations={1: add("1")})

    reads: list[Callable[[], object]] = [
        lambda: storage.read("a"),
        lambda: storage.read_with_revision("a"),
        lambda: storage.read_many(["a"]),
    ]
    for read in reads:
        with pytest.raises(NewerVersionError, match=r"rolling deploy.*rolled back") as error:
            read()
        assert (error.value.key, error.value.version, error.value.latest) == ("a", version, 1)
        assert pickle.loads(pickle.dumps(error.value)).latest == 1

    with pytest.raises(SessionListingError) as at_the_end:
        listed(storage.iter_items())
    assert isinstance(at_the_end.value.__cause__, NewerVersionError)
    assert storage.has("a")
    assert listed(storage.iter_keys()) == ["a"]
    assert inner.stored["a"]["v"] == version


def test_newer_data_that_has_expired_is_missing() -> None:
    inner = Plain(a={"__d": {}, "v": 99, "e": 0})

    assert enhance_storage(inner, migrations={1: add("1")}).read("a") is None


def test_a_cancelled_migration_has_not_failed() -> None:
    async def cancelled(_: Any) -> Any:
        raise asyncio.CancelledError

    storage = enhance_storage(Plain(a={}), migrations={1: cancelled})

    with pytest.raises(asyncio.CancelledError):
        run(lambda: storage.read("a"))


def test_the_revision_tells_that_data_was_migrated_until_it_is_written() -> None:
    inner = Revised(a={"n": 1})
    storage = enhance_storage(inner, migrations={1: add("1")})

    data, revision = tracked(storage, "a")
    assert revision.migrated
    written = storage.write_if("a", data, revision)
    again = tracked(storage, "a")

    assert isinstance(written, EnhancedRevision)
    assert not written.migrated
    assert again == (data, written)
    assert not again[1].migrated
    assert {written} == {again[1]}


def test_a_revision_belongs_to_what_is_stored_however_it_is_read() -> None:
    clock = Clock()
    inner = Revised(a={"__d": {}, "v": 1, "e": 1_000_000_001})
    plain = enhance_storage(inner, migrations={1: add("1")}, clock=clock)
    migrating = enhance_storage(inner, migrations={2: add("2")}, clock=clock)

    revisions = {tracked(plain, "a")[1], tracked(migrating, "a")[1]}
    clock.now += 1
    data, expired = tracked(plain, "a")

    assert data is None
    assert revisions == {expired}


def test_a_tracked_read_tells_it_for_storages_without_revisions() -> None:
    storage = enhance_storage(Plain(a={"n": 1}, gone={"__d": 1, "e": 0}), migrations={1: add("1")})

    data, info = tracked(storage, "a")

    assert data == {"n": 1, "path": ["1"]}
    assert (info.inner, info.migrated) == (None, True)
    assert storage.read_tracked("gone") == (None, None)
    assert storage.read_tracked("never") == (None, None)


def test_a_tracked_read_gives_no_revision_for_what_has_expired() -> None:
    storage = enhance_storage(Revised(gone={"__d": 1, "e": 0}, here=1))

    assert storage.read_tracked("gone") == (None, None)
    assert storage.read_tracked("here") == (1, EnhancedRevision(0))


# Versions without migrations, and what belongs to other releases.


@pytest.mark.parametrize("options", [{}, {"ttl": 60}, {"migrations": {}}], ids=str)
def test_without_migrations_a_version_is_refused_and_none_is_written(options: Any) -> None:
    inner = Full(a={"__d": {"n": 1}, "v": 2}, gone={"__d": {}, "v": 3, "e": 0})
    storage = enhance_storage(inner, **options)

    for ask in (storage.read, storage.read_tracked, storage.read_with_revision):
        with pytest.raises(
            NewerVersionError, match=r"has no migrations: .*migrations=\{2: \.\.\."
        ) as e:
            ask("a")
        assert (e.value.key, e.value.version, e.value.latest) == ("a", 2, None)
    with pytest.raises(SessionListingError, match="version 2"):
        listed(storage.iter_items())
    assert storage.read("gone") is None
    storage.write("a", {"n": 3})
    assert inner.stored["a"].keys() - {"e"} == {"__d"}


OTHERS: dict[str, Any] = {"__u": [1, 2], "__x": {"y": None}}


@pytest.mark.parametrize("kind", [Plain, Full])
def test_fields_of_other_releases_are_written_back(kind: type[Plain]) -> None:
    inner = kind(
        a={"__d": {}, **OTHERS}, b={"__d": 1, "v": 1, **OTHERS}, gone={"__d": 1, "e": 0, **OTHERS}
    )
    storage = enhance_storage(inner, ttl=60, migrations={1: add("1")})

    for key in ("a", "b", "gone", "new"):
        data, revision = at_once(storage.read_tracked(key))
        if revision is None or kind is Plain:
            storage.write(key, data or 7)
        else:
            written = storage.write_if(key, data, revision)
            storage.write_if(key, data, at_once(written))
        storage.touch(key)

    kept = {
        key: {n: v for n, v in inner.stored[key].items() if n in OTHERS} for key in inner.stored
    }
    assert kept == {"a": OTHERS, "b": OTHERS, "gone": {}, "new": {}}
    assert list(inner.stored["a"]) == ["v", "__d", "e", "__u", "__x"]


def test_so_they_are_by_batches_and_writes_on_no_condition_once_some_were_met() -> None:
    inner = Full(a={"__d": 1, **OTHERS}, b={"__d": 2, **OTHERS})
    storage = enhance_storage(inner)

    storage.read("a")
    storage.write_if("a", 1, ANY)
    storage.write_many({"b": 2})

    assert inner.stored == {"a": {"__d": 1, **OTHERS}, "b": {"__d": 2, **OTHERS}}


def test_they_are_kept_where_there_is_no_data() -> None:
    inner = Full(a={"__d": None, **OTHERS})
    storage = enhance_storage(inner)

    data, revision = at_once(storage.read_with_revision("a"))
    assert data is None
    storage.write_if("a", 1, revision)

    assert inner.stored["a"] == {"__d": 1, **OTHERS}


def test_without_any_version_a_write_costs_no_read() -> None:
    inner = Plain(a={"__d": 1})
    storage = enhance_storage(inner, ttl=1)

    storage.read("a")
    storage.write("a", 2)

    assert inner.calls == ["read", "write"]


def test_new_data_has_no_version_without_migrations() -> None:
    inner = Revised(a={"__d": 1, "v": 2, "e": 0})
    storage = enhance_storage(inner)

    data, revision = tracked(storage, "a")
    storage.write_if("a", 2, revision)

    assert data is None
    assert inner.stored["a"] == {"__d": 2}


# Timeouts.


def test_at_the_instant_of_expiry_data_is_gone_and_nothing_is_deleted() -> None:
    clock = Clock()
    inner = Plain()
    storage = enhance_storage(inner, ttl=0.1, clock=clock)

    storage.write("a", 1)
    clock.now += 0.099
    assert storage.read("a") == 1
    clock.now += 0.001
    assert storage.read("a") is None

    assert inner.calls == ["write", "read", "read"]


@given(st.integers(0, 4 * 10**12), st.integers(1, 10**12))
def test_expiry_is_exact_at_every_millisecond(start: int, ttl: int) -> None:
    clock = Clock(start / 1000)
    storage = enhance_storage(Plain(), ttl=ttl / 1000, clock=clock)

    storage.write("a", 1)

    clock.now = (start + ttl - 1) / 1000
    assert storage.read("a") == 1
    clock.now = (start + ttl) / 1000
    assert storage.read("a") is None


def test_legacy_data_does_not_expire_until_it_is_changed() -> None:
    clock = Clock()
    inner = Revised(a={"n": 1})
    storage = enhance_storage(inner, ttl=1, sliding=True, clock=clock)

    clock.now += 1e9
    data, revision = tracked(storage, "a")
    assert storage.renew("a", revision) is None
    assert inner.stored == {"a": {"n": 1}}

    storage.write_if("a", data, revision)
    clock.now += 1
    assert storage.read("a") is None


def test_a_write_without_ttl_ends_the_timeout() -> None:
    inner = Plain(a={"__d": 1, "e": 2_000_000_000})
    storage = enhance_storage(inner, clock=Clock())

    assert storage.read("a") == 1
    storage.write("a", 2)

    assert inner.stored["a"] == {"__d": 2}


def test_an_expired_value_is_missing_yet_has_a_revision_for_exactly_itself() -> None:
    inner = Revised(a={"__d": 1, "e": 0})
    storage = enhance_storage(inner, ttl=1, clock=Clock())

    data, revision = tracked(storage, "a")
    assert data is None
    assert storage.read_with_revision("never") == (None, None)
    storage.write_if("a", 2, revision)
    with pytest.raises(SessionConflictError):
        storage.write_if("a", 3, revision)

    assert storage.read("a") == 2


def test_writing_only_if_absent_succeeds_on_what_has_expired_and_fails_on_what_lives() -> None:
    inner = Revised(a={"__d": 1, "e": 0}, b={"__d": 1})
    storage = enhance_storage(inner, ttl=1, clock=Clock())

    assert storage.write_if("a", 2, None)
    assert storage.write_if("new", 2, None)
    for key in ("a", "b", "new"):
        with pytest.raises(SessionConflictError):
            storage.write_if(key, 3, None)

    assert [storage.read(key) for key in ("a", "b", "new")] == [2, 1, 2]


def test_deleting_only_if_absent_removes_what_has_expired() -> None:
    inner = Revised(a={"__d": 1, "e": 0}, b={"__d": 1})
    storage = enhance_storage(inner, clock=Clock())

    assert storage.write_if("a", None, None) is None
    with pytest.raises(SessionConflictError):
        storage.write_if("b", None, None)

    assert list(inner.stored) == ["b"]


def test_writing_if_absent_survives_a_purge_in_between_but_not_a_write() -> None:
    inner = Revised(a={"__d": 1, "e": 0}, b={"__d": 1, "e": 0})
    storage = enhance_storage(inner, clock=Clock())
    theirs = {"__d": "theirs"}

    inner.meddle_after_read = lambda: inner.delete("a")
    assert storage.write_if("a", 2, None)
    inner.meddle_after_read = lambda: inner.write("b", theirs)
    with pytest.raises(SessionConflictError):
        storage.write_if("b", 2, None)

    assert inner.stored == {"a": {"__d": 2}, "b": theirs}


def test_a_storage_that_always_conflicts_does_not_hang() -> None:
    class Stubborn(Revised):
        def write_if(self, *args: Any, **options: Any) -> Any:
            raise SessionConflictError("always")

    storage = enhance_storage(Stubborn(gone={"__d": 1, "e": 0}, here=1), ttl=1)

    with pytest.raises(SessionConflictError):
        storage.write_if("gone", 1, None)
    with pytest.raises(SessionConflictError):
        storage.touch("here")


def test_delete_and_conditional_delete_pass_through() -> None:
    inner = Revised(a={"__d": 1}, b={"__d": 1})
    storage = enhance_storage(inner)

    storage.delete("a")
    storage.delete("never")
    _, revision = tracked(storage, "b")
    assert storage.write_if("b", None, revision) is None

    assert inner.stored == {}


@pytest.mark.parametrize("kind", [Plain, Revised])
def test_touching_restarts_the_timeout_without_changing_data_or_version(
    kind: type[Plain],
) -> None:
    clock = Clock()
    inner = kind(
        old={"__d": {"n": 1}, "v": 99, "e": 1_000_000_001}, gone={"__d": 1, "e": 0}, bare=[1]
    )
    storage = enhance_storage(inner, ttl=10, clock=clock)

    touched = [storage.touch(key) for key in ("old", "gone", "never", "bare")]

    assert touched == [True, False, False, True]
    assert inner.stored == {
        "old": {"v": 99, "__d": {"n": 1}, "e": 1_000_010_000},
        "gone": {"__d": 1, "e": 0},
        "bare": {"__d": [1], "e": 1_000_010_000},
    }


def test_a_touch_keeps_what_was_written_in_between() -> None:
    inner = Revised(a={"__d": 1})
    storage = enhance_storage(inner, ttl=10, clock=Clock())

    inner.meddle = lambda: inner.write("a", {"__d": "theirs", "e": 1_000_000_001})
    assert storage.touch("a")
    assert inner.stored["a"] == {"__d": "theirs", "e": 1_000_010_000}

    inner.meddle = lambda: inner.delete("a")
    assert not storage.touch("a")


def test_without_ttl_the_touch_of_the_storage_is_used_where_something_lives() -> None:
    class Touchable(Plain):
        def touch(self, key: str) -> bool:
            self.calls.append(f"touch {key}")
            return key in self.stored

    inner = Touchable(here={"__d": 1}, gone={"__d": 1, "e": 0})
    storage = enhance_storage(inner)

    assert [storage.touch(key) for key in ("here", "gone", "never")] == [True, False, False]
    assert inner.calls.count("touch here") == 1
    assert not any(call.startswith("touch") and "here" not in call for call in inner.calls)


@pytest.mark.parametrize("kind", [Plain, Revised])
def test_a_use_renews_at_most_once_per_tenth_of_the_ttl(kind: type[Plain]) -> None:
    clock = Clock()
    inner = kind()
    storage = enhance_storage(inner, ttl=100, sliding=True, clock=clock)
    storage.write("a", {"n": 1})

    def use() -> Any:
        _, revision = tracked(storage, "a")
        return storage.renew("a", revision)

    clock.now += 9.999
    assert use() is None
    assert inner.stored["a"]["e"] == 1_000_100_000

    clock.now += 0.001
    renewed = use()
    assert isinstance(renewed, EnhancedRevision)
    assert not renewed.migrated
    assert inner.stored["a"] == {"__d": {"n": 1}, "e": 1_000_110_000}
    assert storage.read_tracked("a") == ({"n": 1}, renewed)
    assert use() is None

    clock.now += 99.999
    assert use()
    clock.now += 100
    assert storage.read("a") is None


@pytest.mark.parametrize("kind", [Plain, Revised])
def test_a_renewal_never_touches_what_somebody_else_wrote_deleted_or_let_expire(
    kind: type[Plain],
) -> None:
    clock = Clock()
    inner = kind()
    storage = enhance_storage(inner, ttl=100, sliding=True, clock=clock)

    def revision_of(key: str) -> EnhancedRevision:
        storage.write(key, 1)
        return tracked(storage, key)[1]

    written, deleted, expired = map(revision_of, ("written", "deleted", "expired"))
    clock.now += 50
    storage.write("written", 2)
    storage.delete("deleted")
    assert storage.renew("written", written) is None
    assert storage.renew("deleted", deleted) is None
    clock.now += 50
    assert storage.renew("expired", expired) is None
    assert storage.renew("never", None) is None

    assert inner.stored == {
        "written": {"__d": 2, "e": 1_000_150_000},
        "expired": {"__d": 1, "e": 1_000_100_000},
    }


def test_a_renewal_that_meets_a_write_leaves_it_alone() -> None:
    clock = Clock()
    inner = Revised()
    storage = enhance_storage(inner, ttl=100, sliding=True, clock=clock)
    storage.write("a", 1)
    _, revision = tracked(storage, "a")
    clock.now += 50

    inner.meddle = lambda: storage.write("a", 2)

    assert storage.renew("a", revision) is None
    assert storage.read("a") == 2


def test_a_shorter_ttl_takes_hold_at_the_next_use_or_change() -> None:
    clock = Clock()
    inner = Revised()
    enhance_storage(inner, ttl=1000, clock=clock).write("a", 1)
    storage = enhance_storage(inner, ttl=10, sliding=True, clock=clock)

    _, revision = tracked(storage, "a")
    assert storage.renew("a", revision)

    assert inner.stored["a"]["e"] == 1_000_010_000


def test_purging_removes_exactly_what_has_expired() -> None:
    inner = Full(bare=1, lives={"__d": 1, "e": 1_000_000_001}, gone={"__d": 1, "e": 1_000_000_000})
    inner.stored["newer"] = {"__d": 1, "v": 99, "e": 5}
    inner.revisions["newer"] = 0
    storage = enhance_storage(inner, migrations={1: add("1")}, clock=Clock())

    assert storage.purge_expired() == 2
    assert storage.purge_expired() == 0

    assert list(inner.stored) == ["bare", "lives"]


def test_a_purge_never_removes_what_was_written_in_between() -> None:
    inner = Full(a={"__d": 1, "e": 0})
    storage = enhance_storage(inner, clock=Clock())

    inner.meddle = lambda: inner.write("a", {"__d": "fresh"})

    assert storage.purge_expired() == 0
    assert storage.read("a") == "fresh"


def test_a_purge_leaves_alone_what_was_renewed_after_it_was_listed() -> None:
    class Slow(Full):
        def iter_items(self, prefix: str = "") -> Iterator[tuple[str, Any]]:
            yield from list(super().iter_items(prefix))
            self.write("a", {"__d": "fresh"})

    inner = Slow(a={"__d": 1, "e": 0})

    assert enhance_storage(inner, clock=Clock()).purge_expired() == 0
    assert inner.stored["a"] == {"__d": "fresh"}


def test_a_storage_that_keeps_expiries_is_given_each() -> None:
    clock = Clock()
    inner = Expiring(clock)
    storage = enhance_storage(inner, ttl=10, clock=clock)

    storage.write("a", 1)
    storage.write_if("b", 1, None)
    storage.write_many({"c": 1})
    clock.now += 5
    storage.touch("b")

    assert inner.expires == {"a": 1_000_010.0, "b": 1_000_015.0, "c": 1_000_010.0}
    clock.now += 5
    assert storage.purge_expired() == 2
    assert list(inner.stored) == ["b"]


@pytest.mark.parametrize("offset", [-1e6, 1e6])
def test_a_storage_with_another_clock_is_given_none_and_purged_all_the_same(offset: float) -> None:
    clock = Clock()
    inner = MemorySessionStorage(clock=Clock(clock.now + offset))
    storage = enhance_storage(inner, ttl=10, clock=clock)

    storage.write("a", 1)
    inner.purge_expired()
    clock.now += 9
    assert storage.read("a") == 1
    clock.now += 1

    assert storage.purge_expired() == 1
    assert listed(inner.iter_keys()) == []


def test_without_any_clock_given_both_go_by_the_time_of_the_day() -> None:
    class Recording(Revised):
        supports_expiry = True

    inner = Recording()

    enhance_storage(inner, ttl=1000).write("a", 1)

    assert inner.expires["a"] == inner.stored["a"]["e"] / 1000


def test_a_storage_that_keeps_expiries_is_given_none_without_ttl() -> None:
    clock = Clock()
    inner = Expiring(clock)

    enhance_storage(inner, clock=clock).write("a", 1)

    assert inner.expires == {"a": None}


def test_purging_finds_also_what_the_storage_was_never_given() -> None:
    clock = Clock()
    inner = MemorySessionStorage(clock=clock)
    storage = enhance_storage(inner, ttl=10, clock=clock)
    inner.write("theirs", {"__d": 1, "e": 1})
    storage.write_many({"batch": 1})
    storage.write("ours", 1)
    clock.now += 10

    assert storage.purge_expired() == 3
    assert list(inner.iter_keys()) == []


# Async storages.


def test_everything_works_over_an_async_storage() -> None:
    async def scenario() -> None:
        clock = Clock()
        inner = PlainAsync(a={"n": 1})
        storage = enhance_storage(
            inner, ttl=100, sliding=True, migrations={1: AsyncMigration()}, clock=clock
        )
        data, info = await resolve(storage.read_tracked("a"))
        assert data == {"n": 1, "path": ["1"]}
        assert info is not None
        assert info.migrated
        await resolve(storage.write("a", data))
        assert inner.stored["a"] == {"v": 1, "__d": data, "e": 1_000_100_000}
        clock.now += 50
        _, info = await resolve(storage.read_tracked("a"))
        assert await resolve(storage.renew("a", info))
        assert inner.stored["a"]["e"] == 1_000_150_000
        assert await resolve(storage.touch("a"))
        await resolve(storage.delete("a"))
        assert await resolve(storage.read("a")) is None

    asyncio.run(scenario())


def test_a_sync_storage_answers_with_plain_values() -> None:
    storage = enhance_storage(Full(a={}), ttl=1, migrations={1: add("1")})

    answers = [storage.read("a"), storage.has("a"), storage.touch("a"), storage.purge_expired()]

    assert not any(hasattr(answer, "__await__") for answer in answers)
    assert not isinstance(storage.iter_items(), AsyncIterable)


def test_an_error_of_the_storage_is_raised_never_taken_for_missing() -> None:
    class Broken(Full):
        def read(self, key: str) -> Any:
            raise OSError("disk")

    storage = enhance_storage(Broken(), ttl=1)

    for read in (storage.read, storage.read_with_revision, storage.has, storage.touch):
        with pytest.raises(OSError, match="disk"):
            read("a")


# Snapshots


class LiesAboutReads(MemorySessionStorage):
    def read(self, key: str, /) -> Any:
        return super().read(key)


async def add_later(data: Any) -> Any:
    return data


def noted(data: Any) -> Any:
    return {**data, "noted": True}


OPTIONS: list[dict[str, Any]] = [
    {},
    {"ttl": 60},
    {"migrations": {1: add("1"), 2: add("2")}},
    {"ttl": 60, "migrations": {10.5: add("1")}},
]


@pytest.mark.parametrize("options", OPTIONS, ids=["nothing", "ttl", "migrations", "both"])
@pytest.mark.parametrize("value", [0, {"n": 1, "__d": []}, {"at": {1}}, {"day": date(2026, 1, 1)}])
def test_a_snapshot_is_that_of_the_data(options: dict[str, Any], value: Any) -> None:
    clock = Clock()
    memory = MemorySessionStorage(clock=clock)
    storage: Any = enhance_storage(memory, clock=clock, **options)

    revision = storage.write_if("by value", value, None)
    found = storage.read_snapshot("by value")
    assert found == (freeze(value), value, revision)
    assert type(found[0]) is type(freeze(value))
    again = storage.write_snapshot("by value", found[0], value, found[2])
    assert again.expires == found[2].expires
    assert storage.read_with_revision("by value") == (value, again)
    assert memory.read_entries(["by value"])["by value"].expires == (
        clock.now + 60 if "ttl" in options else None
    )
    fresh = storage.write_snapshot("new", freeze(value), value, None)
    assert storage.read_snapshot("new") == (freeze(value), value, fresh)
    assert memory.read("new") == memory.read("by value")
    assert storage.write_snapshot("new", None, None, fresh) is None
    assert storage.read_snapshot("new") == (None, None, None)


def test_snapshots_of_what_others_wrote() -> None:
    memory = MemorySessionStorage()
    storage: Any = enhance_storage(memory, ttl=60, migrations={2: noted})
    for stored, data in (
        ({"__d": {"n": 1}, "v": 2}, {"n": 1}),
        ({"v": 2, "__d": {"n": 1}, "__other": 5}, {"n": 1}),
        ({"n": 1}, {"n": 1, "noted": True}),
        ({"v": 2, "__d": {"n": 1}, "e": 1}, None),
    ):
        memory.write("1", stored)
        snapshot, value, revision = storage.read_snapshot("1")
        assert (snapshot, value) == (None if data is None else freeze(data), data)
        storage.write_snapshot("1", freeze({"n": 2}), {"n": 2}, revision)
        assert memory.read("1").get("__other") == stored.get("__other")
        assert storage.read("1") == {"n": 2}


def test_a_snapshot_is_written_only_on_what_was_read_unless_that_has_expired() -> None:
    clock = Clock()
    memory = MemorySessionStorage(clock=clock)
    storage: Any = enhance_storage(memory, ttl=60, clock=clock)
    revision = storage.write_if("1", {"n": 1}, None)
    storage.write("1", {"n": 2})
    with pytest.raises(SessionConflictError):
        storage.write_snapshot("1", freeze({"n": 3}), {"n": 3}, revision)
    assert storage.read("1") == {"n": 2}
    clock.now += 61
    storage.write_snapshot("1", freeze({"n": 3}), {"n": 3}, revision)
    assert storage.read("1") == {"n": 3}

"""The suite for wrappers: what is right passes, each mistake is caught by a promise of its name."""

from __future__ import annotations

import unittest
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest

from sessionkit import enhance_storage
from sessionkit._storage.sync_or_async import is_awaitable, resolve
from sessionkit.errors import SessionDecodeError
from sessionkit.testing import (
    BrokenPromise,
    FakeClock,
    FaultyStorage,
    Limits,
    RecordingStorage,
    WrapperSuite,
)
from sessionkit.testing._forwarding import ForwardingStorage
from sessionkit.testing._promises import Promise, promises
from sessionkit.testing._wrappers.errors import errors
from sessionkit.testing._wrappers.honest import honest
from sessionkit.testing._wrappers.inside import ALL, GROUPS, Inside, Variant, all_variants
from sessionkit.testing._wrappers.rows import Rows
from tests.profiles import thorough, without

OWN = {promise.name: promise for promise in (*honest, *errors)}
PROMISES = {**{promise.name: promise for promise in promises()}, **OWN}
TABLE = [promise for promise in PROMISES.values() if promise.layer == "table"]


# Wrappers that are right


class Prefixed:
    """All of another storage, under a prefix: for several bots in one database."""

    by_key: frozenset[str] = frozenset(
        ("has", "touch", "read_with_revision", "read_tracked", "write_if", "renew")
    )

    def __init__(self, storage: Any, prefix: str = "bot:") -> None:
        self.wrapped = storage
        self.prefix = prefix

    def read(self, key: str) -> Any:
        return self.wrapped.read(self.prefix + key)

    def write(self, key: str, value: Any) -> Any:
        return self.wrapped.write(self.prefix + key, value)

    def delete(self, key: str) -> Any:
        return self.wrapped.delete(self.prefix + key)

    def __getattr__(self, name: str) -> Any:
        inside = getattr(self.wrapped, name)  # not there: not here
        if name in self.by_key:
            return lambda key, *others, **options: inside(self.prefix + key, *others, **options)  # pyright: ignore[reportUnknownLambdaType, reportUnknownVariableType]  # of anything
        own = getattr(type(self), f"_{name}", None)
        return inside if own is None else own.__get__(self)

    @property
    def sync(self) -> Any:
        return type(self)(self.wrapped.sync, self.prefix)

    def _read_many(self, keys: Any) -> Any:
        found = self.wrapped.read_many([self.prefix + key for key in keys])
        return self._later(found) if is_awaitable(found) else self._cut(found)

    async def _later(self, found: Any) -> Any:
        return self._cut(await found)

    def _cut(self, found: Any) -> Any:
        return {key.removeprefix(self.prefix): value for key, value in found.items()}

    def _write_many(self, values: Any) -> Any:
        return self.wrapped.write_many({self.prefix + key: each for key, each in values.items()})

    def _iter_keys(self, prefix: str = "") -> Any:
        return self._listed(self.wrapped.iter_keys(self.prefix + prefix), self._key)

    def _iter_items(self, prefix: str = "") -> Any:
        return self._listed(self.wrapped.iter_items(self.prefix + prefix), self._item)

    def _key(self, key: str) -> Any:
        return key.removeprefix(self.prefix)

    def _item(self, item: tuple[str, Any]) -> Any:
        return self._key(item[0]), item[1]

    def _listed(self, listing: Any, convert: Callable[[Any], Any]) -> Any:
        async def later() -> AsyncIterator[Any]:
            async for entry in listing:
                yield convert(entry)

        return later() if hasattr(listing, "__aiter__") else map(convert, listing)


class ReadCache:
    """Remembers what was read, in a program that is the only one to write."""

    def __init__(self, storage: Any) -> None:
        self.wrapped = storage
        self.cache: dict[str, Any] = {}
        self.writes: dict[str, int] = {}

    async def read(self, key: str) -> Any:
        if key in self.cache:
            return self.cache[key]
        writes = self.writes.get(key)
        value = await resolve(self.wrapped.read(key))
        if writes == self.writes.get(key):
            self.cache[key] = value
        return value

    async def write(self, key: str, value: Any) -> None:
        self.forget(key)
        try:
            await resolve(self.wrapped.write(key, value))
        finally:
            self.forget(key)

    async def delete(self, key: str) -> None:
        self.forget(key)
        try:
            await resolve(self.wrapped.delete(key))
        finally:
            self.forget(key)

    def forget(self, key: str) -> None:
        self.writes[key] = self.writes.get(key, 0) + 1
        self.cache.pop(key, None)


@without("machine")
class TestPrefixed(WrapperSuite):
    def wrap(self, storage: Any) -> Any:
        return Prefixed(storage)


class Recording(WrapperSuite):
    def wrap(self, storage: Any) -> Any:
        return RecordingStorage(storage)


class Faulty(WrapperSuite):
    async def wrap(self, storage: Any) -> Any:
        return FaultyStorage(storage)


class Cached(WrapperSuite):
    limits = Limits(shared=False)

    def wrap(self, storage: Any) -> Any:
        return ReadCache(storage)

    def offers(self, inside: frozenset[str]) -> frozenset[str]:
        return frozenset()


class Enhanced(WrapperSuite):
    """Adds what timeouts need, and tells expiries only to the storage inside."""

    options: Mapping[str, Any] = MappingProxyType({})

    def wrap(self, storage: Any) -> Any:
        return enhance_storage(storage, clock=self.clock, **self.options)

    def offers(self, inside: frozenset[str]) -> frozenset[str]:
        own = {"read_tracked"}
        if "ttl" in self.options:
            own.add("touch")
        if "sliding" in self.options:
            own.add("renew")
        if inside >= {"iter_items", "write_if"}:
            own.add("purge_expired")
        return inside - self.lost(inside) | own

    def lost(self, inside: frozenset[str]) -> frozenset[str]:
        lost = {"supports_expiry", "renew"}
        if "ttl" in self.options and not inside >= {"supports_expiry", "write_if"}:
            lost.add("purge_expired")  # of what expires here, the storage inside knows nothing
        return frozenset(lost)


class EnhancedFor(Enhanced):
    limits = Limits(ttl=60)
    options = MappingProxyType({"ttl": 60})


class EnhancedSliding(Enhanced):
    limits = Limits(ttl=60)
    options = MappingProxyType({"ttl": 60, "sliding": True})


class EnhancedMigrating(Enhanced):
    options = MappingProxyType({"migrations": {1: dict}})


RIGHT = (
    Enhanced,
    *map(thorough, (Recording, Faulty, Cached, EnhancedFor, EnhancedSliding, EnhancedMigrating)),
)


def broken_by(suite: WrapperSuite, promise: Promise) -> BrokenPromise | None:
    try:
        suite.ask(promise)
    except unittest.SkipTest:
        return None
    except BrokenPromise as error:
        return error
    return None


@pytest.mark.parametrize("kind", RIGHT)
def test_wrappers_of_the_project_keep_every_promise(kind: type[WrapperSuite]) -> None:
    found = {promise.name: broken_by(kind(), promise) for promise in TABLE}

    assert {name: str(error) for name, error in found.items() if error} == {}


# Wrappers that are wrong


class Inventing(ForwardingStorage):
    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.capabilities |= {"has"}


class Losing(ForwardingStorage):
    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.capabilities -= {"write_if", "read_with_revision"}


class Clockless(ForwardingStorage):
    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.__dict__.pop("clock", None)


class NeverRenewing(ForwardingStorage):
    def renew(self, key: str, revision: Any, /) -> Any:
        return self.touch("no such key") if "touch" in self.capabilities else None


class StaleHas(Prefixed):
    """Remembers what one method gave."""

    name = "has"

    def __init__(self, storage: Any, prefix: str = "bot:") -> None:
        super().__init__(storage, prefix)
        self.found: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        asked = super().__getattr__(name)

        async def remembered(key: Any) -> Any:
            if str(key) not in self.found:
                self.found[str(key)] = await resolve(asked(key))
            return self.found[str(key)]

        return remembered if name == self.name else asked


class StaleBatches(StaleHas):
    name = "read_many"


class StaleRevisions(StaleHas):
    name = "read_with_revision"


class UnnamedView(Prefixed):
    @property
    def sync(self) -> Any:
        view = super().sync
        return SimpleNamespace(read=view.read, write=view.write, delete=view.delete)


class BareView(Prefixed):
    @property
    def sync(self) -> Any:
        return self.wrapped.sync


class HasForgotten(Prefixed):
    by_key = Prefixed.by_key - {"has"}


class ListsInsides(Prefixed):
    def _key(self, key: str) -> Any:
        return key


class Plain:
    """Three methods."""

    def __init__(self, storage: Any) -> None:
        self.wrapped = storage

    async def read(self, key: str) -> Any:
        return await resolve(self.wrapped.read(key))

    async def write(self, key: str, value: Any) -> None:
        await resolve(self.wrapped.write(key, value))

    async def delete(self, key: str) -> None:
        await resolve(self.wrapped.delete(key))


class Awaiting(Plain):
    async def read(self, key: str) -> Any:
        return await self.wrapped.read(key)


class Unnamed:
    def __init__(self, storage: Any) -> None:
        self.inner = storage
        self.read, self.write, self.delete = storage.read, storage.write, storage.delete


class Swallowing(Plain):
    async def read(self, key: str) -> Any:
        with suppress(OSError):
            return await super().read(key)


class Translating(Plain):
    async def read(self, key: str) -> Any:
        try:
            return await super().read(key)
        except OSError as error:
            raise RuntimeError("sorry") from error


class Careless(Plain):
    async def write(self, key: str, value: Any) -> None:
        with suppress(OSError):
            await super().write(key, value)


class SwallowingTracked(Prefixed):
    def __getattr__(self, name: str) -> Any:
        asked = super().__getattr__(name)

        async def swallowing(key: str) -> Any:
            with suppress(OSError):
                return await resolve(asked(key))
            return None, None

        return swallowing if name == "read_tracked" else asked


class CachesFirst(Plain):
    def __init__(self, storage: Any) -> None:
        super().__init__(storage)
        self.cache: dict[str, Any] = {}

    async def read(self, key: str) -> Any:
        return self.cache.get(key) or await super().read(key)

    async def write(self, key: str, value: Any) -> None:
        self.cache[key] = value
        await super().write(key, value)

    async def delete(self, key: str) -> None:
        await super().delete(key)
        self.cache.pop(key, None)


class DeletesFirst(Plain):
    async def write(self, key: str, value: Any) -> None:
        await self.delete(key)
        await super().write(key, value)


class ForgetsFirst(CachesFirst):
    async def write(self, key: str, value: Any) -> None:
        await Plain.write(self, key, value)
        self.cache.pop(key, None)

    async def read(self, key: str) -> Any:
        return None if key in self.cache else await Plain.read(self, key)

    async def delete(self, key: str) -> None:
        self.cache[key] = None
        await Plain.delete(self, key)


class RemembersFailures(ForgetsFirst):
    async def read(self, key: str) -> Any:
        if key in self.cache:
            return None
        self.cache[key] = None
        found = await Plain.read(self, key)
        del self.cache[key]
        return found

    async def delete(self, key: str) -> None:
        await Plain.delete(self, key)


class Stripping(Plain):
    async def read(self, key: str) -> Any:
        found = await super().read(key)
        return {name: each for name, each in found.items() if name != "e"} if found else found


BROKEN: tuple[tuple[str, Callable[[Any], Any]], ...] = (
    ("offers_what_it_can_honour", Inventing),
    ("offers_what_it_can_honour", Losing),
    ("wrappers_share_locks", Unnamed),
    ("wrappers_share_locks", UnnamedView),
    ("clock_is_passed_on", Clockless),
    ("changes_behind_it_are_seen", ReadCache),
    ("changes_behind_it_are_seen", StaleHas),
    ("changes_behind_it_are_seen", StaleBatches),
    ("changes_behind_it_are_seen", StaleRevisions),
    ("sliding_timeouts_slide", NeverRenewing),
    ("it_can_be_enhanced", Stripping),
    ("read_errors_come_through", Swallowing),
    ("read_errors_come_through", Translating),
    ("read_errors_come_through", SwallowingTracked),
    ("write_errors_come_through", Careless),
    ("failed_write_keeps_the_old_value", CachesFirst),
    ("failed_write_keeps_the_old_value", DeletesFirst),
    ("failed_delete_keeps_the_value", ForgetsFirst),
    ("failed_read_is_not_remembered", RemembersFailures),
    # Promises of storages
    ("written_is_read", Awaiting),
    ("changes_of_others_are_seen", ReadCache),
    ("has_reports_what_is_stored", HasForgotten),
    ("every_key_is_listed_once", ListsInsides),
    ("sync_view_has_the_same_data", BareView),
)


def suite_of(make: Callable[[Any], Any], **attributes: Any) -> WrapperSuite:
    def wrap(_self: WrapperSuite, storage: Any) -> Any:
        return make(storage)

    suite: WrapperSuite = type("Suite", (WrapperSuite,), {"wrap": wrap, **attributes})()
    return suite


def nothing(_self: WrapperSuite, _inside: frozenset[str]) -> frozenset[str]:
    return frozenset()


def test_each_promise_has_a_test_and_is_broken() -> None:
    assert OWN.keys() <= {name for name, _ in BROKEN}
    for promise in OWN.values():
        assert getattr(WrapperSuite, f"test_{promise.name}").__doc__ == promise.sentence
    assert len(OWN) == 11


@pytest.mark.parametrize(("name", "make"), BROKEN)
def test_a_wrapper_that_breaks_a_promise_is_caught(name: str, make: Callable[[Any], Any]) -> None:
    with pytest.raises(BrokenPromise) as caught:
        suite_of(make).ask(PROMISES[name])

    assert caught.value.promise is PROMISES[name]
    assert caught.value.history[0].startswith("# the storage inside is ")
    assert len(caught.value.history) <= 15


def test_a_break_shows_which_storage_is_inside() -> None:
    with pytest.raises(BrokenPromise) as caught:
        suite_of(Swallowing, offers=nothing).ask(PROMISES["read_errors_come_through"])

    assert str(caught.value) == (
        "An error of the storage inside comes through as it is: it is never taken for missing.\n"
        "\n"
        "    # the storage inside is sync, and beside read, write and delete it offers everything\n"
        "    storage = open('n1')\n"
        "    await storage.write('1', {'n': 1})\n"
        "    await storage.write('2', {'n': 2})\n"
        "    # storage is closed\n"
        "    storage = open('n1')\n"
        "    # now the storage inside raises OSError('the disk is full') in read, has, ...\n"
        "    await storage.read('1')  # -> None\n"
        "\n"
        "expected: OSError('the disk is full'), the very error of the storage inside\n"
        "got:      no error\n"
        "\n"
        "Usual cause: the wrapper catches it and gives None, an empty dict or a value that it "
        "remembers. The\n"
        "session would start again and overwrite what is stored.\n"
        "(promise read_errors_come_through)"
    )


def test_what_the_wrapper_does_not_pass_on_is_left_out() -> None:
    plain = suite_of(Plain, offers=nothing)

    plain.ask(PROMISES["offers_what_it_can_honour"])
    for name, reason in {
        "sliding_timeouts_slide": "renew is not passed on",
        "clock_is_passed_on": "does not declare supports_expiry",
        "has_reports_what_is_stored": r"has no has\(\)",
    }.items():
        with pytest.raises(unittest.SkipTest, match=reason):
            plain.ask(PROMISES[name])


def test_what_can_be_asked_around_one_storage_at_least_is_not_left_out() -> None:
    try:
        TestPrefixed().ask(PROMISES["has_reports_what_is_stored"])
    except unittest.SkipTest as reason:
        pytest.fail(f"it was left out: {reason}")


def test_what_cannot_be_enhanced_twice_is_left_out() -> None:
    for name in ("sliding_timeouts_slide", "it_can_be_enhanced"):
        with pytest.raises(unittest.SkipTest, match="is enhanced already"):
            EnhancedSliding().ask(PROMISES[name])


def test_other_processes_are_left_out() -> None:
    with pytest.raises(unittest.SkipTest, match=r"^the storage inside is in the memory of this"):
        TestPrefixed().ask(PROMISES["no_addition_is_lost_among_processes"])


def test_a_wrapper_may_take_one_kind_of_storage_only() -> None:
    suite_of(Awaiting, kinds=("async",)).ask(PROMISES["written_is_read"])


def test_a_wrapper_that_takes_the_clock_is_asked_for_its_timeout() -> None:
    with pytest.raises(BrokenPromise, match=r"clock\.advance"):
        suite_of(Plain, limits=Limits(ttl=60)).ask(PROMISES["value_is_gone_after_its_timeout"])


def test_a_damaged_value_inside_must_come_through() -> None:
    class Hiding(Plain):
        async def read(self, key: str) -> Any:
            with suppress(SessionDecodeError):
                return await super().read(key)

    TestPrefixed().ask(PROMISES["damaged_value_raises"])
    with pytest.raises(BrokenPromise, match="is damaged"):
        suite_of(Hiding).ask(PROMISES["damaged_value_raises"])


def test_a_suite_without_wrap_says_what_to_write() -> None:
    with pytest.raises(BrokenPromise, match=r"has no wrap\(\): write def wrap\(self, storage\)"):
        WrapperSuite().ask(PROMISES["written_is_read"])


# The storages of the kit


def test_a_storage_of_the_kit_says_what_it_is() -> None:
    rows = Rows(FakeClock())

    assert repr(Inside(rows, Variant("sync", ALL))) == "<storage of the kit>"
    assert str(Variant("sync", ALL)).endswith("it offers everything")
    assert str(Variant("async", frozenset())).endswith("it offers nothing")
    assert str(Variant("async", ALL - {"has"})).endswith("it offers everything but has")
    assert str(Variant("sync", frozenset({"touch", "has"}))).endswith("it offers has, touch")


def test_the_storages_of_the_kit_keep_every_promise_themselves() -> None:
    class Itself(WrapperSuite):
        def wrap(self, storage: Any) -> Any:
            return storage

    found = {promise.name: broken_by(Itself(), promise) for promise in TABLE}

    assert {name: str(error) for name, error in found.items() if error} == {}
    assert {variant.offers for variant in all_variants(("sync",))} >= {*map(frozenset, GROUPS)}

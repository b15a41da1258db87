"""One suite over all storages of the core: what the protocols in ``_types`` promise."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from sessionkit import SessionClosedError, SessionConflictError, enhance_storage
from sessionkit.protocols import ANY
from tests.core import STORAGES, Clocked, make_storage

TTL = 100.0

# Keys that a careless storage would mix up
KEYS = (
    "1",
    "01",
    "1 ",
    " 1",
    "a",
    "A",
    "a/b",
    "a%2fb",
    "a_b",
    "aXb",
    "../a",
    ".",
    "con",
    "e\u0301",
    "\u00e9",
    "\ud800",
    "🍕",
    "-100",
    "3/-100/t12",
    "x" * 300,
    "x" * 301,
    "a\x00b",
    "a\nb",
)
EDGES: list[Any] = [
    0,
    "",
    False,
    [],
    {},
    0.0,
    -0.0,
    2**70,
    -(2**63),
    1e308,
    5e-324,
    "\ud800",
    "\x00",
    {"": None},
    {"__d": 1, "v": 2},
    {"e": 5},
    [None],
    "null",
    {"a": [{"b": [True, 1, 1.0]}]},
]


@pytest.fixture(params=STORAGES)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def clock() -> Clocked:
    return Clocked()


@pytest.fixture
def blocking(kind: str, tmp_path: Path) -> Iterator[Any]:
    made = make_storage(kind, tmp_path)
    yield made.sync
    made.sync.close()


@pytest.fixture
def expiring(kind: str, tmp_path: Path, clock: Clocked) -> Iterator[Any]:
    made = make_storage(kind, tmp_path, ttl=TTL, clock=clock)
    yield made.sync
    made.sync.close()


def keys_of(storage: Any, prefix: str = "") -> list[str]:
    found = list(storage.iter_keys(prefix))
    assert dict(storage.iter_items(prefix)).keys() == set(found)
    return sorted(found)


# Reading and writing


def test_confusable_keys_are_different_keys(blocking: Any) -> None:
    for number, key in enumerate(KEYS):
        assert blocking.read(key) is None
        blocking.write(key, {"number": number})
    for number, key in enumerate(KEYS):
        assert blocking.read(key) == {"number": number}
        assert blocking.has(key)
    assert keys_of(blocking) == sorted(KEYS)
    for key in KEYS[::2]:
        blocking.delete(key)
    assert keys_of(blocking) == sorted(KEYS[1::2])


@pytest.mark.parametrize("value", EDGES, ids=repr)
def test_edge_values_come_back_as_they_were(blocking: Any, value: Any) -> None:
    blocking.write("1", value)
    assert repr(blocking.read("1")) == repr(value)
    assert repr(blocking.read_with_revision("1")[0]) == repr(value)
    assert repr(dict(blocking.iter_items())["1"]) == repr(value)
    assert blocking.has("1")


def test_what_is_read_or_written_is_a_copy(blocking: Any) -> None:
    data = {"list": [1]}
    blocking.write("1", data)
    data["list"].append(2)
    for found in (blocking.read("1"), blocking.read_with_revision("1")[0]):
        assert found == {"list": [1]}
        found["list"].append(3)
    dict(blocking.iter_items())["1"]["list"].append(4)
    assert blocking.read("1") == {"list": [1]}


def test_an_async_write_takes_the_value_as_it_is_when_called(kind: str, tmp_path: Path) -> None:
    async def main() -> None:
        storage = make_storage(kind, tmp_path)
        data = {"n": 1}
        writing = storage.write("1", data)
        if writing is not None:
            task = asyncio.ensure_future(writing)
            await asyncio.sleep(0)
            data["n"] = 2
            await task
        assert storage.sync.read("1") == {"n": 1}
        storage.sync.close()

    asyncio.run(main())


def test_deleting_what_is_not_there_is_no_error(blocking: Any) -> None:
    blocking.delete("1")
    assert blocking.write_if("1", None, None) is None
    assert blocking.write_if("1", None, ANY) is None
    assert not blocking.has("1")
    assert blocking.read("1") is None


# Revisions


def test_a_write_on_condition_of_what_was_read(blocking: Any) -> None:
    assert blocking.read_with_revision("1") == (None, None)
    first = blocking.write_if("1", {"n": 1}, None)
    value, revision = blocking.read_with_revision("1")
    assert value == {"n": 1}
    assert revision == first
    assert revision is not None
    second = blocking.write_if("1", {"n": 2}, first)
    assert second != first
    for stale in (first, None):
        for new in ({"n": 3}, None):
            with pytest.raises(SessionConflictError) as caught:
                blocking.write_if("1", new, stale)
            assert caught.value.key == "1"
    assert blocking.read_with_revision("1") == ({"n": 2}, second)
    assert blocking.write_if("1", None, second) is None
    with pytest.raises(SessionConflictError):
        blocking.write_if("1", {"n": 3}, second)
    assert blocking.read("1") is None


def test_reading_does_not_change_a_revision(blocking: Any) -> None:
    blocking.write("1", {"n": 1})
    revisions = {blocking.read_with_revision("1")[1] for _ in range(3)}
    blocking.has("1")
    list(blocking.iter_items())
    assert revisions == {blocking.read_with_revision("1")[1]}
    assert blocking.write_if("1", {"n": 2}, revisions.pop()) is not None


@pytest.mark.parametrize("value", [0, True, "", {"n": 1}])
def test_another_value_in_between_shows_even_if_it_is_gone_again(blocking: Any, value: Any) -> None:
    blocking.write("1", value)
    _, revision = blocking.read_with_revision("1")
    blocking.write("1", {"other": 1})
    with pytest.raises(SessionConflictError):
        blocking.write_if("1", {"n": 2}, revision)
    blocking.delete("1")
    with pytest.raises(SessionConflictError):
        blocking.write_if("1", {"n": 2}, revision)
    blocking.write("1", value)
    try:  # a storage whose revision is the content may take it: nothing is lost then
        blocking.write_if("1", {"n": 2}, revision)
    except SessionConflictError:
        assert blocking.read("1") == value


def test_revisions_of_one_key_say_nothing_of_another(blocking: Any) -> None:
    revision = blocking.write_if("1", {"n": 1}, None)
    with pytest.raises(SessionConflictError):
        blocking.write_if("2", {"n": 2}, revision)
    assert keys_of(blocking) == ["1"]


# Expiry


def test_at_the_very_instant_of_expiry_a_value_is_gone(expiring: Any, clock: Clocked) -> None:
    expiring.write("1", {"n": 1})
    begun = clock.now
    clock.now = begun + TTL - 0.01
    assert expiring.read("1") == {"n": 1}
    assert expiring.has("1")
    assert keys_of(expiring) == ["1"]
    clock.now = begun + TTL
    assert expiring.read("1") is None
    assert not expiring.has("1")
    assert keys_of(expiring) == []
    assert not expiring.touch("1")
    value, revision = expiring.read_with_revision("1")
    assert value is None
    expiring.write_if("1", {"n": 2}, revision)
    assert expiring.read("1") == {"n": 2}


def test_what_expired_counts_as_missing_for_a_conditional_write(
    expiring: Any, clock: Clocked
) -> None:
    expiring.write("1", {"n": 1})
    clock.now += TTL
    assert expiring.write_if("1", {"n": 2}, None) is not None
    assert expiring.read("1") == {"n": 2}


def test_a_write_renews_a_timeout_and_a_read_does_not(expiring: Any, clock: Clocked) -> None:
    for key in ("written", "touched", "read"):
        expiring.write(key, {"n": 1})
    clock.now += TTL - 1
    expiring.write("written", {"n": 1})
    assert expiring.touch("touched")
    expiring.read("read")
    expiring.has("read")
    clock.now += TTL - 1
    assert keys_of(expiring) == ["touched", "written"]
    clock.now += 1
    assert keys_of(expiring) == []


def test_touching_tells_and_never_changes_data(blocking: Any) -> None:
    assert not blocking.touch("1")
    blocking.write("1", {"n": 1})
    assert blocking.touch("1")
    assert blocking.read("1") == {"n": 1}
    assert keys_of(blocking) == ["1"]


def test_purging_removes_what_expired_and_nothing_else(expiring: Any, clock: Clocked) -> None:
    for key in ("1", "2", "3"):
        expiring.write(key, {"n": 1})
    assert expiring.purge_expired() == 0
    clock.now += TTL
    expiring.write("3", {"n": 2})
    expiring.write("4", {"n": 2})
    assert expiring.purge_expired() == 2
    assert expiring.purge_expired() == 0
    assert keys_of(expiring) == ["3", "4"]
    assert expiring.read_with_revision("1") == (None, None)


@pytest.mark.parametrize("enhanced", [False, True])
def test_what_expired_and_was_purged_is_created_again_by_its_reader(
    kind: str, tmp_path: Path, clock: Clocked, enhanced: bool
) -> None:
    if enhanced:
        inside = make_storage(kind, tmp_path, clock=clock)
        storage: Any = enhance_storage(inside, ttl=TTL, clock=clock).sync
    else:
        storage = make_storage(kind, tmp_path, ttl=TTL, clock=clock).sync
    for key in ("1", "2", "3", "4"):
        storage.write(key, {"n": 1})
    revisions = {key: storage.read_with_revision(key)[1] for key in ("1", "2", "3", "4")}
    storage.delete("4")
    for value in ({"n": 2}, None):
        with pytest.raises(SessionConflictError):  # deleted, and not expired
            storage.write_if("4", value, revisions["4"])
    clock.now += TTL
    assert storage.purge_expired() == 3
    storage.write("3", {"n": 3})
    assert storage.write_if("1", {"n": 2}, revisions["1"]) is not None
    assert storage.write_if("2", None, revisions["2"]) is None
    for value in ({"n": 2}, None):
        with pytest.raises(SessionConflictError):
            storage.write_if("3", value, revisions["3"])
    assert dict(storage.iter_items()) == {"1": {"n": 2}, "3": {"n": 3}}
    storage.close()


# Listing and batches


@pytest.mark.parametrize("prefix", ["", "a", "a_", "a%", "a*", "x", "\ud800", "3/", "zz"])
def test_listing_takes_a_prefix_literally(blocking: Any, prefix: str) -> None:
    stored = [*KEYS, "a_c", "a%c", "a*c", "b"]
    for key in stored:
        blocking.write(key, {"key": key})
    assert keys_of(blocking, prefix) == sorted(key for key in stored if key.startswith(prefix))
    assert all(value == {"key": key} for key, value in blocking.iter_items(prefix))


def test_a_listing_survives_changes_meanwhile(blocking: Any) -> None:
    for number in range(20):
        blocking.write(f"k{number}", number)
    seen: list[str] = []
    for key in blocking.iter_keys("k"):
        seen.append(key)
        for number in range(10, 20):
            blocking.delete(f"k{number}")
        blocking.write("k0", "changed")
    assert len(seen) == len(set(seen))
    assert {f"k{number}" for number in range(10)} <= set(seen)


def test_listing_in_a_loop(kind: str, tmp_path: Path) -> None:
    async def main() -> None:
        storage = make_storage(kind, tmp_path)
        for number in range(5):
            storage.sync.write(f"p{number}", number)
        found: list[Any] = []
        entries: Any = storage.iter_items("p")
        if hasattr(entries, "__aiter__"):
            async for entry in entries:
                found.append(entry)
        else:
            found.extend(entries)
        assert sorted(found) == [(f"p{number}", number) for number in range(5)]
        storage.sync.close()

    asyncio.run(main())


def test_batches_leave_out_what_is_missing(blocking: Any) -> None:
    if not hasattr(blocking, "read_many"):
        pytest.skip("no batches here")
    blocking.write_many({"1": {"n": 1}, "2": 0})
    blocking.write_many({})
    assert blocking.read_many(["1", "2", "3", "1"]) == {"1": {"n": 1}, "2": 0}
    assert blocking.read_many([]) == {}
    with contextlib.suppress(Exception):
        blocking.write_many({"4": 1, "5": lambda: None})
    assert blocking.read("4") is None


# The end


@pytest.mark.parametrize("in_loop", [True, False])
def test_a_closed_storage_says_so(kind: str, tmp_path: Path, in_loop: bool) -> None:
    storage = make_storage(kind, tmp_path)
    storage.sync.write("1", 1)

    async def close() -> None:
        answer = storage.close()
        if answer is not None:
            await answer

    for _ in range(2):
        asyncio.run(close()) if in_loop else storage.sync.close()
    uses: list[Any] = [
        lambda: storage.sync.read("1"),
        lambda: storage.sync.write("1", 2),
        lambda: storage.sync.delete("1"),
        lambda: storage.sync.has("1"),
        lambda: storage.sync.read_with_revision("1"),
        lambda: storage.sync.write_if("1", 2, None),
        lambda: list(storage.sync.iter_keys()),
        lambda: list(storage.sync.iter_items()),
        lambda: storage.sync.touch("1"),
        storage.sync.purge_expired,
    ]
    for use in uses:
        with pytest.raises(SessionClosedError):
            use()


def test_a_storage_closes_with_its_block(kind: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with make_storage(kind, tmp_path) as storage:
            storage.sync.write("1", 1)
        with pytest.raises(SessionClosedError):
            storage.sync.read("1")

    asyncio.run(main())
    with make_storage(kind, tmp_path) as storage:
        assert storage.sync.read("1") == (None if kind == "memory" else 1)
    with pytest.raises(SessionClosedError):
        storage.sync.read("1")


# Histories against a model


class Histories(RuleBasedStateMachine):
    """Any history of operations, on a storage and on the simplest model of one."""

    kind = ""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.clock = Clocked()
        made = make_storage(self.kind, Path(self.folder.name), ttl=TTL, clock=self.clock)
        self.storage: Any = made.sync
        self.model: dict[str, tuple[Any, float]] = {}
        self.revisions: dict[str, Any] = {}

    def teardown(self) -> None:
        if hasattr(self, "storage"):
            self.storage.close()
            self.folder.cleanup()

    keys = st.sampled_from(["1", "2", "a/B"])
    values = st.sampled_from([0, {"n": 1}, {"n": 2}, [], "x"])

    def expected(self, key: str) -> Any:
        value, expires = self.model.get(key, (None, 0.0))
        return value if self.clock.now < expires else None

    def stored(self, key: str, value: Any) -> None:
        if value is None:
            self.model.pop(key, None)
        else:
            self.model[key] = (value, self.clock.now + TTL)

    @rule(key=keys, value=values)
    def write(self, key: str, value: Any) -> None:
        self.storage.write(key, value)
        self.stored(key, value)
        self.revisions.pop(key, None)

    @rule(key=keys)
    def delete(self, key: str) -> None:
        self.storage.delete(key)
        self.stored(key, None)
        self.revisions.pop(key, None)

    @rule(key=keys)
    def read(self, key: str) -> None:
        value, self.revisions[key] = self.storage.read_with_revision(key)
        assert value == self.expected(key)

    @rule(key=keys, value=values | st.none())
    def write_if_unchanged(self, key: str, value: Any) -> None:
        if key in self.revisions:
            self.revisions[key] = self.storage.write_if(key, value, self.revisions[key])
            self.stored(key, value)

    @rule(key=keys, value=values)
    def write_if_missing(self, key: str, value: Any) -> None:
        if self.expected(key) is None:
            self.storage.write_if(key, value, None)
            self.stored(key, value)
            self.revisions.pop(key, None)
        else:
            with pytest.raises(SessionConflictError):
                self.storage.write_if(key, value, None)

    @rule(key=keys)
    def touch(self, key: str) -> None:
        value = self.expected(key)
        assert self.storage.touch(key) is (value is not None)
        if value is not None:
            self.stored(key, value)
            self.revisions.pop(key, None)  # may be a new one

    @rule(seconds=st.sampled_from([1.0, TTL - 1, TTL]))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule()
    def purge(self) -> None:
        gone = [key for key in self.model if self.expected(key) is None]
        assert self.storage.purge_expired() <= len(gone)
        for key in gone:
            del self.model[key]
            self.revisions.pop(key, None)

    @invariant()
    def same(self) -> None:
        if not hasattr(self, "model"):
            return
        now = {key: self.expected(key) for key in self.model if self.expected(key) is not None}
        assert dict(self.storage.iter_items()) == now
        assert sorted(self.storage.iter_keys()) == sorted(now)


def test_any_history_leaves_what_the_model_says(kind: str) -> None:
    machine: Any = type(f"{kind.title()}Histories", (Histories,), {"kind": kind})
    case = machine.TestCase
    case.settings = settings(
        max_examples=20 if kind == "memory" else 8,
        stateful_step_count=25,
        deadline=None,
        database=None,
        derandomize=True,
    )
    case().runTest()

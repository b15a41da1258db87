"""What all storages of the core do beyond what the kit asks for: see ``test_kit``."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from sessionkit import SessionClosedError, SessionConflictError, enhance_storage
from tests.core import STORAGES, Clocked, make_storage

if TYPE_CHECKING:
    from pathlib import Path

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
def blocking(kind: str, tmp_path: Path) -> Iterator[Any]:
    made = make_storage(kind, tmp_path)
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


@pytest.mark.parametrize("enhanced", [False, True])
def test_what_expired_and_was_purged_is_created_again_by_its_reader(
    kind: str, tmp_path: Path, enhanced: bool
) -> None:
    clock = Clocked()
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

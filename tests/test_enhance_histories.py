"""Random histories of an enhanced storage, against a simple model."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,  # pyright: ignore[reportUnknownVariableType]  # has no types
)

from sessionkit.enhance import EnhancedRevision, enhance_storage
from sessionkit.errors import NewerVersionError, SessionConflictError
from sessionkit.storages.memory import MemorySessionStorage
from tests.enhanced import Full, Plain, add, at_once, listed

if TYPE_CHECKING:
    from sessionkit.protocols import Storage

KEYS = st.sampled_from(["a", "b"])
TTLS = st.sampled_from([None, 10.0, 30.0])
NEWEST = st.sampled_from([0, 1, 1.5, 2, 10.1])
VERSIONS = (1, 1.5, 2, 10.1)


class Row:
    """What the model knows of a stored value: its serial number is its revision."""

    def __init__(self, data: Any, version: float, expires: float, serial: int) -> None:
        self.data = data
        self.version = version
        self.expires = expires
        self.serial = serial


class Histories(RuleBasedStateMachine):
    """Writers of several releases, with changing options, on one storage."""

    def __init__(self) -> None:
        super().__init__()
        self.ms = 1_000_000_000_000
        self.rows: dict[str, Row] = {}
        self.seen: list[tuple[str, Any, int | None]] = []  # key, revision, serial
        self.serial = 0
        self.inner = self.make_inner()

    def make_inner(self) -> Storage[Any]:
        return Full()

    def clock(self) -> float:
        return self.ms / 1000

    @initialize(ttl=TTLS, newest=NEWEST, sliding=st.booleans())
    def deploy_first(self, ttl: float | None, newest: float, sliding: bool) -> None:
        self.deploy(ttl, newest, sliding)

    @rule(ttl=TTLS, newest=NEWEST, sliding=st.booleans())
    def deploy(self, ttl: float | None, newest: float, sliding: bool) -> None:
        self.ttl = ttl
        self.newest = newest
        self.sliding = sliding and ttl is not None
        self.storage = enhance_storage(
            self.inner,
            ttl=ttl,
            migrations={v: add(str(v)) for v in VERSIONS if v <= newest} or None,
            sliding=self.sliding,
            clock=self.clock,
        )

    @rule(ms=st.sampled_from([0, 1, 999, 1000, 4999, 9999, 10_000, 29_999, 30_000]))
    def advance(self, ms: int) -> None:
        self.ms += ms

    # The model.

    def live(self, key: str) -> Row | None:
        row = self.rows.get(key)
        return row if row is not None and self.ms < row.expires else None

    def is_too_new(self, row: Row | None) -> bool:
        return row is not None and row.version > self.newest

    def expected(self, row: Row | None) -> Any:
        if row is None:
            return None
        path = [str(v) for v in VERSIONS if row.version < v <= self.newest]
        if not path:
            return row.data
        return {**row.data, "path": [*row.data.get("path", []), *path]}

    def put(self, key: str, data: Any) -> None:
        self.serial += 1
        span = math.inf if self.ttl is None else self.ttl * 1000
        self.rows[key] = Row(data, self.newest, self.ms + span, self.serial)

    # What is done.

    @rule(key=KEYS, n=st.integers(0, 3))
    def write(self, key: str, n: int) -> None:
        self.storage.write(key, {"n": n})
        self.put(key, {"n": n})

    @rule(key=KEYS, n=st.integers(0, 3), version=st.sampled_from([None, 0.5, 1, 2, 99]))
    def grammy_writes(self, key: str, n: int, version: float | None) -> None:
        stored: dict[str, Any] = {"__d": {"n": n}, "e": self.ms + 5000}
        if version is not None:
            stored["v"] = version
        self.inner.write(key, stored)
        self.serial += 1
        self.rows[key] = Row({"n": n}, version or 0, self.ms + 5000, self.serial)

    @rule(key=KEYS, n=st.integers(0, 3))
    def bare_write(self, key: str, n: int) -> None:
        self.inner.write(key, {"n": n, "__d": 1})
        self.serial += 1
        self.rows[key] = Row({"n": n, "__d": 1}, 0, math.inf, self.serial)

    @rule(key=KEYS)
    def delete(self, key: str) -> None:
        self.storage.delete(key)
        self.rows.pop(key, None)

    @rule(key=KEYS)
    def read(self, key: str) -> None:
        row = self.live(key)
        if self.is_too_new(row):
            with pytest.raises(NewerVersionError):
                self.storage.read(key)
        else:
            assert self.storage.read(key) == self.expected(row)

    @rule(key=KEYS)
    def read_tracked(self, key: str) -> None:
        row = self.live(key)
        if self.is_too_new(row):
            return
        data, info = at_once(self.storage.read_tracked(key))
        assert data == self.expected(row)
        assert (info is None) is (row is None)
        if row is not None and info is not None:
            assert info.migrated is (row.version < self.newest)
            self.seen.append((key, info, row.serial))

    def has_revisions(self) -> bool:
        return hasattr(self.storage, "write_if")

    @precondition(has_revisions)
    @rule(key=KEYS)
    def read_with_revision(self, key: str) -> None:
        if self.is_too_new(self.live(key)):
            return
        data, revision = at_once(self.storage.read_with_revision(key))
        assert data == self.expected(self.live(key))
        if revision is not None:
            stored = self.rows.get(key)
            self.seen.append((key, revision, stored.serial if stored else None))

    @precondition(lambda self: self.seen and self.has_revisions())
    @rule(choice=st.data(), n=st.none() | st.integers(0, 3))
    def write_on_condition(self, choice: st.DataObject, n: int | None) -> None:
        key, revision, serial = choice.draw(st.sampled_from(self.seen[-4:]))
        data = None if n is None else {"n": n}
        stored = self.rows.get(key)
        has_passed = revision.expires is not None and self.ms >= revision.expires
        is_the_same = stored is not None and stored.serial == serial
        if not is_the_same and not (has_passed and self.live(key) is None):
            with pytest.raises(SessionConflictError):
                self.storage.write_if(key, data, revision)
            return
        self.storage.write_if(key, data, revision)
        if data is None:
            self.rows.pop(key, None)
        else:
            self.put(key, data)

    @precondition(has_revisions)
    @rule(key=KEYS)
    def write_if_absent(self, key: str) -> None:
        if self.live(key) is not None:
            with pytest.raises(SessionConflictError):
                self.storage.write_if(key, {"n": 9}, None)
            return
        self.storage.write_if(key, {"n": 9}, None)
        self.put(key, {"n": 9})

    @precondition(lambda self: hasattr(self.storage, "touch"))
    @rule(key=KEYS)
    def touch(self, key: str) -> None:
        row = self.live(key)
        assert self.storage.touch(key) is (row is not None)
        if row is not None and self.ttl is not None:
            self.renewed(row)

    def renewed(self, row: Row) -> None:
        assert self.ttl is not None
        self.serial += 1
        row.serial, row.expires = self.serial, self.ms + self.ttl * 1000

    @precondition(lambda self: self.seen and self.sliding)
    @rule(choice=st.data())
    def renew(self, choice: st.DataObject) -> None:
        key, revision, serial = choice.draw(st.sampled_from(self.seen[-4:]))
        row = self.live(key)
        answer = self.storage.renew(key, revision)
        if not isinstance(answer, EnhancedRevision):
            assert not self.must_renew(row, serial)
        else:
            assert row is not None
            assert self.ttl is not None
            assert row.serial == serial
            assert not self.ttl * 900 < row.expires - self.ms <= self.ttl * 1000
            self.renewed(row)

    def must_renew(self, row: Row | None, serial: int | None) -> bool:
        if row is None or row.serial != serial or row.expires == math.inf or self.ttl is None:
            return False
        return not self.ttl * 900 < row.expires - self.ms <= self.ttl * 1000

    @precondition(lambda self: hasattr(self.storage, "purge_expired"))
    @rule()
    def purge(self) -> None:
        gone = {key for key in self.rows if self.live(key) is None}
        assert self.storage.purge_expired() == len(gone)
        for key in gone:
            del self.rows[key]
            assert self.inner.read(key) is None

    @invariant()
    def listings_show_exactly_what_lives(self) -> None:
        if not hasattr(self, "storage") or not hasattr(self.storage, "iter_keys"):
            return
        live = {key: row for key in self.rows if (row := self.live(key)) is not None}
        assert sorted(listed(self.storage.iter_keys())) == sorted(live)
        assert all(self.storage.has(key) is (key in live) for key in ("a", "b"))
        if not any(map(self.is_too_new, live.values())):
            expected = {key: self.expected(row) for key, row in live.items()}
            assert dict(listed(self.storage.iter_items())) == expected
            assert self.storage.read_many(["a", "b"]) == expected


class MemoryHistories(Histories):
    def make_inner(self) -> Storage[Any]:
        return MemorySessionStorage(clock=self.clock)


class PlainHistories(Histories):
    def make_inner(self) -> Storage[Any]:
        return Plain()


LIMITS = settings(max_examples=60, stateful_step_count=25, deadline=None, derandomize=True)


@pytest.mark.parametrize("machine", [Histories, MemoryHistories, PlainHistories])
def test_histories_agree_with_the_model(machine: type[Histories]) -> None:
    run_state_machine_as_test(machine, settings=LIMITS)

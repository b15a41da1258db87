"""Storages with one mistake each, and the shortest history that the machine shows for it."""

from __future__ import annotations

import copy
import fnmatch
import json
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pytest

from sessionkit.protocols import ANY, Expected
from sessionkit.testing import BrokenPromise, Limits
from sessionkit.testing._machine import search
from tests.profiles import thorough
from tests.testing.reference import Disk, Reference, Row, ask

TTL = Limits(ttl=100)


class FoldsForms(Reference):
    def place(self, key: str) -> str:
        return unicodedata.normalize("NFC", key)


class CutsAt200(Reference):
    def place(self, key: str) -> str:
        return key[:200]


class Sanitises(Reference):
    def place(self, key: str) -> str:
        return re.sub(r"[^\w.-]", "_", key)


class ListsByWildcards(Reference):
    def iter_keys(self, prefix: str = "") -> Iterator[Any]:
        return (key for key in super().iter_keys() if fnmatch.fnmatchcase(key, f"{prefix}*"))


class ListsTwice(Reference):
    def iter_keys(self, prefix: str = "") -> Iterator[Any]:
        yield from super().iter_keys(prefix)
        yield from super().iter_keys(prefix)


class ListsValuesAlone(Reference):
    def iter_items(self, prefix: str = "") -> Iterator[Any]:
        return (value for _, value in super().iter_items(prefix))


class ListsOldValues(Reference):
    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.first: dict[str, Any] = {}

    def iter_items(self, prefix: str = "") -> Iterator[Any]:
        return (
            (key, self.first.setdefault(key, value)) for key, value in super().iter_items(prefix)
        )


class FalsyIsMissing(Reference):
    def read(self, key: str) -> Any:
        return super().read(key) or None


class WholeFloatsBecomeIntegers(Reference):
    def decode(self, raw: Any) -> Any:
        return json.loads(raw, parse_float=integer_if_whole)


def integer_if_whole(text: str) -> float:
    number = float(text)
    return int(number) if number.is_integer() else number


class HasFollowsTruth(Reference):
    def has(self, key: str) -> Any:
        return bool(self.read(key))


class ReadsManyAsPairs(Reference):
    def read_many(self, keys: Sequence[str]) -> Any:
        return list(super().read_many(keys).items())


class ReadsManyWithNone(Reference):
    def read_many(self, keys: Sequence[str]) -> Any:
        return {key: self.read(key) for key in keys}


class ReadsManyMore(Reference):
    def read_many(self, keys: Sequence[str]) -> Any:
        return dict(self.iter_items())


class WritesManyButOne(Reference):
    def write_many(self, values: Mapping[str, Any]) -> None:
        super().write_many(dict(list(values.items())[:2]))


class Kept(Reference):
    """Values as they are, not as text; each mistake leaves out one of the two copies."""

    def encode(self, value: Any) -> Any:
        return copy.deepcopy(value)

    def decode(self, raw: Any) -> Any:
        return copy.deepcopy(raw)


class CopiesOnWriteOnly(Kept):
    def decode(self, raw: Any) -> Any:
        return raw


class CopiesOnReadOnly(Kept):
    def encode(self, value: Any) -> Any:
        return value


class CopiesTheOutside(Kept):
    def decode(self, raw: Any) -> Any:
        return copy.copy(raw)


class ListsWithoutCopies(Kept):
    def iter_items(self, prefix: str = "") -> Iterator[Any]:
        return ((key, self.disk.rows[key].raw) for key in self.iter_keys(prefix))


class CountsPerKey(Reference):
    def new_revision(self, key: str) -> int:
        row = self.find(key)
        return 1 if row is None else row.revision + 1


class Measures(Reference):
    def new_revision(self, key: str) -> int:
        return 1000 + len(self.disk.rows)


class NoneIsAny(Reference):
    def compare(self, key: str, expected: Expected) -> None:
        if expected is not None:
            super().compare(key, expected)


class RefusesItsOwn(Reference):
    """Compares by identity what is made each time: the revision of a large number."""

    def compare(self, key: str, expected: Expected) -> None:
        if isinstance(expected, int) and self.disk.revision > 2:
            expected = -1
        super().compare(key, expected)


class GivesNoRevision(Reference):
    def store(self, key: str, raw: Any, expires: float | None) -> Any:
        super().store(key, raw, expires)
        return None


class ReadsNoRevision(Reference):
    def read_with_revision(self, key: str) -> Any:
        return super().read_with_revision(key)[0], None


class RemembersDeleted(Reference):
    def read_with_revision(self, key: str) -> Any:
        value, revision = super().read_with_revision(key)
        return value, revision or self.disk.revision or None


class DeletesGiveRevisions(Reference):
    def write_if(
        self, key: str, value: Any, expected: Expected, *, expires: float | None = None
    ) -> Any:
        revision = super().write_if(key, value, expected, expires=expires)
        return self.disk.revision if value is None else revision


class ConditionalDeletesGiveRevisions(DeletesGiveRevisions):
    def write_if(
        self, key: str, value: Any, expected: Expected, *, expires: float | None = None
    ) -> Any:
        if expected is ANY:
            return Reference.write_if(self, key, value, expected, expires=expires)
        return super().write_if(key, value, expected, expires=expires)


class ListsExpired(Reference):
    def iter_keys(self, prefix: str = "") -> Iterator[Any]:
        return (key for key in self.disk.rows if key.startswith(prefix))

    def iter_items(self, prefix: str = "") -> Iterator[Any]:
        return (item for item in super().iter_items(prefix) if item[1] is not None)


class ExpiresAfterTheInstant(Reference):
    def is_gone(self, row: Row) -> bool:
        return row.expires is not None and self.clock() > row.expires


class KeepsTheExpiry(Reference):
    def write(self, key: str, value: Any) -> Any:
        row = self.live(key)
        self.write_if(key, value, ANY, expires=row.expires if row else None)


class TouchRevives(Reference):
    def live(self, key: str) -> Row | None:
        return self.find(key)

    def read(self, key: str) -> Any:
        return self.read_with_revision(key)[0]

    def has(self, key: str) -> Any:
        return self.read(key) is not None


class PurgesAll(Reference):
    def purge_expired(self) -> Any:
        count = super().purge_expired()
        self.disk.rows.clear()
        return count


class CountsAllAsPurged(Reference):
    def purge_expired(self) -> Any:
        return super().purge_expired() + len(self.disk.rows)


class PurgesInSilence(Reference):
    def purge_expired(self) -> Any:
        super().purge_expired()


class ForgetsTheGivenExpiry(Reference):
    def expiry(self, expires: float | None) -> float | None:
        return None


class ExpiredIsInTheWay(Reference):
    def compare(self, key: str, expected: Expected) -> None:
        super().compare(key, -1 if expected is None and self.find(key) else expected)


class Caches(Reference):
    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.cache: dict[str, str] = {}

    def read(self, key: str) -> Any:
        raw = json.dumps(super().read(key))
        return json.loads(self.cache.setdefault(key, raw))

    def store(self, key: str, raw: Any, expires: float | None) -> int:
        self.cache[key] = raw
        return super().store(key, raw, expires)

    def drop(self, key: str) -> None:
        self.cache.pop(key, None)
        super().drop(key)


class DropsOnClosing(Reference):
    def close(self) -> None:
        super().close()
        self.disk.rows.clear()


class SyncViewApart(Reference):
    @property
    def sync(self) -> Any:
        return Reference(Disk(), self.clock)


class Mistake(NamedTuple):
    kind: Callable[..., Any]
    breaks: str
    told: str
    limits: Limits = Limits()
    most_lines: int = 7


KEYS, VALUES, COPIES = "keys_apart", "values", "copies"
REVISIONS, TIME, OPENINGS = "revisions", "time", "openings"

LISTED = (
    Mistake(FoldsForms, KEYS, "COMBINING ACUTE ACCENT"),
    Mistake(CutsAt200, KEYS, "which was written under 'x' * 20"),
    Mistake(Sanitises, KEYS, "'e_' is too much"),
    Mistake(ListsByWildcards, KEYS, "is too much"),
    Mistake(FalsyIsMissing, VALUES, "got:      None"),
    Mistake(CopiesOnWriteOnly, COPIES, "what was read"),
    Mistake(CountsPerKey, REVISIONS, "expected: a revision that no other value had"),
    Mistake(ListsExpired, TIME, "'1' is too much: it expires at this instant", TTL),
    Mistake(ExpiresAfterTheInstant, TIME, "it expires at this instant", TTL),
)
"""The ones that a kit has to find."""

ODD_ANSWERS = (
    Mistake(ListsValuesAlone, KEYS, "expected: pairs of key and value"),
    Mistake(ReadsManyAsPairs, VALUES, "expected: a mapping\n"),
    Mistake(ReadsManyWithNone, VALUES, "expected: a mapping without the keys that are missing"),
    Mistake(ReadsManyMore, VALUES, "expected: a mapping of the keys asked for"),
    Mistake(GivesNoRevision, REVISIONS, "expected: the revision of what was written"),
    Mistake(ReadsNoRevision, REVISIONS, "expected: a revision beside the value"),
    Mistake(CountsAllAsPurged, TIME, "expected: a number up to 0", TTL),
    Mistake(PurgesInSilence, TIME, "expected: a number up to 0", TTL),
)
"""Their methods give what nobody can use."""

OTHERS = (
    Mistake(ListsTwice, KEYS, "is there twice"),
    Mistake(ListsOldValues, VALUES, "list(storage.iter_items("),
    Mistake(WholeFloatsBecomeIntegers, VALUES, "got:      "),
    Mistake(HasFollowsTruth, VALUES, "got:      "),
    Mistake(WritesManyButOne, VALUES, "write_many({"),
    Mistake(CopiesOnReadOnly, COPIES, "what was written"),
    Mistake(CopiesTheOutside, COPIES, "what was read"),
    Mistake(ListsWithoutCopies, COPIES, "iter_items"),
    Mistake(Measures, REVISIONS, "expected: a revision that no other value had"),
    Mistake(NoneIsAny, REVISIONS, "expected: SessionConflictError: '1' is stored"),
    Mistake(RefusesItsOwn, REVISIONS, "got:      SessionConflictError: changed", most_lines=9),
    Mistake(RemembersDeleted, REVISIONS, "(None, None), since nothing is stored"),
    Mistake(DeletesGiveRevisions, KEYS, "expected: None, for a delete"),
    Mistake(ConditionalDeletesGiveRevisions, REVISIONS, "expected: None, for a delete"),
    Mistake(KeepsTheExpiry, TIME, "expected: ", TTL),
    Mistake(TouchRevives, TIME, "it expire", TTL),
    Mistake(PurgesAll, TIME, "purge_expired()", TTL),
    Mistake(ForgetsTheGivenExpiry, TIME, "expires=clock() + "),
    Mistake(ExpiredIsInTheWay, TIME, "has expired", TTL),
    Mistake(Caches, OPENINGS, "second"),
    Mistake(SyncViewApart, OPENINGS, "storage.sync."),
    Mistake(DropsOnClosing, OPENINGS, "is closed"),
)


@pytest.fixture(autouse=True)
def enough_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the number of tries end what would end by time on a busy machine."""
    monkeypatch.setattr(search, "SHRINKING", 60.0)
    monkeypatch.setattr(search, "SHRINKING_TRIES", 10)


def named(*mistakes: Mistake, marks: Any = ()) -> list[Any]:
    return [pytest.param(each, id=each.kind.__name__, marks=marks) for each in mistakes]


@pytest.mark.parametrize(
    "mistake", [*named(*LISTED, *ODD_ANSWERS), *named(*OTHERS, marks=pytest.mark.thorough)]
)
def test_the_shortest_history_shows_the_mistake(mistake: Mistake) -> None:
    name = f"histories_keep_{mistake.breaks}"

    with pytest.raises(BrokenPromise) as caught:
        ask(name, mistake.kind, mistake.limits)

    text = str(caught.value)
    assert mistake.told in text
    assert len(caught.value.history) <= mistake.most_lines, text
    assert text.endswith(f"(promise {name})")


@pytest.mark.parametrize("seed", [1, thorough(2), thorough(3)])
@pytest.mark.parametrize("mistake", named(*LISTED))
def test_any_seed_finds_it(mistake: Mistake, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "SHRINKING", 0.0)  # finding it is enough

    with pytest.raises(BrokenPromise):
        ask(f"histories_keep_{mistake.breaks}", mistake.kind, mistake.limits, seed=seed)

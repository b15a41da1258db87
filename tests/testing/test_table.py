"""Each promise of the table can be kept, and can be broken."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sessionkit.testing import BrokenPromise, Limits
from sessionkit.testing._asking import ask_for
from sessionkit.testing._needs import LeftOut
from sessionkit.testing._promises import promises
from tests.testing import (
    broken_basics,
    broken_places,
    broken_revisions,
    broken_sets,
    broken_times,
    variants,
)
from tests.testing.broken_basics import AnyValue
from tests.testing.broken_places import LIMITS, Limited
from tests.testing.reference import Reference, ask, promise_named, subject_of

TTL = Limits(ttl=60)
TABLE = [promise.name for promise in promises() if promise.layer == "table"]

CASES: dict[str, tuple[type[Reference], Limits]] = {
    **{name: (kind, Limits()) for name, kind in broken_basics.BROKEN.items()},
    **{name: (kind, Limits()) for name, kind in broken_places.BROKEN.items()},
    **{name: (kind, LIMITS) for name, kind in broken_places.BROKEN_LIMITS.items()},
    **{name: (kind, Limits()) for name, kind in broken_sets.BROKEN.items()},
    **{name: (kind, Limits()) for name, kind in broken_revisions.BROKEN.items()},
    **{name: (kind, Limits()) for name, kind in broken_times.BROKEN.items()},
    **{name: (kind, TTL) for name, kind in broken_times.BROKEN_TIMEOUTS.items()},
}


@pytest.mark.parametrize("name", TABLE)
def test_a_storage_that_breaks_a_promise_is_caught(name: str) -> None:
    kind, limits = CASES[name]

    with pytest.raises(BrokenPromise) as caught:
        ask(name, kind, limits)

    assert caught.value.promise is promise_named(name)
    assert 1 <= len(caught.value.history) <= 14
    assert str(caught.value).startswith(promise_named(name).sentence)


KEEPERS: tuple[tuple[Any, Limits], ...] = (
    (Reference, Limits()),
    (Reference, TTL),
    (AnyValue, Limits(shared=False, durable=False)),
    (Limited, LIMITS),
    (variants.Bare, Limits()),
    (variants.BareTimed, TTL),
    (variants.References, Limits()),
    (variants.NeverCloses, Limits()),
    (variants.NeverCloses, Limits(durable=False)),
    (variants.Strict, Limits()),
    (variants.Numbered, variants.Numbered.limits),
)


async def kept_by(kind: Any, limits: Limits, **options: Any) -> set[str]:
    """Ask for all promises of the table, and return those that are not left out."""
    kept: set[str] = set()
    with subject_of(kind, limits, **options) as subject:
        if kind in (variants.Bare, variants.References):
            subject._damage = None
        if not issubclass(kind, Reference) or kind is variants.BareTimed:
            subject._lose = None
        for name in TABLE:
            try:
                await ask_for(promise_named(name), subject)
            except LeftOut:
                continue
            kept.add(name)
    return kept


def test_all_promises_can_be_kept() -> None:
    kept = [asyncio.run(kept_by(kind, limits)) for kind, limits in KEEPERS]

    assert set[str]().union(*kept) == set(TABLE)


def test_a_thorough_run_asks_for_the_same() -> None:
    thorough = asyncio.run(kept_by(Reference, TTL, profile="thorough"))

    assert thorough == asyncio.run(kept_by(Reference, TTL))


class Forgets(Reference):
    def store(self, key: str, raw: Any, expires: float | None) -> int:
        if len(self.disk.rows) >= 4:
            self.disk.rows.clear()
        return super().store(key, raw, expires)


class IsFull(Reference):
    def store(self, key: str, raw: Any, expires: float | None) -> int:
        if len(self.disk.rows) >= 4:
            raise OSError("full")
        return super().store(key, raw, expires)


@pytest.mark.parametrize("kind", [Forgets, IsFull])
def test_what_only_many_keys_break_is_reported_with_all_of_them(kind: type[Reference]) -> None:
    with pytest.raises(BrokenPromise) as caught:
        ask("keys_differ_by_case", kind)

    assert len(caught.value.history) > 5
    assert caught.value.history[-1] != "# storage is closed"


@pytest.mark.parametrize(
    ("name", "kind", "limits"),
    [
        ("identity_names_the_data", broken_places.OneIdentity, Limits()),
        ("closed_storage_loses_no_write", broken_places.Buffered, Limits(durable=False)),
        ("damaged_value_raises", broken_places.Swallowing, Limits(durable=False)),
        ("unstorable_value_keeps_the_old_one", broken_basics.EverythingAsText, Limits()),
        ("listing_survives_changes", broken_sets.ListsWithGap, Limits()),
        ("purge_goes_past_damage", broken_times.PurgesUpToDamage, TTL),
        ("foreign_characters_are_refused", broken_basics.CutAtNul, LIMITS),
    ],
)
def test_other_ways_to_break_a_promise_are_caught(
    name: str, kind: type[Reference], limits: Limits
) -> None:
    with pytest.raises(BrokenPromise) as caught:
        ask(name, kind, limits)
    assert "raised" not in caught.value.history[-1]


def test_the_fewest_keys_that_are_mixed_up_are_shown() -> None:
    kind, limits = CASES["keys_differ_by_case"]

    with pytest.raises(BrokenPromise) as caught:
        ask("keys_differ_by_case", kind, limits)

    assert caught.value.history == (
        "storage = open('n1')",
        "storage.write('a', {'n': 1})",
        "storage.write('A', {'n': 2})",
        "storage.read('a')  # -> {'n': 2}",
    )

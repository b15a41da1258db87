"""Each broken storage is caught by the promise that is meant for its mistake."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from sessionkit.testing import BrokenPromise, Limits
from sessionkit.testing import _guard as guard
from sessionkit.testing._asking import ask_for
from sessionkit.testing._machine import search
from sessionkit.testing._needs import LeftOut
from sessionkit.testing._promises import Layer, promises
from sessionkit.testing._subject import Subject
from tests.profiles import broken_by, thorough
from tests.testing.broken_basics import AnyValue
from tests.testing.broken_places import LIMITS, Limited
from tests.testing.mutants.files import subject_on_disk
from tests.testing.mutants.matrix import TABLE, catching, documented
from tests.testing.mutants.on_disk import Files, Rows
from tests.testing.mutants.registry import mutants
from tests.testing.mutants.remote import Locked, Remote
from tests.testing.reference import Reference, promise_named, subject_of

MUTANTS = {mutant.name: mutant for mutant in mutants()}
LAYER_OF = {promise.name: promise.layer for promise in promises()}
PAIRS = [(name, caught_by) for name, each in MUTANTS.items() for caught_by in each.caught_by]
BY_CHANCE = [pair for pair in PAIRS if LAYER_OF[pair[1]] == "machine"]
BY_ORDER = [pair for pair in PAIRS if LAYER_OF[pair[1]] != "machine"]
IN_PROCESSES = [pair for pair in BY_ORDER if "processes" in pair[1] or "kill" in pair[1]]


@pytest.fixture(autouse=True)
def first_failure_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "SHRINKING", 0.0)
    monkeypatch.setattr(guard, "GUARD", 2.0)  # how long a mutant that hangs is waited for


def test_there_are_enough_of_them() -> None:
    assert len(MUTANTS) >= 40


@pytest.mark.parametrize(
    ("name", "promise"), [thorough(*each) if each in IN_PROCESSES else each for each in BY_ORDER]
)
def test_it_is_caught(name: str, promise: str) -> None:
    assert catching(MUTANTS[name], [promise]) == {promise}


@pytest.mark.parametrize(("name", "promise"), BY_CHANCE)
@pytest.mark.parametrize("seed", [0, thorough(1)])
def test_it_is_caught_whatever_the_seed(name: str, promise: str, seed: int) -> None:
    assert catching(MUTANTS[name], [promise], seed=seed) == {promise}


Make = Callable[[], Subject]

OF_THE_TABLE: dict[str, Make] = {
    "plain": lambda: subject_of(Reference),
    "with a timeout": lambda: subject_of(Reference, Limits(ttl=60)),
    "with limits": lambda: subject_of(Limited, LIMITS),
    "with any value": lambda: subject_of(AnyValue),
}
OTHER_LAYERS: dict[tuple[str, Layer], Make] = {
    ("locked", "machine"): lambda: subject_of(Locked, Limits(ttl=60)),
    ("locked", "concurrency"): lambda: subject_of(Locked, Limits(ttl=60)),
    ("remote", "concurrency"): lambda: subject_of(Remote, Limits(ttl=60)),
    ("files", "concurrency"): lambda: subject_on_disk(Files),
    ("SQLite", "concurrency"): lambda: subject_on_disk(Rows),
}


async def broken(subject: Subject) -> tuple[list[str], set[str]]:
    """What is reported of the promises that are broken, and the names of those that were asked."""
    told: list[str] = []
    asked: set[str] = set()
    for name in TABLE:
        try:
            await ask_for(promise_named(name), subject)
        except LeftOut:
            continue
        except BrokenPromise as error:
            told.append(str(error))
        asked.add(name)
    return told, asked


def test_the_reference_keeps_the_table_without_a_look_at_the_seed() -> None:
    asked_of_any: set[str] = set()
    for make in OF_THE_TABLE.values():
        with make() as subject:
            del subject.seed  # looking at it fails
            told, asked = asyncio.run(broken(subject))
        assert told == []
        asked_of_any |= asked

    assert asked_of_any == set(TABLE)


@pytest.mark.parametrize(
    ("made", "layer"),
    [each if each == ("locked", "concurrency") else thorough(*each) for each in OTHER_LAYERS],
)
def test_a_reference_keeps_what_the_layer_asks(made: str, layer: Layer) -> None:
    with OTHER_LAYERS[made, layer]() as subject:
        assert asyncio.run(broken_by(subject, layer)) == {}


def test_the_page_names_every_mutant_with_what_must_catch_it() -> None:
    told = dict(documented())

    assert list(told) == list(MUTANTS)
    for name, each in MUTANTS.items():
        bold = {part.strip("*") for part in told[name] if part.startswith("**")}
        assert bold == set(each.caught_by)


@pytest.mark.thorough
@pytest.mark.parametrize("name", MUTANTS)
def test_what_the_page_says_beside_is_true(name: str) -> None:
    others = [part for part in dict(documented())[name] if not part.startswith("**")]

    assert catching(MUTANTS[name], others) == set(others)

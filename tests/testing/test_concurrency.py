"""Each promise of the layer can be kept, and can be broken."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from sessionkit.testing import BrokenPromise
from sessionkit.testing import _guard as guard
from sessionkit.testing._asking import ask_for
from sessionkit.testing._promises import promises
from sessionkit.testing._subject import Subject
from tests.profiles import broken_by
from tests.testing import broken_steps, folders
from tests.testing.reference import promise_named
from tests.testing.steps import Steps, factory_of

LAYER = [promise.name for promise in promises() if promise.layer == "concurrency"]
BROKEN: dict[str, Any] = {**broken_steps.BROKEN, **folders.BROKEN}
OTHERS: list[tuple[str, Any]] = [*broken_steps.OTHERS, *folders.OTHERS]


def factory(kind: Any) -> Callable[..., Any]:
    return factory_of(kind) if isinstance(kind, type) else kind


def ask(name: str, kind: Any, **options: Any) -> None:
    with Subject(factory(kind), **options) as subject:
        asyncio.run(ask_for(promise_named(name), subject))


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "GUARD", 1.0)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("name", LAYER)
def test_a_storage_that_breaks_a_promise_is_caught(name: str) -> None:
    with pytest.raises(BrokenPromise) as caught:
        ask(name, BROKEN[name])

    assert caught.value.promise is promise_named(name)
    assert 2 <= len(caught.value.history) <= 14


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(("name", "kind"), OTHERS)
def test_other_ways_to_break_a_promise_are_caught(name: str, kind: Any) -> None:
    with pytest.raises(BrokenPromise):
        ask(name, kind)


def test_a_race_shows_each_answer_and_what_would_have_been_right() -> None:
    with pytest.raises(BrokenPromise) as caught:
        ask("reading_sees_old_or_new_among_tasks", BROKEN["reading_sees_old_or_new_among_tasks"])

    assert "second task: await storage.read('1')  # -> None" in caught.value.history
    assert "-> None fits nowhere: it could have given {'n': 1}" in str(caught.value)


@pytest.mark.parametrize("kind", [Steps, folders.folder])
def test_a_storage_that_locks_keeps_every_promise(kind: Any) -> None:
    with Subject(factory(kind)) as subject:
        assert asyncio.run(broken_by(subject, "concurrency")) == {}

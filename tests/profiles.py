"""What is left to thorough runs, or left out: repetitions of what other tests ask."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

import pytest

from sessionkit.testing import BrokenPromise, StorageSuite
from sessionkit.testing._asking import ask_for
from sessionkit.testing._needs import LeftOut
from sessionkit.testing._promises import Layer, Promise, promises
from sessionkit.testing._subject import Subject

S = TypeVar("S", bound=StorageSuite)


def thorough(*values: Any, id: str | None = None) -> Any:  # noqa: A002 (as pytest.param)
    """Return parameters of a test for thorough runs only."""
    return pytest.param(*values, id=id, marks=pytest.mark.thorough)


def thoroughly(*layers: Layer) -> Callable[[type[S]], type[S]]:
    """Let a suite ask the promises of *layers* in thorough runs only, by one test for each layer.

    So all promises have the same processes, which take longer to begin than most promises.
    """

    def mark(suite: type[S]) -> type[S]:
        without(*layers)(suite)
        for layer in layers:
            setattr(suite, f"test_{layer}", pytest.mark.thorough(_test_of(layer)))
        return suite

    return mark


def without(*layers: Layer) -> Callable[[type[S]], type[S]]:
    """Let a suite leave out the promises of *layers*, which are asked elsewhere."""

    def leave_out(suite: type[S]) -> type[S]:
        for layer in layers:
            for name in (layer, *(each.name for each in _promises_of(layer))):
                setattr(suite, f"test_{name}", None)  # nothing that pytest collects
        return suite

    return leave_out


async def broken_by(subject: Subject, layer: Layer) -> dict[str, str]:
    """Ask for all promises of *layer*; return what is reported of those that are broken."""
    broken: dict[str, str] = {}
    kept = 0
    for promise in _promises_of(layer):
        try:
            await ask_for(promise, subject)
            kept += 1
        except LeftOut:
            continue
        except BrokenPromise as error:
            broken[promise.name] = str(error)
    assert kept + len(broken) > 3
    return broken


def _promises_of(layer: Layer) -> list[Promise]:
    return [promise for promise in promises() if promise.layer == layer]


def _test_of(layer: Layer) -> Callable[[Any], None]:
    def test(self: Any) -> None:
        options: Any = {"limits": self.limits, "profile": self.profile, "seed": self.seed}
        with Subject(self.open, damage=self.damage, lose=self.lose, **options) as subject:
            self._subject = subject
            broken = asyncio.run(broken_by(subject, layer))
        assert broken == {}

    return test

"""What is left to thorough runs, or left out: repetitions of what other tests ask."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import pytest

from sessionkit.testing import StorageSuite
from sessionkit.testing._promises import Layer, promises
from sessionkit.testing._suites import add_test

S = TypeVar("S", bound=StorageSuite)


def thorough(*values: Any, id: str | None = None) -> Any:  # noqa: A002 (as pytest.param)
    """Return parameters of a test for thorough runs only."""
    return pytest.param(*values, id=id, marks=pytest.mark.thorough)


def thoroughly(*layers: Layer) -> Callable[[type[S]], type[S]]:
    """Let a suite ask the promises of *layers* in thorough runs only."""

    def mark(suite: type[S]) -> type[S]:
        for each in promises():
            if each.layer in layers:
                add_test(suite, each)
                pytest.mark.thorough(vars(suite)[f"test_{each.name}"])
        return suite

    return mark


def without(*layers: Layer) -> Callable[[type[S]], type[S]]:
    """Let a suite leave out the promises of *layers*, which are asked elsewhere."""

    def leave_out(suite: type[S]) -> type[S]:
        for each in promises():
            if each.layer in layers:
                setattr(suite, f"test_{each.name}", None)  # nothing that pytest collects
        return suite

    return leave_out

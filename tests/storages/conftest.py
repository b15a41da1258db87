"""Fixtures of the tests of storages."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

import pytest

from sessionkit.storages.sqlite import SQLiteSessionStorage
from tests.core import Clocked
from tests.storages.sqlite_stage import CONNECT, Stage, StagedConnection

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    class Connection(StagedConnection):
        stage = Stage()

    monkeypatch.setattr(sqlite3, "connect", partial(CONNECT, factory=Connection))
    yield Connection.stage
    Connection.stage.go_on.set()


@pytest.fixture
def clock() -> Clocked:
    return Clocked(1000.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions.db"


@pytest.fixture
def storage(path: Path) -> Iterator[SQLiteSessionStorage]:
    with SQLiteSessionStorage(path) as storage:
        yield storage

"""Storages of the core keep every promise of the table: beside tests/storages/test_kit.py."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from sessionkit import (
    MemorySessionStorage,
    SQLiteSessionStorage,
)
from sessionkit.codecs import PickleCodec
from sessionkit.testing import Limits, Report, check_storage
from sessionkit.testing import _check as module
from sessionkit.testing._promises import promises

if TYPE_CHECKING:
    from pathlib import Path

TTL = 60


class Case(NamedTuple):
    open: Callable[..., Any]
    limits: Limits


def memory(namespace: str, clock: Any, folder: Path) -> Any:
    return MemorySessionStorage(clock=clock)


def sqlite_for_a_minute(namespace: str, clock: Any, folder: Path) -> Any:
    options: Any = {"table": namespace, "clock": clock, "ttl": TTL, "durable": False}
    return SQLiteSessionStorage(folder / "bot.db", **options)


def pickled(namespace: str, clock: Any, folder: Path) -> Any:
    options: Any = {"codec": PickleCodec(), "clock": clock, "durable": False}
    return SQLiteSessionStorage(folder / namespace, **options)


CASES = {
    "memory": Case(memory, Limits(shared=False, durable=False)),
    "sqlite, a table each": Case(sqlite_for_a_minute, Limits(ttl=TTL)),
    "sqlite, pickled": Case(pickled, Limits()),
}


@pytest.fixture(autouse=True)
def _only_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    table = tuple(promise for promise in promises() if promise.layer == "table")
    monkeypatch.setattr(module, "promises", lambda: table)


def report_of(case: Case, folder: Path) -> Report:
    def open_in_folder(namespace: str, clock: Any) -> Any:
        return case.open(namespace, clock, folder)

    return asyncio.run(check_storage(open_in_folder, limits=case.limits))


@pytest.mark.parametrize("name", CASES)
def test_a_storage_of_the_core_keeps_every_promise(name: str, tmp_path: Path) -> None:
    report = report_of(CASES[name], tmp_path)

    assert report.ok, str(report)
    assert len(report.kept) > 100

"""The kit under pytest."""

from __future__ import annotations

import subprocess
import sys
import unittest
from typing import TYPE_CHECKING, Any

import pytest

from sessionkit import MemorySessionStorage, SQLiteSessionStorage
from sessionkit.testing import BrokenPromise, FakeClock, Limits, StorageSuite
from sessionkit.testing._factory import FactoryError
from sessionkit.testing._promises import promises
from tests.testing.reference import Disk, promise_named
from tests.testing.variants import Bare

if TYPE_CHECKING:
    from pathlib import Path


class InMemory(StorageSuite):
    limits = Limits(shared=False, durable=False)

    def open(self, namespace: str) -> Any:
        return MemorySessionStorage(clock=self.clock)


class OnDisk(StorageSuite):
    async def open(self, namespace: str) -> Any:
        return SQLiteSessionStorage(self.folder / f"{namespace}.db", clock=self.clock)


def test_there_is_a_test_forevery_promise() -> None:
    for promise in promises():
        test = getattr(StorageSuite, f"test_{promise.name}")
        assert test.__doc__ == promise.sentence
        assert test.__name__ == f"test_{promise.name}"


@pytest.mark.parametrize("suite", [InMemory, OnDisk])
@pytest.mark.parametrize("name", ["missing_is_none", "expiry_is_exact"])
def test_what_is_kept_passes(suite: type[StorageSuite], name: str) -> None:
    test = getattr(suite(), f"test_{name}")
    try:
        test()
    except unittest.SkipTest as reason:
        pytest.fail(f"it was left out: {reason}")


def test_what_is_left_out_is_skipped_with_the_reason() -> None:
    with pytest.raises(unittest.SkipTest, match="declared by Limits"):
        InMemory().ask(promise_named("reopening_keeps_data"))
    with pytest.raises(unittest.SkipTest, match="the suite has no damage"):
        OnDisk().ask(promise_named("damaged_value_raises"))
    with pytest.raises(unittest.SkipTest, match="the suite has no lose"):
        OnDisk().ask(promise_named("lost_storage_acknowledges_nothing"))


def test_what_is_damaged_by_the_suite_is_tested() -> None:
    class Damaged(OnDisk):
        def damage(self, namespace: str, key: str) -> None:
            raise OSError("not so")

    with pytest.raises(FactoryError, match="damage"):
        Damaged().ask(promise_named("damaged_value_raises"))


def test_what_is_broken_fails_without_the_lines_of_the_kit() -> None:
    class Broken(StorageSuite):
        def open(self, namespace: str) -> Any:
            class Default(Bare):
                def read(self, key: str) -> Any:
                    return {}

            return Default(Disk(), FakeClock())

    with pytest.raises(BrokenPromise, match=r"storage\.read\('1'\)  # -> \{\}") as caught:
        Broken().ask(promise_named("missing_is_none"))

    assert caught.value.__context__ is caught.value.__cause__ is None


def test_a_suite_without_open_says_what_to_write() -> None:
    with pytest.raises(BrokenPromise, match=r"has no open\(\): write def open\(self, namespace\)"):
        StorageSuite().ask(promise_named("missing_is_none"))


def test_it_runs_under_plain_pytest(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(
        "from sessionkit.testing import Limits, StorageSuite\n"
        "from sessionkit import MemorySessionStorage\n"
        "\n"
        "class TestMine(StorageSuite):\n"
        "    limits = Limits(shared=False, durable=False)\n"
        "    def open(self, namespace):\n"
        "        return MemorySessionStorage()\n"
    )
    options = ["-q", "-W", "error", "-p", "no:cacheprovider", "-k", "missing or identity"]

    ended = subprocess.run(
        [sys.executable, "-m", "pytest", *options, tmp_path],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )

    assert " passed, 1 skipped" in ended.stdout, ended.stdout

"""What becomes of storages where neither asyncio nor threads are at work: gevent, trio."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sessionkit import session
from tests.core import STORAGES, make_storage

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

ROOT = Path(__file__).parents[2]


def test_greenlets_wait_for_each_other(tmp_path: Path) -> None:
    pytest.importorskip("gevent")
    command = [sys.executable, "-m", "tests.storages.greenlets", str(tmp_path)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("kind", [kind for kind in STORAGES if kind != "memory"])
def test_a_storage_that_waits_refuses_trio_before_anything_is_done(
    kind: str, tmp_path: Path
) -> None:
    trio = pytest.importorskip("trio")
    storage = make_storage(kind, tmp_path)
    sessions = session(dict[str, int], storage=storage)
    entered: list[object] = []

    async def open_one() -> None:
        async with sessions.open(1) as s:
            entered.append(s)

    async def list_all() -> None:
        async for key in sessions.keys():
            entered.append(key)

    uses: list[Callable[[], Awaitable[Any]]] = [
        open_one,
        list_all,
        lambda: sessions.get(1),
        lambda: storage.write("1", 1),
        storage.purge_expired,
    ]
    for use in uses:
        with pytest.raises(RuntimeError, match=r"Under trio, use it in threads: trio\.to_thread"):
            trio.run(use)

    def in_a_thread() -> None:
        with sessions.open(1) as s:
            s.data["n"] = 1

    async def as_advised() -> None:
        await trio.to_thread.run_sync(in_a_thread)
        await trio.to_thread.run_sync(storage.sync.close)

    storage.sync.write("2", 2)
    trio.run(as_advised)
    assert entered == []
    assert make_storage(kind, tmp_path).sync.read("1") == {"n": 1}


def test_tasks_of_trio_get_an_error_if_they_wait_for_a_key() -> None:
    trio = pytest.importorskip("trio")
    sessions = session(dict[str, int])

    async def open_twice() -> None:
        async with sessions.open(1):
            with pytest.raises(RuntimeError, match="task of trio cannot wait"):
                async with sessions.open(1):
                    pass

    trio.run(open_twice)

"""Greenlets that count in sessions of all storages; run as a script, which must patch first."""

from importlib import import_module
from typing import Any

gevent: Any = import_module("gevent")  # it brings no types
import_module("gevent.monkey").patch_all()

import asyncio  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402

from sessionkit import session  # noqa: E402
from tests.core import STORAGES, make_storage  # noqa: E402


def count_in(kind: str, folder: Path) -> None:
    """Count to 20 in 20 greenlets, each of which lets others go on meanwhile."""
    storage = make_storage(kind, folder)
    sessions = session(dict[str, int], storage=storage, lock_timeout=60)

    def add() -> None:
        with sessions.open(1) as s:
            n = s.data.get("n", 0)
            gevent.sleep(0)
            s.data["n"] = n + 1

    gevent.joinall([gevent.spawn(add) for _ in range(20)], raise_error=True)
    assert sessions.sync.get(1) == {"n": 20}, kind
    storage.sync.close()


async def count_as_tasks(kind: str, folder: Path) -> None:
    """The same in tasks of asyncio, whose event loop knows nothing of greenlets."""
    storage = make_storage(kind, folder)
    sessions = session(dict[str, int], storage=storage, lock_timeout=60)

    async def add() -> None:
        async with sessions.open(2) as s:
            n = s.data.get("n", 0)
            await asyncio.sleep(0)
            s.data["n"] = n + 1

    await asyncio.gather(*(add() for _ in range(20)))
    assert await sessions.get(2) == {"n": 20}, kind
    storage.sync.close()


for name in STORAGES:
    count_in(name, Path(sys.argv[1]))
    asyncio.run(count_as_tasks(name, Path(sys.argv[1])))

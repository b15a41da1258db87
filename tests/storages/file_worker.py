"""What other processes do in the tests of the file storage; run as a script."""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
import warnings
from collections.abc import Callable

from sessionkit.errors import SessionConflictError
from sessionkit.storages.file import FileSessionStorage


def increment(folder: str, key: str, times: str) -> None:
    """Count up until *times* writes went through; others do so at the same time."""
    storage = FileSessionStorage(folder).sync
    left = int(times)
    while left:
        value, revision = storage.read_with_revision(key)
        try:
            storage.write_if(key, (value or 0) + 1, revision)
        except SessionConflictError:
            continue
        left -= 1


def scribble(folder: str, key: str, start: str) -> None:
    """Write growing numbers until killed, and say each that is through."""
    storage = FileSessionStorage(folder).sync
    for number in itertools.count(int(start)):
        storage.write(key, {"number": number, "padding": "x" * 50_000})
        os.write(1, f"{number}\n".encode())


def hold(folder: str, key: str) -> None:
    """Have the lock file of *key*, and never give it back."""
    files = FileSessionStorage(folder)._engine.folder
    assert files.locks.try_lock(files.stripe(key))
    os.write(1, b"held\n")
    sys.stdin.read()


def fork(folder: str) -> None:
    """Use a storage in a child whose parent had its threads at work."""
    warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 warns of just this
    storage = FileSessionStorage(folder)
    asyncio.run(_write(storage, "before"))
    child = os.fork()  # type: ignore[attr-defined,unused-ignore]  # not on Windows
    asyncio.run(_write(storage, "child" if child == 0 else "parent"))
    if child:
        assert os.waitpid(child, 0)[1] == 0


async def _write(storage: FileSessionStorage, key: str) -> None:
    await storage.write(key, 1)


if __name__ == "__main__":
    roles: dict[str, Callable[..., None]] = {
        "increment": increment,
        "scribble": scribble,
        "hold": hold,
        "fork": fork,
    }
    roles[sys.argv[1]](*sys.argv[2:])

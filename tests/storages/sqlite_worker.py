"""What the tests of the SQLite storage run in processes of their own.

Usage: sqlite_worker.py JOB PATH; prints what the test looks at.
"""

from __future__ import annotations

import asyncio
import os
import sys
from itertools import count

from sessionkit.errors import SessionConflictError, SessionError
from sessionkit.storages.sqlite import SQLiteSessionStorage

INCREMENTS = 50
NOBODY = 65534
KEPT: list[SQLiteSessionStorage] = []


def increment(path: str) -> None:
    """Count to INCREMENTS in concert with others, print how often that took effect."""
    with SQLiteSessionStorage(path, durable=False) as storage:
        storage.sync.read("wait for it")
        print("ready", flush=True)
        sys.stdin.readline()
        done = 0
        while done < INCREMENTS:
            value, revision = storage.sync.read_with_revision("count")
            try:
                storage.sync.write_if("count", (value or 0) + 1, revision)
            except SessionConflictError:
                continue
            done += 1
    print(done)


def acknowledge(path: str) -> None:
    """Write for ever, many at a time, and print what has been acknowledged."""

    async def write_all(storage: SQLiteSessionStorage, lane: int) -> None:
        for number in count(1):
            await storage.write(f"lane {lane}", number)
            print(lane, number, flush=True)

    async def main() -> None:
        storage = SQLiteSessionStorage(path)
        await asyncio.gather(*(write_all(storage, lane) for lane in range(4)))

    asyncio.run(main())


def leave(path: str) -> None:
    """End without closing anything."""
    storage = SQLiteSessionStorage(path)
    storage.sync.write("a", 1)
    print("written", flush=True)
    KEPT.append(storage)


def open_as_nobody(path: str) -> None:
    """Open the file as a user who may only read it."""
    if os.geteuid() == 0:
        os.setuid(NOBODY)
    try:
        SQLiteSessionStorage(path)
    except SessionError as error:
        print(error, flush=True)
    os._exit(0)  # at a usual exit, coverage could not write what it measured either


def fork_after_use(path: str) -> None:
    """Use a storage on both sides of a fork."""
    storage = SQLiteSessionStorage(path)
    storage.sync.write("a", "before the fork")
    if os.fork() == 0:
        try:
            storage.sync.write("a", "in the child")
        except SessionError as error:
            print(error, flush=True)
        storage.sync.close()
        sys.exit()
    os.wait()
    storage.sync.write("b", "in the parent")
    print(sorted(storage.sync.iter_items()))


def fork_before_use(path: str) -> None:
    """Make a storage, fork, and use it in two children and in the parent."""
    storage = SQLiteSessionStorage(path)
    for _ in range(2):
        if os.fork() == 0:
            storage.sync.write("a", "in the child")
            print(storage.sync.read_with_revision("a")[1], flush=True)
            sys.exit()
        os.wait()
    print(storage.sync.write_if("a", "in the parent", storage.sync.read_with_revision("a")[1]))


JOBS = (increment, acknowledge, leave, open_as_nobody, fork_after_use, fork_before_use)

if __name__ == "__main__":
    {job.__name__: job for job in JOBS}[sys.argv[1]](sys.argv[2])

"""What the tests of the SQLite storage run in processes of their own.

Usage: sqlite_worker.py JOB PATH; prints what the test looks at.
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress
from itertools import count
from pathlib import Path
from threading import Event, Thread

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
        print(counted(storage))


def acknowledge(path: str) -> None:
    """Write without end, many at a time, and print what has been acknowledged."""

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
    SQLiteSessionStorage(":memory:")  # loads what nobody might not find
    Path(path).as_uri()
    if os.geteuid() == 0:
        os.setuid(NOBODY)
    try:
        SQLiteSessionStorage(path)
    except SessionError as error:
        print(error, flush=True)
    os._exit(0)  # at a usual exit, coverage could not write what it measured either


def counted(storage: SQLiteSessionStorage) -> int:
    """Count to INCREMENTS in concert with others; return how often that took effect."""
    done = 0
    while done < INCREMENTS:
        value, revision = storage.sync.read_with_revision("count")
        with suppress(SessionConflictError):
            storage.sync.write_if("count", (value or 0) + 1, revision)
            done += 1
    return done


def fork_after_use(path: str) -> None:
    """Count with one storage on both sides of a fork, in the middle of other work."""
    storage = SQLiteSessionStorage(path, durable=False)
    busy = Thread(target=write_until_stopped, args=(storage, stopped := Event()))
    busy.start()
    storage.sync.write("count", 0)
    child = os.fork()
    if child == 0:
        print("child", counted(storage), flush=True)
        storage.sync.close()
        os._exit(0)
    done = counted(storage)
    os.waitpid(child, 0)
    stopped.set()
    busy.join()
    print("parent", done)


def write_until_stopped(storage: SQLiteSessionStorage, stopped: Event) -> None:
    """Keep the storage's thread busy."""
    while not stopped.is_set():
        storage.sync.write("busy", 1)


def fork_and_end_first(path: str) -> None:
    """Let the child, with a storage of its own, write after its parent has closed the file."""
    storage = SQLiteSessionStorage(path)
    storage.sync.write("parent", 1)
    opened, closed = os.pipe(), os.pipe()
    if os.fork() == 0:
        own = SQLiteSessionStorage(path)
        own.sync.read("parent")
        os.write(opened[1], b"1")
        os.read(closed[0], 1)
        own.sync.write("child", 1)
        print("written", flush=True)
        os._exit(0)  # as if it was killed: the log stays for the next to read
    os.read(opened[0], 1)
    storage.sync.close()
    os.write(closed[1], b"1")
    os.wait()


def fork_in_memory(path: str) -> None:
    """Use a storage in memory on both sides of a fork."""
    storage = SQLiteSessionStorage(path)
    storage.sync.write("a", "in the parent")
    if os.fork() == 0:
        refused(storage)
    os.wait()
    print(storage.sync.read("a"))


def refused(storage: SQLiteSessionStorage) -> None:
    """Print why a child cannot use its parent's storage, and end the child."""
    try:
        storage.sync.write("a", "in the child")
    except SessionError as error:
        print(error, flush=True)
    storage.sync.close()
    sys.exit()


def fork_in_a_commit(path: str) -> None:
    """Fork while the storage's thread is in the middle of a commit that takes long."""
    storage = SQLiteSessionStorage(path)
    storage.sync.write("a", "in the parent")
    worker = storage._engine.worker
    worker._patience_with_forks = 0.01
    with worker._at_work:
        child = os.fork()
        if child == 0:
            refused(storage)
    os.waitpid(child, 0)
    print(storage.sync.read("a"))


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


JOBS = (
    increment,
    acknowledge,
    leave,
    open_as_nobody,
    fork_after_use,
    fork_and_end_first,
    fork_in_memory,
    fork_in_a_commit,
    fork_before_use,
)

if __name__ == "__main__":
    {job.__name__: job for job in JOBS}[sys.argv[1]](sys.argv[2])

"""Lock files: who has one, who waits for it, and what does not wait with them."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sessionkit import FileSessionStorage, SessionError, session
from sessionkit.storages._file.locks import LockFiles, _held
from sessionkit.storages._file.workshop import Workshop
from sessionkit.storages._jobs import Kind, ThreadJob
from tests.storages.test_file_processes import start

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Generator

STRIPE = "42"
# Two more keys of that lock file, and one of another.
SAME = ("117", "169")
OTHER = "1"


@contextmanager
def holder_of(folder: Path, key: str) -> Generator[subprocess.Popen[str]]:
    """Another process that has the lock file of *key*, and is stopped."""
    with start("hold", folder, key) as process:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        process.send_signal(signal.SIGSTOP)
        try:
            yield process
        finally:
            process.kill()


def test_the_keys_of_these_tests_share_lock_files_as_said(tmp_path: Path) -> None:
    stripe = FileSessionStorage(tmp_path)._engine.folder.stripe
    assert {stripe(STRIPE)} == {stripe(key) for key in SAME}
    assert stripe(OTHER) != stripe(STRIPE)


def test_a_lock_file_that_is_not_given_back_is_an_error_that_names_its_holder(
    tmp_path: Path,
) -> None:
    storage = FileSessionStorage(tmp_path, busy_timeout=0.05)
    storage.sync.write(STRIPE, "old")
    with holder_of(tmp_path, STRIPE) as holder:
        named = re.escape(f"process {holder.pid} on {socket.gethostname()} has had {tmp_path}")
        for key in (STRIPE, *SAME):
            with pytest.raises(SessionError, match=named) as caught:
                storage.sync.write(key, "new")
            assert caught.value.key == key
            with pytest.raises(SessionError, match=f"'{key}' was not written"):
                asyncio.run(storage.delete(key))
        assert storage.sync.read(STRIPE) == "old"
    storage.sync.write(STRIPE, "new")
    assert storage.sync.read(STRIPE) == "new"


def test_a_holder_that_says_nothing_of_itself_is_another_process(tmp_path: Path) -> None:
    locks = LockFiles(tmp_path, 0o600)
    assert locks.holder(0) == "another process"
    for odd in (b"", b" ", b"\xff\xff"):
        Path(locks.path(0)).write_bytes(odd)
        assert locks.holder(0) == "another process"


def test_what_needs_another_lock_file_or_none_does_not_wait(tmp_path: Path) -> None:
    storage = FileSessionStorage(tmp_path)
    sessions = session(dict[str, int], storage=storage)

    async def count(key: str) -> None:
        async with sessions.open(key) as s:
            s.data["n"] = s.data.get("n", 0) + 1

    async def use() -> None:
        with holder_of(tmp_path, STRIPE):
            waiting = [asyncio.ensure_future(storage.write(key, 0)) for key in SAME * 20]
            counting = asyncio.ensure_future(count(STRIPE))
            await count(OTHER)
            assert await sessions.get(OTHER) == {"n": 1}
            assert await storage.read(STRIPE) is None
            assert [key async for key in storage.iter_keys()] == [OTHER]
            for task in (waiting[0], counting):
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
        await asyncio.gather(*waiting[1:])
        await storage.close()

    asyncio.run(use())
    assert sorted(FileSessionStorage(tmp_path).sync.iter_keys()) == sorted([OTHER, *SAME])


def test_what_was_withdrawn_is_not_put_off(tmp_path: Path) -> None:
    writers = FileSessionStorage(tmp_path)._writers
    job = ThreadJob(Kind.WRITE, print, ())
    assert writers._put_off(writers._lanes[0], [(STRIPE, job)]) == [(STRIPE, job)]
    job.claim()
    for deadline in (job.deadline, 0.0):
        job.deadline = deadline
        assert writers._put_off(writers._lanes[0], [(STRIPE, job)]) == []
    assert not job.settled


def test_closing_waits_for_a_lock_file_no_longer_than_writes_do(tmp_path: Path) -> None:
    storage = FileSessionStorage(tmp_path, busy_timeout=0.05)

    async def use() -> None:
        write = asyncio.ensure_future(storage.write(STRIPE, 1))
        await asyncio.sleep(0)
        await storage.close()
        with pytest.raises(SessionError, match="was not written"):
            await write

    with holder_of(tmp_path, STRIPE):
        asyncio.run(use())


class SoftLimit(Exception):
    """What the signal handler of a task queue raises when the time is up."""


def test_what_a_signal_handler_raises_withdraws_a_write_that_waits(tmp_path: Path) -> None:
    storage = FileSessionStorage(tmp_path)
    sessions = session(dict[str, int], storage=storage)

    def stop(number: int, frame: object) -> None:
        raise SoftLimit

    before = signal.signal(signal.SIGUSR1, stop)
    main = threading.main_thread().ident
    assert main
    alarm = threading.Timer(0.1, signal.pthread_kill, (main, signal.SIGUSR1))
    try:
        with holder_of(tmp_path, STRIPE):
            alarm.start()
            with pytest.raises(SoftLimit), sessions.open(STRIPE) as s:
                s.data["n"] = 1
    finally:
        alarm.join()
        signal.signal(signal.SIGUSR1, before)
    storage.sync.write(SAME[0], 1)  # in the same lane, so what waited would have been done
    assert storage.sync.read(STRIPE) is None


def test_a_lock_file_that_was_removed_keeps_nobody_apart_and_is_made_again(tmp_path: Path) -> None:
    ours, theirs = LockFiles(tmp_path, 0o600), LockFiles(tmp_path, 0o600)
    assert ours.try_lock(0)
    ours.unlock(0)
    Path(ours.path(0)).unlink()
    assert ours.try_lock(0)
    _held.clear()  # as another process, which has only the file to go by
    assert not theirs.try_lock(0)


def test_a_lock_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    storage = FileSessionStorage(tmp_path)
    files = storage._engine.folder
    Path(files.locks.path(files.stripe(STRIPE))).mkdir()
    for _ in range(2):
        with pytest.raises(OSError, match=re.escape(files.locks.path(files.stripe(STRIPE)))):
            storage.sync.write(STRIPE, 1)


def test_a_token_that_was_taken_for_abandoned_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Path] = []
    fstat = os.fstat

    def remove_first(descriptor: int) -> os.stat_result:
        if not made:
            made.extend(tmp_path.glob("*.lock"))
            made[0].unlink()
        return fstat(descriptor)

    monkeypatch.setattr(os, "fstat", remove_first)
    workshop = Workshop(tmp_path, 0o600)
    assert not workshop.new_path().startswith(str(made[0].with_suffix("")))
    with monkeypatch.context() as broken:
        broken.setattr(os, "fstat", failing)
        with pytest.raises(OSError, match="broken"):
            Workshop(tmp_path, 0o600)


def failing(descriptor: int) -> None:
    raise OSError(5, "broken")


def test_two_storages_of_one_process_exclude_each_other(tmp_path: Path) -> None:
    ours, theirs = LockFiles(tmp_path, 0o600), LockFiles(tmp_path, 0o600)
    assert ours.try_lock(0)
    assert not theirs.try_lock(0)
    assert theirs.try_lock(1)
    ours.unlock(0)
    assert theirs.try_lock(0)
    for number in (0, 1):
        theirs.unlock(number)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_lock_does_not_live_on_in_a_child_that_was_forked_meanwhile(tmp_path: Path) -> None:
    locks = LockFiles(tmp_path, 0o600)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert locks.try_lock(0)
        child = os.fork()
        if not child:
            ours.close()
            taken = (locks.try_lock(0), locks.try_lock(1))
            theirs.sendall(b"!")
            theirs.recv(1)  # nothing: the parent is through
            os._exit(0 if taken == (False, True) else 1)
        theirs.close()
        assert ours.recv(1) == b"!"
        os.close(locks._open.pop(0))  # as if the parent were killed
        _held.clear()
        assert locks.try_lock(0)
        locks.unlock(0)
        assert not locks.try_lock(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize("queued", [False, True])
def test_an_interruption_while_a_write_is_queued_does_not_keep_close_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, queued: bool
) -> None:
    storage = FileSessionStorage(tmp_path).sync
    storage.write("1", 1)  # from now on a thread waits for more
    hand_over = storage._writers._hand_over

    def interrupted(lane: Any) -> bool:
        monkeypatch.undo()
        if queued:
            hand_over(lane)
        raise KeyboardInterrupt

    monkeypatch.setattr(storage._writers, "_hand_over", interrupted)
    with pytest.raises(KeyboardInterrupt):
        storage.write("2", 2)
    closing = threading.Thread(target=storage.close, daemon=True)
    closing.start()
    closing.join(10)

    assert not closing.is_alive()


def test_threads_of_one_storage_do_not_wait_for_its_lock_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with FileSessionStorage(tmp_path) as storage:
            locks = storage._engine.folder.locks
            try_lock, taken = locks.try_lock, list[bool]()

            def noted(number: int) -> bool:
                taken.append(try_lock(number))
                return taken[-1]

            monkeypatch.setattr(locks, "try_lock", noted)
            for turn in range(20):
                await asyncio.gather(*(storage.write("1", turn) for _ in range(20)))
            assert all(taken)

    asyncio.run(main())

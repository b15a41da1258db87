"""What is left when something failed: the data as it was, and a key that is free."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from sessionkit.errors import SessionDeadlockError, SessionLockTimeoutError
from sessionkit.testing._sessions.bench import WAYS, Bench, Change, Way, add_one, bench
from sessionkit.testing._show import show
from sessionkit.testing._subject import Subject
from sessionkit.testing._suites import Collection
from sessionkit.testing._table.expiry import ttl_of

failures: Final[Collection[Subject]] = Collection()

_MOMENTS: Final = 12
_A_WHILE: Final = 0.02
_LOCK_TIMEOUT: Final = 1.0
_OTHERS: Final = 20


class _HandlerError(Exception):
    """What handlers raise."""


def _change_and_fail(found: Any) -> None:
    """Change the data, and raise."""
    found["list"].append(2)
    msg = "the handler failed"
    raise _HandlerError(msg)


def _counted(found: Any) -> Any:
    return {"n": found["n"] + 1}


async def _error_of(way: Way, at: Bench, change: Change) -> Any:
    try:
        await way(at, change)
    except Exception as error:  # noqa: BLE001 (whatever comes through)
        return error
    return None


@failures.promise(
    "A handler that fails changes nothing, and its error is raised on.",
    hint="with isolated = True, read() gives the stored object itself: copy it, or do not declare "
    "isolated.",
)
async def failed_handler_changes_nothing(subject: Subject) -> None:
    for way in WAYS:
        subject.start_history()
        async with bench(subject, stored={"list": [1]}) as at:
            error = await _error_of(way, at, _change_and_fail)
            _expect_error(at, error, _HandlerError)
            at.nothing_written()
            await at.stored({"list": [1]})


@failures.promise(
    "A read that fails never leads to a write: its error is raised, and what is stored stays.",
    hint="the storage declares what it does not have, or answers from elsewhere than from read() "
    "and read_with_revision().",
)
async def failed_read_leads_to_no_write(subject: Subject) -> None:
    for way in WAYS:
        subject.start_history()
        async with bench(subject, stored={"n": 1}) as at:
            with at.storage.fail("read"):
                error = await _error_of(way, at, add_one)
            _expect_error(at, error, ConnectionError)
            at.nothing_written()
            await at.stored({"n": 1})


@failures.promise(
    "A write that fails leaves the old value, and its error is raised.",
    hint="the storage is written to elsewhere than by write() and write_if().",
)
async def failed_write_keeps_the_old_data(subject: Subject) -> None:
    for way in WAYS:
        subject.start_history()
        async with bench(subject, stored={"n": 1}) as at:
            with at.storage.fail("write"):
                error = await _error_of(way, at, add_one)
            _expect_error(at, error, ConnectionError)
            await at.stored({"n": 1})


@failures.promise(
    "A stored value that is damaged is not written over: the update fails.",
    hint="read() or read_with_revision() catches the error and gives None: the session starts "
    "again. Raise SessionDecodeError.",
)
async def damaged_data_is_not_written_over(subject: Subject) -> None:
    for way in WAYS:
        subject.start_history()
        namespace = subject.namespace()
        async with subject.client(namespace) as storage:
            await storage.write("1", {"n": 1})
            await subject.damage(namespace, "1")
            at = Bench(storage)
            await _error_of(way, at, add_one)
            at.nothing_written()


@failures.promise(
    "However an update ends, its key is free afterwards.",
    hint="a call of the storage never returns, or swallows its cancellation.",
)
async def key_is_free_afterwards(subject: Subject) -> None:
    ends = (_ends_well, _ends_with_its_handler, _ends_reading, _ends_writing, _is_cancelled)
    for way in WAYS:
        for end in ends:
            subject.start_history()
            async with bench(subject, stored={"n": 1, "list": []}) as at:
                await end(at, way)
                await _expect_free(at)


async def _ends_well(at: Bench, way: Way) -> None:
    await way(at, add_one)


async def _ends_with_its_handler(at: Bench, way: Way) -> None:
    await _error_of(way, at, _change_and_fail)


async def _ends_reading(at: Bench, way: Way) -> None:
    with at.storage.fail("read"):
        await _error_of(way, at, add_one)


async def _ends_writing(at: Bench, way: Way) -> None:
    with at.storage.fail("write"):
        await _error_of(way, at, add_one)


async def _is_cancelled(at: Bench, way: Way) -> None:
    await _cancelled(asyncio.create_task(way(at, add_one)), 2)
    at.history.note("# the task of the handler was cancelled")


async def _expect_free(at: Bench) -> None:
    sessions = at.sessions(lock_timeout=_LOCK_TIMEOUT)
    at.history.note("async with sessions.open(1): ...")
    try:
        async with sessions.open(1):
            pass
    except (SessionDeadlockError, SessionLockTimeoutError) as error:
        at.history.fail(expected="the key is free", got=show(error))


@failures.promise(
    "An update that was cancelled has no effect later: what is stored then is old or new, and "
    "stays.",
    hint="a cancelled write goes on in a thread or task of its own. Wait for it before the "
    "cancellation is raised, or do not declare settles = True.",
)
async def cancelled_update_has_no_late_effect(subject: Subject) -> None:
    for moment in range(_MOMENTS):
        subject.start_history()
        async with bench(subject, stored={"n": 1}) as at:
            await _cancelled(asyncio.create_task(WAYS[0](at, add_one)), moment)
            at.history.note("# the task of the handler was cancelled")
            found = await at.client.read("1")
            if found not in ({"n": 1}, {"n": 2}):
                at.history.fail(expected="{'n': 1} or {'n': 2}", got=show(found))
            await asyncio.sleep(_A_WHILE)
            at.history.note(f"await asyncio.sleep({_A_WHILE})")
            await at.stored(found)


async def _cancelled(task: asyncio.Task[Any], moment: int) -> None:
    """Cancel *task* after so many turns of the event loop, and wait until it has ended."""
    for _ in range(moment):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait((task,))
    if not task.cancelled():
        task.result()


def _expect_error(at: Bench, error: Any, kind: type[Exception]) -> None:
    if not isinstance(error, kind):
        got = "no error" if error is None else show(error)
        at.history.fail(expected=kind.__name__, got=got)


@failures.promise(
    "A session whose value expires while it is open is stored all the same.",
    hint="write_if() refuses the revision of a value that has expired since, removed or not.",
    needs=("ttl", "time"),
)
async def expired_meanwhile_is_stored(subject: Subject) -> None:
    for purges in (False, True):
        subject.start_history()
        async with bench(subject, stored={"n": 1}) as at:
            sessions = at.sessions()
            async with sessions.open(1) as opened:
                add_one(opened.data)
                await subject.pass_time(ttl_of(subject))
                if purges and "purge_expired" in at.client.capabilities:
                    await sessions.purge_expired()
            await at.stored({"n": 2})


@failures.promise(
    "However many others are stored meanwhile, the data of an open session stays.",
    hint="the storage makes room for new values by removing old ones: leave out the keys of "
    "sessionkit.storages.authoring.open_keys(storage).",
)
async def open_session_stays_stored(subject: Subject) -> None:
    async with bench(subject, stored={"n": 1}) as at:
        sessions = at.sessions()
        async with sessions.open(1) as opened:
            add_one(opened.data)
            at.history.note(f"# meanwhile {_OTHERS} other chats are stored")
            for chat in range(2, 2 + _OTHERS):
                await sessions.update(chat, _counted)
        await at.stored({"n": 2})

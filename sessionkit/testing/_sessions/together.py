"""Several handlers at once: in tasks, in threads, and where no lock keeps them apart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from sessionkit import lazy_session, merge_fields, session
from sessionkit._storage.sync_or_async import discard, is_awaitable
from sessionkit.errors import SessionConflictError
from sessionkit.testing._client import Client
from sessionkit.testing._needs import LeftOut
from sessionkit.testing._sessions.bench import Bench, add_one, bench, zero
from sessionkit.testing._subject import Subject
from sessionkit.testing._suites import Collection
from sessionkit.testing.context import FakeContext

together: Final[Collection[Subject]] = Collection()

_CHATS: Final = 2
_UPDATES: Final = 12
_THREADS: Final = 4
_TWENTYFOLD: Final = 20
_REVISIONS: Final = ("shared", "read_with_revision", "write_if")
_LOST: Final = (
    "a write is not yet there when write() or write_if() returns, or read() answers from a copy "
    "that is older."
)


def _strict(storage: Any) -> Callable[[int], Awaitable[Any]]:
    sessions = session(initial=zero, storage=storage)

    async def handler(ctx: Any) -> None:
        await asyncio.sleep(0)
        add_one(ctx.session)

    return lambda chat: sessions(FakeContext(chat_id=chat), handler)


def _lazy(storage: Any) -> Callable[[int], Awaitable[Any]]:
    sessions = lazy_session(initial=zero, storage=storage)

    async def handler(ctx: Any) -> None:
        add_one(await ctx.session)

    return lambda chat: sessions(FakeContext(chat_id=chat), handler)


def _open(storage: Any) -> Callable[[int], Awaitable[Any]]:
    sessions = session(initial=zero, storage=storage)

    async def update(chat: int) -> None:
        async with sessions.open(chat) as opened:
            await asyncio.sleep(0)
            add_one(opened.data)

    return update


def _update(storage: Any) -> Callable[[int], Awaitable[Any]]:
    sessions = session(initial=zero, storage=storage)
    return lambda chat: sessions.update(chat, _plus(1))


def _plus(number: int) -> Callable[[Any], Any]:
    return lambda found: {"n": found["n"] + number}


_WAYS: Final = {
    "await sessions(ctx, handler)": _strict,
    "await lazy_sessions(ctx, handler)": _lazy,
    "async with sessions.open(chat) as s: s.data['n'] += 1": _open,
    "await sessions.update(chat, add_one)": _update,
}


@together.promise(
    "No update is lost among tasks: handlers of one chat take turns.",
    hint=_LOST,
)
async def no_update_is_lost_among_tasks(subject: Subject) -> None:
    count = _UPDATES * (_TWENTYFOLD if subject.thorough else 1)
    for shown, way in _WAYS.items():
        subject.start_history()
        async with subject.client() as client:
            update = way(client.storage)
            client.history.note(f"# {count} tasks for each of {_CHATS} chats: {shown}")
            await _all([update(number % _CHATS + 1) for number in range(count * _CHATS)])
            await _expect_counted(client, count)


async def _all(updates: Sequence[Awaitable[Any]]) -> None:
    """Let all of them end, and raise the first error."""
    for ended in await asyncio.gather(*updates, return_exceptions=True):
        if isinstance(ended, BaseException):
            raise ended


@together.promise(
    "No update is lost among threads: handlers of one chat take turns.",
    hint=f"{_LOST} Or the storage must not be used from several threads: make methods async, and "
    "'sync' a view that may.",
)
async def no_update_is_lost_among_threads(subject: Subject) -> None:
    count = _UPDATES * (_TWENTYFOLD if subject.thorough else 1)
    async with subject.client() as client:
        _check_usable_by_threads(client.storage)
        sessions = session(initial=zero, storage=client.storage)

        def update() -> None:
            for number in range(count * _CHATS // _THREADS):
                with sessions.open(number % _CHATS + 1) as opened:
                    add_one(opened.data)

        client.history.note(
            f"# {_THREADS} threads, {count} times for each of {_CHATS} chats: "
            "with sessions.open(chat) as s: s.data['n'] += 1"
        )
        await _all([asyncio.to_thread(update) for _ in range(_THREADS)])
        await _expect_counted(client, count)


def _check_usable_by_threads(storage: Any) -> None:
    if getattr(storage, "sync", None) is not None:
        return
    answer = storage.read("1")
    if is_awaitable(answer):
        discard(answer)
        msg = "the methods are async and there is no sync view, so threads cannot use the storage"
        raise LeftOut(msg)


async def _expect_counted(client: Client, count: int) -> None:
    for chat in range(1, _CHATS + 1):
        await client.expect_read(str(chat), {"n": count})


@together.promise(
    "While a session is paused others may change the data, and it goes on with what they wrote.",
    hint="read() or read_with_revision() answers from a copy that is older.",
)
async def paused_session_goes_on_with_what_others_wrote(subject: Subject) -> None:
    async with bench(subject) as at:
        sessions = at.sessions()
        async with sessions.open(1) as opened:
            add_one(opened.data)
            async with opened.paused():
                await sessions.update(1, _plus(10))
            add_one(opened.data)
        await at.stored({"n": 12})


def _ten(_found: Any) -> Any:
    return {"n": 10}


def _b_is_three(found: Any) -> Any:
    return {**found, "b": 3}


# Two storage objects on the same data, as two processes have them.


@asynccontextmanager
async def _two(
    subject: Subject, stored: Any, **options: Any
) -> AsyncGenerator[tuple[Bench, Any, Any], None]:
    subject.lag.check_none()
    subject.start_history()
    namespace = subject.namespace()
    async with subject.client(namespace) as storage, subject.client(namespace) as second:
        if stored is not None:
            await storage.write("1", stored)
        one, other = Bench(storage), Bench(second)
        sessions = one.sessions(lock=False, **options)
        yield one, sessions, other.sessions("others", lock=False, **options)


@together.promise(
    "If another process wrote in between, the update fails, and what the other one wrote stays.",
    hint="write_if() does not compare the revision, or gives one revision to two values.",
    needs=_REVISIONS,
)
async def clash_is_noticed(subject: Subject) -> None:
    for stored in (None, {"n": 1}):
        async with _two(subject, stored) as (at, sessions, others):
            try:
                async with sessions.open(1) as opened:
                    add_one(opened.data)
                    await others.update(1, _ten)
            except SessionConflictError:
                await at.stored({"n": 10})
            else:
                at.history.fail(expected="SessionConflictError", got="the update went through")


@together.promise(
    "If another process deleted in between, the update fails, and nothing is stored.",
    hint="write_if() takes a value that is gone for one that was never there, or does not compare.",
    needs=_REVISIONS,
)
async def clash_with_a_delete_is_noticed(subject: Subject) -> None:
    async with _two(subject, {"n": 1}) as (at, sessions, others):
        try:
            async with sessions.open(1) as opened:
                add_one(opened.data)
                await others.delete(1)
        except SessionConflictError:
            await at.stored(None)
        else:
            at.history.fail(expected="SessionConflictError", got="the update went through")


@together.promise(
    "With on_conflict=merge_fields, changes of different fields by two processes are both kept.",
    hint="read_with_revision() answers from a copy that is older, or with a revision that does "
    "not belong to the value.",
    needs=_REVISIONS,
)
async def changes_of_two_processes_are_merged(subject: Subject) -> None:
    async with _two(subject, {"a": 1, "b": 1}, on_conflict=merge_fields) as (at, sessions, others):
        async with sessions.open(1) as opened:
            opened.data["a"] = 2
            await others.update(1, _b_is_three)
        await at.stored({"a": 2, "b": 3})


@together.promise(
    "sessions.update() tries again if another process wrote in between: both changes count.",
    hint="read_with_revision() answers from a copy that is older, or with a revision that does "
    "not belong to the value.",
    needs=_REVISIONS,
)
async def update_tries_again(subject: Subject) -> None:
    async with _two(subject, {"n": 1}) as (at, sessions, others):
        clashes = [10]

        async def change(found: Any) -> Any:
            if clashes:
                more = clashes.pop()
                await others.update(1, _plus(more))
            return {"n": found["n"] + 1}

        at.history.note("await sessions.update(1, add_one)  # meanwhile another one adds 10")
        await sessions.update(1, change)
        await at.stored({"n": 12})

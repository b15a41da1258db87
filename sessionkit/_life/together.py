"""Several sessions at once: locked in one order, all encoded before one is written."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

from sessionkit._life.forms import Change
from sessionkit._life.late import remember
from sessionkit._life.record import CLOSED, KEYLESS, OPEN
from sessionkit._life.strict import Session
from sessionkit.errors import SessionWriteError


async def begin_all(sessions: Sequence[Session[Any]]) -> None:
    """Begin all, or none."""
    keyed = sorted(
        (session for session in sessions if session.key is not None),
        key=lambda session: (id(session._settings.locks), session._full_key),
    )
    try:
        for session in keyed:
            await session._acquire()
        raise_first(await _together(keyed, [session._load() for session in keyed]))
    except BaseException:
        await _release_all(keyed)
        raise
    for session in sessions:
        session._state = KEYLESS if session.key is None else OPEN
        session._show(session._data)


async def end_all(
    sessions: Sequence[Session[Any]], error: BaseException | None, names: Sequence[str]
) -> None:
    """End all: nothing is written if one cannot be encoded.

    Raises:
        SessionWriteError: Some were written and some could not be.
    """
    try:
        for session in sessions:
            session._data = session._look()
            session._leave()
        changes = _changes(sessions, error)
        courses = [session._apply(change) for session, change in changes]
        failures = await _together([session for session, _ in changes], courses)
        for session in sessions:
            remember(session)
    finally:
        for session in sessions:
            session._state = CLOSED
        await _release_all(sessions)
    done = [
        (names[sessions.index(session)], failure)
        for (session, change), failure in zip(changes, failures, strict=True)
        if change or failure
    ]
    _report(dict(done))


def _changes(
    sessions: Sequence[Session[Any]], error: BaseException | None
) -> list[tuple[Session[Any], Change | None]]:
    return [
        (session, session._change())
        for session in sessions
        if session._state == OPEN and session._is_to_be_saved(error)
    ]


async def _release_all(sessions: Sequence[Session[Any]]) -> None:
    failures = [await _outcome(session._release()) for session in sessions]
    raise_first(failures)


async def _together(
    sessions: Sequence[Session[Any]], courses: Sequence[Coroutine[Any, Any, None]]
) -> list[BaseException | None]:
    """Run all to their end, side by side where a loop runs; return what each raised."""
    if len(courses) < 2 or sessions[0]._settings.backend.blocking:
        return [await _outcome(course) for course in courses]
    return await asyncio.gather(*courses, return_exceptions=True)


async def _outcome(course: Coroutine[Any, Any, None]) -> BaseException | None:
    try:
        await course
    except BaseException as error:  # noqa: BLE001 (raised by the caller)
        return error
    return None


def raise_first(failures: Sequence[BaseException | None]) -> None:
    """Raise the first error, if there is one."""
    for failure in failures:
        if failure is not None:
            raise failure


def _report(outcomes: Mapping[str, BaseException | None]) -> None:
    failed = {name: error for name, error in outcomes.items() if error}
    if not failed:
        return
    written = tuple(name for name in outcomes if name not in failed)
    first = next(iter(failed.values()))
    if not written or not isinstance(first, Exception):
        raise first
    msg = (
        f"{', '.join(failed)} could not be written ({first}), but {', '.join(written)} "
        f"{'were' if len(written) > 1 else 'was'}"
    )
    raise SessionWriteError(msg, written=written, failed=tuple(failed)) from first

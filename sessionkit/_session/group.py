"""Several sessions at once: locked in one order, all encoded before one is written."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Generic, TypeAlias, TypeVar

from sessionkit._locks.owners import holds_session
from sessionkit._session.record import Record
from sessionkit._session.stored import OPEN, Change, Rest, wait_for
from sessionkit.errors import RepeatedUpdateError, SessionWriteError

AnySession: TypeAlias = Record[Any]
R = TypeVar("R", bound=AnySession)


def in_order(sessions: Sequence[AnySession]) -> list[AnySession]:
    """Those that have a key, in the order in which all lock them."""
    keyed = [session for session in sessions if session.key is not None]
    if len(keyed) > 1:
        keyed.sort(key=_place)
    return keyed


def _place(session: AnySession) -> tuple[tuple[bool, str, int], str]:
    return session._settings.place, session._full_key


def begin_all(sessions: Sequence[AnySession]) -> Rest:
    """Begin all, or none; those without a key only record that."""
    keyed = in_order(sessions)
    if len(keyed) < len(sessions):
        for session in sessions:
            if session.key is None:
                session._begin()
    number, rest = _acquire_from(keyed, 0)
    if rest is not None:
        return _begin_later(Group(keyed), number, rest)
    return load_all(keyed)


class Group(Generic[R]):
    """Sessions that are open together, as those see it that wait for one of them."""

    def __init__(self, sessions: Sequence[R]) -> None:
        self.sessions = sessions

    def _holders(self) -> Sequence[R]:
        return self.sessions


def _acquire_from(keyed: Sequence[AnySession], number: int) -> tuple[int, Rest]:
    """Acquire one after the other until one has to be waited for."""
    for at in range(number, len(keyed)):
        rest = keyed[at]._acquire_and_follow()
        if rest is not None:
            return at, rest
    return len(keyed), None


@holds_session
async def _begin_later(session: Group[AnySession], number: int, rest: Rest) -> None:
    keyed = session.sessions
    try:
        while rest is not None:
            await rest
            number, rest = _acquire_from(keyed, number + 1)
    except BaseException:
        await release_all(keyed)
        raise
    await wait_for(load_all(keyed))


def load_all(keyed: Sequence[AnySession]) -> Rest:
    """Load what is locked, side by side, and open it; release all if one cannot be read."""
    pending: list[Any] = []
    try:
        for session in keyed:
            rest = session._load()
            if rest is not None:
                pending.append(rest)
    except BaseException as error:  # noqa: BLE001 (raised when all are released)
        return _load_failed(keyed, pending, error)
    if pending:
        return _load_later(keyed, pending)
    for session in keyed:
        session._opened()
    return None


async def _load_later(keyed: Sequence[AnySession], pending: list[Any]) -> None:
    try:
        raise_first(await together(pending))
    except BaseException:
        await release_all(keyed)
        raise
    for session in keyed:
        session._opened()


async def _load_failed(
    keyed: Sequence[AnySession], pending: list[Any], error: BaseException
) -> None:
    await together(pending)
    await release_all(keyed)
    raise error


def end_all(
    sessions: Sequence[AnySession], error: BaseException | None, names: Sequence[str]
) -> Rest:
    """End all: nothing is written if one cannot be encoded.

    Raises:
        SessionWriteError: Some were written and some could not be.
    """
    for session in sessions:
        if session._writing is not None:
            return _end_after_writes(sessions, error, names)
    pending: dict[int, Any] = {}
    outcomes: dict[int, BaseException | None] = {}
    try:
        for number, change in _changes(sessions, error):
            session = sessions[number]
            try:
                rest = session._renew() if change is None else session._write(change)
            except BaseException as failure:  # noqa: BLE001 (raised when all have ended)
                outcomes[number] = failure
            else:
                if rest is not None:
                    pending[number] = rest, change
                elif change is not None:
                    outcomes[number] = None
        if pending:
            return _end_later(sessions, names, pending, outcomes)
    except BaseException as failure:  # noqa: BLE001 (raised when all are closed)
        return _close_all(sessions, failure)
    return _close_all(sessions, _failure(names, outcomes))


async def _end_after_writes(
    sessions: Sequence[AnySession], error: BaseException | None, names: Sequence[str]
) -> None:
    """Let the writes in flight settle first: they must not outlive the locks."""
    try:
        for session in sessions:
            await session._settled_write()
    except asyncio.CancelledError as cancellation:
        error = error or cancellation
        raise
    finally:
        await wait_for(end_all(sessions, error, names))


async def _end_later(
    sessions: Sequence[AnySession],
    names: Sequence[str],
    pending: Mapping[int, Any],
    outcomes: dict[int, BaseException | None],
) -> None:
    failure: BaseException | None
    try:
        failures = await together([rest for rest, _ in pending.values()])
        for (number, (_, change)), outcome in zip(pending.items(), failures, strict=True):
            if change is not None or outcome is not None:
                outcomes[number] = outcome
        failure = _failure(names, dict(sorted(outcomes.items())))
    except BaseException as error:  # noqa: BLE001 (raised when all are closed)
        failure = error
    await wait_for(_close_all(sessions, failure))


async def end_with_last(
    sessions: Sequence[AnySession],
    error: BaseException | None,
    names: Sequence[str],
    last: AnySession,
) -> None:
    """Do the same, but write *last* when all others are written, and not if one could not be."""
    failure: BaseException | None = None
    try:
        for session in sessions:
            await session._settled_write()
        outcomes: dict[int, BaseException | None] = {}
        changes = _changes(sessions, error)
        for now in (False, True):
            if any(outcomes.values()):
                break
            writing = [each for each in changes if (sessions[each[0]] is last) is now]
            failures = await together([_written(sessions[n], change) for n, change in writing])
            for (number, change), outcome in zip(writing, failures, strict=True):
                if change is not None or outcome is not None:
                    outcomes[number] = outcome
        failure = _failure(names, dict(sorted(outcomes.items())))
    except BaseException as caught:  # noqa: BLE001 (raised when all are closed)
        failure = caught
    await wait_for(_close_all(sessions, failure))


async def _written(session: AnySession, change: Change | None) -> None:
    with suppress(RepeatedUpdateError):  # another process has done all of this
        await wait_for(session._renew() if change is None else session._write(change))


def _changes(
    sessions: Sequence[AnySession], error: BaseException | None
) -> list[tuple[int, Change | None]]:
    return [
        (number, session._change())
        for number, session in enumerate(sessions)
        if session._state == OPEN and session._is_to_be_saved(error)
    ]


def _close_all(sessions: Sequence[AnySession], failure: BaseException | None) -> Rest:
    pending: list[Any] = []
    for session in sessions:
        rest = session._close()
        if rest is not None:
            pending.append(rest)
    if pending:
        return _close_later(pending, failure)
    if failure is not None:
        raise failure
    return None


async def _close_later(pending: list[Any], failure: BaseException | None) -> None:
    raise_first([failure, *(await together(pending))])


async def release_all(sessions: Sequence[AnySession]) -> None:
    """Give all keys back that are held, even if one fails."""
    raise_first([await _outcome(session._release()) for session in sessions])


async def together(rests: Sequence[Any]) -> list[BaseException | None]:
    """Run all to their end, side by side where a loop runs; return what each raised."""
    if len(rests) == 1 or not _loop_runs():
        return [await _outcome(rest) for rest in rests]
    outcomes: list[Any] = await asyncio.gather(*rests, return_exceptions=True)
    return [each if isinstance(each, BaseException) else None for each in outcomes]


def _loop_runs() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


async def _outcome(rest: Rest) -> BaseException | None:
    try:
        await wait_for(rest)
    except BaseException as error:  # noqa: BLE001 (raised by the caller)
        return error
    return None


def raise_first(failures: Sequence[BaseException | None]) -> None:
    """Raise the first error, if there is one."""
    for failure in failures:
        if failure is not None:
            raise failure


def _failure(
    names: Sequence[str], outcomes: Mapping[int, BaseException | None]
) -> BaseException | None:
    """What to raise for writes of which some, or all, have failed."""
    if not any(outcomes.values()):
        return None
    failed = {names[number]: error for number, error in outcomes.items() if error}
    written = tuple(names[number] for number, error in outcomes.items() if not error)
    first = next(iter(failed.values()))
    if not written or not isinstance(first, Exception):
        return first
    msg = (
        f"{', '.join(failed)} could not be written ({first}), but {', '.join(written)} "
        f"{'were' if len(written) > 1 else 'was'}"
    )
    error = SessionWriteError(msg, written=written, failed=tuple(failed))
    error.__cause__ = first
    return error

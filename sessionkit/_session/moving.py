"""Moving data from one key to another, both of which are locked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sessionkit._session.record import Record
from sessionkit._session.serializer import MISSING, Loaded
from sessionkit._session.stored import CLOSED, PAUSED, wait_for
from sessionkit._storage.sync_or_async import resolve
from sessionkit.errors import SessionConflictError

Merge2 = Callable[[Any, Any], Any]
"""Called with the data of the new key and of the old one; returns what is to be stored."""


class ChangedMeanwhileError(SessionConflictError):
    """A key was changed elsewhere while it moved; both are as others left them: try again."""


async def move_data(source: Record[Any], target: Record[Any], merge: Merge2 | None) -> None:
    """Store the data of *source* under the key of *target*, and delete it where it was.

    Raises:
        SessionConflictError: Both have data, and there is no *merge*; or one was changed elsewhere.
    """
    mine = source._look()
    source._leave_for(target)
    if mine is None or mine is MISSING or not (source._stored or source._change()):
        await wait_for(source._save())  # deleted, and not yet written
        return
    before = target._as_loaded() if target._stored else None
    beside = target._beside()
    if target._stored:
        if merge is None:
            msg = (
                f"{source._full_key!r} and {target._full_key!r} both have data: give "
                "merge=function(theirs, mine); nothing was changed"
            )
            raise SessionConflictError(msg, key=target._full_key)
        from sessionkit._data.unknown import merged_unknown  # noqa: PLC0415 (only merges need it)

        theirs = target._look()
        merged = await _merged(merge, theirs, mine)
        target._unknown = merged_unknown(merged, (theirs, target._unknown), (mine, source._unknown))
        target._show(merged)
    else:
        target._show(mine)
        target._unknown = source._unknown
    target._take_beside(source)
    await wait_for(target._save(force=True))
    source._show(None)
    try:
        overwrites = source._settings.on_conflict == "overwrite"
        await wait_for(source._save(settles=overwrites))
    except SessionConflictError as conflict:
        source._show(mine)
        source._leave_for(None)
        target._put_beside(beside)
        await _undo(source, target, before, conflict)
        msg = (
            f"{source._full_key!r} was changed elsewhere while it moved to {target._full_key!r}: "
            "nothing was moved, and both have what they had. Move it again"
        )
        raise ChangedMeanwhileError(msg, key=source._full_key) from conflict
    except BaseException as error:  # it may be deleted or not: what is stored must stay
        source._show(mine)
        source._leave_for(None)
        error.add_note(
            f"the data of {source._full_key!r} was stored under {target._full_key!r}; whether it "
            "was deleted in its old place is not known: look there before you move it again"
        )
        raise


async def _undo(
    source: Record[Any],
    target: Record[Any],
    before: Loaded | None,
    conflict: SessionConflictError,
) -> None:
    """Put back what *target* had, or else the next try would merge the same data twice."""
    if before is None:
        target._show(None)
    else:
        data, _, unknown = before
        target._show(data)
        target._unknown = unknown
    try:
        await wait_for(target._save(force=True, settles=False))
    except Exception as error:  # noqa: BLE001 (raised as part of the conflict)
        msg = (
            f"{source._full_key!r} was changed elsewhere while it moved, after its data had been "
            f"stored under {target._full_key!r}, where that could not be undone ({error}). The "
            "data is in both places: compare them before you move it again"
        )
        raise SessionConflictError(msg, key=source._full_key) from conflict


async def _merged(merge: Merge2, theirs: Any, mine: Any) -> Any:
    merged = await resolve(merge(theirs, mine))
    if merged is None:
        msg = "the merge function given to move() returned None: forgot return?"
        raise TypeError(msg)
    return merged


async def move_to(source: Record[Any], key: str, merge: Merge2 | None) -> None:
    """Store the data of an open session under another key; it goes on there."""
    source._use()
    if key == source.key:
        return
    target: Record[Any] = source._settings.record(source._settings, key)
    await wait_for(target._begin())
    try:
        source._use()  # it may have been closed meanwhile
        await move_data(source, target, merge)
    except BaseException:
        await wait_for(target._release())
        raise
    try:
        await wait_for(source._release())
    finally:
        if source._state == CLOSED:  # it ended while its data was written, and takes nothing
            await wait_for(target._release())
        elif source._state == PAUSED:  # the pause waits for the new key when it ends
            _take_over(source, target)
            source._show(MISSING)
            await wait_for(source._release())
        else:
            _take_over(source, target)


def _take_over(source: Record[Any], target: Record[Any]) -> None:
    """Let *source* have key, lock and data of *target*, which is at hand nowhere else."""
    source.key, source._full_key = target.key, target._full_key
    source._base, source._unknown = target._base, target._unknown
    source._go_on_as(target)
    source._stored, source._revision = target._stored, target._revision
    source._held = True
    settings = source._settings
    if settings.lock is not None:
        source._token = target._token
    if settings.locked:
        settings.locks.held[source._full_key] = source
    target._held, target._state = False, CLOSED
    source._show(target._data)

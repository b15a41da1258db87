"""Calls that are cancelled: at each await in turn."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from sessionkit.testing._broken import BrokenPromise
from sessionkit.testing._client import Client
from sessionkit.testing._concurrency.cancelled import OLD, Cancelled, Moment, at_every_moment
from sessionkit.testing._concurrency.freezer import Freezer
from sessionkit.testing._concurrency.wait_policy import PATIENCE
from sessionkit.testing._equal import alike
from sessionkit.testing._guard import within
from sessionkit.testing._ops import Op, delete, look, perform, read, write, write_if
from sessionkit.testing._promises import promise
from sessionkit.testing._show import show
from sessionkit.testing._subject import Subject

_NEW: Final = {"n": 2}
_LATER: Final = {"n": 3}

_WRITES: Final = (
    write("1", _NEW),
    write_if("1", _NEW),
    delete("1"),
    write_if("1", None),
    Op("write_many", ({"1": _NEW},)),
    Op("touch", ("1",)),
)
_READS: Final = (read("1"), look("1"), Op("has", ("1",)), Op("read_many", (["1"],)))


@promise(
    "If a call is cancelled, the old value or the new one is stored, and the storage still works.",
    hint="a lock is not given back (use 'async with', or 'finally'), or a write is done in steps "
    "that are not undone.",
    layer="concurrency",
)
async def cancelled_call_leaves_old_or_new(subject: Subject) -> None:
    async def trial(storage: Client, op: Op, moment: Moment, holder: Freezer) -> None:
        call = Cancelled(storage, op, moment, holder)
        call.begin()
        await call.raised()
        holder.thaw()
        failed = await call.end()
        holder.thaw()  # it may have gone on freezing
        await holder.drained()
        await _expect_one_of(storage, _allowed(op, failed=failed))
        await _expect_working(storage)

    await at_every_moment(subject, [*_WRITES, *_READS], trial)


def _allowed(op: Op, *, failed: bool) -> list[Any]:
    changes = op.method in {"write", "write_if", "delete", "write_many"}
    removes = op.method == "delete" or op.args[1:2] == (None,)
    new = None if removes else _NEW
    return [value for value, possible in ((OLD, failed or not changes), (new, changes)) if possible]


async def _expect_one_of(storage: Client, allowed: list[Any]) -> None:
    value = await within(storage.read("1"), storage.history)
    if not any(alike(value, each) for each in allowed):
        storage.fail(expected=" or ".join(map(show, allowed)), got=show(value))


async def _expect_working(storage: Client) -> None:
    for key in ("1", "2"):
        await within(storage.write(key, _LATER), storage.history)
        value = await within(storage.read(key), storage.history)
        storage.expect(value, _LATER)


@promise(
    "If a call is cancelled, others that are under way are not disturbed.",
    hint="calls wait for the same future or task, and the cancellation of one cancels it for all.",
    layer="concurrency",
)
async def cancelled_call_leaves_others_alone(subject: Subject) -> None:
    async def with_others(storage: Client, op: Op, moment: Moment, holder: Freezer) -> None:
        others = [write("2", _NEW), read("2"), read("1"), write("3", _NEW)]
        before = [_Other(storage, other) for other in others[:2]]
        call = Cancelled(storage, op, moment, holder)
        call.begin()
        after = [_Other(storage, other) for other in others[2:]]
        await call.raised()
        holder.thaw()
        await call.end()
        holder.thaw()  # it may have gone on freezing
        for other in (*before, *after):
            await other.end()
        await _expect_value(storage, "2")
        await _expect_value(storage, "3")

    await at_every_moment(subject, [*_WRITES[:2], _READS[0]], with_others)


class _Other:
    """A call that is under way while another one is cancelled."""

    def __init__(self, storage: Client, op: Op) -> None:
        self._history = storage.history
        self._line = storage.history.begin(f"meanwhile: await {op}")
        self._task = asyncio.ensure_future(perform(storage.storage, op, {}))

    async def end(self) -> None:
        """Wait until it ends.

        Raises:
            BrokenPromise: It was cancelled, too, or raised.
        """
        await within(asyncio.wait((self._task,)), self._history)
        if self._task.cancelled():
            self._line.outcome = "raised CancelledError"
            self._history.fail(expected="no error: nobody cancelled it", got="CancelledError")
        error = self._task.exception()
        if error is not None:
            self._line.outcome = f"raised {show(error)}"
            raise BrokenPromise(
                self._history.lines, expected="no error", got=show(error)
            ) from error
        self._line.outcome = "went through"


async def _expect_value(storage: Client, key: str) -> None:
    storage.expect(await within(storage.read(key), storage.history), _NEW)


@promise(
    "With settles = True, nothing of a call that was cancelled happens after it has raised.",
    hint="the work goes on in a thread or a shielded task: wait for its end before you raise, or "
    "leave settles out.",
    layer="concurrency",
    needs=("settles",),
)
async def cancelled_call_has_no_late_effect(subject: Subject) -> None:
    async def trial(storage: Client, op: Op, moment: Moment, holder: Freezer) -> None:
        call = Cancelled(storage, op, moment, holder)
        call.begin()
        if not await call.raised():
            holder.thaw()
        await call.end()
        holder.hold_no_more()
        later = asyncio.ensure_future(storage.write("1", _LATER))
        await asyncio.wait((later,), timeout=PATIENCE)
        holder.thaw()
        await within(later, storage.history)
        await holder.drained()
        value = await within(storage.read("1"), storage.history)
        if not alike(value, _LATER):
            storage.fail(expected=f"{show(_LATER)}: what was written last", got=f"{show(value)}")

    await at_every_moment(subject, _WRITES, trial)

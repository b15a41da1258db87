"""What other processes see."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from sessionkit.testing._client import Client
from sessionkit.testing._concurrency.actors import Actor
from sessionkit.testing._concurrency.ops import LISTINGS, Op, delete, read, write
from sessionkit.testing._concurrency.peers import check_shared, peers
from sessionkit.testing._concurrency.processes import ProcessActor
from sessionkit.testing._equal import alike
from sessionkit.testing._promises import promise
from sessionkit.testing._show import show
from sessionkit.testing._subject import Subject

_NEW: Final = {"n": 2}
_VIEWS: Final[tuple[tuple[Op, Any], ...]] = (
    (read("1"), _NEW),
    (Op("has", ("1",)), True),
    (Op("read_many", (["1"],)), {"1": _NEW}),
    (Op("read_with_revision", ("1",)), _NEW),
    (Op("iter_keys"), ["1"]),
    (Op("iter_items"), {"1": _NEW}),
)


@promise(
    "What one process has written or deleted, another one that has the storage open sees at once.",
    hint="values are kept in a cache of the process, or are written later than write() returns.",
    layer="concurrency",
    needs=("shared",),
    timeout=120.0,
)
async def writes_are_seen_by_other_processes(subject: Subject) -> None:
    async with peers(subject, 1) as (peer,):
        await check_shared(subject, peer)
        subject.start_history()
        namespace = subject.namespace()
        async with subject.client(namespace) as here:
            there = ProcessActor("another process", here.history, here.storage, peer)
            await there.open(namespace, subject.clock())
            await _compare(here, there, subject.lag.catch_up)
            await there.close()


async def _compare(here: Client, there: Actor, catch_up: Callable[[], Awaitable[None]]) -> None:
    views = [(op, value) for op, value in _VIEWS if op.method in {*here.capabilities, "read"}]
    await here.write("1", {"n": 1})
    await catch_up()
    for op, _ in views:
        await there.do(op)
    await here.write("1", _NEW)
    await catch_up()
    for op, expected in views:
        await _expect(there, op, expected)
    await there.do(write("1", {"n": 3}))
    await catch_up()
    await here.expect_read("1", {"n": 3})
    await here.delete("1")
    await catch_up()
    for op, _ in views:
        await _expect(there, op, _gone(op))
    await there.do(write("1", {"n": 4}))
    await there.do(delete("1"))
    await catch_up()
    await here.expect_read("1", None)


def _gone(op: Op) -> Any:
    if op.method == "has":
        return False
    if op.method == "iter_keys":
        return []
    return {} if op.method in {*LISTINGS, "read_many"} else None


async def _expect(there: Actor, op: Op, expected: Any) -> None:
    outcome = await there.do(op)
    if not alike(outcome.answer, expected):
        there.history.fail(expected=show(expected), got=show(outcome.answer))

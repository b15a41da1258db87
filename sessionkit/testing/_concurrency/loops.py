"""Several event loops."""

from __future__ import annotations

import asyncio
from typing import Any

from sessionkit.testing._concurrency.threads import in_thread
from sessionkit.testing._guard import within
from sessionkit.testing._ops import Outcome, answered, perform, raised, write
from sessionkit.testing._promises import promise
from sessionkit.testing._show import show
from sessionkit.testing._subject import Subject


@promise(
    "Used in a second event loop, on another thread, a storage works or raises: it does not hang, "
    "loses nothing, and still works in the first one.",
    hint="a lock, queue or connection belongs to the event loop in which it was first used.",
    layer="concurrency",
    needs=("threads",),
    timeout=30.0,
)
async def second_event_loop_is_served_or_refused(subject: Subject) -> None:
    async with subject.client() as storage:
        await storage.write("1", {"n": 1})
        line = storage.history.begin("# in another event loop: storage.write('2', {'n': 2})")
        job = in_thread(lambda: _write_there(storage.storage))[0]
        outcome = await within(job, storage.history)
        line.outcome = outcome.text
        if outcome.kind == "answer":
            await storage.expect_read("2", {"n": 2})
        await storage.expect_read("1", {"n": 1})
        await storage.write("1", {"n": 3})
        await storage.expect_read("1", {"n": 3})


def _write_there(storage: Any) -> Outcome:
    try:
        return answered(asyncio.run(perform(storage, write("2", {"n": 2}), {})))
    except Exception as error:  # noqa: BLE001 (whatever the storage raises)
        return raised(error)._replace(text=f"raised {show(error)}")

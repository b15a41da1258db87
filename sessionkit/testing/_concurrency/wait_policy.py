"""How long the second side may take while the first one is paused."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from typing import Any, Final, Self

from sessionkit.testing._concurrency.actors import Actor

PATIENCE: Final = 0.05
"""Seconds after which a call counts as waiting for one that was stopped."""

_POLL: Final = 0.0005
_POLLS: Final = 4
_MOST_POLLS: Final = 45
"""Last about as long as PATIENCE: timers of an event loop are rounded up to a millisecond.

They are counted because a busy machine may let this thread stand still for as long, and the
other side, which waits for the interpreter's lock, with it.
"""


class WaitPolicy:
    """Waits for a side to end, unless it waits for the other one.

    What holds a lock is stopped many times, and each time the other side would have to be
    waited for in vain: so where it was then is kept, and is known the next time, in other
    checks of the same storage as well: ``subject.kept(WaitPolicy)``.
    """

    def __init__(self) -> None:
        self._known: set[Hashable] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._known.clear()

    async def wait(self, call: asyncio.Future[Any], side: Actor) -> None:
        """Wait until *call*, made by *side*, has ended or seems to wait for the other one."""
        at_known = 0
        for _ in range(_MOST_POLLS):
            done, _ = await asyncio.wait((call,), timeout=_POLL)
            if done:
                return
            at_known = at_known + 1 if side.waits_at() in self._known else 0
            if at_known == _POLLS:
                return
        if side.waits_at() is not None:
            self._known.add(side.waits_at())

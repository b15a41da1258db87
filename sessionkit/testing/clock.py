"""A clock that a test sets."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Final

_MICROSECOND: Final = 1_000_000
START: Final = 1_767_225_600.0
"""When a ``FakeClock`` begins: the first second of 2026, in UTC."""


class FakeClock:
    """A clock that does not advance until a test moves it: for ``clock=`` of storages.

    Call it for the time, in seconds since the epoch, as ``time.time`` gives it.
    It keeps whole microseconds, so that ten steps of 0.1 make a second.

    Args:
        start: When it begins, in seconds since the epoch; by default the first
            second of 2026, in UTC.

    Example:
        clock = FakeClock()
        storage = MemorySessionStorage(ttl=60, clock=clock)
        storage.write("1", {})
        clock.advance(60)
        assert storage.read("1") is None
    """

    def __init__(self, start: float = START) -> None:
        self._microseconds = _microseconds("start", start)

    def __call__(self) -> float:
        """Return the time, in seconds since the epoch."""
        return self._microseconds / _MICROSECOND

    def __repr__(self) -> str:
        return f"<FakeClock at {datetime.fromtimestamp(self(), UTC)}>"

    def advance(self, span: timedelta | float) -> None:
        """Let time pass.

        Args:
            span: How much, as ``timedelta`` or in seconds; 0 is a no-op.

        Raises:
            TypeError: *span* is neither a ``timedelta`` nor a number.
            ValueError: *span* is negative, or not finite: time does not go back.
        """
        if isinstance(span, timedelta):
            span = span.total_seconds()
        passed = _microseconds("span", span)
        if passed < 0:
            msg = f"time does not go back: advance({span!r}). For an earlier time make a new clock"
            raise ValueError(msg)
        self._microseconds += passed


def _microseconds(name: str, seconds: float) -> int:
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        msg = f"{name} must be a number of seconds, not {seconds!r}"
        raise TypeError(msg)
    if not math.isfinite(seconds):
        msg = f"{name} must be finite, not {seconds!r}"
        raise ValueError(msg)
    return round(seconds * _MICROSECOND)

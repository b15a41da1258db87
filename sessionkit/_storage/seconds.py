"""Spans of time as users give them: a ``timedelta``, or seconds."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

_LONGEST: Final = timedelta.max.total_seconds()  # beyond, storages could not note the end


def seconds(name: str, span: timedelta | float) -> float:
    """Return *span* in seconds.

    Raises:
        TypeError: *span* is neither a ``timedelta`` nor a number.
        ValueError: *span* is not positive and finite, or longer than a ``timedelta`` holds.
    """
    if isinstance(span, timedelta):
        span = span.total_seconds()
    if isinstance(span, bool) or not isinstance(span, int | float):
        msg = f"{name} must be a timedelta or a number of seconds, not {span!r}"
        raise TypeError(msg)
    if not 0 < span <= _LONGEST:
        msg = (
            f"{name} must be positive and finite, at most {_LONGEST:g} seconds, not {span!r}; "
            "for no timeout give None"
        )
        raise ValueError(msg)
    return float(span)

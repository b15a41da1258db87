"""When stored values expire."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sessionkit.protocols import Clock


class Lifetime:
    """The timeout of a storage's values.

    Args:
        ttl: Seconds from the last write; None for never.
        clock: The time, in seconds since the epoch.
    """

    def __init__(self, ttl: float | None, clock: Clock) -> None:
        self.now = clock
        self.ttl: float | None = ttl

    def end(self, expires: float | None = None) -> float | None:
        """Return when a value written now expires: at *expires* if given, else by the timeout.

        Raises:
            ValueError: *expires* is NaN, which engines take for "never".
        """
        if expires is None:
            return None if self.ttl is None else self.now() + self.ttl
        if math.isnan(expires):
            msg = "expires must be a time in seconds since the epoch, not NaN"
            raise ValueError(msg)
        return float(expires)

    def is_over(self, expires: float | None) -> bool:
        """Return whether what expires at *expires* is gone."""
        return expires is not None and self.now() >= expires

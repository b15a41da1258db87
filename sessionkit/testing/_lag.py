"""The time until a second opening sees what the first one wrote."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from sessionkit.testing._capabilities import READING
from sessionkit.testing._needs import LeftOut


class Lag:
    """Keeps calls of one opening from coming too early after a write of another.

    Args:
        seconds: How long that is; 0 for never.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._last: dict[str, tuple[object, float]] = {}

    def check_none(self) -> None:
        """Check that writes are seen at once.

        Raises:
            LeftOut: They are not.
        """
        if self._seconds:
            msg = "declared by Limits(eventually_consistent=...): others see writes only later"
            raise LeftOut(msg)

    async def catch_up(self) -> None:
        """Wait until every opening must see what was written by now."""
        await asyncio.sleep(self._seconds)

    @asynccontextmanager
    async def around(
        self, namespace: str, opening: object, method: str
    ) -> AsyncGenerator[None, None]:
        """Wait until *opening* must see what others wrote; then *method* is called in the block."""
        if not self._seconds:
            yield
            return
        now = asyncio.get_running_loop().time
        writer, seen_at = self._last.get(namespace, (opening, 0.0))
        if writer is not opening:
            await asyncio.sleep(max(0.0, seen_at - now()))
        try:
            yield
        finally:
            if method not in READING:
                self._last[namespace] = opening, now() + self._seconds

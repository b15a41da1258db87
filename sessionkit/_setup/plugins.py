"""For authors of plugins, who do not know what kind of session a bot has."""

from __future__ import annotations

from collections.abc import Mapping
from operator import getitem
from typing import Any

from sessionkit._life.lazy import LazyData


async def session_data(ctx: Any, attribute: str = "session") -> Any:
    """Return the data of the session that shows on *ctx*, strict or lazy.

    Raises:
        AttributeError, KeyError: No session shows there.
        SessionError: Its data cannot be had.
    """
    look: Any = getitem if isinstance(ctx, Mapping) else getattr
    shown = look(ctx, attribute)
    return await shown if _is_lazy(shown) else shown


def _is_lazy(shown: object) -> bool:
    return isinstance(shown, LazyData)

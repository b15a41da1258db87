"""For authors of plugins, who do not know what kind of session a bot has."""

from __future__ import annotations

from collections.abc import MutableMapping
from operator import getitem
from typing import Any

from sessionkit._session.context import StandIn, property_slot
from sessionkit._session.flavors import LazyData


async def session_data(ctx: Any, attribute: str = "session") -> Any:
    """Return the data of the session of *ctx*, strict or lazy.

    Raises:
        AttributeError, KeyError: There is none.
        SessionError: Its data cannot be had.
    """
    shown = _look(ctx, attribute)
    return await shown if _is_to_be_awaited(shown) else shown


def _look(ctx: object, attribute: str) -> Any:
    is_property = property_slot(type(ctx), attribute) is not None
    look: Any = getattr if is_property or not _is_mapping(ctx) else getitem
    return look(ctx, attribute)


def _is_mapping(ctx: object) -> bool:
    return isinstance(ctx, MutableMapping)


def _is_to_be_awaited(shown: object) -> bool:
    return isinstance(shown, LazyData | StandIn)  # the latter raises when it is

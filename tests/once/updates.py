"""Updates that come again, and sessions that know them."""

from __future__ import annotations

from typing import Any

from sessionkit import MemorySessionStorage, Once, Sessions, lazy_session, session
from tests.core import Clocked, zero

HOUR = 3600


class Update:
    """An update of the Bot API, delivered once: another delivery is another object."""

    session: Any

    def __init__(self, number: int, chat: int = 5, bot: int | None = 42) -> None:
        self.update_id = number
        self.message = {"chat": {"id": chat, "type": "private"}, "text": "pizza"}
        if bot is not None:
            self.bot_id = bot


def counting(storage: Any = None, *, lazy: bool = False, **options: Any) -> Sessions[Any]:
    """Sessions with ``once=`` that begin with ``{"n": 0}``."""
    make: Any = lazy_session if lazy else session
    chosen: dict[str, Any] = {"once": True, "initial": zero, **options}
    made: Sessions[Any] = make(storage=storage or MemorySessionStorage(), **chosen)
    return made


def at(clock: Clocked, **options: Any) -> Once:
    """``Once`` by a clock that a test sets."""
    return Once(clock=clock, **options)


async def count(ctx: Any) -> int:
    """A handler that counts."""
    ctx.session["n"] += 1
    return int(ctx.session["n"])


async def count_lazily(ctx: Any) -> int:
    data = await ctx.session
    data["n"] += 1
    return int(data["n"])

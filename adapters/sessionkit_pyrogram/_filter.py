"""``session_filter``: choose a handler by what is stored."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from sessionkit import LazySessions, NoSessionKeyError, Sessions
from sessionkit_pyrogram._context import context_of
from sessionkit_pyrogram._packages import INSTALLED

S = TypeVar("S")


def session_filter(
    sessions: Sessions[S] | LazySessions[S],
    predicate: Callable[[S], bool | Awaitable[bool]],
    /,
) -> Any:
    """Return a filter that lets updates pass whose session satisfies *predicate*.

    ``@app.on_message(filters.text & session_filter(sessions, lambda pizza: pizza.count > 3))``

    It reads without a lock, once for each update it is asked about, and writes
    nothing: *predicate* gets a copy, or what ``initial`` gives where nothing is
    stored.  When the handler runs, another update may have changed the data.
    Updates without a key do not pass.

    Args:
        sessions: Strict or lazy sessions; of multi sessions, one fragment.
        predicate: Function of the data, sync or async.

    Raises:
        TypeError: *sessions* are none that can be read by themselves.
    """
    if not isinstance(sessions, Sessions | LazySessions):
        msg = (
            "session_filter() takes what session(...) or lazy_session(...) returns, "
            f"of multi sessions one fragment, not {sessions!r}"
        )
        raise TypeError(msg)

    async def check(_filter: object, client: object, update: object) -> bool:
        try:
            data = await sessions.get(context_of(client, update))
        except NoSessionKeyError:
            return False
        passes = predicate(data)
        return bool(await passes if inspect.isawaitable(passes) else passes)

    bases = tuple(each.filters.Filter for each in INSTALLED)
    return type("SessionFilter", bases, {"__call__": check})()

"""Groups that become supergroups: whether an update reports it, and how their data is merged."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any, cast

from sessionkit import keys
from sessionkit._updates.attributes import LIKELY
from sessionkit.errors import SessionConflictError

_log = logging.getLogger("sessionkit")


def tells_of_a_move(ctx: Any) -> bool:
    """Whether ``keys.migration`` finds something: quicker where the update is a message."""
    read_ctx = LIKELY[type(ctx)]
    message = read_ctx(ctx, "message", None)
    if message is not None and read_ctx(ctx, "update_id", None) is not None:
        read = LIKELY[type(message)]
        if (
            read(message, "migrate_to_chat_id", None) is None
            and read(message, "migrate_from_chat_id", None) is None
        ):
            return False
    return keys.migration(ctx) is not None


def merges_of(
    migrate_chats: object, fragments: Mapping[str, object]
) -> dict[str, Callable[[Any, Any], Any]]:
    """What merges the data of each fragment, by its name."""
    if isinstance(migrate_chats, bool):
        return {}
    if len(fragments) == 1 and callable(migrate_chats):
        return dict.fromkeys(fragments, migrate_chats)
    if isinstance(migrate_chats, Mapping):
        merges = dict(cast("Mapping[str, Any]", migrate_chats))
        if merges.keys() <= fragments.keys() and all(map(callable, merges.values())):
            return merges
    several = f"a mapping from {' or '.join(fragments)} to functions"
    wanted = several if len(fragments) > 1 else "a function"
    msg = f"migrate_chats must be True, False or {wanted} (theirs, mine), not {migrate_chats!r}"
    raise TypeError(msg)


@contextmanager
def logged_conflicts() -> Generator[None]:
    """Log that the data of two chats cannot be merged, for both are kept."""
    try:
        yield
    except SessionConflictError as error:
        _log.error(
            "A group became a supergroup, and both have data: %s. Both were kept. Give "
            "migrate_chats=function(theirs, mine) to merge, or call sessions.move(..., merge)",
            error,
        )

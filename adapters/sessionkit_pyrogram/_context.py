"""What sessions are opened on, and key functions get: what the handler got."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast


@dataclass(frozen=True, eq=False)
class RawUpdate:
    """What a ``RawUpdateHandler`` gets, as one object for key functions.

    Its ids are not those of the Bot API, so ``sessionkit.keys`` find no key in
    it: give a key function of your own, or open a session by its key.  *bot* is the client.
    """

    update: Any
    users: dict[int, Any]
    chats: dict[int, Any]
    bot: Any = None


def context_of(client: object, update: object, *more: Any, **_sessions: object) -> object:
    """Return the context among the arguments of a handler.

    Messages that were deleted come as a list; they are all of one chat.
    """
    if more:
        users, chats = more
        return RawUpdate(update, users, chats, client)
    context: Any = cast("list[object]", update)[0] if _is_filled(update) else update
    if getattr(context, "_client", client) is None:  # some kinds are made without
        context._client = client
    return context


def _is_filled(update: object) -> bool:
    return isinstance(update, list) and bool(cast("list[object]", update))

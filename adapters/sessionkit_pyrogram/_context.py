"""What sessions are opened on, and key functions get: what the handler got."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast


@dataclass(frozen=True, eq=False)
class RawUpdate:
    """What a ``RawUpdateHandler`` gets, as one object for key functions.

    Its ids are not those of the Bot API, so ``sessionkit.keys`` find no key in
    it: give a key function of your own, or open a session by its key.
    """

    update: Any
    users: dict[int, Any]
    chats: dict[int, Any]


def context_of(_client: object, update: object, *more: Any, **_sessions: object) -> object:
    """Return the context among the arguments of a handler.

    Messages that were deleted come as a list; they are all of one chat.
    """
    if more:
        return RawUpdate(update, *more)
    return cast("list[object]", update)[0] if _is_filled(update) else update


def _is_filled(update: object) -> bool:
    return isinstance(update, list) and bool(cast("list[object]", update))

"""Groups that become supergroups: their sessions follow."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

from sessionkit import keys
from sessionkit._life.opening import Target
from sessionkit._life.settings import Settings
from sessionkit._setup import by_key
from sessionkit.errors import SessionConflictError


async def move_chat(
    settings: Settings, old: int, new: int, merge: Callable[[Any, Any], Any] | None
) -> int:
    """Move all sessions of a chat; return how many had data."""
    moved = 0
    conflict: SessionConflictError | None = None
    for key in [key async for key in _keys_of(settings, old)]:
        new_key = str(replace(keys.parse(key), chat=new))
        try:
            moved += await by_key.move(
                settings, Target(None, key), Target(None, new_key), merge, for_good=True
            )
        except SessionConflictError as error:
            conflict = conflict or error
    if conflict is not None:
        raise conflict
    return moved


async def _keys_of(settings: Settings, chat: int) -> AsyncIterator[str]:
    """The keys of a chat's sessions; its own comes last, for it stands for those to come."""
    own = str(chat)
    only_own = settings.get_key in (keys.chat, keys.chat_or_user)
    if not only_own and hasattr(settings.backend.storage, "iter_keys"):
        async for key in by_key.keys(settings, chat, None):
            if key != own:
                yield key
    yield own

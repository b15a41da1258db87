"""What sessions are opened on: always the Update, so that opening them again joins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from aiogram.dispatcher.event.bases import CancelHandler, SkipHandler
from aiogram.types import CallbackQuery, ErrorEvent, Update
from aiogram.types.update import UpdateTypeLookupError

SIGNALS: Final = (CancelHandler, SkipHandler)
"""What handlers raise to say where to go on, not that they failed."""


def context_of(event: object, data: Mapping[str, Any]) -> object:
    """Return the Update that *event* came with; the event itself if it came without."""
    if isinstance(event, Update):
        return event
    if isinstance(event, ErrorEvent):
        return event.update
    return data.get("event_update", event)


def parts_of(ctx: object) -> tuple[object, ...]:
    """Return what handlers have of an update: its event, and the message of a button."""
    try:
        event = ctx.event if isinstance(ctx, Update) else ctx
    except UpdateTypeLookupError:  # younger than aiogram
        return ()
    if isinstance(event, CallbackQuery) and event.message is not None:
        return event, event.message
    return (event,)

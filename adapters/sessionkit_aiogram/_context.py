"""What sessions are opened on: always the Update, so that whoever opens them again joins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from aiogram.dispatcher.event.bases import CancelHandler, SkipHandler
from aiogram.types import ErrorEvent, Update

SIGNALS: Final = (CancelHandler, SkipHandler)
"""What handlers raise to say where to go on, not that they failed."""


def context_of(event: object, data: Mapping[str, Any]) -> object:
    """Return the Update that *event* came with; the event itself if it came without."""
    if isinstance(event, Update):
        return event
    if isinstance(event, ErrorEvent):
        return event.update
    return data.get("event_update", event)

"""Locks that a framework holds around all of an update, made of sessions."""

from __future__ import annotations

from typing import Any

from sessionkit._api.sessions import AnySessions


def pause_along(sessions: AnySessions[Any, Any, Any]) -> None:
    """Let ``session.paused()`` let go of *sessions*, too, which the same call chain has open.

    For those that lock updates as a whole, before all other sessions are opened, and
    that handlers do not know of: a framework's isolation.
    """
    sessions._settings.paused_along = True

"""Changes that came too late: what the debug option watches for."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, NamedTuple

from sessionkit._life.forms import encoded
from sessionkit._life.seats import MISSING
from sessionkit.errors import SessionEncodeError

if TYPE_CHECKING:
    from sessionkit._life.record import Record

_log = logging.getLogger("sessionkit")


class Kept(NamedTuple):
    """The data of an ended session, and what it was frozen to at the end."""

    data: Any
    residue: Any
    frozen: bytes | None


def remember(record: Record[Any]) -> None:
    """Keep the data of a session that ends, in debug mode."""
    kept = record._settings.kept
    if kept is None or record.key is None or record._data is None or record._data is MISSING:
        return
    try:
        frozen = _frozen(record, record._data, record._residue)
    except SessionEncodeError:  # of a handler that failed: its own error is the one to see
        return
    kept[record._full_key] = Kept(record._data, record._residue, frozen)


def notice_late_changes(record: Record[Any]) -> None:
    """Warn if the data of the session before this one was changed after its end."""
    if record._settings.kept is None:
        return
    kept = record._settings.kept.pop(record._full_key, None)
    if kept is None:
        return
    try:
        changed = _frozen(record, kept.data, kept.residue) != kept.frozen
    except SessionEncodeError:
        changed = True
    if changed:
        _log.warning(
            "the data of %r was changed after its update had ended, and that change is lost: "
            "a task or callback kept it; open a session there (async with sessions.open(%r))",
            record._full_key,
            record.key,
        )


def _frozen(record: Record[Any], data: Any, residue: Any) -> bytes | None:
    return encoded(record._settings, record._full_key, data, residue).frozen

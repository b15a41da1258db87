"""What is in a file: a value, and when it is gone.

A value that never ends is stored as it is.  Others are stored as an envelope, which
grammY's enhancer reads as well.  It has ``e``, the end in milliseconds since the epoch:

- The value is itself an envelope with this end, ``{"__d": data, "e": end}``, as
  ``enhance_storage`` and grammY's enhancer write it.  It is stored as it is, too.
- Any other, and the storage's own ``ttl`` or None: ``{"__d": value, "e": end, "ttl": 60}``.
  If the value is an envelope without an end, the two are put beside its fields.

A value that would be taken for one of these is put in an envelope whose end is None.
"""

from __future__ import annotations

from typing import Any, Final, TypeGuard

from sessionkit._data.envelope import DATA, EXPIRES, is_envelope, number_in

_TTL: Final = "ttl"


def close_content(value: Any, end: float | None, ttl: float | None) -> Any:
    """Return what to store for *value*, which is gone at *end*."""
    if _opens_as(value, end):
        return value
    fields = value if end is not None and _has_room(value) else {DATA: value}
    return {**fields, EXPIRES: end, _TTL: None if end is None else ttl}


def open_content(stored: Any) -> tuple[Any, float | None]:
    """Return the value in what is stored, and its end."""
    if not _is_dict(stored) or DATA not in stored:
        return stored, None
    if _TTL not in stored:
        return stored, number_in(stored, EXPIRES) if is_envelope(stored) else None
    fields = stored.copy()
    del fields[_TTL]
    if EXPIRES not in fields or not is_envelope(fields):
        return stored, None
    end = number_in(fields, EXPIRES)
    del fields[EXPIRES]
    value = fields if len(fields) > 1 else fields[DATA]
    return (stored, None) if value is None else (value, end)


def _opens_as(value: Any, end: float | None) -> bool:
    opened, its_end = open_content(value)
    return opened is value and its_end == end


def _has_room(value: Any) -> bool:
    """Whether *value* is an envelope that will still be one with the storage's own fields."""
    return (
        value.__class__ is dict and len(value) > 1 and EXPIRES not in value and is_envelope(value)
    )


def _is_dict(value: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)

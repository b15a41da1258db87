"""What other programs keep in MongoDB, as plain JSON values."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final, cast

import bson
from bson.codec_options import CodecOptions, DatetimeConversion

from sessionkit_mongo._documents import Document

EXACT: Final = 2**53
"""Integers beyond it are not exact in JavaScript."""

_INT32: Final = 2**31
OPTIONS: Final = CodecOptions[Document](
    tz_aware=True, datetime_conversion=DatetimeConversion.DATETIME_AUTO
)


def plain(value: Any, *, of_javascript: bool = False) -> Any:
    """Return *value*, decoded from BSON, as plain JSON values; dates become text.

    Args:
        value: Decoded with ``OPTIONS``.
        of_javascript: Whether large integers were stored as floats, which they are there.

    Raises:
        ValueError: It has something that JSON does not have; says what.
    """
    if isinstance(value, float):
        return int(value) if of_javascript and is_whole(value) else value
    if isinstance(value, bool | int | str) or value is None:
        return int(value) if isinstance(value, bson.Int64) else value
    if isinstance(value, datetime):
        moment = value.astimezone(UTC)
        return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z"
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        return {name: plain(each, of_javascript=of_javascript) for name, each in fields.items()}
    if isinstance(value, list):
        return [plain(each, of_javascript=of_javascript) for each in cast("Iterable[Any]", value)]
    msg = f"has a {type(value).__name__}, which JSON does not have"
    raise ValueError(msg)


def is_whole(number: float) -> bool:
    """Return whether JavaScript stores an integer so: as a double, beyond 32 bits."""
    return _INT32 <= abs(number) < EXACT and number.is_integer()

"""What every storage refuses, and what it raises: keys, values, conflicts."""

from __future__ import annotations

import hashlib
from typing import Any, Final

from sessionkit.codecs import Codec, encode_value
from sessionkit.errors import InvalidSessionKeyError, SessionConflictError, SessionEncodeError

_HASH_MARK: Final = b"~"


def check_key(key: str) -> str:
    """Return *key*.

    Raises:
        InvalidSessionKeyError: It is empty, or not a ``str``.
    """
    if not isinstance(key, str) or not key:  # pyright: ignore[reportUnnecessaryIsInstance]
        msg = f"a storage key must be a non-empty str, not {key!r}"
        raise InvalidSessionKeyError(msg)
    return key


def key_bytes(key: str) -> bytes:
    """Return *key* in UTF-8, lone surrogates included."""
    return key.encode("utf-8", "surrogatepass")


def key_of(raw: bytes) -> str | None:
    """Return the key of which *raw* are the bytes, None if of none."""
    try:
        return raw.decode("utf-8", "surrogatepass") or None
    except UnicodeError:
        return None


def short_key(key: str, limit: int) -> bytes:
    """Return *key* in at most *limit* bytes, for engines with a limit.

    A key that fits is returned as ``key_bytes``.  Of a longer one the first part is
    kept, and ``~`` and its SHA-256 follow: keep the key itself beside the value, for
    listings.  A key that fits and looks like this is hashed as well, so that no two
    keys share one name.
    """
    raw = key_bytes(key)
    if len(raw) <= limit and raw[-65:-64] != _HASH_MARK:
        return raw
    digest = _HASH_MARK + hashlib.sha256(raw).hexdigest().encode()
    return raw[: limit - len(digest)] + digest


def encode_entry(codec: Codec, key: str, value: Any) -> bytes:
    """Return *value*, as it is now, as the bytes to store under *key*.

    Raises:
        SessionEncodeError: The codec refused, or *value* is None.
    """
    if value is None:
        msg = f"None means missing and cannot be stored under {key!r}: use delete"
        raise SessionEncodeError(msg, key=key)
    return encode_value(codec, key, value)


def conflict(key: str) -> SessionConflictError:
    """Return the error for a conditional write that found another revision."""
    msg = f"somebody else wrote {key!r} in between: read it again and repeat the change"
    return SessionConflictError(msg, key=key)

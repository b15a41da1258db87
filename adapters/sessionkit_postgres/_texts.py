"""Keys and values as PostgreSQL can hold them: text without NUL, in valid UTF-8."""

from __future__ import annotations

import hashlib
import re
from typing import Final

from sessionkit import SessionDecodeError
from sessionkit.protocols import ANY
from sessionkit.types import Expected

LONGEST_START: Final = 200
"""How many characters of a key are always kept, for listings by prefix."""

_LONGEST: Final = 1000
_ODD: Final = re.compile("[\\\\\0\ud800-\udfff]")
_ESCAPED: Final = re.compile(r"\\([0-9a-f]{4})")
_HASHED: Final = re.compile(r".*~[0-9a-f]{64}", re.DOTALL)
_IN_HEX: Final = b"\\x"
_TOKEN: Final = re.compile(r"[\w-]{20}", re.ASCII)


def name_of(key: str) -> str:
    r"""Return *key* as text that PostgreSQL can hold; what begins alike still does.

    A backslash, NUL and lone surrogates are four digits after a backslash.
    """
    return _ODD.sub(lambda odd: f"\\{ord(odd[0]):04x}", key)


def index_name(name: str) -> str:
    """Return *name*, or its start and a hash of it if it is too long for an index."""
    if len(name) <= _LONGEST // 4 and "~" not in name:
        return name
    raw = name.encode()
    if len(raw) <= _LONGEST and not _HASHED.fullmatch(name):
        return name
    return f"{name[:LONGEST_START]}~{hashlib.sha256(raw).hexdigest()}"


def key_of_name(name: str) -> str:
    """Return the key of which *name* is the text."""
    return _ESCAPED.sub(lambda digits: chr(int(digits[1], 16)), name)


def text_of(raw: bytes) -> bytes:
    r"""Return *raw* as it is if that is text, else as hexadecimal digits after ``\x``."""
    if raw.startswith(_IN_HEX) or b"\0" in raw or not _is_text(raw):
        return _IN_HEX + raw.hex().encode()
    return raw


def raw_of(key: str, text: bytes, where: str) -> bytes:
    r"""Return the bytes that were stored as *text*.

    Raises:
        SessionDecodeError: What follows ``\x`` are not hexadecimal digits.
    """
    if not text.startswith(_IN_HEX):
        return text
    try:
        return bytes.fromhex(text[2:].decode())
    except ValueError:
        msg = f"what is stored under {key!r} is damaged. It was left where it is, {where}"
        raise SessionDecodeError(msg, key=key) from None


def expected_text(expected: Expected) -> bytes:
    """Return *expected* for a comparison with revisions; what cannot be one fits none."""
    if expected is ANY:
        return b"*"
    if expected is None:
        return b""
    fits = isinstance(expected, str) and _TOKEN.fullmatch(expected)
    return str(expected).encode() if fits else b"?"


def _is_text(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True

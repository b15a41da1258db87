"""What a store gets of a session: a name that each takes, and one field with one ASCII text."""

from __future__ import annotations

import json
import re
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, cast

from sessionkit.storages.authoring import key_bytes, key_of, short_key

FIELD: Final = "session"

_LONGEST_NAME: Final = 180
"""Bytes: with a collection and an ending before and after it, fewer than any store's limit."""

_KEPT_WHOLE: Final = _LONGEST_NAME - 65
"""What is left of a long name beside its hash."""

_ESCAPED: Final = re.compile(rb"[^a-z0-9-]")
_ESCAPE: Final = re.compile(rb"_([0-9a-f]{2})")
_WHOLE: Final = re.compile(r"(?:[a-z0-9-]|_[0-9a-f]{2})+")
_CUT: Final = re.compile(r"[a-z0-9_-]+~[0-9a-f]{64}")
_NOT_ASCII: Final = re.compile(r"[^\x00-\x7f]")
_head_of: Final = json.JSONEncoder(separators=(",", ":")).encode
_head_at: Final = json.JSONDecoder().raw_decode


class Held(NamedTuple):
    """A session as a store holds it, expired or not.

    Attributes:
        key: The key of the session.
        raw: Its value, as the codec made it.
        token: Of the write that stored it; never used twice.
        expires: When it is gone, in epoch seconds; None for never.
    """

    key: str
    raw: bytes
    token: str
    expires: float | None


def name_of(key: str) -> str:
    """Return what a session key is called in a store: lower-case letters, digits, ``-``, ``_``.

    Anything else is escaped, so that stores which fold case, or take names for paths, keep
    all keys apart; a long name is cut and ends in ``~`` and a hash.
    """
    return short_key(_escaped(key), _LONGEST_NAME).decode()


def key_in_name(name: str) -> str | None:
    """Return the session key of a name; None if it was cut, or is not a name of ours."""
    if not _WHOLE.fullmatch(name):
        return None
    key = key_of(_ESCAPE.sub(lambda found: bytes.fromhex(found[1].decode()), name.encode()))
    return key if key is not None and name_of(key) == name else None


def is_name(name: str) -> bool:
    """Return whether *name* is that of a session, and not of somebody else's entry."""
    return _CUT.fullmatch(name) is not None or key_in_name(name) is not None


def start_of_names(prefix: str) -> str:
    """Return what the names of all keys that begin with *prefix* begin with."""
    return _escaped(prefix)[:_KEPT_WHOLE]


def _escaped(key: str) -> str:
    return _ESCAPED.sub(lambda found: b"_%02x" % found[0][0], key_bytes(key)).decode()


def fields_of(held: Held, *, as_json: bool) -> dict[str, str]:
    """Return the value to put: a JSON array of what is to be known, and of the session's value.

    A value that is not JSON is in base64.
    """
    about: dict[str, Any] = {"key": held.key, "token": held.token}
    if held.expires is not None:
        about["expires"] = held.expires
    if as_json:
        value = _NOT_ASCII.sub(lambda found: json.dumps(found[0])[1:-1], held.raw.decode())
    else:
        about["encoding"] = "base64"
        value = f'"{b64encode(held.raw).decode()}"'
    return {FIELD: f"[{_head_of(about)},{value}]"}


def held_in(fields: Mapping[str, Any], name: str) -> Held:
    """Return what ``fields_of`` was given, to be stored as *name*.

    Raises:
        ValueError: It did not make *fields*, or they were damaged since; or they are those
            of another key, which the store does not tell from this one.
    """
    text = fields.get(FIELD)
    if not isinstance(text, str):
        msg = f"it has no text in its field {FIELD!r}"
        raise ValueError(msg)  # noqa: TRY004 (of a value that was read, not of a caller's)
    about, end = _head_at(text, 1)
    value = text[end + 1 : -1]
    if text[0] != "[" or text[end : end + 1] != "," or text[-1] != "]" or not _is_head(about):
        msg = "it is not an array of what sessionkit stores"
        raise ValueError(msg)
    raw = value.encode()
    if about.get("encoding") == "base64":
        raw = b64decode(str(json.loads(value)), validate=True)
    held = Held(about["key"], raw, about["token"], about.get("expires"))
    if name_of(held.key) != name:
        msg = f"it is of {held.key!r}: the store takes two keys for one"
        raise ValueError(msg)
    return held


def _is_head(about: Any) -> bool:
    if not isinstance(about, dict):
        return False
    head = cast("dict[str, Any]", about)
    return (
        isinstance(head.get("key"), str)
        and isinstance(head.get("token"), str)
        and isinstance(head.get("expires", 0.0), int | float)
    )

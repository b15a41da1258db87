"""Keys as file names, and back: safe on every system, never two keys under one name."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

from sessionkit._storage.entries import key_bytes, key_of

ESCAPED: Final = "escaped"
"""The folder of escaped names; grammY's folders have at most two characters."""

_LONGEST: Final = 255 - len(".json")
_RESERVED: Final = re.compile(r"con|prn|aux|nul|(?:com|lpt)[0-9]")
_PLAIN: Final = re.compile(rf"(?!(?:{_RESERVED.pattern})\Z)[0-9a-z_-]{{1,{_LONGEST}}}")
_HASH_MARK: Final = "~"
_ESCAPES: Final = [
    chr(byte) if re.fullmatch("[0-9a-z_-]", chr(byte)) else f"%{byte:02x}" for byte in range(256)
]


class Place(NamedTuple):
    """Where a key is kept, relative to the folder of all sessions."""

    folder: str
    stem: str

    @property
    def file(self) -> str:
        """The name of the file that holds the value."""
        return f"{self.stem}.json"

    @property
    def is_escaped(self) -> bool:
        """Whether the name follows our rules, not grammY's."""
        return self.folder.startswith(ESCAPED)

    @property
    def is_hashed(self) -> bool:
        """Whether the name is too short for the key, which is kept in a file beside."""
        return self.is_escaped and _HASH_MARK in self.stem


def place_of(key: str) -> Place:
    """Return where *key* belongs: no two keys have places that differ in case only."""
    if _is_plain(key):
        return Place(key[-2:], key)
    stem = _escape(key)
    return Place(f"{ESCAPED}/{stem[-2:]}", stem)


def grammy_place_of(key: str) -> Place | None:
    """Return where grammY keeps *key*; None if it cannot, or other keys might be there too."""
    if _is_plain(key):
        return place_of(key)
    try:
        units = key.encode("utf-16-le")
        size = len(key.encode())
    except UnicodeEncodeError:
        return None
    folder = units[-4:].decode("utf-16-le", "replace")
    if size > _LONGEST or folder in {".", ".."} or "/" in key or "\0" in key:
        return None
    return Place(folder, key) if _has_one_form(key) else None


def is_plain_place(folder: str, stem: str) -> bool:
    """Return whether *stem* is a key and *folder* its folder, as most are."""
    return stem[-2:] == folder and _is_plain(stem)


def key_at(place: Place) -> str | None:
    """Return the key whose place this is; None for a stranger's file, or a hashed name."""
    if not place.is_escaped:
        return place.stem if grammy_place_of(place.stem) == place else None
    key = key_of(unquote_to_bytes(place.stem))
    return key if key is not None and place_of(key) == place else None


def _is_plain(key: str) -> bool:
    return _PLAIN.fullmatch(key) is not None


def _escape(key: str) -> str:
    raw = key_bytes(key)
    stem = "".join([_ESCAPES[byte] for byte in raw])
    if len(stem) > _LONGEST:
        mark = _HASH_MARK + hashlib.sha256(raw).hexdigest()
        return stem[: _LONGEST - len(mark)] + mark
    if _RESERVED.fullmatch(stem):
        return f"%{raw[0]:02x}{stem[1:]}"
    return stem


def _has_one_form(key: str) -> bool:
    # A system that composes or decomposes accents would take two keys for one.
    return unicodedata.normalize("NFD", key) == unicodedata.normalize("NFC", key)

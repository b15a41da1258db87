"""What a document holds, and what of a value it can hold as it is."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeAlias, cast

from bson import Binary

from sessionkit.storages.authoring import Stored, Write, key_bytes, key_of

Id: TypeAlias = str | Binary
Document: TypeAlias = dict[str, Any]

_DEEPEST: Final = 90
"""Levels of a value; MongoDB takes documents of 100."""

_LARGEST: Final = 2**63
_GRACE: Final = 3600.0
_LONGEST: Final = 1e11
"""Seconds to a date that can be stored; until later ones nothing needs to be removed."""


def id_of(key: str) -> Id:
    """Return the ``_id`` of a session key: itself, or bytes if UTF-8 cannot hold it."""
    return key if _is_text(key) else Binary(key_bytes(key))


def key_in(found: Any) -> str | None:
    """Return the session key of an ``_id``, None if it is of none."""
    if isinstance(found, str):
        return found
    return key_of(bytes(found)) if isinstance(found, bytes) else None


def document_of(write: Write, *, as_json: bool) -> Document:
    """Return the document to store for *write*.

    Its value is a plain sub-document if all of it comes back equal from one, else JSON
    text, and bytes if the codec does not make JSON.
    """
    document: Document = {"_id": id_of(write.key)}
    raw = cast("bytes", write.raw)
    if not as_json:
        document["bytes"] = Binary(raw)
    elif is_plain(value := json.loads(raw)):
        document["value"] = value
    else:
        document["text"] = raw.decode()
    document["revision"] = write.token
    return document | expiry(write.expires, write.now)


def expiry(expires: float | None, now: float) -> Document:
    """Return the fields that say when a document expires, and when MongoDB removes it.

    *now* is by the storage's clock, which need not be right; MongoDB removes by its own.
    """
    if expires is None or expires == math.inf:
        return {"expires": None}
    left = expires - now + _GRACE
    fields: Document = {"expires": expires}
    if left < _LONGEST:
        fields["removed"] = datetime.now(UTC) + timedelta(seconds=math.ceil(left))
    return fields


def stored_in(document: Document) -> Stored:
    """Return what is stored in *document*; one that is not ours decodes to an error."""
    raw = b""
    if "value" in document:
        raw = json.dumps(document["value"], default=repr).encode()
    elif "text" in document:
        raw = str(document["text"]).encode()
    elif "bytes" in document:
        raw = bytes(document["bytes"])
    return Stored(raw, document.get("revision", ""), document.get("expires"))


def is_plain(value: Any, level: int = 0) -> bool:
    """Return whether *value*, made of JSON, comes back equal from a document."""
    if isinstance(value, str):
        return _is_text(value)
    if isinstance(value, int):
        return -_LARGEST <= value < _LARGEST
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        inner: Iterable[Any] = fields.values()
        if not all(map(_is_field, fields)):
            return False
    elif isinstance(value, list):
        inner = cast("Iterable[Any]", value)
    else:
        return True
    return level < _DEEPEST and all(is_plain(each, level + 1) for each in inner)


def _is_field(name: str) -> bool:
    return not name.startswith("$") and "." not in name and "\0" not in name and _is_text(name)


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True

"""What other libraries keep in MongoDB, for ``sessionkit import``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from fnmatch import fnmatchcase
from typing import Any, Final

from sessionkit.storages.authoring import url_option
from sessionkit_mongo._as_json import OPTIONS, plain
from sessionkit_mongo._places import patience_of, place_of

_DEADLINE: Final = 10.0


def raw_items(url: str, match: str) -> Iterator[tuple[str, dict[str, Any] | None, None, str]]:
    """Yield the documents of a collection whose id is a text that matches a pattern.

    In the order of their ids: id, the other fields as plain JSON values (dates become text),
    no expiry, and nothing; or no fields, and what is in them that JSON does not have.

    Args:
        url: Of the database, with ``?collection=NAME``.
        match: A pattern with ``*`` and ``?``.

    Raises:
        ValueError: The URL is wrong, or lacks the database or the collection.
        pymongo.errors.PyMongoError: The server cannot be reached, or does not answer.
    """
    plain_url, name = url_option(url, "collection")
    if not name:
        msg = f"say in which collection: {url.partition('?')[0].rpartition('/')[2]}?collection=NAME"
        raise ValueError(msg)
    place = place_of(plain_url, None, name, _DEADLINE, blocking=True)
    with closing(place):
        collection = place.collection.with_options(codec_options=OPTIONS)
        found = collection.find({"_id": {"$type": "string"}}, sort=[("_id", 1)])
        for document in found.max_time_ms(int(patience_of(_DEADLINE) * 1000)):
            key = document.pop("_id")
            if fnmatchcase(key, match):
                yield _shown(key, document)


def _shown(key: str, document: dict[str, Any]) -> tuple[str, dict[str, Any] | None, None, str]:
    try:
        fields = plain(document)
        json.dumps(fields, allow_nan=False)
    except ValueError as error:
        return key, None, None, str(error)
    return key, fields, None, ""

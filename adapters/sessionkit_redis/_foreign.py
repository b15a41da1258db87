"""What other libraries keep in Redis, for ``sessionkit import``."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

import redis

_PAGE: Final = 500


def raw_items(
    url: str, match: str
) -> Iterator[tuple[str, str | dict[str, str] | None, float | None]]:
    """Yield key, value and expiry (in epoch seconds) of all keys that match a pattern.

    A value is text, or a mapping of texts for a hash; None for any other kind, and for what
    is not text.

    Raises:
        redis.RedisError: The server cannot be reached, or does not answer.
    """
    module: Any = redis  # whose types do not distinguish sync from async
    with module.Redis.from_url(url) as server:
        readers: dict[bytes, Any] = {b"string": server.get, b"hash": server.hgetall}
        names: Iterator[bytes] = server.scan_iter(match=match, count=_PAGE)
        while page := list(islice(names, _PAGE)):
            kinds = _each(server, "type", page)
            spans = _each(server, "pttl", page)
            for name, kind, span in zip(page, kinds, spans, strict=True):
                value = readers[kind](name) if kind in readers else None
                expires = time.time() + span / 1000 if span >= 0 else None
                yield name.decode("utf-8", "replace"), _text(value), expires


def _each(server: Any, command: str, names: list[Any]) -> list[Any]:
    pipeline = server.pipeline(transaction=False)
    for name in names:
        getattr(pipeline, command)(name)
    answers: list[Any] = pipeline.execute()
    return answers


def _text(value: bytes | dict[bytes, bytes] | None) -> str | dict[str, str] | None:
    try:
        if isinstance(value, dict):
            return {name.decode(): each.decode() for name, each in value.items()}
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None

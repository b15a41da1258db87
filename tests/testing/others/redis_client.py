"""A connection to a Redis server, for the adapters."""

from __future__ import annotations

from typing import Any, cast

from redis.asyncio import Redis


def connect(url: str, **options: Any) -> Redis:
    """Return a client of the server at *url*."""
    untyped = cast("Any", Redis)  # from_url() is typed in part only
    client: Redis = untyped.from_url(url, **options)
    return client

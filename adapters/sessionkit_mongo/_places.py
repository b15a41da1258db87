"""Where MongoDB is: a URL, or a client that was handed in."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from pymongo import AsyncMongoClient, MongoClient
from pymongo.errors import ConfigurationError, InvalidURI

COLLECTION: Final = "sessions"

_EARLIER: Final = 0.6
"""Seconds by which PyMongo gives up first, since its error says more; it counts in halves."""


class Place(NamedTuple):
    """A collection, what errors call it, and what closes its client if it is ours."""

    collection: Any
    name: str
    close: Any


def place_of(
    client: Any, database: str | None, collection: str, deadline: float, *, blocking: bool
) -> Place:
    """Return the collection that *client*, a URL or a client of PyMongo, leads to.

    Raises:
        TypeError: It is neither, or of the other kind.
        ValueError: The URL is wrong, its text, which may hold a password, is not shown; or it
            names no database.
    """
    kind: Any = MongoClient if blocking else AsyncMongoClient
    opened: Any = _opened(kind, client, deadline) if isinstance(client, str) else client
    if not isinstance(opened, kind):
        msg = f"give a URL or a client of PyMongo's {kind.__name__}, not {type(client).__name__}"
        raise TypeError(msg)
    hosts = ",".join(
        f"{host}:{port}" for host, port in sorted(opened.topology_description.server_descriptions())
    )
    try:
        chosen: Any = opened.get_default_database() if database is None else opened[database]
    except ConfigurationError:
        msg = f"the URL of {hosts} names no database: write mongodb://{hosts}/NAME, or database="
        raise ValueError(msg) from None
    name = f"{chosen.name}.{collection} of MongoDB at {hosts}"
    return Place(chosen[collection], name, opened.close if opened is not client else None)


def _opened(kind: Any, url: str, deadline: float) -> Any:
    """Return a client that sends each write once."""
    patience = max(1, round(patience_of(deadline) * 1000))
    try:
        return kind(url, retryWrites=False, serverSelectionTimeoutMS=patience)
    except (InvalidURI, ConfigurationError, ValueError):
        msg = (
            "the URL of MongoDB cannot be read: write mongodb://user:password@host:port/database, "
            "where '/', '@', ':' and '%' in user or password are %2F, %40, %3A and %25"
        )
        raise ValueError(msg) from None  # the text of the error may hold the password


def patience_of(deadline: float) -> float:
    """Return how long one command may take, so that PyMongo gives up before the storage does."""
    return max(deadline - _EARLIER, deadline / 2)

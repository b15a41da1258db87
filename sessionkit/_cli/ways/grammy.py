"""From grammY's storages on servers; its files are read by ``copy file:FOLDER TARGET``."""

from __future__ import annotations

from contextlib import closing
from fnmatch import fnmatchcase
from functools import partial
from typing import Any, Final

from sessionkit._cli.exits import CommandError
from sessionkit._cli.ways.found import Asked, Found, LeftOut, Way, json_of
from sessionkit._cli.ways.servers import raw_items
from sessionkit.errors import SessionListingError
from sessionkit.protocols import Entry
from sessionkit.storages.urls import storage_from_url


def _from_redis(asked: Asked) -> Found:
    for key, value, expires, _ in raw_items(asked, "*"):
        try:
            yield Entry(f"{asked.prefix}{key}", json_of(value), expires)  # type: ignore[arg-type]
        except (ValueError, AttributeError):
            yield LeftOut(key, "is not a session of grammY: no JSON")


def _from_storage(layout: str, example: str, asked: Asked) -> Found:
    """Yield what the storage has that reads grammY's data where it is: *layout* and the URL."""
    scheme = asked.source.partition(":")[0].lower().partition("+")[0]
    if not example.startswith(scheme) or not scheme:
        msg = f"{asked.source!r} is not a URL such as {example}"
        raise CommandError(msg)
    try:
        storage: Any = storage_from_url(f"{layout}{asked.source}")
    except (ValueError, ImportError) as error:
        raise CommandError(str(error)) from error
    with closing(storage.sync) as opened:
        try:
            for key, value in opened.iter_items():
                if fnmatchcase(key, asked.match or "*"):
                    yield Entry(f"{asked.prefix}{key}", value)
        except SessionListingError as error:
            for key in error.keys:
                yield LeftOut(key, "is not a session of grammY, or has what JSON does not have")


_KEYS: Final = (
    "as they are, after --prefix: session(dict, storage=storage) finds them, and with "
    "enhanceStorage's envelope session(dict, storage=enhance_storage(storage, ...))"
)
GRAMMY_REDIS: Final = Way(
    "URL",
    "grammY's Redis storage",
    f"{_KEYS}. --match leaves out what else the server has",
    _from_redis,
)
_PSQL: Final = "postgresql://host/database?table=sessions"
_MONGODB: Final = "mongodb://host/database?collection=sessions"
_FREE: Final = "free:https://host/api"
GRAMMY_PSQL: Final = Way(
    "URL",
    f"grammY's PostgreSQL storage: {_PSQL}",
    _KEYS,
    partial(_from_storage, "grammy+", _PSQL),
)
GRAMMY_MONGODB: Final = Way(
    "URL",
    f"grammY's MongoDB storage: {_MONGODB}",
    f"{_KEYS}. Dates become text",
    partial(_from_storage, "grammy+", _MONGODB),
)
GRAMMY_FREE: Final = Way(
    "URL",
    f"grammY's free storage: {_FREE}, the token in BOT_TOKEN",
    _KEYS,
    partial(_from_storage, "", _FREE),
)

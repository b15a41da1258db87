"""What other libraries keep on a server, as it is."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import entry_points
from typing import Any, Final, NamedTuple

from sessionkit._cli.exits import CommandError
from sessionkit._cli.ways.found import Asked

ENTRY_POINTS: Final = "sessionkit.imports"


class Raw(NamedTuple):
    """What is stored under a key.

    Attributes:
        value: Text, or a mapping for a hash of Redis (of texts) and for a document of MongoDB
            (of plain JSON values); None for anything else.
        expires: Epoch seconds, None for never.
        fault: What keeps a document from being read.
    """

    key: str
    value: str | dict[str, Any] | None
    expires: float | None
    fault: str = ""


class Server(NamedTuple):
    """A kind of server: its name, a URL to show, the schemes of others, and the extra."""

    name: str
    example: str
    schemes: frozenset[str]
    extra: str


REDIS: Final = Server("a Redis", "redis://host", frozenset({"redis", "rediss", "valkey"}), "redis")
MONGODB: Final = Server(
    "a MongoDB", "mongodb://host/database", frozenset({"mongodb", "mongodb+srv"}), "mongo"
)


def raw_items(asked: Asked, match: str, server: Server = REDIS) -> Iterator[Raw]:
    """Yield what the server at the URL has under keys that match.

    Raises:
        CommandError: It is not the URL of such a server.
    """
    scheme = asked.source.partition(":")[0]
    name = scheme if scheme in server.schemes else ""
    for entry in entry_points(group=ENTRY_POINTS, name=name):
        try:
            load: Any = entry.load()
        except ImportError as error:
            raise CommandError(str(error)) from error
        for found in load(asked.source, asked.match or match):
            yield Raw(*found)
        return
    msg = (
        f"{asked.source!r} is not the URL of {server.name}, {server.example}, or the extra "
        f"{server.extra} is missing"
    )
    raise CommandError(msg)

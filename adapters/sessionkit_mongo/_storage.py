"""Sessions in a collection of MongoDB."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from sessionkit.codecs import JSONCodec
from sessionkit.storages.authoring import (
    BlockingRecordStorage,
    Lifetime,
    Records,
    RecordStorage,
    grammy_url,
    seconds,
)
from sessionkit_mongo._engine import MongoEngine
from sessionkit_mongo._grammy import GrammyMongoStorage
from sessionkit_mongo._places import COLLECTION, Place, patience_of, place_of

if TYPE_CHECKING:
    from collections.abc import Hashable
    from datetime import timedelta

    from pymongo import AsyncMongoClient, MongoClient

    from sessionkit.types import Clock, Codec


class MongoSessionStorage(RecordStorage):
    """Keep sessions in MongoDB, for any number of processes and hosts.

    A document is replaced only if its revision is the expected one, acknowledged by a
    majority and in the journal.  What is read at one moment shares a command.  A write
    whose reply is lost is looked for, and what cannot be known raises
    ``SessionWriteError``.

    Args:
        client: A URL (``mongodb://``, ``mongodb+srv://``), for which a client is opened
            here, or an ``AsyncMongoClient``, which is not closed.
        database: The database; by default the one that the URL names.
        collection: The collection.
        codec: Turns values into bytes; JSON by default, which documents hold as it is.
        ttl: How long a value lives after its last write; None: it never expires.
        clock: The time, in seconds since the epoch.
        deadline: How long a call may take before it raises.

    Raises:
        TypeError: *client* is neither, or *ttl* or *deadline* is not a span of time.
        ValueError: The URL is wrong or names no database, or *ttl* or *deadline* is not
            positive and finite.
    """

    def __init__(
        self,
        client: str | AsyncMongoClient[Any],
        *,
        database: str | None = None,
        collection: str = COLLECTION,
        codec: Codec | None = None,
        ttl: timedelta | float | None = None,
        clock: Clock = time.time,
        deadline: timedelta | float = 10,
    ) -> None:
        self.deadline: float = seconds("deadline", deadline)
        place = place_of(client, database, collection, self.deadline, blocking=False)
        super().__init__(*_parts(place, codec, ttl, clock, self.deadline))
        self.identity: Hashable = ("mongodb", place.name)
        self._name = f"<MongoSessionStorage in {place.name}>"

    def __repr__(self) -> str:
        return self._name


class BlockingMongoSessionStorage(BlockingRecordStorage):
    """A ``MongoSessionStorage`` whose methods block, for programs of threads.

    Args:
        client: A URL, or a ``MongoClient``; the rest is the same.
    """

    def __init__(
        self,
        client: str | MongoClient[Any],
        *,
        database: str | None = None,
        collection: str = COLLECTION,
        codec: Codec | None = None,
        ttl: timedelta | float | None = None,
        clock: Clock = time.time,
        deadline: timedelta | float = 10,
    ) -> None:
        patience = seconds("deadline", deadline)
        place = place_of(client, database, collection, patience, blocking=True)
        records = Records(*_parts(place, codec, ttl, clock, patience), blocking=True)
        name = f"<BlockingMongoSessionStorage in {place.name}>"
        super().__init__(records, ("mongodb", place.name), name)


def open_url(url: str) -> MongoSessionStorage | GrammyMongoStorage:
    """Return the storage of a URL that names a database: ``mongodb://host/bot``.

    After ``grammy+`` it is one over grammY's documents there, in ``?collection=``.
    """
    found = grammy_url(url, "collection")
    if found is None:
        return MongoSessionStorage(url)
    plain, collection = found
    return GrammyMongoStorage(plain, collection=collection or COLLECTION)


def _parts(
    place: Place,
    codec: Codec | None,
    ttl: timedelta | float | None,
    clock: Clock,
    deadline: float,
) -> tuple[MongoEngine, Codec, Lifetime, float]:
    codec = JSONCodec() if codec is None else codec
    as_json = type(codec) is JSONCodec
    engine = MongoEngine(
        place.collection, place.name, place.close, as_json=as_json, patience=patience_of(deadline)
    )
    lifetime = Lifetime(None if ttl is None else seconds("ttl", ttl), clock)
    return engine, codec, lifetime, deadline

"""What grammY's MongoDB storage keeps, read and written in place: ``{key, value}``."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

import bson
from bson.errors import BSONError
from pymongo import DeleteOne, UpdateOne

from sessionkit import InvalidSessionKeyError, SessionDecodeError, SessionEncodeError, SessionError
from sessionkit.protocols import ANY
from sessionkit.storages.authoring import InPlaceStorage, Stored, Unexpiring, Write, seconds
from sessionkit_mongo._as_json import EXACT, OPTIONS, is_whole, plain
from sessionkit_mongo._documents import Document, is_plain
from sessionkit_mongo._engine import MongoEngine
from sessionkit_mongo._places import COLLECTION, patience_of, place_of

if TYPE_CHECKING:
    from datetime import timedelta

    from pymongo import AsyncMongoClient

    from sessionkit_mongo._places import Place

_PAGE: Final = 500


class GrammyEngine(Unexpiring, MongoEngine):
    """Sessions as grammY writes them.

    The revision is the value in BSON.  grammY makes no index; the first write makes a unique
    one on the keys, since without it two first writes would both be stored.
    """

    def revision_of(self, raw: bytes) -> bytes:
        """Return the value of JSON as it is stored, which is what a write compares."""
        return bson.encode({"value": json.loads(raw)})

    async def load(self, keys: Sequence[str]) -> Sequence[Stored | SessionError | None]:
        """Return what is stored under each of *keys*."""
        found: dict[str, list[Document]] = {}
        names = [key for key in keys if is_plain(key)]
        for document in await self._do(self._listed, {"key": {"$in": names}}):
            found.setdefault(document["key"], []).append(document)
        return [self._kept(key, found.get(key, [])) for key in keys]

    async def pages(self, prefix: str) -> AsyncIterator[Sequence[str]]:
        """Yield the keys that begin with *prefix*, in the order of their bytes."""
        wanted: Document = {"$gte": prefix}
        while True:
            query = {"key": wanted, "value": {"$ne": None}}
            options: Document = {"sort": [("key", 1)], "limit": _PAGE}
            found = await self._do(self._listed, query, {"key": True}, **options)
            names = dict.fromkeys(each["key"] for each in found)
            keys = [key for key in names if isinstance(key, str) and key.startswith(prefix)]
            yield keys
            if len(found) < _PAGE or len(keys) < len(names):
                return
            wanted = {"$gt": keys[-1]}

    async def _index(self) -> None:
        if not self._indexed:
            try:
                await self._do(self._collection.create_index, "key", unique=True)
            except SessionError as error:
                msg = (
                    f"{self._name} has no unique index on the keys, and it could not be made: "
                    f"{error}. If two documents have the same key, delete one"
                )
                raise SessionError(msg) from error
            self._indexed = True

    def _operation(self, write: Write) -> UpdateOne | DeleteOne:
        value = _value_of(write)
        fitting: Document = {"key": write.key}
        if write.expected is None:
            fitting["value"] = None  # or there is no document
        elif write.expected is not ANY:
            fitting["$expr"] = {"$eq": ["$value", {"$literal": _decoded(write.expected)}]}
        if write.raw is None:
            return DeleteOne(fitting)
        creates = write.expected is ANY or write.expected is None
        return UpdateOne(fitting, {"$set": {"value": value}}, upsert=creates)

    async def _is_gone(self, write: Write) -> bool:
        (found,) = await self.load([write.key])
        return found is None

    def _kept(self, key: str, documents: Sequence[Document]) -> Stored | SessionError | None:
        if len(documents) > 1:
            msg = (
                f"{len(documents)} documents have the key {key!r} {self.where}: delete all but one"
            )
            return SessionDecodeError(msg, key=key)
        value = documents[0].get("value") if documents else None
        if value is None:
            return None
        try:
            raw = json.dumps(plain(value, of_javascript=True), allow_nan=False).encode()
        except (TypeError, ValueError) as error:
            msg = f"what is stored under {key!r} {self.where} {error}. It was left where it is"
            return SessionDecodeError(msg, key=key)
        return Stored(raw, bson.encode({"value": value}), None)


class GrammyMongoStorage(InPlaceStorage):
    """Read and write what grammY's MongoDB storage (``@grammyjs/storage-mongodb``) keeps.

    Both may run at the same time.  grammY's own writes ask for no condition: what it
    overwrites is lost, while a write from here that would overwrite raises
    ``SessionConflictError``.  Whole numbers are read as ``int``, dates as text like that of
    JavaScript's ``toISOString()``; integers that JavaScript would change are refused.

    Args:
        client: A URL (``mongodb://``, ``mongodb+srv://``), for which a client is opened
            here, or an ``AsyncMongoClient``, which is not closed.
        database: The database; by default the one that the URL names.
        collection: The collection that grammY was given.
        deadline: How long a call may take before it raises.

    Raises:
        TypeError: *client* is neither, or *deadline* is not a span of time.
        ValueError: The URL is wrong or names no database, or *deadline* is not positive
            and finite.
    """

    def __init__(
        self,
        client: str | AsyncMongoClient[Any],
        *,
        database: str | None = None,
        collection: str = COLLECTION,
        deadline: timedelta | float = 10,
    ) -> None:
        allowed = seconds("deadline", deadline)

        def engine(place: Place) -> GrammyEngine:
            found = place.collection.with_options(codec_options=OPTIONS)
            options: Any = {"as_json": True, "patience": patience_of(allowed)}
            return GrammyEngine(found, place.name, place.close, **options)

        def for_threads() -> GrammyEngine:
            return engine(place_of(client, database, collection, allowed, blocking=True))

        place = place_of(client, database, collection, allowed, blocking=False)
        super().__init__(
            engine(place),
            ("mongodb", place.name, "grammy"),
            f"<GrammyMongoStorage in {place.name}>",
            allowed,
            threads=for_threads if isinstance(client, str) else None,
        )


def _value_of(write: Write) -> Any:
    """Return the value to store for *write*; raise if it would not come back, here or there."""
    if not is_plain(write.key):
        msg = f"MongoDB cannot hold the key {write.key!r}. Nothing was written"
        raise InvalidSessionKeyError(msg, key=write.key)
    if write.expires is not None:
        msg = "grammY's documents have no room for an expiry: use enhance_storage(ttl=...)"
        raise SessionError(msg, key=write.key)
    value = None if write.raw is None else json.loads(write.raw)
    if not (is_plain(value) and _is_exact(value)):
        msg = (
            f"what is to be stored under {write.key!r} would not come back the same, from "
            "MongoDB or in JavaScript: fields with '$' at the start or '.', numbers that "
            "JavaScript takes for others, lone surrogates. Nothing was written"
        )
        raise SessionEncodeError(msg, key=write.key)
    return value


def _is_exact(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_is_exact, cast("dict[str, Any]", value).values()))
    if isinstance(value, list):
        return all(map(_is_exact, cast("Iterable[Any]", value)))
    if isinstance(value, float):
        return not is_whole(value)
    return not isinstance(value, int) or abs(value) <= EXACT


def _decoded(revision: Any) -> Any:
    """Return the value of which *revision* is the BSON; what cannot be one equals none."""
    untyped: Any = bson
    try:
        return untyped.decode(revision, OPTIONS)["value"]
    except (TypeError, BSONError):
        return bson.ObjectId()

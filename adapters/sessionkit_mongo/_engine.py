"""What MongoDB does for a storage: load, write on condition, list."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from inspect import isawaitable
from typing import Any, Final, TypeAlias, TypeVar

import bson
import pymongo
from bson.errors import BSONError
from bson.raw_bson import RawBSONDocument
from pymongo import DeleteOne, ReplaceOne, UpdateOne, WriteConcern
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import (
    BulkWriteError,
    DocumentTooLarge,
    ExecutionTimeout,
    InvalidOperation,
    OperationFailure,
    ServerSelectionTimeoutError,
    WriteConcernError,
)
from pymongo.read_preferences import ReadPreference

from sessionkit import SessionError
from sessionkit.protocols import ANY
from sessionkit.storages.authoring import Stored, UnknownOutcomeError, Write
from sessionkit_mongo._documents import (
    Document,
    document_of,
    expiry,
    id_of,
    key_in,
    stored_in,
)

R = TypeVar("R")

_Operation: TypeAlias = "ReplaceOne[Any] | UpdateOne | DeleteOne"
_Prepared: TypeAlias = "tuple[Write, _Operation]"

_PAGE: Final = 500
_DUPLICATE: Final = 11000
_LARGEST: Final = 16 * 2**20
_SAFE: Final = WriteConcern("majority", j=True)
_NOT_DONE: Final = (ServerSelectionTimeoutError, InvalidOperation, OperationFailure, BSONError)
_NOT_SURE: Final = (WriteConcernError, ExecutionTimeout)


class MongoEngine:
    """Sessions as documents of a collection.

    Args:
        collection: Of a client of PyMongo, async or not.
        name: What errors call it.
        close: Closes what was opened here.
        as_json: Whether values are JSON, which documents hold as they are.
        patience: How long one command may take, in seconds.
    """

    def __init__(
        self,
        collection: Any,
        name: str,
        close: Callable[[], Any] | None,
        *,
        as_json: bool,
        patience: float,
    ) -> None:
        self.where = f"in {name}"
        self._collection = collection.with_options(
            read_preference=ReadPreference.PRIMARY, write_concern=_SAFE
        )
        self._name = name
        self._close = close
        self._as_json = as_json
        self._patience = patience
        self._blocking = not isinstance(collection, AsyncCollection)
        self._indexed = False

    async def load(self, keys: Sequence[str]) -> Sequence[Stored | SessionError | None]:
        """Return what is stored under each of *keys*."""
        documents = await self._documents(keys)
        return [None if each is None else stored_in(each) for each in documents]

    async def expiries(
        self, keys: Sequence[str]
    ) -> Sequence[tuple[float | None] | SessionError | None]:
        """Return when each of *keys* expires."""
        documents = await self._documents(keys, {"expires": True})
        return [None if each is None else (each.get("expires"),) for each in documents]

    async def apply(self, writes: Sequence[Write]) -> Sequence[bool | SessionError]:
        """Do *writes*; return which had what they expected.

        A command for many reports each one that fails, but not which of them matched
        nothing.  So writes for which that is a failure share a command, and others have
        one each.
        """
        await self._index()
        outcomes: dict[str, bool | SessionError] = {}
        shared: list[_Prepared] = []
        alone: list[list[_Prepared]] = []
        for write in writes:
            try:
                prepared = write, self._operation(write)
            except SessionError as error:
                outcomes[write.key] = error
                continue
            except (BSONError, DocumentTooLarge) as error:
                outcomes[write.key] = self._failed(error)
                continue
            if _fails_without_match(write):
                shared.append(prepared)
            else:
                alone.append([prepared])
        for done in await self._side_by_side(map(self._send, [shared, *alone])):
            outcomes |= done
        return [outcomes[write.key] for write in writes]

    async def touch(self, key: str, expires: float | None, now: float) -> bool:
        """Return whether *key* is alive, and move its expiry."""
        of_key = {"_id": id_of(key)}
        if expires is not None:
            moves = {**of_key, "expires": {"$gt": now}}
            moved = await self._do(
                self._collection.update_one, moves, {"$set": expiry(expires, now)}
            )
            if moved.matched_count:
                return True
        alive = {**of_key, "$or": _alive(now)}
        return await self._do(self._collection.find_one, alive, {"_id": True}) is not None

    async def pages(self, prefix: str) -> AsyncIterator[Sequence[str]]:
        """Yield the keys that begin with *prefix*, in the order of their bytes."""
        for kind in ("string", "binData"):
            last: Any = None
            while True:
                wanted: Document = {"$type": kind}
                if last is not None:
                    wanted["$gt"] = last
                elif kind == "string":
                    wanted["$gte"] = prefix
                found = [each["_id"] for each in await self._found({"_id": wanted})]
                keys = [key for key in map(key_in, found) if key and key.startswith(prefix)]
                yield keys
                over = kind == "string" and len(keys) < len(found)
                if len(found) < _PAGE or over:
                    break
                last = found[-1]

    async def purge(self, now: float) -> AsyncIterator[int]:
        """Remove what had expired at *now*; MongoDB itself does so an hour later."""
        over = {"$lte": now}
        while True:
            ids = [each["_id"] for each in await self._found({"expires": over})]
            if not ids:
                return
            gone = {"_id": {"$in": ids}, "expires": over}
            yield (await self._do(self._collection.delete_many, gone)).deleted_count

    async def close(self) -> None:
        """Close the client if it was opened here."""
        if self._close is not None:
            await _answer(self._close())

    async def _index(self) -> None:
        """Let MongoDB remove what has expired long ago."""
        if not self._indexed:
            await self._do(self._collection.create_index, "removed", expireAfterSeconds=0)
            self._indexed = True

    async def _documents(
        self, keys: Sequence[str], fields: Document | None = None
    ) -> list[Document | None]:
        of_keys = {"_id": {"$in": [id_of(key) for key in keys]}}
        found = await self._do(self._listed, of_keys, fields)
        by_key = {key_in(each["_id"]): each for each in found}
        return [by_key.get(key) for key in keys]

    async def _found(self, query: Document) -> list[Document]:
        """Return the next page of ids."""
        ids: Document = {"sort": [("_id", 1)], "limit": _PAGE}
        found: list[Document] = await self._do(self._listed, query, {"_id": True}, **ids)
        return found

    def _listed(self, *args: Any, **options: Any) -> Any:
        return self._collection.find(*args, **options).to_list()

    async def _side_by_side(self, courses: Iterable[Coroutine[Any, Any, R]]) -> Sequence[R]:
        if self._blocking:
            return [await course for course in courses]
        return await asyncio.gather(*courses)

    def _operation(self, write: Write) -> _Operation:
        """Return what does *write*; raise what keeps it from being done."""
        fitting = _fitting(write)
        if write.raw is None:
            return DeleteOne(fitting)
        document = RawBSONDocument(bson.encode(document_of(write, as_json=self._as_json)))
        if len(document.raw) > _LARGEST:
            msg = f"{len(document.raw)} bytes are more than a document may have"
            raise DocumentTooLarge(msg)
        return ReplaceOne(fitting, document, upsert=_creates(write))

    async def _send(self, prepared: Sequence[_Prepared]) -> dict[str, bool | SessionError]:
        """Return the outcomes of one command."""
        if not prepared:
            return {}
        writes = [write for write, _ in prepared]
        operations = [operation for _, operation in prepared]
        try:
            with pymongo.timeout(self._patience):
                done = await _answer(self._collection.bulk_write(operations, ordered=False))
                return {write.key: await self._has_matched(write, done) for write in writes}
        except BulkWriteError as error:
            return self._outcomes_in(error.details, writes)
        except Exception as error:  # noqa: BLE001 (drivers raise what they like)
            return {write.key: self._failure(error) for write in writes}

    async def _has_matched(self, write: Write, done: Any) -> bool:
        if _fails_without_match(write) or done.matched_count or done.deleted_count:
            return True
        may_be_gone = write.lapsed or write.expected is None
        return write.raw is None and may_be_gone and await self._is_gone(write)

    def _outcomes_in(self, details: Any, writes: Sequence[Write]) -> dict[str, bool | SessionError]:
        unsure = details["writeConcernErrors"]
        good = self._failure(WriteConcernError(str(unsure))) if unsure else True
        outcomes: dict[str, bool | SessionError] = {write.key: good for write in writes}
        for each in details["writeErrors"]:
            clash = each["code"] == _DUPLICATE  # what is there did not match
            place: int = each["index"]
            outcomes[writes[place].key] = not clash and self._failed(each["errmsg"])
        return outcomes

    async def _is_gone(self, write: Write) -> bool:
        alive = {"_id": id_of(write.key), "$or": _alive(write.now)}
        return await _answer(self._collection.find_one(alive, {"_id": True})) is None

    async def _sent(self, method: Callable[..., Any], *args: Any, **options: Any) -> Any:
        with pymongo.timeout(self._patience):
            return await _answer(method(*args, **options))

    async def _do(self, method: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """Return the answer to one command that can be repeated."""
        try:
            return await self._sent(method, *args, **options)
        except Exception as error:
            raise self._failed(error) from error

    def _failure(self, error: Exception) -> SessionError:
        if isinstance(error, _NOT_DONE) and not isinstance(error, _NOT_SURE):
            failure = self._failed(error)
        else:
            failure = UnknownOutcomeError(f"there was no reply: {error}")
        failure.__cause__ = error
        return failure

    def _failed(self, error: object) -> SessionError:
        return SessionError(f"{self._name} failed: {error}. Nothing was written")


async def _answer(answer: Any) -> Any:
    return await answer if isawaitable(answer) else answer


def _fitting(write: Write) -> Document:
    """Return the query for a document that has what *write* expects."""
    fitting: Document = {"_id": id_of(write.key)}
    over = {"expires": {"$lte": write.now}}
    if write.expected is ANY:
        return fitting
    if write.expected is None:
        return fitting | over
    if write.lapsed:
        return fitting | {"$or": [{"revision": write.expected}, over]}
    return fitting | {"revision": write.expected}


def _creates(write: Write) -> bool:
    """Return whether *write* may find nothing; what else it finds then is a duplicate key."""
    return write.expected is ANY or write.expected is None or write.lapsed


def _fails_without_match(write: Write) -> bool:
    return write.expected is ANY if write.raw is None else _creates(write)


def _alive(now: float) -> list[Document]:
    return [{"expires": None}, {"expires": {"$gt": now}}]

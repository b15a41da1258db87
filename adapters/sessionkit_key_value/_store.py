"""A storage of sessionkit as a store of py-key-value."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterable, AsyncIterator, Generator, Iterable, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, Final

from key_value.aio.errors import (
    DeserializationError,
    InvalidKeyError,
    KeyValueStoreError,
    SerializationError,
)
from key_value.aio.stores.base import (
    BaseCullStore,
    BaseDestroyCollectionStore,
    BaseDestroyStore,
    BaseEnumerateCollectionsStore,
    BaseEnumerateKeysStore,
    BaseStore,
    ManagedEntry,
)

from sessionkit import (
    InvalidSessionKeyError,
    SessionConflictError,
    SessionDecodeError,
    SessionEncodeError,
    SessionError,
)
from sessionkit.protocols import ANY, Entry

if TYPE_CHECKING:
    from sessionkit.protocols import Storage

PREFIX: Final = "key-value:"

_NEEDED: Final = ("read", "write", "delete")
_LISTING: Final = ("iter_keys", "read_with_revision", "write_if")


class SessionkitStore(BaseStore):
    """Keep the entries of py-key-value in any storage of sessionkit.

    An entry is the value ``{"value": ..., "expires": ...}`` under the key
    ``key-value:COLLECTION:KEY``; ``%`` and ``:`` in a collection are escaped.  A storage that
    keeps an end for each value is given that as well, so that it can remove what has expired.

    Args:
        storage: The storage, which may hold sessions too; it is not closed.
        prefix: What its keys begin with; sessions on it need another one.
        default_collection: The collection of calls that name none.

    Raises:
        TypeError: *storage* is none, or lacks methods that this class uses.
        ValueError: *storage* has a timeout or migrations of its own.
    """

    def __init__(
        self,
        storage: Storage[Any],
        *,
        prefix: str = PREFIX,
        default_collection: str | None = None,
    ) -> None:
        self._check(storage)
        self._storage: Any = storage  # has optional methods, which Storage does not declare
        self._prefix = prefix
        self._keeps_ends: bool = getattr(storage, "supports_expiry", False) is True
        super().__init__(default_collection=default_collection, stable_api=True)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._storage!r})"

    @classmethod
    def _check(cls, storage: Any) -> None:
        _check_methods(storage, _NEEDED)
        inside = storage
        while inside is not None:
            if getattr(inside, "ttl", None) is not None or getattr(inside, "enhanced", False):
                msg = (
                    f"{inside!r} has a timeout or migrations of its own, which entries of "
                    "py-key-value do not expect: give a storage without; a TTLClampWrapper "
                    "around this store gives a ttl to entries that have none"
                )
                raise ValueError(msg)
            inside = getattr(inside, "wrapped", None)

    def _key(self, collection: str, key: str) -> str:
        return f"{self._start(collection)}{key}"

    def _start(self, collection: str) -> str:
        """Return what the keys of *collection* begin with, and no others do."""
        return f"{self._prefix}{collection.replace('%', '%25').replace(':', '%3a')}:"

    async def _get_managed_entry(self, *, collection: str, key: str) -> ManagedEntry | None:
        with _translated():
            return _entry_in(await _answer(self._storage.read(self._key(collection, key))))

    async def _get_managed_entries(
        self, *, collection: str, keys: Sequence[str]
    ) -> list[ManagedEntry | None]:
        """Ask for all at once: storages in databases let them share a round trip."""
        found = (self._get_managed_entry(collection=collection, key=key) for key in keys)
        return await asyncio.gather(*found)

    async def _put_managed_entry(
        self, *, collection: str, key: str, managed_entry: ManagedEntry
    ) -> None:
        await self._store({self._key(collection, key): managed_entry})

    async def _put_managed_entries(
        self,
        *,
        collection: str,
        keys: Sequence[str],
        managed_entries: Sequence[ManagedEntry],
        ttl: float | None,  # noqa: ARG002 (these three are in the entries)
        created_at: datetime,  # noqa: ARG002
        expires_at: datetime | None,  # noqa: ARG002
    ) -> None:
        names = (self._key(collection, key) for key in keys)
        await self._store(dict(zip(names, managed_entries, strict=True)))

    async def _store(self, entries: dict[str, ManagedEntry]) -> None:
        values = {key: _stored(entry) for key, entry in entries.items()}
        with _translated():
            if self._keeps_ends:
                ends = [Entry(key, value, value.get("expires")) for key, value in values.items()]
                await _answer(self._storage.write_entries(ends, ANY))
            else:
                for key, value in values.items():
                    await _answer(self._storage.write(key, value))

    async def _delete_managed_entry(self, *, collection: str, key: str) -> bool:
        name = self._key(collection, key)
        was_there = True
        with _translated():
            with suppress(SessionDecodeError):  # damaged: to delete it is the way out
                was_there = await _answer(self._storage.read(name)) is not None
            await _answer(self._storage.delete(name))
        return was_there


class ListingSessionkitStore(
    SessionkitStore,
    BaseEnumerateKeysStore,
    BaseEnumerateCollectionsStore,
    BaseDestroyCollectionStore,
    BaseDestroyStore,
    BaseCullStore,
):
    """A ``SessionkitStore`` with ``keys``, ``collections``, ``cull``, and ``destroy``.

    For a storage that lists, and writes on condition, as those of sessionkit do.  Only what
    begins with the prefix is touched, never a session.
    """

    @classmethod
    def _check(cls, storage: Any) -> None:
        super()._check(storage)
        _check_methods(storage, _LISTING)

    async def _get_collection_keys(self, *, collection: str, limit: int | None = None) -> list[str]:
        start = self._start(collection)
        found: list[str] = []
        with _translated():
            async for name in self._names(start):
                if limit is not None and len(found) >= limit:
                    break
                found.append(name[len(start) :])
        return found

    async def _get_collection_names(self, *, limit: int | None = None) -> list[str]:
        found: dict[str, None] = {}
        with _translated():
            async for name in self._names(self._prefix):
                escaped, separator, _ = name[len(self._prefix) :].partition(":")
                if separator:
                    found[escaped.replace("%3a", ":").replace("%25", "%")] = None
        return list(found)[:limit]

    async def _delete_collection(self, *, collection: str) -> bool:
        return await self._delete_all(self._start(collection))

    async def _delete_store(self) -> bool:
        await self._delete_all(self._prefix)
        return True

    async def _delete_all(self, start: str) -> bool:
        with _translated():
            names = [name async for name in self._names(start)]
            for name in names:
                await _answer(self._storage.delete(name))
        return bool(names)

    async def _cull(self) -> None:
        with _translated():
            async for name in self._names(self._prefix):
                with suppress(SessionDecodeError, DeserializationError, SessionConflictError):
                    await self._remove_if_expired(name)
            if self._keeps_ends:  # and so has not listed what has expired
                await _answer(self._storage.purge_expired())

    async def _remove_if_expired(self, name: str) -> None:
        value, revision = await _answer(self._storage.read_with_revision(name))
        entry = _entry_in(value)
        if entry is not None and entry.is_expired:
            await _answer(self._storage.write_if(name, None, revision))

    async def _names(self, start: str) -> AsyncIterator[str]:
        names: AsyncIterable[str] | Iterable[str] = self._storage.iter_keys(start)
        if isinstance(names, AsyncIterable):
            async for name in names:
                yield name
        else:
            for name in names:
                yield name


def _stored(entry: ManagedEntry) -> dict[str, Any]:
    """Return the value to store; as stores do, its keys are sorted, its tuples are lists.

    Raises:
        SerializationError: It cannot be JSON.
    """
    value = json.loads(entry.value_as_json)
    if entry.expires_at is None:
        return {"value": value}
    return {"value": value, "expires": entry.expires_at.timestamp()}


def _entry_in(stored: Any) -> ManagedEntry | None:
    if stored is None:
        return None
    try:
        value, expires = dict(stored["value"]), stored.get("expires")
        end = None if expires is None else datetime.fromtimestamp(expires, UTC)
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        msg = f"this is not an entry of a SessionkitStore, nothing was changed: {stored!r}"
        raise DeserializationError(msg) from error
    return ManagedEntry(value=value, expires_at=end)


async def _answer(answer: Any) -> Any:
    return await answer if isawaitable(answer) else answer


@contextmanager
def _translated() -> Generator[None]:
    """Raise what py-key-value raises."""
    try:
        yield
    except SessionEncodeError as error:
        raise SerializationError(str(error)) from error
    except SessionDecodeError as error:
        raise DeserializationError(str(error)) from error
    except InvalidSessionKeyError as error:
        raise InvalidKeyError(str(error)) from error
    except SessionError as error:
        raise KeyValueStoreError(str(error)) from error


def _check_methods(storage: Any, names: Sequence[str]) -> None:
    missing = [name for name in names if not callable(getattr(storage, name, None))]
    if isinstance(storage, type) or missing:
        msg = f"{storage!r} cannot be used: it is not a storage with {', '.join(missing or names)}"
        raise TypeError(msg)

"""Sessions in a store of py-key-value."""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from key_value.aio.errors import (
    DecryptionError,
    DeserializationError,
    KeyValueOperationError,
    StoreSetupError,
)
from key_value.aio.protocols.key_value import AsyncKeyValueProtocol

from sessionkit import (
    SessionDecodeError,
    SessionError,
    SessionListingError,
    SessionWriteError,
)
from sessionkit.codecs import JSONCodec, decode_value, takes_any_value
from sessionkit.storages.authoring import (
    Lifetime,
    UnknownOutcomeError,
    check_key,
    encode_entry,
    new_token,
    optional,
    seconds,
)
from sessionkit_key_value._calls import Calls
from sessionkit_key_value._entries import (
    FIELD,
    Held,
    fields_of,
    held_in,
    is_name,
    key_in_name,
    name_of,
    start_of_names,
)

if TYPE_CHECKING:
    from collections.abc import Hashable
    from datetime import timedelta

    from sessionkit.types import Clock, Codec

R = TypeVar("R")

COLLECTION: Final = "sessionkit"

_COLLECTIONS: Final = re.compile(r"[A-Za-z0-9_-]{1,50}")
_MOST_LISTED: Final = 10_000
"""Stores list no more keys than that, and do not say that there were more."""

_PAGE: Final = 64
_SHOWN: Final = 5
_PROBE_TTL: Final = 60
_PROOF: Final = "~proof"
_LISTING: Final = "~listing"
_REFUSED: Final = (KeyValueOperationError, StoreSetupError)
"""What stores and their wrappers raise before they have sent anything."""


class KeyValueSessionStorage:
    """Keep sessions in any store of py-key-value, for the one process that uses it.

    These stores cannot write on condition, so a write of another process would be lost
    unnoticed: there are no revisions.  In this process sessions are ordered as ever.  A
    listing is there if the store itself has ``keys()``.

    Before the first use an entry is put, read back and deleted: a store that does not give
    back what it got raises then, instead of losing sessions.

    Args:
        store: The store, with any wrappers around it; ``close`` leaves it open.
        collection: Where in it: letters, digits, ``_`` and ``-``, at most 50.
        codec: Turns values into bytes; JSON by default, which is stored as text.
        ttl: How long a value lives after its last write; None: it never expires.
        clock: The time, in seconds since the epoch.
        deadline: How long a call may take before it raises.

    Raises:
        TypeError: *store* is not a store, or *ttl* or *deadline* not a span of time.
        ValueError: *collection* is not such a name, or *ttl* or *deadline* is not positive
            and finite.
    """

    isolated: Final = True

    def __init__(
        self,
        store: AsyncKeyValueProtocol,
        *,
        collection: str = COLLECTION,
        codec: Codec | None = None,
        ttl: timedelta | float | None = None,
        clock: Clock = time.time,
        deadline: timedelta | float = 10,
    ) -> None:
        _check(store, collection)
        self._store: Any = store  # has optional methods, which the protocol does not declare
        self._collection = collection
        self._codec: Codec = JSONCodec() if codec is None else codec
        self._as_json = type(self._codec) is JSONCodec
        self._lifetime = Lifetime(None if ttl is None else seconds("ttl", ttl), clock)
        self._calls = Calls(seconds("deadline", deadline))
        self._is_proven = False
        self._where = f"in collection {collection!r} of {type(store).__name__}"
        self.any_value: bool = takes_any_value(self._codec)
        self.ttl: float | None = self._lifetime.ttl
        self.identity: Hashable = ("key-value", id(store), collection)
        can_list = callable(getattr(store, "keys", None))
        self.capabilities: frozenset[str] = frozenset(
            ("iter_items", "iter_keys") if can_list else ()
        )

    def __repr__(self) -> str:
        return f"<KeyValueSessionStorage {self._where}>"

    async def read(self, key: str, /) -> Any:
        """Return the value, None if missing or expired.

        Raises:
            SessionDecodeError: What is there is damaged.  Some stores take such an entry
                for missing: see docs/key-value.md.
            SessionError: The store failed, or there was no answer in time.
        """
        held = await self._held(name_of(check_key(key)), key)
        return None if held is None else self._value(held)

    def write(self, key: str, value: Any, /) -> Coroutine[Any, Any, None]:
        """Store *value* as it is now, replacing any earlier one; its timeout restarts.

        Raises:
            SessionWriteError: It may have been written or not.
            SessionError: The store refused: nothing was written.
        """
        raw = encode_entry(self._codec, check_key(key), value)
        held = Held(key, raw, new_token(), self._lifetime.end())
        fields = fields_of(held, as_json=self._as_json)
        place: dict[str, Any] = {"collection": self._collection, "ttl": self._store_ttl()}
        return self._change(key, held.token, lambda name: self._store.put(name, fields, **place))

    def delete(self, key: str, /) -> Coroutine[Any, Any, None]:
        """Remove *key*; a no-op if nothing is stored under it.

        Raises:
            SessionWriteError: It may be gone or not.
            SessionError: The store refused: nothing was changed.
        """
        place = {"collection": self._collection}
        return self._change(check_key(key), None, lambda name: self._store.delete(name, **place))

    @optional
    async def iter_keys(self, prefix: str = "", /) -> AsyncIterator[str]:
        """Yield each key that begins with *prefix*, in any order.

        Raises:
            SessionError: The store failed, or may have more than it lists.
            SessionListingError: At the end, if a long key could not be read: it is in the
                entry, which is damaged.
        """
        left_out: list[SessionDecodeError] = []
        async for key, found in self._listed(prefix):
            if key is not None:
                yield key
            else:
                assert isinstance(found, SessionDecodeError)
                left_out.append(found)
        _report(left_out)

    @optional
    async def iter_items(self, prefix: str = "", /) -> AsyncIterator[tuple[str, Any]]:
        """Yield pairs of key and value, otherwise as ``iter_keys``.

        Raises:
            SessionListingError: At the end, if values could not be read; says which.
        """
        left_out: list[SessionDecodeError] = []
        async for _, found in self._listed(prefix):
            try:
                item = self._item(found)
            except SessionDecodeError as error:
                left_out.append(error)
            else:
                yield item
        _report(left_out)

    async def close(self) -> None:
        """Take nothing more, and wait for what is under way; the store stays open."""
        await self._calls.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def _listed(
        self, prefix: str
    ) -> AsyncIterator[tuple[str | None, Held | SessionDecodeError]]:
        names = await self._names(start_of_names(prefix))
        for begin in range(0, len(names), _PAGE):
            page = names[begin : begin + _PAGE]
            for seen in await asyncio.gather(*map(self._look_at, page)):
                if seen is not None and (seen[0] is None or seen[0].startswith(prefix)):
                    yield seen

    async def _names(self, start: str) -> list[str]:
        options: dict[str, Any] = {"collection": self._collection, "limit": _MOST_LISTED}
        self._calls.check_open()
        try:
            names: list[str] = await self._ask(_LISTING, lambda: self._store.keys(**options))
        except Exception as error:
            raise self._failed(error, None) from error
        if len(names) == _MOST_LISTED:
            msg = (
                f"{self!r} cannot be listed: py-key-value lists {_MOST_LISTED} keys at most, and "
                "does not say whether there are more. Take a storage of sessionkit for so many"
            )
            raise SessionError(msg)
        return [name for name in names if name.startswith(start) and is_name(name)]

    async def _look_at(self, name: str) -> tuple[str | None, Held | SessionDecodeError] | None:
        """Return the key of an entry and what it holds, unless it has expired or is gone."""
        key = key_in_name(name)
        try:
            held = await self._held(name, key)
        except SessionDecodeError as error:
            return key, error
        return None if held is None else (held.key, held)

    def _item(self, found: Held | SessionDecodeError) -> tuple[str, Any]:
        if isinstance(found, SessionDecodeError):
            raise found
        return found.key, self._value(found)

    def _value(self, held: Held) -> Any:
        return decode_value(self._codec, held.key, held.raw, self._where)

    async def _held(self, name: str, key: str | None) -> Held | None:
        """Return what is held under *name*, None if it has expired; *key* if that is known."""
        place = {"collection": self._collection}
        self._calls.check_open()
        try:
            fields = await self._ask(name, lambda: self._store.get(name, **place))
        except (DeserializationError, DecryptionError) as error:
            raise self._damaged(error, key or name) from error
        except Exception as error:
            raise self._failed(error, key) from error
        if fields is None:
            return None
        try:
            held = held_in(fields, name)
        except ValueError as error:
            raise self._damaged(error, key or name) from error
        return None if self._lifetime.is_over(held.expires) else held

    async def _change(
        self, key: str, token: str | None, call: Callable[[str], Awaitable[object]]
    ) -> None:
        name = name_of(key)
        self._calls.check_open()
        try:
            await self._ask(name, lambda: call(name))
        except Exception as error:
            if _was_not_done(error):
                raise self._failed(error, key) from error
            if token is None or not await self._is_stored(name, key, token):
                msg = (
                    f"{key!r} may have been written, or not: {_reason(error)}. Read it again "
                    f"before you repeat the change; {self._where}"
                )
                raise SessionWriteError(msg, key=key, unknown=(key,)) from error

    async def _is_stored(self, name: str, key: str, token: str) -> bool:
        with suppress(SessionError):
            held = await self._held(name, key)
            return held is not None and held.token == token
        return False

    async def _ask(self, name: str, call: Callable[[], Awaitable[R]]) -> R:
        if not self._is_proven:
            try:
                await self._calls.run(_PROOF, self._prove)
            except Exception as error:
                raise SessionError(_reason(error)) from error  # whatever it is: nothing was done
        return await self._calls.run(name, call)

    async def _prove(self) -> None:
        """Raise unless the store gives back what it gets."""
        if self._is_proven:
            return
        place: dict[str, Any] = {"collection": self._collection}
        name, fields = f"_probe-{new_token()}", {FIELD: "[]"}
        await self._store.put(name, fields, ttl=_PROBE_TTL, **place)
        found = await self._store.get(name, **place)
        await self._store.delete(name, **place)
        if found != fields:
            msg = (
                f"it gave back {found!r} for {fields!r}, so sessions would be lost. A RedisStore "
                "needs a client with decode_responses=True; a store that forgets is of no use"
            )
            raise SessionError(msg)
        self._is_proven = True

    def _store_ttl(self) -> int | None:
        """Return for how long the store has to keep an entry: some count in whole seconds."""
        return None if self.ttl is None else math.ceil(self.ttl) + 1

    def _failed(self, error: Exception, key: str | None) -> SessionError:
        return SessionError(f"{self!r} failed: {_reason(error)}. Nothing was written", key=key)

    def _damaged(self, error: Exception, key: str) -> SessionDecodeError:
        msg = (
            f"what is stored under {key!r} cannot be decoded: {error}. It was left where it is, "
            f"{self._where}: repair it, or delete it to let the session start again."
        )
        return SessionDecodeError(msg, key=key)


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, SessionError) else repr(error)


def _was_not_done(error: Exception) -> bool:
    if isinstance(error, SessionError):
        return not isinstance(error, UnknownOutcomeError)
    return isinstance(error, _REFUSED)


def _check(store: object, collection: str) -> None:
    if isinstance(store, type) or not isinstance(store, AsyncKeyValueProtocol):
        msg = (
            f"give a store of py-key-value, not {store!r}: KeyValueSessionStorage("
            'DiskStore(directory="bot")) for example'
        )
        raise TypeError(msg)
    if not _COLLECTIONS.fullmatch(collection):
        msg = (
            f"collection must be letters, digits, '_' and '-', at most 50, not {collection!r}: "
            "stores cut or confuse others"
        )
        raise ValueError(msg)


def _report(left_out: Sequence[SessionDecodeError]) -> None:
    if left_out:
        keys = tuple(str(error.key) for error in left_out)
        msg = (
            f"{len(keys)} of the listed values cannot be read and were left out: "
            f"{', '.join(map(repr, keys[:_SHOWN]))}. Everything else was listed. "
            f"The first error: {left_out[0]}"
        )
        raise SessionListingError(msg, key=keys[0], keys=keys) from left_out[0]

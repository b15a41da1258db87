"""A storage as commands use it, whatever it can do, with what is known of its sessions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sessionkit._cli.exits import CommandError
from sessionkit._data.envelope import close_plain, open_plain
from sessionkit._data.snapshots import freeze, freeze_loaded
from sessionkit._storage.listing import Listing, each
from sessionkit._storage.sync_or_async import resolve
from sessionkit.codecs import JSONCodec
from sessionkit.errors import (
    InvalidSessionKeyError,
    SessionConflictError,
    SessionError,
    SessionListingError,
)
from sessionkit.keys import ParsedKey, parse
from sessionkit.protocols import ANY, Entry, MaybeAsyncIterable, Revision

if TYPE_CHECKING:
    from sessionkit._api.personal import AnyKind, PersonalSource
    from sessionkit._session.settings import Settings

_PAGE: Final = 500
_PAGE_SPACE: Final = 4_000_000
_CLOCKS: Final = 20.0
"""Seconds by which an expiry may differ: a server may count it by a clock of its own, from when
it gets the write until it answers the read, and is given 10 seconds for either."""
_encode: Final = JSONCodec().encode


@dataclass
class Loaded:
    """What is stored under a key, as a command shows and changes it.

    Attributes:
        data: Plain values: the data of a session if the sessions are known, else what is stored.
        revision: What a change of it is conditional on.
        expires: Epoch seconds, None if it does not expire, or the sessions see to that.
        beside: Fields of other releases, written back with the data.
    """

    data: Any
    revision: Revision | None
    expires: float | None = None
    beside: Any = None


@dataclass
class Place:
    """One storage.

    Attributes:
        name: What messages call it.
        storage: The storage as it is on the disk or server: without timeouts and migrations.
        sources: The sessions that are known to be in it; empty if only its URL was given.
    """

    name: str
    storage: Any
    sources: tuple[PersonalSource, ...] = ()
    prefixes: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        prefixes = sorted(set(map(_prefix, self.sources))) or [""]
        apart: list[str] = []
        for prefix in prefixes:
            if not (apart and prefix.startswith(apart[-1])):
                apart.append(prefix)
        self.prefixes = tuple(apart)

    @property
    def sessions(self) -> tuple[AnyKind, ...]:
        """The sessions that are known to be in it."""
        return tuple(source.sessions for source in self.sources)

    def owner(self, key: str) -> AnyKind | None:
        """Return the sessions that *key* belongs to, as far as they are known."""
        source = self._source(key)
        return None if source is None else source.sessions

    def parsed(self, key: str) -> ParsedKey | None:
        """Return what *key* is made of, None if it names neither chat nor user."""
        source = self._source(key)
        try:
            if source is None:
                return parse(key)
            return source.parse(key.removeprefix(_settings(source.sessions).prefix))
        except InvalidSessionKeyError:
            return None

    def required_owner(self, key: str) -> AnyKind | None:
        """Return the same; None only if no sessions are known.

        Raises:
            CommandError: It belongs to none of those that are known.
        """
        owner = self.owner(key)
        if owner is None and self.sessions:
            prefixes = " or ".join(map(repr, self.prefixes))
            msg = f"the keys of {self.name} begin with {prefixes}, and {key!r} does not"
            raise CommandError(msg)
        return owner

    async def keys(self, prefix: str = "") -> AsyncIterator[str]:
        """Yield the keys with *prefix*, of the known sessions if any are known."""
        for own in self._prefixes(prefix):
            async for key in each(await resolve(self._listing("iter_keys")(own))):
                yield key

    async def entries(self, prefix: str = "") -> AsyncIterator[Entry]:
        """Yield what is stored, raw, likewise.

        Raises:
            SessionListingError: At the end, if something could not be read.
        """
        async for page in self.pages(prefix):
            for entry in page:
                yield entry

    async def pages(self, prefix: str = "") -> AsyncIterator[list[Entry]]:
        """Yield the entries some at a time: few enough to be kept in memory.

        Raises:
            SessionListingError: At the end, if something could not be read.
        """
        name = "iter_entries" if self.keeps_expiry else "iter_items"
        for own in self._prefixes(prefix):
            listing = await resolve(self._listing(name)(own))
            async for page in _pages_of(listing) if self.keeps_expiry else _grouped(listing):
                yield page

    @property
    def keeps_expiry(self) -> bool:
        """Whether values are read and written together with their expiry."""
        return callable(getattr(self.storage, "iter_entries", None))

    async def read(self, keys: Sequence[str]) -> dict[str, Entry]:
        """Return the raw entries of *keys*."""
        if self.keeps_expiry:
            return dict(await resolve(self.storage.read_entries(keys)))
        if hasattr(self.storage, "read_many"):
            found = dict(await resolve(self.storage.read_many(keys)))
        else:
            found = {key: await resolve(self.storage.read(key)) for key in keys}
        return {key: Entry(key, value) for key, value in found.items() if value is not None}

    async def write(self, entries: Sequence[Entry], *, replace: bool) -> list[str]:
        """Store entries; return the keys where something was stored, unless to *replace* it."""
        if self.keeps_expiry:
            expected = ANY if replace else None
            return list(await resolve(self.storage.write_entries(entries, expected)))
        tasks = (self._write_one(entry, replace=replace) for entry in entries)
        stored = await asyncio.gather(*tasks)
        outcomes = zip(entries, stored, strict=True)
        return [entry.key for entry, is_stored in outcomes if not is_stored]

    async def has(self, key: str) -> bool:
        """Return whether something is stored, damaged or not."""
        has = getattr(self.storage, "has", None)
        if has is not None:
            return bool(await resolve(has(key)))
        return await resolve(self.storage.read(key)) is not None

    async def delete(self, key: str) -> None:
        """Remove *key*."""
        self.required_owner(key)
        await resolve(self.storage.delete(key))

    # One key, to be shown or edited

    async def load(self, key: str) -> Loaded | None:
        """Return what is stored under *key*, None if nothing is.

        Raises:
            SessionError: It cannot be read, or is not what the sessions expect.
        """
        owner = self.required_owner(key)
        storage = self.storage if owner is None else owner.storage
        read = getattr(storage, "read_with_revision", None)
        value, revision = (
            (await resolve(storage.read(key)), None) if read is None else await resolve(read(key))
        )
        if value is None:
            return None
        if owner is None:
            entry = (await self.read([key])).get(key)
            return Loaded(value, revision, entry and entry.expires)
        data, beside = value, None
        if not _settings(owner).backend.enhanced:
            data, beside = open_plain(value, key)
        self.check(key, value)
        return Loaded(data, revision, beside=beside)

    async def store(self, key: str, data: Any, loaded: Loaded | None) -> None:
        """Store *data* under *key*, if *loaded* is still what is stored there.

        Raises:
            SessionConflictError: It is not.
            SessionError: The data does not fit the sessions, or cannot be stored.
            CommandError: The storage has no conditional writes.
        """
        owner = self.required_owner(key)
        storage = self.storage if owner is None else owner.storage
        if not hasattr(storage, "write_if"):
            msg = (
                f"{self.name} cannot write on condition that nobody wrote in between: stop the "
                "bot, and use import --overwrite"
            )
            raise CommandError(msg)
        revision = None if loaded is None else loaded.revision
        if owner is not None:
            value = data
            if not _settings(owner).backend.enhanced:
                value = close_plain(data, None if loaded is None else loaded.beside)
            self.check(key, value)
            await resolve(storage.write_if(key, value, revision))
        elif loaded is None or loaded.expires is None:
            await resolve(storage.write_if(key, data, revision))
        else:
            entries = [Entry(key, data, loaded.expires)]
            if await resolve(storage.write_entries(entries, revision)):
                msg = f"somebody else wrote {key!r} in between"
                raise SessionConflictError(msg, key=key)

    def check(self, key: str, value: Any) -> None:
        """Raise ``SessionError`` if the sessions that *key* belongs to could not read *value*."""
        owner = self.owner(key)
        if owner is not None:
            _settings(owner).data_of(value, key)

    def check_stored(self, entry: Entry) -> None:
        """Raise ``SessionError`` likewise for a value as it is stored.

        What is in envelopes may be of any version, which its sessions migrate.
        """
        owner = self.owner(entry.key)
        if owner is not None and not _settings(owner).backend.enhanced:
            self.check(entry.key, entry.value)

    async def close(self) -> None:
        """Close the storage."""
        close = getattr(self.storage, "close", None)
        if close is not None:
            await resolve(close())

    async def _write_one(self, entry: Entry, *, replace: bool) -> bool:
        if replace:
            await resolve(self.storage.write(entry.key, entry.value))
            return True
        if hasattr(self.storage, "write_if"):
            try:
                await resolve(self.storage.write_if(entry.key, entry.value, None))
            except SessionConflictError:
                return False
            return True
        if await self.has(entry.key):
            return False
        await resolve(self.storage.write(entry.key, entry.value))
        return True

    def _source(self, key: str) -> PersonalSource | None:
        owners = [each for each in self.sources if key.startswith(_prefix(each))]
        return max(owners, key=lambda each: len(_prefix(each)), default=None)

    def _prefixes(self, prefix: str) -> list[str]:
        """The prefixes to list: of known sessions, as far as they have *prefix*."""
        longer = [own if own.startswith(prefix) else prefix for own in self.prefixes]
        fits = [own.startswith(prefix) or prefix.startswith(own) for own in self.prefixes]
        return [own for own, does_fit in zip(longer, fits, strict=True) if does_fit]

    def _listing(self, name: str) -> Any:
        listing = getattr(self.storage, name, None)
        if listing is None:
            msg = (
                f"{self.name} cannot list what is in it ({type(self.storage).__name__} has no "
                f"{name}), so only single keys can be looked at: get, set, delete"
            )
            raise CommandError(msg)
        return listing


def _pages_of(listing: MaybeAsyncIterable[Entry]) -> AsyncIterator[list[Entry]]:
    return listing.pages if isinstance(listing, Listing) else _grouped(listing)


async def _grouped(listing: MaybeAsyncIterable[Entry]) -> AsyncIterator[list[Entry]]:
    page: list[Entry] = []
    space = _PAGE_SPACE
    left_out: SessionListingError | None = None
    try:
        async for found in each(listing):
            entry = Entry(*found)
            page.append(entry)
            space -= len(freeze_loaded(entry.value))
            if len(page) == _PAGE or space < 0:
                yield page
                page, space = [], _PAGE_SPACE
    except SessionListingError as error:
        left_out = error
    if page:
        yield page
    if left_out is not None:
        raise left_out


def _prefix(source: PersonalSource) -> str:
    return source.sessions._settings.prefix


def _settings(sessions: AnyKind) -> Settings:
    return sessions._settings


def size_of(value: Any) -> int:
    """Return how many bytes *value* takes as JSON; about as many if it is none."""
    try:
        return len(_encode(value))
    except (ValueError, TypeError):
        return len(freeze(value))


def same(one: Entry, other: Entry) -> bool:
    """Return whether two entries are equal, types included; times as exactly as clocks agree."""
    return _same_value(one.value, other.value) and _same_time(one.expires, other.expires)


def _same_value(one: Any, other: Any) -> bool:
    if freeze_loaded(one) == freeze_loaded(other):
        return True
    try:  # a storage may keep the fields of an object in an order of its own
        return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    except (TypeError, ValueError):
        return False


def _same_time(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return abs(one - other) <= _CLOCKS


def what(error: BaseException) -> str:
    """Return an error in one line, by its type unless the text is made for people."""
    if isinstance(error, CommandError):
        return str(error)
    if isinstance(error, PermissionError) and error.filename is not None:
        return f"this user may not open {error.filename}: run it as the user that the bot runs as"
    text = " ".join(str(error).split())
    if isinstance(error, SessionError) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__

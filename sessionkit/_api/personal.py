"""What is stored of one user: to give it out, and to erase it."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias, TypeGuard

from sessionkit._api.multi import MultiSessions
from sessionkit._api.prefixes import is_foreign
from sessionkit._api.sessions import AnySessions
from sessionkit._storage.sync_or_async import resolve
from sessionkit.errors import InvalidSessionKeyError, SessionError
from sessionkit.keys import ParsedKey, parse

AnyKind: TypeAlias = AnySessions[Any, Any, Any]
Erase: TypeAlias = Callable[[str, Any, int], Any]
"""Takes key, data and user; returns the data without what is of that user, may be async."""

_REMAINS = (
    "Not reached: backups, snapshots and replicas; logs of your program; what the engine of the "
    "database keeps of deleted data until it is overwritten (free pages and write-ahead logs until "
    "VACUUM, append-only files until they are rewritten)."
)


@dataclass(frozen=True)
class PersonalSource:
    """Sessions, and how to find a user in them.

    Attributes:
        sessions: Strict or lazy sessions.
        parse: Takes a key without prefix apart; raises ``InvalidSessionKeyError`` for a key
            that names neither user nor chat.
        erase: Removes what is of a user from data that several share, or returns
            ``NotImplemented``: then a function of the program's own is asked.
        whole: Whether sessions of longer prefixes are part of these, not sessions beside them.
    """

    sessions: AnyKind
    parse: Callable[[str], ParsedKey] = parse
    erase: Erase | None = None
    whole: bool = False


class KeepsPersonalData(Protocol):
    """An object of an adapter that is made of sessions."""

    def personal_data(self) -> Sequence[PersonalSource]:
        """Return them, and how to find a user in each."""
        ...


@dataclass
class Erased:
    """What became of the data of one user; names neither the user nor any key.

    Attributes:
        deleted: How many sessions were deleted, or would be.
        edited: How many shared ones were changed, or would be.
        shared: How many are shared by several users, and nothing knew how to edit them.
        failed: How many could not be read or written; each is an error of ``errors``.
        errors: What went wrong; these texts do name keys.
        remains: What no function here can reach.
    """

    deleted: int = 0
    edited: int = 0
    shared: int = 0
    failed: int = 0
    remains: str = _REMAINS
    errors: list[SessionError] = field(default_factory=list[SessionError], repr=False)


def personal_sources(kept: Any) -> Iterator[PersonalSource]:
    """Yield the sessions in *kept*: sessions, multi sessions, adapters' objects, or a list of such.

    Raises:
        TypeError: There is something else in it.
    """
    if isinstance(kept, PersonalSource):
        yield kept
    elif _is_sessions(kept):
        yield PersonalSource(kept)
    elif isinstance(kept, MultiSessions):
        yield from map(PersonalSource, kept._factories)
    elif _is_several(kept):
        for one in kept:
            yield from personal_sources(one)
    elif callable(getattr(kept, "personal_data", None)):
        yield from kept.personal_data()
    else:
        msg = f"expected Sessions, multi sessions or a list of them, not {kept!r}"
        raise TypeError(msg)


def _is_sessions(kept: object) -> TypeGuard[AnyKind]:
    return isinstance(kept, AnySessions)


def _is_several(kept: object) -> TypeGuard[Iterable[Any]]:
    return isinstance(kept, list | tuple | set | frozenset)


def is_of(parsed: ParsedKey, user: int) -> bool:
    """Return whether a session is of *user*: the user's own, or that of the private chat.

    A guest's chat only happens to have the number of a user.
    """
    return parsed.user == user or (parsed.chat == user and not parsed.guest)


def _is_shared(parsed: ParsedKey | None) -> bool:
    if parsed is None:
        return True
    acts_as_chat = parsed.user is None or parsed.user < 0
    return acts_as_chat and (parsed.chat < 0 or parsed.guest)


async def export_user(kept: Any, user: int) -> AsyncIterator[tuple[str, Any]]:
    """Yield full key and plain data of each session of *user*.

    Data that several users share, as that of a group, is not part of it.

    Args:
        kept: ``Sessions``, multi sessions, a storage of states of an adapter, or a list of such.
        user: The user's id.

    Raises:
        SessionError: A session of the user cannot be read.
        TypeError: A storage cannot list.
    """
    for source in personal_sources(kept):
        settings = source.sessions._settings
        async for key, parsed in _keys(source):
            if parsed is not None and is_of(parsed, user):
                data = await source.sessions.get(key=key)
                yield f"{settings.prefix}{key}", settings.serializer.dump(data, None)[1]


async def forget_user(
    kept: Any, user: int, *, erase: Erase | None = None, dry_run: bool = False
) -> Erased:
    """Delete the sessions of *user*, and edit those that the user shares with others.

    Deleted is what ``keys.parse`` finds to be of the user: private chats, the user in groups
    and topics, business chats with the user, and the user's as a guest.  A chat that the bot
    is a guest in and that only has the user's number is left alone.  It is an error to call
    it while sessions of the user are open in the same call chain.

    Args:
        kept: ``Sessions``, multi sessions, a storage of states of an adapter, or a list of such.
        user: The user's id.
        erase: Called with key, data and user for each session that belongs to a group, or to
            no chat in particular; returns the data without what is of the user.  May be async.
        dry_run: Change nothing, and count what would be.

    Raises:
        TypeError: A storage cannot list.
    """
    done = Erased()
    for source in list(personal_sources(kept)):
        async for key, parsed in _keys(source):
            try:
                if parsed is not None and is_of(parsed, user):
                    done.deleted += 1
                    if not dry_run:
                        await source.sessions.delete(key=key)
                elif _is_shared(parsed):
                    await _edit(source, key, user, erase, done, dry_run=dry_run)
            except SessionError as error:
                done.failed += 1
                done.errors.append(error)
        if not dry_run and hasattr(source.sessions.storage, "purge_expired"):
            await source.sessions.purge_expired()  # what has expired is not listed
    return done


async def _keys(source: PersonalSource) -> AsyncIterator[tuple[str, ParsedKey | None]]:
    settings = source.sessions._settings
    async for full_key in settings.backend.listing("iter_keys", settings.prefix):
        if not source.whole and is_foreign(settings, full_key):
            continue
        key = full_key.removeprefix(settings.prefix)
        try:
            yield key, source.parse(key)
        except InvalidSessionKeyError:
            yield key, None


async def _edit(
    source: PersonalSource, key: str, user: int, erase: Erase | None, done: Erased, *, dry_run: bool
) -> None:
    """Edit one session that several users share, by what knows how to."""
    hooks = [hook for hook in (source.erase, erase) if hook is not None]
    dump = source.sessions._settings.serializer.dump
    is_known = is_changed = False

    async def change(data: Any) -> Any:
        nonlocal is_known, is_changed
        before = dump(data, None)[0]
        for hook in hooks:
            changed = await resolve(hook(key, data, user))
            if changed is not NotImplemented:
                is_known = True
                is_changed = changed is not None and dump(changed, None)[0] != before
                return changed
        return data

    if hooks and dry_run:
        await change(copy.deepcopy(await source.sessions.get(key=key)))
    elif hooks:
        await source.sessions.update(key, change)
    done.edited += is_changed
    done.shared += not is_known

"""Which prefixes of a storage are in use: what would get into each other's way is refused."""

from __future__ import annotations

import os
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from sessionkit._locks.table import KeyLocks
from sessionkit._session.settings import Settings

_claims: WeakKeyDictionary[KeyLocks, WeakSet[Settings]] = WeakKeyDictionary()
_mutex = Lock()  # a WeakSet that grows cannot be iterated over


def _renew_mutex() -> None:  # pragma: no cover (in a child)
    global _mutex  # noqa: PLW0603 (a thread of the parent may hold it)
    _mutex = Lock()


if hasattr(os, "register_at_fork"):  # pragma: no branch (everywhere but on Windows)
    os.register_at_fork(after_in_child=_renew_mutex)


def claim(settings: Settings) -> None:
    """Take the prefix of *settings* on its storage, until ``release_claim`` or their end.

    Raises:
        ValueError: Sessions with another key function have it; in a private
            chat, user and chat are one number, and would overwrite each other.
            Or sessions with data of another class, and neither has ``shared_prefix``.
    """
    with _mutex:
        claims = _claims.setdefault(settings.locks, WeakSet())
        for other in claims:
            if other.prefix == settings.prefix:
                _refuse_beside(settings, other)
        claims.add(settings)


def release_claim(settings: Settings) -> None:
    """Leave the prefix to others; a no-op the second time."""
    with _mutex:
        _claims.get(settings.locks, WeakSet[Settings]()).discard(settings)


def _refuse_beside(settings: Settings, other: Settings) -> None:
    if other.get_key != settings.get_key:
        msg = (
            f"two key functions on one storage need two prefixes: {_name(other.get_key)} and "
            f"{_name(settings.get_key)} both have prefix={settings.prefix!r}, so that user 5 and "
            "chat 5 would share a session. Give one of them prefix='user-', say"
        )
        raise ValueError(msg)
    shared = settings.shared_prefix or other.shared_prefix
    from sessionkit._data.converters import may_share_prefix  # noqa: PLC0415 (only shared prefixes)

    if not (shared or may_share_prefix(other.data_type, settings.data_type)):
        name = _name(settings.data_type)
        msg = (
            f"two types of data on one storage need two prefixes: {_name(other.data_type)} and "
            f"{name} both have prefix={settings.prefix!r}, and would overwrite each other. Give "
            f"one of them prefix='{name.lower()}-', say; if both are to read the same values, as "
            "a migration does, shared_prefix=True"
        )
        raise ValueError(msg)


def is_foreign(settings: Settings, full_key: str) -> bool:
    """Whether a key with this prefix belongs to other sessions, of a longer prefix."""
    own = settings.prefix
    with _mutex:
        others = list(_claims.get(settings.locks, ()))
    return any(
        len(other.prefix) > len(own) and full_key.startswith(other.prefix) for other in others
    )


def _name(function_or_type: Any) -> str:
    return getattr(function_or_type, "__qualname__", None) or repr(function_or_type)

"""Which prefixes of a storage are in use: two key functions must not share one."""

from __future__ import annotations

from weakref import WeakKeyDictionary, WeakSet

from sessionkit._life.settings import Settings
from sessionkit._locks.table import KeyLocks

_claims: WeakKeyDictionary[KeyLocks, WeakSet[Settings]] = WeakKeyDictionary()


def claim(settings: Settings) -> None:
    """Take the prefix of *settings* on its storage.

    Raises:
        ValueError: Sessions with another key function have it; in a private
            chat, user and chat are one number, and would overwrite each other.
    """
    claims = _claims.setdefault(settings.locks, WeakSet())
    for other in list(claims):
        if other.prefix == settings.prefix and other.get_key != settings.get_key:
            msg = (
                f"two key functions on one storage need two prefixes: {_name(other)} and "
                f"{_name(settings)} both have prefix={settings.prefix!r}, so that user 5 and "
                "chat 5 would share a session. Give one of them prefix='user-', say"
            )
            raise ValueError(msg)
    claims.add(settings)


def is_foreign(settings: Settings, full_key: str) -> bool:
    """Whether a key with this prefix belongs to other sessions, of a longer prefix."""
    own = settings.prefix
    return any(
        len(other.prefix) > len(own) and full_key.startswith(other.prefix)
        for other in list(_claims.get(settings.locks, ()))
    )


def _name(settings: Settings) -> str:
    return getattr(settings.get_key, "__qualname__", None) or repr(settings.get_key)

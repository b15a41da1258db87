"""Session data for chat bots that survives the update, the crash and the restart."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from sessionkit import keys
from sessionkit._api.options import lazy_session, session
from sessionkit._api.sessions import LazySessions, Sessions
from sessionkit._session.flavors import LazySessionFlavor, SessionFlavor
from sessionkit._session.lazy import LazySession
from sessionkit._session.lifecycle import REPEATED
from sessionkit._session.strict import Session
from sessionkit._session.threads import SyncSession
from sessionkit.errors import (
    InvalidSessionKeyError,
    NewerVersionError,
    NoInitialDataError,
    NoSessionKeyError,
    RepeatedUpdateError,
    SessionClosedError,
    SessionConflictError,
    SessionDeadlockError,
    SessionDecodeError,
    SessionEncodeError,
    SessionError,
    SessionListingError,
    SessionLockLostError,
    SessionLockTimeoutError,
    SessionMigrationError,
    SessionReentrancyError,
    SessionWriteError,
)
from sessionkit.storages.memory import MemorySessionStorage

if TYPE_CHECKING:
    from sessionkit._api.fragments import MultiSession
    from sessionkit._api.multi import multi_session
    from sessionkit._session.conflict import merge_fields
    from sessionkit._session.once import Once
    from sessionkit.enhance import enhance_storage
    from sessionkit.storages.cached import cached
    from sessionkit.storages.file import FileSessionStorage
    from sessionkit.storages.file_lock import FileLock
    from sessionkit.storages.sqlite import SQLiteSessionStorage
    from sessionkit.storages.urls import storage_from_url
else:

    def __getattr__(name: str) -> object:
        module = _LOADED_WHEN_USED.get(name)
        if module is None:
            msg = f"module {__name__!r} has no attribute {name!r}"
            raise AttributeError(msg)
        value = globals()[name] = getattr(importlib.import_module(f"{__name__}.{module}"), name)
        return value


__version__ = "0.1.0"

__all__ = [
    "REPEATED",
    "FileLock",
    "FileSessionStorage",
    "InvalidSessionKeyError",
    "LazySession",
    "LazySessionFlavor",
    "LazySessions",
    "MemorySessionStorage",
    "MultiSession",
    "NewerVersionError",
    "NoInitialDataError",
    "NoSessionKeyError",
    "Once",
    "RepeatedUpdateError",
    "SQLiteSessionStorage",
    "Session",
    "SessionClosedError",
    "SessionConflictError",
    "SessionDeadlockError",
    "SessionDecodeError",
    "SessionEncodeError",
    "SessionError",
    "SessionFlavor",
    "SessionListingError",
    "SessionLockLostError",
    "SessionLockTimeoutError",
    "SessionMigrationError",
    "SessionReentrancyError",
    "SessionWriteError",
    "Sessions",
    "SyncSession",
    "cached",
    "enhance_storage",
    "keys",
    "lazy_session",
    "merge_fields",
    "multi_session",
    "session",
    "storage_from_url",
]

_LOADED_WHEN_USED = {
    "FileLock": "storages.file_lock",
    "FileSessionStorage": "storages.file",
    "MultiSession": "_api.fragments",
    "Once": "_session.once",
    "SQLiteSessionStorage": "storages.sqlite",
    "cached": "storages.cached",
    "enhance_storage": "enhance",
    "merge_fields": "_session.conflict",
    "multi_session": "_api.multi",
    "storage_from_url": "storages.urls",
}


def __dir__() -> list[str]:
    return sorted(globals().keys() | _LOADED_WHEN_USED)

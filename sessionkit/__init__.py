"""Session data for chat bots that survives the update, the crash and the restart."""

from sessionkit import keys
from sessionkit._life.conflict import merge_fields
from sessionkit._life.flavors import LazySessionFlavor, SessionFlavor
from sessionkit._life.lazy import LazySession
from sessionkit._life.seats import SessionProperty
from sessionkit._life.strict import Session
from sessionkit._life.sync import SyncLazySession, SyncSession
from sessionkit._setup.factory import lazy_session, session
from sessionkit._setup.multi import MultiSession
from sessionkit._setup.multi_sessions import MultiSessions, multi_session
from sessionkit._setup.plugins import session_data
from sessionkit._setup.sessions import LazySessions, Sessions
from sessionkit._setup.urls import storage_from_url
from sessionkit._types import ANY, Converter, SessionLock, Storage
from sessionkit.codecs import JSONCodec, PickleCodec
from sessionkit.enhance import enhance_storage
from sessionkit.errors import (
    InvalidSessionKeyError,
    NewerVersionError,
    NoInitialDataError,
    NoSessionKeyError,
    SessionClosedError,
    SessionConflictError,
    SessionDeadlockError,
    SessionDecodeError,
    SessionEncodeError,
    SessionError,
    SessionLockTimeoutError,
    SessionMigrationError,
    SessionReentrancyError,
    SessionWriteError,
)
from sessionkit.storages.file import FileSessionStorage
from sessionkit.storages.memory import MemorySessionStorage
from sessionkit.storages.sqlite import SQLiteSessionStorage

__version__ = "0.1.0"

__all__ = [
    "ANY",
    "Converter",
    "FileSessionStorage",
    "InvalidSessionKeyError",
    "JSONCodec",
    "LazySession",
    "LazySessionFlavor",
    "LazySessions",
    "MemorySessionStorage",
    "MultiSession",
    "MultiSessions",
    "NewerVersionError",
    "NoInitialDataError",
    "NoSessionKeyError",
    "PickleCodec",
    "SQLiteSessionStorage",
    "Session",
    "SessionClosedError",
    "SessionConflictError",
    "SessionDeadlockError",
    "SessionDecodeError",
    "SessionEncodeError",
    "SessionError",
    "SessionFlavor",
    "SessionLock",
    "SessionLockTimeoutError",
    "SessionMigrationError",
    "SessionProperty",
    "SessionReentrancyError",
    "SessionWriteError",
    "Sessions",
    "Storage",
    "SyncLazySession",
    "SyncSession",
    "enhance_storage",
    "keys",
    "lazy_session",
    "merge_fields",
    "multi_session",
    "session",
    "session_data",
    "storage_from_url",
]

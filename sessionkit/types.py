"""Names for annotations: what storages may offer, and what the verbs of sessions return.

Nothing here has to be inherited from: a storage has a capability if it has the method.
"""

from sessionkit._life.lazy_data import LazyData
from sessionkit._life.opening import Hold, Opening
from sessionkit._setup.by_key import OpenMany
from sessionkit._setup.multi_sessions import SyncMultiSessions
from sessionkit._setup.sync_sessions import SyncSessions
from sessionkit._types import (
    Clock,
    Expected,
    MaybeAsyncIterable,
    MaybeAwaitable,
    Revision,
    SupportsBatches,
    SupportsClose,
    SupportsExpiry,
    SupportsHas,
    SupportsListing,
    SupportsPurge,
    SupportsRenewal,
    SupportsRevisions,
    SupportsSync,
    SupportsTouch,
)
from sessionkit.codecs import Codec
from sessionkit.enhance import EnhancedStorage

__all__ = [
    "Clock",
    "Codec",
    "EnhancedStorage",
    "Expected",
    "Hold",
    "LazyData",
    "MaybeAsyncIterable",
    "MaybeAwaitable",
    "OpenMany",
    "Opening",
    "Revision",
    "SupportsBatches",
    "SupportsClose",
    "SupportsExpiry",
    "SupportsHas",
    "SupportsListing",
    "SupportsPurge",
    "SupportsRenewal",
    "SupportsRevisions",
    "SupportsSync",
    "SupportsTouch",
    "SyncMultiSessions",
    "SyncSessions",
]

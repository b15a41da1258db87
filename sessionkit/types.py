"""Names for annotations: what storages may offer, and what the verbs of sessions return.

Nothing here has to be inherited from: a storage has a capability if it has the method.
"""

from sessionkit._api.by_key import OpenMany
from sessionkit._api.multi import MultiSessions, SyncMultiSessions
from sessionkit._api.threads import SyncSessions
from sessionkit._session.flavors import LazyData
from sessionkit._session.opening import Hold, Opening
from sessionkit._session.threads import SyncLazySession
from sessionkit.codecs import Codec
from sessionkit.enhance import EnhancedStorage
from sessionkit.protocols import (
    Clock,
    Entry,
    Expected,
    MaybeAsyncIterable,
    MaybeAwaitable,
    Revision,
    SupportsBackup,
    SupportsBatches,
    SupportsClose,
    SupportsEntries,
    SupportsExpiry,
    SupportsHas,
    SupportsListing,
    SupportsPurge,
    SupportsRenewal,
    SupportsRevisions,
    SupportsSnapshots,
    SupportsSync,
    SupportsTouch,
)

__all__ = [
    "Clock",
    "Codec",
    "EnhancedStorage",
    "Entry",
    "Expected",
    "Hold",
    "LazyData",
    "MaybeAsyncIterable",
    "MaybeAwaitable",
    "MultiSessions",
    "OpenMany",
    "Opening",
    "Revision",
    "SupportsBackup",
    "SupportsBatches",
    "SupportsClose",
    "SupportsEntries",
    "SupportsExpiry",
    "SupportsHas",
    "SupportsListing",
    "SupportsPurge",
    "SupportsRenewal",
    "SupportsRevisions",
    "SupportsSnapshots",
    "SupportsSync",
    "SupportsTouch",
    "SyncLazySession",
    "SyncMultiSessions",
    "SyncSessions",
]

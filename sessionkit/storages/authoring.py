"""For authors of storages: everything but the engine.

A ``RecordStorage`` is a whole storage over an ``Engine``, which loads, writes on
condition, and lists; ``BlockingRecordStorage`` is the same for threads.  What
they are made of is here as well.  See docs/authoring.md.
"""

from sessionkit._locks.table import open_keys
from sessionkit._storage.batches import Batches, BlockingBatches, UnknownOutcomeError
from sessionkit._storage.capabilities import optional
from sessionkit._storage.entries import (
    check_key,
    conflict,
    encode_entry,
    key_bytes,
    key_of,
    short_key,
)
from sessionkit._storage.in_place import (
    BlockingInPlaceStorage,
    InPlaceEngine,
    InPlaceStorage,
    Unexpiring,
    grammy_url,
    url_option,
)
from sessionkit._storage.leases import (
    BlockingLeaseLock,
    Lease,
    LeaseLock,
    LockEngine,
    this_process,
)
from sessionkit._storage.lifetime import Lifetime
from sessionkit._storage.records import (
    BlockingRecordStorage,
    Engine,
    Records,
    RecordStorage,
    Stored,
    Write,
    new_token,
)
from sessionkit._storage.seconds import seconds
from sessionkit._storage.sync_or_async import settle
from sessionkit._storage.views import AsyncView, BlockingView
from sessionkit.codecs import decode_value

__all__ = [
    "AsyncView",
    "Batches",
    "BlockingBatches",
    "BlockingInPlaceStorage",
    "BlockingLeaseLock",
    "BlockingRecordStorage",
    "BlockingView",
    "Engine",
    "InPlaceEngine",
    "InPlaceStorage",
    "Lease",
    "LeaseLock",
    "Lifetime",
    "LockEngine",
    "RecordStorage",
    "Records",
    "Stored",
    "Unexpiring",
    "UnknownOutcomeError",
    "Write",
    "check_key",
    "conflict",
    "decode_value",
    "encode_entry",
    "grammy_url",
    "key_bytes",
    "key_of",
    "new_token",
    "open_keys",
    "optional",
    "seconds",
    "settle",
    "short_key",
    "this_process",
    "url_option",
]

"""Sessions in any store of py-key-value, and its entries in any storage of sessionkit.

    from key_value.aio.stores.disk import DiskStore
    from sessionkit import session
    from sessionkit_key_value import KeyValueSessionStorage

    sessions = session(Pizza, storage=KeyValueSessionStorage(DiskStore(directory="bot")))

The other way round, ``SessionkitStore(storage)`` is a store.  See docs/key-value.md.
"""

try:
    import key_value.aio.stores.base as _base
except ImportError as _error:
    _msg = (
        "sessionkit_key_value needs py-key-value-aio 0.5. It comes with the extra 'key-value': "
        'python -m pip install "<checkout>[key-value]"'
    )
    raise ImportError(_msg, name="key_value") from _error

from sessionkit_key_value._storage import KeyValueSessionStorage
from sessionkit_key_value._store import ListingSessionkitStore, SessionkitStore

__all__ = [
    "KeyValueSessionStorage",
    "ListingSessionkitStore",
    "SessionkitStore",
]

del _base

"""Sessions in grammY's free storage, or in one that you host: ``storage="free:URL"``.

    from sessionkit import session
    from sessionkit_free import FreeSessionStorage

    sessions = session(Pizza, storage=FreeSessionStorage(token, root_url="https://host/api"))

The other side of it is ``python -m sessionkit serve-free``.  See docs/free-storage.md.
"""

try:
    import aiohttp as _base
except ImportError as _error:
    _msg = (
        "sessionkit_free needs aiohttp 3.9 or later. It comes with the extra 'free': "
        'python -m pip install "<checkout>[free]"'
    )
    raise ImportError(_msg, name="aiohttp") from _error

from sessionkit_free._storage import FreeSessionStorage, open_url

__all__ = [
    "FreeSessionStorage",
    "open_url",
]

del _base

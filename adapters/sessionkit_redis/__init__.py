"""Sessions in Redis or Valkey: ``storage="redis://localhost"``.

    from sessionkit import session
    from sessionkit_redis import RedisSessionStorage

    sessions = session(Pizza, storage=RedisSessionStorage("redis://localhost"))

See docs/redis.md.
"""

try:
    import redis.asyncio.connection as _base
except ImportError as _error:
    _msg = (
        "sessionkit_redis needs redis 7 or later. It comes with the extra 'redis': "
        'python -m pip install "<checkout>[redis]"'
    )
    raise ImportError(_msg, name="redis") from _error

from sessionkit_redis._foreign import raw_items
from sessionkit_redis._grammy import GrammyRedisStorage
from sessionkit_redis._lock import BlockingRedisLock, RedisLock
from sessionkit_redis._storage import (
    BlockingRedisSessionStorage,
    RedisSessionStorage,
    open_url,
)

__all__ = [
    "BlockingRedisLock",
    "BlockingRedisSessionStorage",
    "GrammyRedisStorage",
    "RedisLock",
    "RedisSessionStorage",
    "open_url",
    "raw_items",
]

del _base

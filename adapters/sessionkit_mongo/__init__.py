"""Sessions in MongoDB: ``storage="mongodb://localhost/bot"``.

    from sessionkit import session
    from sessionkit_mongo import MongoSessionStorage

    sessions = session(Pizza, storage=MongoSessionStorage("mongodb://localhost/bot"))

See docs/mongodb.md.
"""

try:
    import pymongo.asynchronous.mongo_client as _base
except ImportError as _error:
    _msg = (
        "sessionkit_mongo needs PyMongo 4.13 or later. It comes with the extra 'mongo': "
        'python -m pip install "<checkout>[mongo]"'
    )
    raise ImportError(_msg, name="pymongo") from _error

from sessionkit_mongo._foreign import raw_items
from sessionkit_mongo._grammy import GrammyMongoStorage
from sessionkit_mongo._storage import (
    BlockingMongoSessionStorage,
    MongoSessionStorage,
    open_url,
)

__all__ = [
    "BlockingMongoSessionStorage",
    "GrammyMongoStorage",
    "MongoSessionStorage",
    "open_url",
    "raw_items",
]

del _base

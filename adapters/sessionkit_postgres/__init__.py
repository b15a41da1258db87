"""Sessions in PostgreSQL: ``storage="postgresql://localhost/bot"``.

    from sessionkit import session
    from sessionkit_postgres import PostgresSessionStorage

    sessions = session(Pizza, storage=PostgresSessionStorage("postgresql://localhost/bot"))

See docs/postgres.md.
"""

try:
    import psycopg as _base
except ImportError as _error:
    _msg = (
        "sessionkit_postgres needs psycopg 3.2 or later. It comes with the extra 'postgres': "
        'python -m pip install "<checkout>[postgres]"'
    )
    raise ImportError(_msg, name="psycopg") from _error

from sessionkit_postgres._grammy import GrammyPostgresStorage
from sessionkit_postgres._lock import BlockingPostgresLock, PostgresLock
from sessionkit_postgres._storage import (
    BlockingPostgresSessionStorage,
    PostgresSessionStorage,
    open_url,
)

__all__ = [
    "BlockingPostgresLock",
    "BlockingPostgresSessionStorage",
    "GrammyPostgresStorage",
    "PostgresLock",
    "PostgresSessionStorage",
    "open_url",
]

del _base

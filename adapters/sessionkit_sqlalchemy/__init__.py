"""Sessions in a database that SQLAlchemy opens: SQLite, PostgreSQL, MariaDB, MySQL.

    from sqlalchemy.ext.asyncio import create_async_engine

    from sessionkit import session
    from sessionkit_sqlalchemy import SQLAlchemySessionStorage

    engine = create_async_engine("postgresql+psycopg://localhost/bot")
    sessions = session(Pizza, storage=SQLAlchemySessionStorage(engine))

See docs/sqlalchemy.md.
"""

try:
    import sqlalchemy as _base
except ImportError as _error:
    _msg = (
        "sessionkit_sqlalchemy needs SQLAlchemy 2. It comes with the extra 'sqlalchemy': "
        'python -m pip install "<checkout>[sqlalchemy]"'
    )
    raise ImportError(_msg, name="sqlalchemy") from _error

from sessionkit_sqlalchemy._storage import (
    BlockingSQLAlchemySessionStorage,
    SQLAlchemySessionStorage,
    open_url,
)
from sessionkit_sqlalchemy._table import sessions_table

__all__ = [
    "BlockingSQLAlchemySessionStorage",
    "SQLAlchemySessionStorage",
    "open_url",
    "sessions_table",
]

del _base

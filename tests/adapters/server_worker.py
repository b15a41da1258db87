"""One of several processes that count in one database; arguments: KIND, URL, NAME, LOCK, COUNT.

It begins when it has read a line, so that all are there.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
from typing import Any

from sessionkit import SessionConflictError, session

KINDS = {
    "redis": ("sessionkit_redis", "RedisSessionStorage", "RedisLock", "prefix"),
    "postgres": ("sessionkit_postgres", "PostgresSessionStorage", "PostgresLock", "table"),
    "mongodb": ("sessionkit_mongo", "MongoSessionStorage", "", "collection"),
    "sqlalchemy": ("sessionkit_sqlalchemy", "SQLAlchemySessionStorage", "", "table"),
}
KINDS["sqlite"] = KINDS["mariadb"] = KINDS["sqlalchemy"]


async def main(kind: str, url: str, name: str, lock: str, count: str) -> None:
    """Add one so many times; print how often that went well, and how often it clashed."""
    module, storage_name, lock_name, place = KINDS[kind]
    adapter: Any = importlib.import_module(module)
    open_storage = getattr(adapter, storage_name)
    ended = [0, 0]
    turn = asyncio.Semaphore(16)
    async with open_storage(url, **{place: name}) as storage:
        options: Any = {"lock": getattr(adapter, lock_name)(storage)} if int(lock) else {}
        sessions = session(initial=lambda: {"n": 0}, storage=storage, **options)

        async def add_one(number: int) -> None:
            async with turn:
                try:
                    async with sessions.open(number % 8) as opened:
                        await asyncio.sleep(0)
                        opened.data["n"] += 1
                except SessionConflictError:
                    ended[1] += 1
                else:
                    ended[0] += 1

        print("ready", flush=True)
        sys.stdin.readline()
        await asyncio.gather(*map(add_one, range(int(count))))
    print(*ended)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

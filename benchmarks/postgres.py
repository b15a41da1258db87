"""What an update costs whose session is in PostgreSQL, beside others that keep theirs there.

    python benchmarks/postgres.py            # about two minutes; one table
    python benchmarks/postgres.py --quick    # some seconds, noisier

Each update reads the data of a chat, counts one up, and writes it; the server, started
here, waits for its disk before it answers.  The cases take turns (side_by_side.py).  The
others are one select and one upsert by psycopg, over a pool of 16 connections (and over
one connection for one update at a time), and grammY's psql storage (npm) over pg.  Only
sessionkit keeps the updates of a chat apart, notices what other processes write, and
compares before it writes.
Goals: 64 in flight, 4 times select and upsert, 10 times grammY; one in flight, 0.9 times
select and upsert.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psycopg
from pinned import SMALL
from psycopg_pool import AsyncConnectionPool
from side_by_side import OURS, GrammY, Ours, Slice, in_slices, install, measure, show

from sessionkit_postgres import PostgresSessionStorage

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.adapters import postgres_servers

PACKAGES = ("grammy@1.46.0", "@grammyjs/storage-psql@2.5.1", "pg@8.23.1")
SELECT = "SELECT value FROM plain WHERE key = %s"
UPSERT = (
    "INSERT INTO plain (key, value) VALUES (%s, %s) "
    "ON CONFLICT (key) DO UPDATE SET value = excluded.value"
)


async def once(connection: Any, chat: int) -> None:
    """Select and upsert, as psycopg does it best: it prepares what is repeated."""
    key = str(chat)
    row = await (await connection.execute(SELECT, (key,))).fetchone()
    data = SMALL.copy() if row is None else json.loads(row[0])
    data["count"] += 1
    await connection.execute(UPSERT, (key, json.dumps(data)))


def pooled(pool: Any) -> Callable[[int], Awaitable[None]]:
    async def update(chat: int) -> None:
        async with pool.connection() as connection:
            await once(connection, chat)

    return update


def alone(connection: Any) -> Callable[[int], Awaitable[None]]:
    async def update(chat: int) -> None:
        await once(connection, chat)

    return update


async def main(url: str, *, quick: bool) -> None:
    rounds, span = (5, 0.15) if quick else (25, 0.3)
    ours = Ours(PostgresSessionStorage(url))
    connection: Any = await psycopg.AsyncConnection.connect(url, autocommit=True)
    await connection.execute("CREATE TABLE plain (key text PRIMARY KEY, value text NOT NULL)")
    pool: Any = AsyncConnectionPool(
        url, min_size=16, max_size=16, open=False, kwargs={"autocommit": True}
    )
    await pool.open(wait=True)
    cases: dict[str, Slice] = {
        OURS: in_slices(ours.open),
        "sessionkit, middleware": in_slices(ours.middleware),
        "select and upsert, pool of 16": in_slices(pooled(pool)),
    }
    only_alone = {"select and upsert": in_slices(alone(connection))}
    folder = install(*PACKAGES)
    if folder is not None:
        grammy = GrammY(folder, "postgres", url)
        cases["grammY and pg"] = grammy.run
    for workers in (1, 16, 64, 256):
        here = cases | only_alone if workers == 1 else cases
        show(await measure(here, workers, rounds, span), workers)
    if folder is not None:
        grammy.end()
        shutil.rmtree(folder)
    await ours.storage.close()
    await pool.close()
    await connection.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    options = parser.parse_args()
    with postgres_servers.server("fsync=on") as server:
        asyncio.run(main(server.url, quick=options.quick))

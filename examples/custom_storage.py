"""Connect your own database: answers "Storing Your Data" of grammY's page, its 5 lines of code.

A storage is any object with ``read``, ``write`` and ``delete``, sync or async.  What
it stores are plain values: whatever JSON can express.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

from _bot import Bot, Context

from sessionkit import SessionFlavor, session


class Database:
    """In place of the client of your database."""

    def __init__(self) -> None:
        self.rows: dict[str, str] = {}

    async def get(self, key: str) -> str | None:
        return self.rows.get(key)

    async def set(self, key: str, text: str) -> None:
        self.rows[key] = text

    async def remove(self, key: str) -> None:
        self.rows.pop(key, None)


class MyStorage:
    def __init__(self, database: Database) -> None:
        self.database = database

    async def read(self, key: str, /) -> Any:
        text = await self.database.get(key)
        return None if text is None else json.loads(text)

    async def write(self, key: str, value: Any, /) -> None:
        await self.database.set(key, json.dumps(value))

    async def delete(self, key: str, /) -> None:
        await self.database.remove(key)


@dataclass
class SessionData:
    pizza_count: int = 0


class MyContext(Context, SessionFlavor[SessionData]):
    pass


database = Database()
bot = Bot(MyContext)
bot.use(session(SessionData, storage=MyStorage(database)))


@bot.hears("🍕")
async def count_pizza(ctx: MyContext) -> None:
    ctx.session.pizza_count += 1


@bot.command("reset")
async def reset(ctx: MyContext) -> None:
    ctx.session = None


async def main() -> None:
    await bot.receive("🍕")
    await bot.receive("🍕")
    print("in the database:", database.rows)
    await bot.receive("/reset")
    print("in the database:", database.rows)


if __name__ == "__main__":
    asyncio.run(main())

"""Read and write only what is needed: answers "Lazy Sessions" of grammY's page."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any

from _bot import Bot, Context

from sessionkit import LazySessionFlavor, SessionFlavor, lazy_session, session


@dataclass
class Stats:
    counter: int = 0


class LoggedStorage:
    """Tells what the sessions ask of their storage."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.log: list[str] = []

    def read(self, key: str, /) -> Any:
        self.log.append("read")
        return self.values.get(key)

    def write(self, key: str, value: Any, /) -> None:
        self.log.append("write")
        self.values[key] = value

    def delete(self, key: str, /) -> None:
        self.log.append("delete")
        self.values.pop(key, None)


# Default sessions (strict sessions)
class StrictContext(Context, SessionFlavor[Stats]):
    pass


strict_storage = LoggedStorage()
strict_bot = Bot(StrictContext)
strict_bot.use(session(Stats, storage=strict_storage))


@strict_bot.command("settings")
async def strict_settings(ctx: StrictContext) -> None:
    # `session` is the session data
    session = ctx.session
    session.counter += 1


# Lazy sessions
class LazyContext(Context, LazySessionFlavor[Stats]):
    pass


lazy_storage = LoggedStorage()
lazy_bot = Bot(LazyContext)
lazy_bot.use(lazy_session(Stats, storage=lazy_storage))


@lazy_bot.command("settings")
async def lazy_settings(ctx: LazyContext) -> None:
    # `promise` can be awaited, any number of times, and
    promise = ctx.session
    # `session` is the session data
    session = await promise
    session.counter += 1


@lazy_bot.command("reset")
async def reset(ctx: LazyContext) -> None:
    # An awaitable can be assigned: it is awaited before the data is written.
    ctx.session = without_count(ctx.session)


async def without_count(session: Awaitable[Stats]) -> Stats:
    stats = await session
    stats.counter = 0
    return stats


@lazy_bot.command("start_over")
async def start_over(ctx: LazyContext) -> None:
    # Neither is there anything to read if you assign new data.
    ctx.session = Stats()


async def main() -> None:
    for text in ("just talking", "/settings", "/reset", "/start_over"):
        for kind, bot, storage in (
            ("strict", strict_bot, strict_storage),
            ("lazy", lazy_bot, lazy_storage),
        ):
            storage.log.clear()
            await bot.receive(text)
            print(f"{kind:>10}: {', '.join(storage.log) or 'nothing to do'}; {storage.values}")


if __name__ == "__main__":
    asyncio.run(main())

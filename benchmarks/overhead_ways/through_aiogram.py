"""Ways through aiogram, with its own updates."""

from __future__ import annotations

import marshal
from typing import TYPE_CHECKING, Any

from aiogram import BaseMiddleware, Bot, Dispatcher
from aiogram.types import Update
from pinned import PINNED

from overhead_ways.way import CHATS, Data, Way, raw_updates, stored
from sessionkit_aiogram import install

if TYPE_CHECKING:
    from pathlib import Path


class Holder:
    data: Data


def ways(size: str, folder: Path) -> dict[str, Way]:

    data = PINNED[size][0]
    bot = Bot("42:BENCHMARK")

    class Copying(BaseMiddleware):
        """Freezes and thaws the data: no lock, no errors."""

        def __init__(self) -> None:
            self._frozen = {chat: marshal.dumps(data, 2) for chat in range(CHATS)}

        async def __call__(self, handler: Any, event: Any, arguments: Data) -> Any:
            chat, holder = event.message.chat.id, Holder()
            holder.data = marshal.loads(self._frozen[chat])
            arguments["session"] = holder
            result = await handler(event, arguments)
            self._frozen[chat] = marshal.dumps(holder.data, 2)
            return result

    def feeding(handler: Any, sessions: Any = None, outer: Any = None) -> Any:
        dp = Dispatcher(disable_fsm=True)
        if sessions is not None:
            install(dp, sessions)
        if outer is not None:
            dp.update.outer_middleware(outer)
        dp.message.register(handler)

        async def update(one: Any) -> None:
            await dp.feed_update(bot, one)

        return update

    async def nothing(_: Any) -> None: ...

    async def add(_: Any, session: Any) -> None:
        session.data["count"] += 1

    async def add_field(_: Any, session: Any) -> None:
        session.data.count += 1

    updates = [Update.model_validate(raw, context={"bot": bot}) for raw in raw_updates()]
    database = folder / "aiogram.db"
    return {
        "bare": Way(feeding(nothing), updates),
        "copies": Way(feeding(add, outer=Copying()), updates),
        "install": Way(feeding(add, stored(size, typed=False)), updates),
        "install dataclass": Way(feeding(add_field, stored(size, typed=True)), updates),
        "README": Way(
            feeding(add_field, stored(size, typed=True, file=database)), updates, share=10
        ),
    }

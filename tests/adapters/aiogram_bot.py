"""A bot of aiogram for the scenarios: fed as by polling, each update in a task of its own."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Self

from aiogram import Bot, Dispatcher, F, Router
from aiogram.dispatcher.event.bases import CancelHandler, SkipHandler

from sessionkit_aiogram import install
from tests.adapters.driver import TOKEN, Handler, Raw, Turn

if TYPE_CHECKING:
    from aiogram.types import ErrorEvent, InlineQuery, Message


async def feed(dp: Dispatcher, *updates: Raw) -> list[Any]:
    """Dispatch one after the other; return what handlers returned."""
    async with Bot(TOKEN).context() as bot:
        return [await dp.feed_raw_update(bot, update) for update in updates]


class Driver:
    """aiogram, with sessions installed on the dispatcher."""

    name: ClassVar = "aiogram"
    io_when_unmatched: ClassVar = True
    blocking: ClassVar = False
    has_stop: ClassVar = True
    has_go_on: ClassVar = True
    has_error_handlers: ClassVar = True
    once: ClassVar[Any] = True

    def __init__(self, sessions: Any = None, /, *, migrate_chats: Any = True, **named: Any) -> None:
        self.errors: list[BaseException] = []
        self.bot = Bot(TOKEN)
        self.dp = Dispatcher()
        self._names = tuple(named) or ("session",)
        self._groups: defaultdict[int, Router] = defaultdict(Router)
        install(self.dp, sessions, migrate_chats=migrate_chats, **named)

    def on(self, word: str, handler: Handler, group: int = 0) -> None:
        async def called(message: Message, **data: Any) -> Any:
            given = message, data["event_update"]
            return await handler(Turn(message.text or "", self._sessions(data), *given))

        self._groups[group].message.register(called, F.text.startswith(word))

    def on_quiet(self, word: str, handler: Handler) -> None:
        async def called(message: Message) -> Any:
            return await handler(Turn(message.text or "", {}))

        self._groups[0].message.register(called, F.text.startswith(word))

    def on_inline(self, handler: Handler) -> None:
        async def called(query: InlineQuery, **data: Any) -> Any:
            return await handler(Turn(query.query, self._sessions(data)))

        self._groups[0].inline_query.register(called)

    def on_error(self, handler: Callable[[BaseException], None]) -> None:
        async def called(event: ErrorEvent) -> None:
            handler(event.exception)

        self.dp.errors.register(called)

    def stop(self) -> NoReturn:
        raise CancelHandler

    def go_on(self) -> NoReturn:
        raise SkipHandler

    async def feed(self, *updates: Raw) -> None:
        results = await asyncio.gather(
            *(self.dp.feed_raw_update(self.bot, update) for update in updates),
            return_exceptions=True,
        )
        self.errors += [
            each
            for each in results
            if isinstance(each, BaseException) and not isinstance(each, CancelHandler)
        ]

    async def __aenter__(self) -> Self:
        self.dp.include_routers(*(router for _, router in sorted(self._groups.items())))
        await self.dp.emit_startup(bot=self.bot, dispatcher=self.dp, **self.dp.workflow_data)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.dp.emit_shutdown(bot=self.bot, dispatcher=self.dp, **self.dp.workflow_data)
        await self.bot.session.close()

    def _sessions(self, data: dict[str, Any]) -> dict[str, Any]:
        return {name: data[name] for name in self._names}

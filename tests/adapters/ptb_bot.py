"""python-telegram-bot, without a network: an application whose Bot API is a stub, and a driver."""

from __future__ import annotations

import asyncio
import json
import re
from collections import defaultdict
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar, NoReturn, Self

from telegram import Update
from telegram.ext import (
    Application,
    ApplicationHandlerStop,
    BaseHandler,
    InlineQueryHandler,
    MessageHandler,
    filters,
)
from telegram.request import BaseRequest, RequestData

from sessionkit_ptb import SessionApplicationMixin, install
from tests.adapters.driver import BOT_ID, TOKEN, Handler, Raw, Turn

AnyBuilder = Any
AnyApplication = Application[Any, Any, Any, Any, Any, Any]

ME: Raw = {"id": BOT_ID, "is_bot": True, "first_name": "Bot", "username": "test_bot"}


class Offline(BaseRequest):
    """Answers what an application asks of the Bot API, and notes what it sends."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    @property
    def read_timeout(self) -> float:
        return 5.0

    async def initialize(self) -> None: ...

    async def shutdown(self) -> None: ...

    async def do_request(
        self,
        url: str,
        method: str,
        request_data: RequestData | None = None,
        *args: Any,
        **more: Any,
    ) -> tuple[int, bytes]:
        method = url.rpartition("/")[2]
        if method == "getMe":
            return answer(ME)
        assert method == "sendMessage", method
        assert request_data is not None
        sent = request_data.parameters
        self.sent.append(str(sent["text"]))
        chat = {"id": sent["chat_id"], "type": "private"}
        return answer({"message_id": len(self.sent), "date": 1_700_000_000, "chat": chat})


def answer(result: Raw) -> tuple[int, bytes]:
    return 200, json.dumps({"ok": True, "result": result}).encode()


def offline() -> AnyBuilder:
    """A builder of applications that need no network."""
    builder: Any = Application.builder()
    return builder.token(TOKEN).request(Offline()).get_updates_request(Offline()).updater(None)


def bare() -> AnyBuilder:
    """The same without jobs."""
    return offline().job_queue(None)


def update_of(raw: Raw, app: Any) -> Update:
    update = Update.de_json(raw, app.bot)
    assert isinstance(update, Update)
    return update


async def feed(app: Any, *raws: Raw) -> None:
    """Handle one after the other, as webhooks without an update queue do."""
    for raw in raws:
        await app.process_update(update_of(raw, app))


class FollowedApplication(SessionApplicationMixin[Any, Any, Any, Any, Any, Any]):
    """An application class of a user's own: it knows when an update and its tasks are through."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.through: dict[int, asyncio.Event] = defaultdict(asyncio.Event)
        self.tasks: dict[int, list[asyncio.Task[Any]]] = defaultdict(list)

    async def process_update(self, update: object) -> None:
        try:
            await super().process_update(update)
        finally:
            self.through[id(update)].set()

    def create_task(
        self, coroutine: Any, update: object | None = None, *, name: str | None = None
    ) -> asyncio.Task[Any]:
        task = super().create_task(coroutine, update, name=name)
        self.tasks[id(update)].append(task)
        return task

    async def finished(self, update: object) -> None:
        """Wait until all that belongs to *update* has ended."""
        await self.through[id(update)].wait()
        del self.through[id(update)]  # another update may get its id
        while tasks := self.tasks.pop(id(update), None):
            await asyncio.wait(tasks)
        while id(update) in self._sessions_under_way or self._session_tasks:
            await asyncio.sleep(0)


class PTBDriver:
    """A bot of python-telegram-bot that handles up to 256 updates at once."""

    name: ClassVar[str] = "ptb"
    io_when_unmatched: ClassVar[bool] = False
    blocking: ClassVar[bool] = False
    has_stop: ClassVar[bool] = True
    has_go_on: ClassVar[bool] = False
    has_error_handlers: ClassVar[bool] = True
    once: ClassVar[Any] = True

    def __init__(self, sessions: Any = None, /, *, migrate_chats: Any = True, **named: Any) -> None:
        self.errors: list[BaseException] = []
        self._sessions: dict[str, Any] = named or {"session": sessions}
        builder = bare().application_class(FollowedApplication).concurrent_updates(256)
        install(builder, sessions, migrate_chats=migrate_chats, **named)
        self.app: FollowedApplication = builder.build()
        self.app.add_error_handler(self._note)

    def on(self, word: str, handler: Handler, group: int = 0) -> None:
        pattern = filters.Regex(rf"^{re.escape(word)}")
        self.add(MessageHandler(pattern, self._with_sessions(handler)), group)

    def on_quiet(self, word: str, handler: Handler) -> None:
        async def callback(update: Update, context: Any) -> None:
            await handler(Turn(text_of(update), {}))

        self.add(MessageHandler(filters.Regex(rf"^{re.escape(word)}"), callback), 0)

    def on_inline(self, handler: Handler) -> None:
        self.add(InlineQueryHandler(self._with_sessions(handler)), 0)

    def on_error(self, handler: Callable[[BaseException], None]) -> None:
        async def callback(update: object, context: Any) -> None:
            handler(context.error)

        self.app.add_error_handler(callback)

    def stop(self) -> NoReturn:
        raise ApplicationHandlerStop

    def go_on(self) -> None:
        """The next group always sees it."""

    async def feed(self, *updates: Raw) -> None:
        made = [update_of(raw, self.app) for raw in updates]
        for update in made:
            await self.app.update_queue.put(update)
        for update in made:
            await self.app.finished(update)

    async def __aenter__(self) -> Self:
        await self.app.initialize()
        await self.app.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.app.stop()
        await self.app.shutdown()

    def add(self, handler: BaseHandler[Any, Any, Any], group: int) -> None:
        self.app.add_handler(handler, group)

    def _with_sessions(
        self, handler: Handler
    ) -> Callable[[Update, Any], Coroutine[Any, Any, None]]:
        async def callback(update: Update, context: Any) -> None:
            opened = {name: each.of(context) for name, each in self._sessions.items()}
            given = update, update.message, context
            await handler(Turn(text_of(update), opened, *given, holder=context))

        return callback

    async def _note(self, update: object, context: Any) -> None:
        self.errors.append(context.error)


def text_of(update: Update) -> str:
    if update.inline_query is not None:
        return update.inline_query.query
    assert update.message is not None
    return update.message.text or ""

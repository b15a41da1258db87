"""A bot of pyrogram, or of one of its forks, for the scenarios: its dispatcher at work, offline."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar, NoReturn, Self

from tests.adapters.driver import AT_ONCE, BOT_ID, PATIENCE, Handler, Raw, Turn
from tests.adapters.pyrogram_raw import NAME, PACKAGE, Packet, packet_of  # imports pyrogram well

# isort: split
from sessionkit import Once
from sessionkit_pyrogram import install


class Offline:
    """A client that is never connected, and what its dispatcher logs.  To be made in a loop."""

    def __init__(self, app: Any = None) -> None:
        self.app = offline(app or new_client())
        self.errors: list[BaseException] = []
        self._log = _Errors(self.errors)

    async def feed(self, *updates: Raw) -> None:
        await self.feed_packets(*map(packet_of, updates))

    async def feed_packets(self, *packets: Packet) -> None:
        """Dispatch all at once; end when all are through."""
        queue = self.app.dispatcher.updates_queue
        for packet in packets:
            queue.put_nowait(packet)
        async with asyncio.timeout(PATIENCE):
            await queue.all_done()

    async def __aenter__(self) -> Self:
        logging.getLogger(f"{NAME}.dispatcher").addHandler(self._log)
        await asyncio.sleep(0)  # handlers are added in tasks
        await self.app.dispatcher.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.app.dispatcher.stop()
        self.app.executor.shutdown()
        logging.getLogger(f"{NAME}.dispatcher").removeHandler(self._log)


class Driver(Offline):
    """pyrogram, with sessions installed on the client."""

    name: ClassVar = "pyrogram"
    io_when_unmatched: ClassVar = False
    io_when_quiet: ClassVar = False
    blocking: ClassVar = False
    has_stop: ClassVar = True
    has_go_on: ClassVar = True
    has_error_handlers: ClassVar = hasattr(PACKAGE.handlers, "ErrorHandler")
    once: ClassVar[Any] = Once(identity=lambda message: f"{message.chat.id}:{message.id}")

    def __init__(self, sessions: Any = None, /, *, migrate_chats: Any = True, **named: Any) -> None:
        super().__init__()
        self._names = tuple(named) or ("session",)
        install(self.app, sessions, migrate_chats=migrate_chats, **named)

    def on(self, word: str, handler: Handler, group: int = 0) -> None:
        self._add_message_handler(word, self._with_sessions(handler, "text"), group)

    def on_quiet(self, word: str, handler: Handler) -> None:
        async def called(client: Any, message: Any) -> None:
            await handler(Turn(message.text, {}))

        self._add_message_handler(word, called, 0)

    def on_inline(self, handler: Handler) -> None:
        called = self._with_sessions(handler, "query")
        self.app.add_handler(PACKAGE.handlers.InlineQueryHandler(called))

    def on_error(self, handler: Callable[[BaseException], None]) -> None:
        async def called(client: Any, *arguments: Any) -> None:
            (error,) = (each for each in arguments if isinstance(each, BaseException))
            handler(error)

        self.app.add_handler(PACKAGE.handlers.ErrorHandler(called))

    def stop(self) -> NoReturn:
        raise PACKAGE.StopPropagation

    def go_on(self) -> NoReturn:
        raise PACKAGE.ContinuePropagation

    def _add_message_handler(self, word: str, callback: Any, group: int) -> None:
        self.app.add_handler(PACKAGE.handlers.MessageHandler(callback, begins_with(word)), group)

    def _with_sessions(self, handler: Handler, text: str) -> Any:
        async def called(client: Any, update: Any, **sessions: Any) -> None:
            await handler(Turn(getattr(update, text), sessions, update))

        keyword = inspect.Parameter.KEYWORD_ONLY
        named = [inspect.Parameter(name, keyword) for name in self._names]
        return _with_parameters(called, named)


def _with_parameters(function: Any, named: list[inspect.Parameter]) -> Any:
    positional = inspect.Parameter.POSITIONAL_OR_KEYWORD
    given = [inspect.Parameter(name, positional) for name in ("client", "update")]
    function.__signature__ = inspect.Signature([*given, *named])
    return function


def begins_with(word: str) -> Any:
    async def check(_filter: Any, client: Any, message: Any) -> bool:
        return (message.text or "").startswith(word)

    return PACKAGE.filters.create(check)


def new_client() -> Any:
    workers = 2 * AT_ONCE
    return PACKAGE.Client("bot", api_id=1, api_hash="h", in_memory=True, workers=workers)


def offline(client: Any) -> Any:
    """Prepare a client that is never connected."""
    client.dispatcher.updates_queue = _Queue(client.workers)
    client.skip_updates = True  # what was missed would be asked for
    client.me = PACKAGE.types.User(id=BOT_ID, is_bot=True, first_name="Bot")
    return client


def in_loop(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Make a test of a coroutine function: clients have to be made where a loop runs."""

    def run() -> None:
        asyncio.run(test())

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


class _Queue(asyncio.Queue[Any]):
    """Knows when the last worker has come back for more."""

    def __init__(self, workers: int) -> None:
        super().__init__()
        self._workers = workers
        self._waiting = 0
        self._all_wait = asyncio.Event()

    async def get(self) -> Any:
        self._waiting += 1
        if self._waiting == self._workers and self.empty():
            self._all_wait.set()
        try:
            return await super().get()
        finally:
            self._waiting -= 1

    async def all_done(self) -> None:
        self._all_wait.clear()
        await self._all_wait.wait()


class _Errors(logging.Handler):
    """Collects what a dispatcher logs: there it ends."""

    def __init__(self, errors: list[BaseException]) -> None:
        super().__init__(logging.ERROR)
        self._errors = errors

    def emit(self, record: logging.LogRecord) -> None:
        assert record.exc_info is not None and record.exc_info[1] is not None
        self._errors.append(record.exc_info[1])

"""Bots of pyTelegramBotAPI: on a loop, and in threads."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable
from typing import Any, ClassVar, Self

import telebot
from telebot import asyncio_handler_backends, handler_backends
from telebot.async_telebot import AsyncTeleBot
from telebot.types import Update

from sessionkit_telebot import install
from tests.adapters.driver import PATIENCE, TOKEN, Handler, Raw, Turn, run_in_thread

THREADS = 50


class Recorder:
    """An exception handler, for either bot."""

    def __init__(self) -> None:
        self.errors: list[BaseException] = []
        self.handlers: list[Callable[[BaseException], None]] = []

    def handle(self, exception: Exception) -> bool:
        self.errors.append(exception)
        for handler in self.handlers:
            handler(exception)
        return True


class TelebotDriver:
    """An ``AsyncTeleBot``."""

    name: ClassVar[str] = "telebot"
    io_when_unmatched: ClassVar[bool] = False
    blocking: ClassVar[bool] = False
    has_stop: ClassVar[bool] = True
    has_go_on: ClassVar[bool] = True
    has_error_handlers: ClassVar[bool] = True
    once: ClassVar[Any] = True

    def __init__(self, sessions: Any = None, /, *, migrate_chats: Any = True, **named: Any) -> None:
        self._recorder: Any = Recorder()
        self.errors: list[BaseException] = self._recorder.errors
        self.bot: Any = self._make()
        install(self.bot, sessions, migrate_chats=migrate_chats, **named)
        self._names = list(named or ["session"])
        self._handlers: list[tuple[int, str, Callable[..., Any]]] = []

    def _make(self) -> Any:
        return AsyncTeleBot(TOKEN, exception_handler=self._recorder)

    def on(self, word: str, handler: Handler, group: int = 0) -> None:
        self._handlers.append((group, word, self._asking(handler)))

    def on_quiet(self, word: str, handler: Handler) -> None:
        self._handlers.append((0, word, self._function(handler)))

    def on_inline(self, handler: Handler) -> None:
        self.bot.register_inline_handler(self._asking(handler), always)

    def on_error(self, handler: Callable[[BaseException], None]) -> None:
        self._recorder.handlers.append(handler)

    def stop(self) -> Any:
        return None

    def go_on(self) -> Any:
        return asyncio_handler_backends.ContinueHandling()

    async def feed(self, *updates: Raw) -> None:
        await self.bot.process_new_updates([made(raw) for raw in updates])

    async def __aenter__(self) -> Self:
        for _, word, function in sorted(self._handlers, key=lambda each: each[0]):
            text = {"content_types": ["text"], "func": begins_with(word)}
            self.bot.register_message_handler(function, **text)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        pass

    def _function(self, handler: Handler) -> Callable[..., Any]:
        async def handle(event: Any, **sessions: Any) -> Any:
            return await handler(Turn(text_of(event), sessions, event))

        return handle

    def _asking(self, handler: Handler) -> Callable[..., Any]:
        """A function of telebot's that has a parameter for each session."""
        function: Any = self._function(handler)
        parameters = [
            inspect.Parameter("event", inspect.Parameter.POSITIONAL_OR_KEYWORD),
            *(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in self._names),
        ]
        function.__signature__ = inspect.Signature(parameters)
        asking: Callable[..., Any] = function
        return asking


class TelebotThreadsDriver(TelebotDriver):
    """A ``TeleBot``, whose handlers run in worker threads."""

    name = "telebot-threads"
    blocking = True

    def _make(self) -> Any:
        return telebot.TeleBot(TOKEN, exception_handler=self._recorder, num_threads=THREADS)

    def go_on(self) -> Any:
        return handler_backends.ContinueHandling()

    async def feed(self, *updates: Raw) -> None:
        await asyncio.to_thread(self.feed_threads, *updates)

    def feed_threads(self, *updates: Raw) -> None:
        """Hand over all at once, and wait until no worker has anything left to do."""
        self.bot.process_new_updates([made(raw) for raw in updates])
        pool = self.bot.worker_pool
        all_here = threading.Barrier(THREADS + 1)
        for _ in range(THREADS):
            pool.put(all_here.wait, PATIENCE)
        all_here.wait(PATIENCE)

    async def __aexit__(self, *exc_info: object) -> None:
        self.end()

    def end(self) -> None:
        """What ``stop_bot()`` does, without waiting until idle workers look up."""
        pool = self.bot.worker_pool
        for worker in pool.workers:
            worker.stop()
        for _ in pool.workers:
            pool.put(str)
        pool.close()

    def _function(self, handler: Handler) -> Callable[..., Any]:
        def handle(event: Any, **sessions: Any) -> Any:
            course: Any = handler(Turn(text_of(event), sessions, event, blocking=True))
            return run_in_thread(course)

        return handle


def made(raw: Raw) -> Any:
    """An update as telebot's polling and webhooks make it."""
    update: Any = Update
    return update.de_json(raw)


def always(event: Any) -> bool:
    return True


def text_of(event: Any) -> str:
    return str(event.query if hasattr(event, "query") else event.text)


def begins_with(word: str) -> Callable[[Any], bool]:
    return lambda message: message.text.startswith(word)

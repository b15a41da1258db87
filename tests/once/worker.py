"""A worker of a bot, which is killed sooner or later; run as a script.

    python -m tests.once.worker hooks FRAMEWORK STORAGE
    python -m tests.once.worker polls FRAMEWORK STORAGE API

For web hooks it prints its address, and answers with 2xx when an update is handled, with 500
if that failed.  To poll it waits for a line, and asks the Bot API at API for more when it is
through with what it has.
"""

from __future__ import annotations

import asyncio
import random
import sys
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from aiohttp import web

from sessionkit import session
from sessionkit._storage.sync_or_async import resolve
from tests.adapters.driver import TOKEN
from tests.core import zero

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from aiogram.types import Message

Poll: TypeAlias = "Callable[[], Coroutine[Any, Any, object]]"
SLOW = 0.004
"""Seconds of waiting in a handler, so that most processes die within one."""


async def count(text: str | None, opened: Any) -> None:
    """Count once, in the way that *text* names."""
    await asyncio.sleep(random.random() * SLOW)
    if text == "save":
        if not opened.redelivered:
            opened.data["n"] += 1
            await resolve(opened.save())
    else:
        opened.data["n"] += 1
    if text == "fail" and random.random() < 0.5:
        raise RuntimeError
    await asyncio.sleep(random.random() * SLOW)


# aiogram


def aiogram_dispatcher(sessions: Any) -> Any:
    from aiogram import Dispatcher

    from sessionkit_aiogram import install

    async def on_message(message: Message, session: Any) -> None:
        await count(message.text, session)

    dp = Dispatcher()
    install(dp, sessions)
    dp.message.register(on_message)
    return dp


def aiogram_hooks(sessions: Any) -> web.Application:
    from aiogram import Bot
    from aiogram.webhook.aiohttp_server import SimpleRequestHandler, setup_application

    bot, dp = Bot(TOKEN), aiogram_dispatcher(sessions)
    application = web.Application()
    SimpleRequestHandler(dp, bot, handle_in_background=False).register(application, path="/")
    setup_application(application, dp, bot=bot)
    return application


def aiogram_polls(sessions: Any, api: str) -> Poll:
    from aiogram import Bot
    from aiogram.client.session.aiohttp import AiohttpSession
    from aiogram.client.telegram import TelegramAPIServer

    bot = Bot(TOKEN, session=AiohttpSession(api=TelegramAPIServer.from_base(api)))
    dp = aiogram_dispatcher(sessions)
    return partial(dp.start_polling, bot, handle_as_tasks=False)


# python-telegram-bot


def ptb_application(builder: Any, sessions: Any) -> Any:
    from telegram.ext import MessageHandler, filters

    from sessionkit_ptb import install

    async def on_message(update: Any, context: Any) -> None:
        await count(update.message.text, sessions.of(context))

    install(builder, sessions)
    app = builder.build()
    app.add_handler(MessageHandler(filters.TEXT, on_message))
    return app


def ptb_hooks(sessions: Any) -> web.Application:
    from tests.adapters.ptb_bot import bare, update_of

    failed: list[object] = []

    async def on_error(update: object, context: Any) -> None:
        failed.append(update)

    app = ptb_application(bare(), sessions)
    app.add_error_handler(on_error)

    async def handle(request: web.Request) -> web.Response:
        update = update_of(await request.json(), app)
        await app.process_update(update)
        if update in failed:
            failed.remove(update)
            return web.Response(status=500)
        return web.Response()

    async def initialize(_: web.Application) -> None:
        await app.initialize()

    application = web.Application()
    application.router.add_post("/", handle)
    application.on_startup.append(initialize)
    return application


def ptb_polls(sessions: Any, api: str) -> Poll:
    from telegram.ext import Application

    class Handled(asyncio.Queue[Any]):
        """As in docs/once.md: what is put has been handled."""

        async def put(self, item: Any) -> None:
            await app.process_update(item)

    builder: Any = Application.builder().token(TOKEN).base_url(f"{api}/bot").job_queue(None)
    app = ptb_application(builder.update_queue(Handled()), sessions)

    async def poll() -> None:
        await app.initialize()
        await app.start()
        await app.updater.start_polling()
        await asyncio.Event().wait()

    return poll


# telebot


def telebot_polls(sessions: Any, api: str) -> Poll:
    from telebot import TeleBot, apihelper

    from sessionkit_telebot import install

    def on_message(message: Any, session: Any) -> None:
        asyncio.run(count(message.text, session))

    untyped: Any = apihelper
    untyped.API_URL = api + "/bot{0}/{1}"
    bot: Any = TeleBot(TOKEN, threaded=False)
    install(bot, sessions)
    bot.register_message_handler(on_message)
    return partial(asyncio.to_thread, bot.infinity_polling)


HOOKS = {"aiogram": aiogram_hooks, "ptb": ptb_hooks}
POLLS: dict[str, Callable[[Any, str], Poll]] = {
    "aiogram": aiogram_polls,
    "ptb": ptb_polls,
    "telebot": telebot_polls,
}


async def serve(application: web.Application) -> None:
    """Answer web hooks."""
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}/", flush=True)
    await asyncio.Event().wait()


async def main(way: str, framework: str, storage: str, api: str = "") -> None:
    sessions = session(initial=zero, storage=storage, once=True)
    if way == "hooks":
        await serve(HOOKS[framework](sessions))
    else:
        poll = POLLS[framework](sessions, api)
        print("ready", flush=True)
        sys.stdin.readline()
        await poll()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

"""A worker of a bot that gets its updates by web hook; run as a script.

    python -m tests.once.webhook_worker FRAMEWORK STORAGE

Prints its port, and serves until it is killed.  Answers with 2xx when an update is handled,
with 500 if that failed.
"""

from __future__ import annotations

import asyncio
import random
import sys
from typing import TYPE_CHECKING, Any

from aiohttp import web

from sessionkit import Session, session
from tests.core import zero

if TYPE_CHECKING:
    from aiogram.types import Message

SLOW = 0.004
"""Seconds of waiting in a handler, so that most processes die within one."""


async def count(text: str, opened: Session[Any]) -> None:
    """Count once, in the way that *text* names."""
    await asyncio.sleep(random.random() * SLOW)
    if text == "save":
        if not opened.redelivered:
            opened.data["n"] += 1
            await opened.save()
    else:
        opened.data["n"] += 1
    if text == "fail" and random.random() < 0.5:
        raise RuntimeError
    await asyncio.sleep(random.random() * SLOW)


def aiogram_application(sessions: Any) -> web.Application:
    from aiogram import Bot, Dispatcher
    from aiogram.webhook.aiohttp_server import SimpleRequestHandler, setup_application

    from sessionkit_aiogram import install
    from tests.adapters.driver import TOKEN

    async def on_message(message: Message, session: Session[Any]) -> None:
        await count(message.text or "", session)

    bot, dp = Bot(TOKEN), Dispatcher()
    install(dp, sessions)
    dp.message.register(on_message)
    application = web.Application()
    SimpleRequestHandler(dp, bot, handle_in_background=False).register(application, path="/")
    setup_application(application, dp, bot=bot)
    return application


def ptb_application(sessions: Any) -> web.Application:
    from telegram.ext import MessageHandler, filters

    from sessionkit_ptb import install
    from tests.adapters.ptb_bot import bare, update_of

    failed: list[object] = []

    async def on_message(update: Any, context: Any) -> None:
        await count(update.message.text, sessions.of(context))

    async def on_error(update: object, context: Any) -> None:
        failed.append(update)

    builder = bare()
    install(builder, sessions)
    app: Any = builder.build()
    app.add_handler(MessageHandler(filters.TEXT, on_message))
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


FRAMEWORKS = {"aiogram": aiogram_application, "ptb": ptb_application}


async def main(framework: str, storage: str) -> None:
    sessions = session(initial=zero, storage=storage, once=True)
    runner = web.AppRunner(FRAMEWORKS[framework](sessions), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

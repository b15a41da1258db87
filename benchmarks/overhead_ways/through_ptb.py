"""Ways through python-telegram-bot, with its own updates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from telegram import Update
from telegram.ext import Application, MessageHandler, filters

from overhead_ways.way import Way, raw_updates, stored
from sessionkit_ptb import install

if TYPE_CHECKING:
    from pathlib import Path


def ways(size: str, folder: Path) -> dict[str, Way]:
    failed: list[Any] = []

    async def keep(_: Any, context: Any) -> None:
        failed.append(context.error)

    def processing(handler: Any, sessions: Any = None) -> Any:
        builder: Any = Application.builder().token("42:BENCHMARK").updater(None).job_queue(None)
        if sessions is not None:
            install(builder, sessions)  # and returns it
        app: Any = builder.build()
        app.add_handler(MessageHandler(filters.TEXT, handler))
        app.add_error_handler(keep)
        app._initialized = True  # without asking the Bot API who it is

        async def update(one: Any) -> None:
            await app.process_update(one)
            if failed:
                raise failed[0]

        return update

    async def nothing(_: Any, context: Any) -> None: ...

    async def add_field(_: Any, context: Any) -> None:
        context.session.count += 1

    updates = [Update.de_json(raw, None) for raw in raw_updates()]
    return {
        "bare": Way(processing(nothing), updates),
        "install dataclass": Way(processing(add_field, stored(size, typed=True)), updates),
        "README": Way(
            processing(add_field, stored(size, typed=True, file=folder / "ptb.db")),
            updates,
            share=10,
        ),
    }

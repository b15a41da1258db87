"""Follow a group to its supergroup: answers "Chat Migrations" of grammY's page.

Telegram tells both chats of it, in any order, and messages of the supergroup
may come first.  Whatever comes when, ``sessions.move`` brings the data together.

This bot has no context object: it opens the session of a raw update.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from sessionkit import keys, session

GROUP, SUPERGROUP = -424242, -1001234567890


@dataclass
class SessionData:
    pizza_count: int = 0


sessions = session(SessionData)


def together(there: SessionData, moved: SessionData) -> SessionData:
    return SessionData(there.pizza_count + moved.pizza_count)


async def handle(update: dict[str, Any]) -> None:
    if migration := keys.migration(update):
        old_chat, new_chat = migration
        await sessions.move(old_chat, new_chat, merge=together)
        return
    async with sessions.open(update) as session:
        session.data.pizza_count += update["message"]["text"].count("🍕")


def text(chat: int, text: str) -> dict[str, Any]:
    return {"update_id": 1, "message": {"chat": {"id": chat}, "text": text}}


FAREWELL = {
    "update_id": 2,
    "message": {"chat": {"id": GROUP}, "migrate_to_chat_id": SUPERGROUP},
}
WELCOME = {
    "update_id": 3,
    "message": {"chat": {"id": SUPERGROUP}, "migrate_from_chat_id": GROUP},
}


async def main() -> None:
    for order, updates in {
        "as hoped": [text(GROUP, "🍕🍕"), FAREWELL, WELCOME, text(SUPERGROUP, "🍕")],
        "supergroup first": [text(GROUP, "🍕🍕"), text(SUPERGROUP, "🍕"), WELCOME, FAREWELL],
        "a straggler": [FAREWELL, text(GROUP, "🍕🍕"), text(SUPERGROUP, "🍕"), WELCOME],
    }.items():
        for update in updates:
            await handle(update)
        print(f"{order}: { ({key: data async for key, data in sessions.items()}) }")
        await sessions.delete(SUPERGROUP)


if __name__ == "__main__":
    asyncio.run(main())

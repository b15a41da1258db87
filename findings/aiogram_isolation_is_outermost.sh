#!/usr/bin/env bash
# aiogram 3.31.0: with events_isolation, no middleware can gather an album, wherever it is registered.
#
# An album arrives as one update per photo, all at about the same time.  The usual middleware waits
# a moment, and hands on the list.  It must see the updates at the same time.  The Dispatcher registers
# its FSM middleware, which takes the isolation's lock of the user, when it is made: so even the
# first dp.update.outer_middleware(...) of a bot is inside that lock, and sees one photo after
# the other.
#
# Seen: "without isolation [4]", "with isolation [1, 1, 1, 1]".
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q --disable-pip-version-check "aiogram==3.31.0"
"$folder/venv/bin/python" - <<'PYTHON'
import asyncio

from aiogram import BaseMiddleware, Bot, Dispatcher
from aiogram.fsm.storage.memory import SimpleEventIsolation


class Albums(BaseMiddleware):
    def __init__(self):
        self.gathering = {}
        self.seen = []

    async def __call__(self, handler, update, data):
        group = update.message.media_group_id
        if group in self.gathering:
            self.gathering[group].append(update.message)
            return None
        self.gathering[group] = [update.message]
        await asyncio.sleep(0.1)
        self.seen.append(len(self.gathering.pop(group)))
        return await handler(update, data)


def photo(number):
    person = {"id": 3, "is_bot": False, "first_name": "Ann"}
    chat = {"id": 3, "type": "private", "first_name": "Ann"}
    size = {"file_id": "f", "file_unique_id": "u", "width": 1, "height": 1}
    message = {"message_id": number, "date": 1700000000, "chat": chat, "from": person}
    return {"update_id": number, "message": message | {"media_group_id": "g", "photo": [size]}}


async def seen_by(dp):
    albums = Albums()
    dp.update.outer_middleware(albums)  # the first that the bot registers
    async with Bot("42:TEST").context() as bot:
        await asyncio.gather(*(dp.feed_raw_update(bot, photo(n)) for n in range(1, 5)))
    return albums.seen


async def main():
    without = await seen_by(Dispatcher())
    isolated = await seen_by(Dispatcher(events_isolation=SimpleEventIsolation()))
    print(f"without isolation {without}\nwith isolation {isolated}")
    raise SystemExit((without, isolated) != ([4], [1, 1, 1, 1]))


asyncio.run(main())
PYTHON

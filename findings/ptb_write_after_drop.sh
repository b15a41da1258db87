#!/usr/bin/env bash
# python-telegram-bot 22.8: what a bot keeps for a chat after drop_chat_data() is not written by the
# next run of the persistence, nor at shutdown.
#
# drop_chat_data(chat) removes the chat's data at once and marks the chat for deletion in the
# persistence.  A handler that then puts new data into context.chat_data marks it for writing.  The
# run leaves out all chats that are to be deleted ("We don't want to update any data that has been
# deleted!"), deletes, and forgets both marks.  The new data is in memory only: if the chat does
# not write again before the bot ends, a restart does not have it.
#
# Seen: "in memory {'n': 1}, after a restart {}".
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q --disable-pip-version-check "python-telegram-bot==22.8"
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import asyncio
import json

from telegram import Update
from telegram.ext import Application, PicklePersistence, TypeHandler
from telegram.request import BaseRequest


class Offline(BaseRequest):
    read_timeout = 5.0

    async def initialize(self): ...
    async def shutdown(self): ...
    async def do_request(self, url, method, request_data=None, **options):
        me = {"id": 42, "is_bot": True, "first_name": "Bot", "username": "bot"}
        return 200, json.dumps({"ok": True, "result": me}).encode()


def build():
    builder = Application.builder().token("42:TEST").request(Offline())
    builder = builder.get_updates_request(Offline()).updater(None).job_queue(None)
    return builder.persistence(PicklePersistence("data.pickle")).build()


async def count(update, context):
    context.chat_data["n"] = context.chat_data.get("n", 0) + 1


async def main():
    chat = {"id": 11, "type": "private", "first_name": "Ann"}
    person = {"id": 11, "is_bot": False, "first_name": "Ann"}
    message = {"message_id": 1, "date": 1700000000, "chat": chat, "from": person, "text": "hi"}
    async with build() as app:
        app.add_handler(TypeHandler(Update, count))
        await app.process_update(Update.de_json({"update_id": 1, "message": message}, app.bot))
        await app.update_persistence()
        app.drop_chat_data(11)
        await app.process_update(Update.de_json({"update_id": 2, "message": message}, app.bot))
        before = dict(app.chat_data[11])
    async with build() as app:
        after = dict(app.chat_data[11])
    print(f"in memory {before}, after a restart {after}")
    raise SystemExit((before, after) != ({"n": 1}, {}))


asyncio.run(main())
PYTHON

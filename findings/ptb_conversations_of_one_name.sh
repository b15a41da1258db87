#!/usr/bin/env bash
# python-telegram-bot 22.8: of two persistent conversations with one name, one is not stored, and after a
# restart its users may be in the other one.
#
# A ConversationHandler is persistent under its name.  Two with the same name (a copied block) raise
# and log nothing.  While the bot runs they do not disturb each other.  The Application keeps one
# dict of states for each name, that of the handler which was added last: the other one's states are
# never written.  At the next start both load what was written.  Whoever was in the last conversation
# is in both, and the one that was added first takes his message, if it has a state of that value.
#
# Seen: "in the order: after a restart its answer reaches nobody",
#       "in the feedback: after a restart its answer reaches the order".
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q --disable-pip-version-check "python-telegram-bot==22.8"
cd "$folder"
"$folder/venv/bin/python" -W error - <<'PYTHON'
import asyncio
import json
from pathlib import Path

from telegram import Update
from telegram.ext import Application, ConversationHandler, MessageHandler, PicklePersistence, filters
from telegram.request import BaseRequest

ANSWER = 1


class Offline(BaseRequest):
    read_timeout = 5.0

    async def initialize(self): ...
    async def shutdown(self): ...
    async def do_request(self, url, method, request_data=None, **options):
        me = {"id": 42, "is_bot": True, "first_name": "Bot", "username": "bot"}
        return 200, json.dumps({"ok": True, "result": me}).encode()


def conversation(about, reached):
    async def start(update, context):
        return ANSWER

    async def answer(update, context):
        reached.append(f"the {about}")

    return ConversationHandler(
        [MessageHandler(filters.Text([about]), start)],
        {ANSWER: [MessageHandler(filters.Text(["answer"]), answer)]},
        [],
        name="talk",
        persistent=True,
    )


def build(reached):
    builder = Application.builder().token("42:TEST").request(Offline())
    builder = builder.get_updates_request(Offline()).updater(None).job_queue(None)
    app = builder.persistence(PicklePersistence("talk.pickle")).build()
    app.add_handlers([conversation("order", reached), conversation("feedback", reached)])
    return app


def message(text, app):
    chat = {"id": 11, "type": "private", "first_name": "Ann"}
    person = {"id": 11, "is_bot": False, "first_name": "Ann"}
    raw = {"message_id": 1, "date": 1700000000, "chat": chat, "from": person, "text": text}
    return Update.de_json({"update_id": 1, "message": raw}, app.bot)


async def reached_from(about):
    """Whom an answer reaches in the conversation *about*: before a restart, and after it."""
    Path("talk.pickle").unlink(missing_ok=True)
    before, after = [], []
    async with build(before) as app:
        await app.process_update(message(about, app))
        await app.process_update(message("answer", app))
    async with build(after) as app:
        await app.process_update(message("answer", app))
    print(f"in the {about}: after a restart its answer reaches {' '.join(after) or 'nobody'}")
    return before, after


async def main():
    order, feedback = await reached_from("order"), await reached_from("feedback")
    expected = (["the order"], []), (["the feedback"], ["the order"])
    raise SystemExit((order, feedback) != expected)


asyncio.run(main())
PYTHON

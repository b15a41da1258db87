#!/usr/bin/env bash
# python-telegram-bot 22.8: a conversation_timeout that the event loop is late for never comes, and
# the user's next message is lost.
#
# The timeout is a job of APScheduler 3.11, whose grace time is one second, which neither PTB
# nor ConversationHandler changes.  If something blocks the loop for longer than that (one slow call,
# a suspended machine) when the timeout is due, the job is dropped with a line in the log, and the
# user stays in the conversation.  The handler keeps the job all the same: for the user's next message
# it wants to remove it, and that raises JobLookupError before the message reaches any handler.  The
# message after that one is taken for the answer that nobody waits for any more.
#
# Seen: "on time: timeout, 'one' outside, 'two' outside",
#       "late: 'one' lost by JobLookupError, 'two' in the conversation".
# Works: "late, with a grace time: timeout, 'one' outside, 'two' outside", as in patient() below.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q --disable-pip-version-check \
  "python-telegram-bot==22.8" "APScheduler==3.11.3"
"$folder/venv/bin/python" - <<'PYTHON'
import asyncio
import json
import time

from telegram import Update
from telegram.ext import Application, ConversationHandler, MessageHandler, TypeHandler, filters
from telegram.request import BaseRequest

NAME = 1


class Offline(BaseRequest):
    read_timeout = 5.0

    async def initialize(self): ...
    async def shutdown(self): ...
    async def do_request(self, url, method, request_data=None, **options):
        me = {"id": 42, "is_bot": True, "first_name": "Bot", "username": "bot"}
        return 200, json.dumps({"ok": True, "result": me}).encode()


def build(seen):
    async def start(update, context):
        return NAME

    async def answer(update, context):
        seen.append(f"{update.message.text!r} in the conversation")

    async def timeout(update, context):
        seen.append("timeout")

    async def outside(update, context):
        seen.append(f"{update.message.text!r} outside")

    async def error(update, context):
        seen.append(f"{update.message.text!r} lost by {type(context.error).__name__}")

    builder = Application.builder().token("42:TEST").request(Offline())
    app = builder.get_updates_request(Offline()).updater(None).build()
    talk = ConversationHandler(
        [MessageHandler(filters.Regex("start"), start)],
        {
            NAME: [MessageHandler(filters.TEXT, answer)],
            ConversationHandler.TIMEOUT: [TypeHandler(Update, timeout)],
        },
        [],
        conversation_timeout=0.5,
    )
    app.add_handlers([talk, MessageHandler(filters.TEXT, outside)])
    app.add_error_handler(error)
    return app


def patient(app):
    queue = app.job_queue
    options = queue.scheduler_configuration | {"job_defaults": {"misfire_grace_time": None}}
    queue.scheduler.configure(**options)


def message(text, app):
    chat = {"id": 11, "type": "private", "first_name": "Ann"}
    person = {"id": 11, "is_bot": False, "first_name": "Ann"}
    raw = {"message_id": 1, "date": 1700000000, "chat": chat, "from": person, "text": text}
    return Update.de_json({"update_id": 1, "message": raw}, app.bot)


async def seen_after(blocked, change=lambda app: None):
    seen = []
    app = build(seen)
    change(app)
    async with app:
        await app.start()
        await app.process_update(message("start", app))
        time.sleep(blocked)  # the timeout is due meanwhile
        await asyncio.sleep(1)
        for text in ("one", "two"):
            await app.process_update(message(text, app))
        await app.stop()
    return seen


async def main():
    gone = ["timeout", "'one' outside", "'two' outside"]
    expected = {
        "on time": gone,
        "late": ["'one' lost by JobLookupError", "'two' in the conversation"],
        "late, with a grace time": gone,
    }
    found = {
        "on time": await seen_after(blocked=0),
        "late": await seen_after(blocked=2.5),
        "late, with a grace time": await seen_after(blocked=2.5, change=patient),
    }
    for case, seen in found.items():
        print(f"{case}: {', '.join(seen)}")
    raise SystemExit(found != expected)


asyncio.run(main())
PYTHON

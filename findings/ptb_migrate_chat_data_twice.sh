#!/usr/bin/env bash
# python-telegram-bot 22.8: migrate_chat_data() called for both messages of one move empties the data.
#
# When a group becomes a supergroup, Telegram sends two service messages: migrate_to_chat_id in
# the old chat, migrate_from_chat_id in the new one.  Both can be given to migrate_chat_data(message),
# and filters.StatusUpdate.MIGRATE matches both.  The first call moves the data.  The second finds
# nothing under the old id, takes the defaultdict's new, empty dict, and puts it in the place of what
# was moved: "Any data stored at new_chat_id will be overridden".  Nothing is raised or logged.
#
# Seen: "after the first message: {'n': 1}", "after the second message: {}".
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q --disable-pip-version-check "python-telegram-bot==22.8"
"$folder/venv/bin/python" - <<'PYTHON'
from telegram import Message
from telegram.ext import Application

app = Application.builder().token("42:TEST").updater(None).job_queue(None).build()


def service(chat, **more):
    kind = "supergroup" if chat < -1_000_000_000_000 else "group"
    raw = {"message_id": 1, "date": 1700000000, "chat": {"id": chat, "type": kind, "title": "x"}}
    return Message.de_json(raw | more, app.bot)


OLD, NEW = -55, -1001000000077
app.chat_data[OLD]["n"] = 1
app.migrate_chat_data(service(OLD, migrate_to_chat_id=NEW))
first = dict(app.chat_data[NEW])
app.migrate_chat_data(service(NEW, migrate_from_chat_id=OLD))
second = dict(app.chat_data[NEW])
print(f"after the first message: {first}")
print(f"after the second message: {second}")
raise SystemExit((first, second) != ({"n": 1}, {}))
PYTHON

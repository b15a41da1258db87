#!/usr/bin/env bash
# python-telegram-bot 22.8, DictPersistence: texts that look like numbers come back as numbers, and two
# of them may become one.
#
# That JSON turns the key 7 into "7" is known.  Here it is the other way: when user_data and chat_data
# are loaded from JSON, every key of a chat's dict that int() takes becomes an int.  A code of a
# voucher, a postcode, a telephone number, a year: what was stored as data["007"] is not found after
# the restart, and it has taken the place of data["7"], since both are 7 now.  Keys further inside
# and those of bot_data stay texts.
#
# Seen: "stored   {'7': 'Ann', '007': 'Bob', '1_0': 'Eve', 'in': {'7': 'Ann'}}",
#       "user_data {7: 'Bob', 10: 'Eve', 'in': {'7': 'Ann'}}", bot_data as stored.
# Works: keep such keys one level further inside.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q --disable-pip-version-check "python-telegram-bot==22.8"
"$folder/venv/bin/python" - <<'PYTHON'
import asyncio

from telegram.ext import DictPersistence

STORED = {"7": "Ann", "007": "Bob", "1_0": "Eve", "in": {"7": "Ann"}}


async def main():
    old = DictPersistence()
    await old.update_user_data(11, STORED)
    await old.update_bot_data(STORED)
    new = DictPersistence(user_data_json=old.user_data_json, bot_data_json=old.bot_data_json)
    user, bot = (await new.get_user_data())[11], await new.get_bot_data()
    print(f"stored    {STORED}\nuser_data {user}\nbot_data  {bot}")
    assert user == {7: "Bob", 10: "Eve", "in": {"7": "Ann"}}
    assert bot == STORED


asyncio.run(main())
PYTHON

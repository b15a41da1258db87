#!/usr/bin/env bash
# aiogram 3.31.0, PyMongoStorage: update_data() writes a key with a dot somewhere else.
#
# set_data() stores a dict as it is.  update_data({"ann@example.org": 2}) puts the key into
# a path of MongoDB, data.ann@example.org, and there a dot goes one level down.  Nothing is
# raised: get_data() has the old value under the key and the new one in a dict that nobody made.
# Where a number follows the dot and a list is there, an element of the list is overwritten.
# The bot that was tried with MemoryStorage finds what it wrote.  (MongoStorage, with Motor, has the
# same lines.)
#
# Seen with PyMongo 4.20.1 on SecantusDB 0.7.0b3; it is MongoDB's documented meaning of a dot:
#   MemoryStorage:   {'ann@example.org': 2}, {'top': ['a', 'b'], 'top.1': 'new'}
#   PyMongoStorage:  {'ann@example.org': 1, 'ann@example': {'org': 2}}, {'top': ['a', 'new']}
# Works: data = await state.get_data(); data[key] = value; await state.set_data(data)
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q --disable-pip-version-check \
  "aiogram==3.31.0" "pymongo==4.20.1" "SecantusDB==0.7.0b3"
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import asyncio

from aiogram.fsm.context import FSMContext
from aiogram.fsm.storage.base import StorageKey
from aiogram.fsm.storage.memory import MemoryStorage
from aiogram.fsm.storage.pymongo import PyMongoStorage
from secantus import SecantusDBServer

IN_MEMORY = [{"ann@example.org": 2}, {"top": ["a", "b"], "top.1": "new"}]
IN_MONGODB = [{"ann@example.org": 1, "ann@example": {"org": 2}}, {"top": ["a", "new"]}]


async def found_in(storage):
    state = FSMContext(storage, StorageKey(bot_id=42, chat_id=3, user_id=3))
    found = []
    for stored, update in (
        ({"ann@example.org": 1}, {"ann@example.org": 2}),
        ({"top": ["a", "b"]}, {"top.1": "new"}),
    ):
        await state.set_data(stored)
        await state.update_data(update)
        found.append(await state.get_data())
    print(f"{type(storage).__name__}:", *found)
    await storage.close()
    return found


async def main(port):
    assert await found_in(MemoryStorage()) == IN_MEMORY
    assert await found_in(PyMongoStorage.from_url(f"mongodb://127.0.0.1:{port}")) == IN_MONGODB


with SecantusDBServer() as server:
    asyncio.run(main(server.port))
PYTHON

#!/usr/bin/env bash
# aiogram 3.31.0: dp.fsm.get_context(bot, chat_id, user_id) is the context of handlers under one strategy
# of five only.
#
# dp.fsm is made with fsm_strategy=, and get_context() is what is found for reaching a user's data from
# a job or a web hook.  It takes the numbers as they are, without the strategy.  Under FSMStrategy.CHAT
# handlers read chat and chat, under GLOBAL_USER user and user, and what the job has written lies under a
# key that no handler looks at.  Nothing is raised; MemoryStorage, Redis and all others take it.
#
# Seen, for a message in a topic of a group: get_context() finds what the handler wrote under
# USER_IN_CHAT, and with thread_id= under USER_IN_TOPIC; never under CHAT, GLOBAL_USER, CHAT_TOPIC.
# Works: dp.fsm.resolve_context(...) with the same arguments, thread_id= included, under all five.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q --disable-pip-version-check "aiogram==3.31.0"
"$folder/venv/bin/python" - <<'PYTHON'
import asyncio

from aiogram import Bot, Dispatcher
from aiogram.fsm.strategy import FSMStrategy

GROUP, TOPIC, USER = -100, 5, 3


async def found_under(strategy):
    """Who finds what a handler wrote: get_context without and with the topic, resolve_context."""
    dp = Dispatcher(fsm_strategy=strategy)

    @dp.message()
    async def handler(message, state):
        await state.update_data(written="by the handler")

    person = {"id": USER, "is_bot": False, "first_name": "Ann"}
    chat = {"id": GROUP, "type": "supergroup", "title": "x", "is_forum": True}
    message = {"message_id": 1, "date": 1700000000, "chat": chat, "from": person, "text": "hi"}
    message |= {"message_thread_id": TOPIC, "is_topic_message": True}
    async with Bot("42:TEST").context() as bot:
        await dp.feed_raw_update(bot, {"update_id": 1, "message": message})
        contexts = (
            dp.fsm.get_context(bot, GROUP, USER),
            dp.fsm.get_context(bot, GROUP, USER, thread_id=TOPIC),
            dp.fsm.resolve_context(bot, GROUP, USER, thread_id=TOPIC),
        )
        found = tuple([bool(await context.get_data()) for context in contexts])
    print(f"{strategy.name}: get_context {found[0]}, with the topic {found[1]}, resolve {found[2]}")
    return found


async def main():
    found = {strategy.name: await found_under(strategy) for strategy in FSMStrategy}
    assert found == {
        "USER_IN_CHAT": (True, False, True),
        "CHAT": (False, False, True),
        "GLOBAL_USER": (False, False, True),
        "USER_IN_TOPIC": (False, True, True),
        "CHAT_TOPIC": (False, False, True),
    }


asyncio.run(main())
PYTHON

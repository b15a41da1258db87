#!/usr/bin/env bash
# pyTelegramBotAPI 4.37.1: one handler of buttons that has a state, and the buttons of inline messages
# reach no handler.
#
# A message that was sent by an inline query belongs to no chat that the bot knows: the press of its
# button brings an inline_message_id instead of a message.  StateFilter looks for the chat in
# call.message, which is None, and raises AttributeError.  Handlers are asked in their order, so none
# after that one is asked, whether it has a state or not: the press is lost for the whole bot.
# Posts of channels, which have no sender, go the same way if a channel_post_handler has a state.
#
# Seen, in TeleBot and AsyncTeleBot: "no state: votes", "a state: AttributeError".
# Works: "a state, asked last: votes".  A func is asked before a state, whatever stands first.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q --disable-pip-version-check \
  "pyTelegramBotAPI==4.37.1" "aiohttp==3.14.5"
"$folder/venv/bin/python" - <<'PYTHON'
import asyncio

from telebot import ExceptionHandler, TeleBot, asyncio_filters, custom_filters
from telebot.async_telebot import AsyncTeleBot
from telebot.types import Update

PRESS = {
    "id": "1",
    "from": {"id": 3, "is_bot": False, "first_name": "Ann"},
    "chat_instance": "x",
    "inline_message_id": "y",
    "data": "vote",
}
CASES = {  # how the first of the two handlers is registered
    "no state": {"func": lambda call: call.data == "pay"},
    "a state": {"func": lambda call: True, "state": "paying"},
    "a state, asked last": {"state": "paying", "func": lambda call: call.message is not None},
}
EXPECTED = {"no state": ["votes"], "a state": ["AttributeError"], "a state, asked last": ["votes"]}


def update():
    return Update.de_json({"update_id": 1, "callback_query": PRESS})


def in_threads(options):
    seen = []

    class Errors(ExceptionHandler):
        def handle(self, error):
            seen.append(type(error).__name__)
            return True

    bot = TeleBot("42:TEST", threaded=False, exception_handler=Errors())
    bot.add_custom_filter(custom_filters.StateFilter(bot))
    bot.register_callback_query_handler(lambda call: seen.append("payment"), **options)
    bot.register_callback_query_handler(lambda call: seen.append("votes"), func=lambda call: True)
    bot.process_new_updates([update()])
    return seen


async def in_a_loop(options):
    seen = []

    class Errors(ExceptionHandler):
        async def handle(self, error):
            seen.append(type(error).__name__)
            return True

    async def payment(call):
        seen.append("payment")

    async def votes(call):
        seen.append("votes")

    bot = AsyncTeleBot("42:TEST", exception_handler=Errors())
    bot.add_custom_filter(asyncio_filters.StateFilter(bot))
    bot.register_callback_query_handler(payment, **options)
    bot.register_callback_query_handler(votes, func=lambda call: True)
    await bot.process_new_updates([update()])
    return seen


threads = {case: in_threads(options) for case, options in CASES.items()}
loop = {case: asyncio.run(in_a_loop(options)) for case, options in CASES.items()}
for case in CASES:
    print(f"{case}: {' '.join(threads[case])} in TeleBot, {' '.join(loop[case])} in AsyncTeleBot")
raise SystemExit(not threads == loop == EXPECTED)
PYTHON

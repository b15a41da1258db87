#!/usr/bin/env bash
# aiogram 3.31.0, Scenes: wizard.back() undoes all FSM data that was written since the scene before.
#
# Leaving a scene by goto() puts the user's state and a copy of all his data into a history.  back()
# brings both back: he stands in the scene before, and the data is what it was when he left it.  A
# scene has no data of its own, so this is all that handlers keep for that user and chat: what is paid,
# a language that was chosen by a command, is gone without a word.  The documentation of back() says
# that it goes back to the previous scene.
#
# Seen: "back: before {'language': 'en', 'paid': 12}, after {'language': 'it'}".
# Works, goto() the scene before instead: "menu: ..., after {'language': 'en', 'paid': 12}".
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q --disable-pip-version-check "aiogram==3.31.0"
"$folder/venv/bin/python" - <<'PYTHON'
import asyncio

from aiogram import Bot, Dispatcher, F
from aiogram.filters import Command
from aiogram.fsm.scene import Scene, SceneRegistry, on


class Menu(Scene, state="menu"):
    @on.message(F.text == "next")
    async def go_on(self, message):
        await self.wizard.goto(Payment)


class Payment(Scene, state="payment"):
    @on.message(F.text == "back")
    async def back(self, message):
        await self.wizard.back()

    @on.message(F.text == "menu")
    async def menu(self, message):
        await self.wizard.goto(Menu)

    @on.message(F.text.isdigit())
    async def pay(self, message):
        paid = await self.wizard.get_value("paid", 0)
        await self.wizard.update_data(paid=paid + int(message.text))


def update(number, text):
    person = {"id": 3, "is_bot": False, "first_name": "Ann"}
    chat = {"id": 3, "type": "private", "first_name": "Ann"}
    message = {"message_id": number, "date": 1700000000, "chat": chat, "from": person}
    return {"update_id": number, "message": message | {"text": text}}


async def data_after(*texts):
    """All FSM data before the last of *texts*, and after it."""
    dp = Dispatcher()

    async def language(message, state):
        await state.update_data(language=message.text[1:])

    dp.message.register(language, Command("it", "en"))
    SceneRegistry(dp).add(Menu, Payment)
    dp.message.register(Menu.as_handler(), Command("start"))
    async with Bot("42:TEST").context() as bot:
        seen = []
        for number, text in enumerate(texts):
            await dp.feed_raw_update(bot, update(number, text))
            seen.append(await dp.fsm.get_context(bot, chat_id=3, user_id=3).get_data())
    return seen[-2], seen[-1]


async def main():
    before = {"language": "en", "paid": 12}
    texts = ("/it", "/start", "next", "5", "7", "/en")
    for last, after in (("back", {"language": "it"}), ("menu", before)):
        found = await data_after(*texts, last)
        print(f"{last}: before {found[0]}, after {found[1]}")
        assert found == (before, after)


asyncio.run(main())
PYTHON

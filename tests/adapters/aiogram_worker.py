"""A bot of aiogram in a process of its own: takes orders by Scenes, counts by FSM and session.

    python -m tests.adapters.aiogram_worker DATABASE

Reads numbers of chats and texts from its standard input, and answers each by a line.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

from aiogram import Dispatcher, F
from aiogram.fsm.scene import Scene, SceneRegistry, on
from aiogram.fsm.state import State, StatesGroup

from sessionkit import session
from sessionkit_aiogram import FSMStorage, install
from tests.adapters.aiogram_bot import feed
from tests.adapters.driver import message

if TYPE_CHECKING:
    from aiogram.fsm.context import FSMContext
    from aiogram.types import Message


class Count(StatesGroup):
    counting = State()


class Size(Scene, state="size"):
    @on.message.enter()
    async def ask(self, message: Message) -> None:
        say("size?")

    @on.message()
    async def answer(self, message: Message) -> None:
        await self.wizard.update_data(size=message.text)
        await self.wizard.goto(Topping)


class Topping(Scene, state="topping"):
    @on.message.enter()
    async def ask(self, message: Message) -> None:
        say("topping?")

    @on.message(F.text == "back")
    async def back(self, message: Message) -> None:
        await self.wizard.back()

    @on.message()
    async def answer(self, message: Message, session: Any) -> None:
        data = await self.wizard.update_data(topping=message.text)
        session.data["orders"] = session.data.get("orders", 0) + 1
        await self.wizard.exit()
        say(f"{session.data['orders']}: {data['size']} with {data['topping']}")


async def begin(message: Message, state: FSMContext) -> None:
    await state.set_state(Count.counting)
    say("send numbers")


async def add(message: Message, state: FSMContext) -> None:
    total: int = (await state.get_data()).get("total", 0) + int(message.text or 0)
    await state.update_data(total=total)
    say(str(total))


def say(text: str) -> None:
    print(text, flush=True)


async def main(database: str) -> None:
    fsm = FSMStorage(f"sqlite:///{database}")
    dp = Dispatcher(storage=fsm, events_isolation=fsm.create_isolation())
    install(dp, session(dict[str, int], storage=fsm.wrapped))
    SceneRegistry(dp).add(Size, Topping)
    dp.message.register(Size.as_handler(), F.text == "order")
    dp.message.register(begin, F.text == "count")
    dp.message.register(add, Count.counting)
    for line in sys.stdin:
        chat, text = line.split()
        await feed(dp, message(text, chat=int(chat)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))

"""What a session costs inside aiogram, beside aiogram's own FSM.

    python benchmarks/aiogram_tax.py            # about a minute; one table
    python benchmarks/aiogram_tax.py --quick    # some seconds, noisier

All bots handle the same updates, and count one up in the data of the chat.  They
take turns in short slices within one run, in changing order, because the speed of
a shared machine drifts.  The tax of a bot is its time less that of a bot that keeps
nothing; the figures are medians over the rounds of

    tax of this bot / tax of aiogram's FSM

in the same round, its data kept in memory and its updates isolated, which in
aiogram takes SimpleEventIsolation, get_data and set_data.  Goal for a session: 1/3.
"Copies alone" is a floor: a middleware that freezes and thaws the data, with no lock
and no errors reported, and knows where the chat is.  aiogram's own FSM copies only the
outermost dict.  Times are given for orientation only.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import marshal
import platform
import random
import statistics
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from aiogram import BaseMiddleware, Bot, Dispatcher, __version__
from aiogram.fsm.storage.base import StorageKey
from aiogram.fsm.storage.memory import MemoryStorage, SimpleEventIsolation
from aiogram.types import Message, Update
from pinned import MEDIUM, SMALL

from sessionkit import LazySession, MemorySessionStorage, Session, lazy_session, session
from sessionkit_aiogram import FSMStorage, SessionMiddleware, install

if TYPE_CHECKING:
    from aiogram.fsm.context import FSMContext

CHATS = 1_000
BOT_ID = 42
GOAL = 1 / 3

BARE = "no data"
FSM = "aiogram's FSM"
FLOOR = "copies alone"
Data = dict[str, Any]


async def ignore(_: Message) -> None: ...


async def count_in_fsm(_: Message, state: FSMContext) -> None:
    data = await state.get_data()
    data["count"] += 1
    await state.set_data(data)


async def count(_: Message, session: Session[Data]) -> None:
    session.data["count"] += 1


async def leave_alone(_: Message, session: LazySession[Data]) -> None: ...


def with_fsm(storage: Any, isolation: Any) -> Dispatcher:
    dp = Dispatcher(storage=storage, events_isolation=isolation)
    dp.message.register(count_in_fsm)
    return dp


def with_session(sessions: Any, handler: Any = count) -> Dispatcher:
    dp = Dispatcher(disable_fsm=True)
    install(dp, sessions)
    dp.message.register(handler)
    return dp


def on_router(sessions: Any) -> Dispatcher:
    dp = Dispatcher(disable_fsm=True)
    dp.message.middleware(SessionMiddleware(sessions))
    dp.message.register(count)
    return dp


class Holder:
    data: Data


class CopyingMiddleware(BaseMiddleware):
    def __init__(self, data: Data) -> None:
        self._frozen = {chat: marshal.dumps(data) for chat in range(1, CHATS + 1)}

    async def __call__(self, handler: Any, event: Any, data: dict[str, Any]) -> Any:
        chat, holder = event.message.chat.id, Holder()
        holder.data = marshal.loads(self._frozen[chat])
        data["session"] = holder
        result = await handler(event, data)
        self._frozen[chat] = marshal.dumps(holder.data)
        return result


def copying(data: Data) -> Dispatcher:
    dp = Dispatcher(disable_fsm=True)
    dp.update.outer_middleware(CopyingMiddleware(data))
    dp.message.register(count)
    return dp


def bare() -> Dispatcher:
    dp = Dispatcher(disable_fsm=True)
    dp.message.register(ignore)
    return dp


def filled(data: Data) -> MemorySessionStorage:
    storage = MemorySessionStorage()
    storage.write_many({str(chat): data for chat in range(1, CHATS + 1)})
    return storage


async def bots_for(data: Data) -> dict[str, Dispatcher]:
    of_aiogram, of_ours = MemoryStorage(), FSMStorage(MemorySessionStorage())
    for chat in range(1, CHATS + 1):
        for storage in (of_aiogram, of_ours):
            await storage.set_data(StorageKey(BOT_ID, chat, chat), data)
    empty: Any = dict
    lazy = lazy_session(initial=empty, storage=filled(data))
    return {
        BARE: bare(),
        FSM: with_fsm(of_aiogram, SimpleEventIsolation()),
        FLOOR: copying(data),
        "session, installed": with_session(session(initial=empty, storage=filled(data))),
        "session, on a router": on_router(session(initial=empty, storage=filled(data))),
        "lazy session, left alone": with_session(lazy, leave_alone),
        "FSM in FSMStorage": with_fsm(of_ours, of_ours.create_isolation()),
    }


def updates_for(bot: Bot) -> list[Update]:
    return [
        Update.model_validate(
            {
                "update_id": chat,
                "message": {
                    "message_id": chat,
                    "date": 1_700_000_000,
                    "chat": {"id": chat, "type": "private", "first_name": "Ann"},
                    "from": {"id": chat, "is_bot": False, "first_name": "Ann"},
                    "text": "hello",
                },
            },
            context={"bot": bot},
        )
        for chat in range(1, CHATS + 1)
    ]


async def slice_of(dp: Dispatcher, bot: Bot, updates: list[Update]) -> int:
    begun = perf_counter_ns()
    for update in updates:
        await dp.feed_update(bot, update)
    return perf_counter_ns() - begun


async def measure(data: Data, rounds: int, length: int) -> dict[str, list[float]]:
    """Return the nanoseconds per update of each bot, by round."""
    bot = Bot(f"{BOT_ID}:BENCHMARK")
    updates = updates_for(bot)
    bots = await bots_for(data)
    times: dict[str, list[float]] = {name: [] for name in bots}
    for number in range(rounds + 1):
        chosen = random.sample(updates, length)
        for name in random.sample(list(bots), len(bots)):
            spent = await slice_of(bots[name], bot, chosen)
            if number:  # the first round warms up
                times[name].append(spent / length)
    return times


def taxes(times: dict[str, list[float]], name: str) -> list[float]:
    """Return the tax of a bot in each round, in multiples of that of aiogram's FSM."""
    rows = zip(times[BARE], times[FSM], times[name], strict=True)
    return [(mine - bare) / (fsm - bare) for bare, fsm, mine in rows]


def report(title: str, times: dict[str, list[float]]) -> None:
    print(f"\n{title:<26}{'us per update':>14}{'tax / tax of FSM':>18}{'quartiles':>15}")
    for name, spent in times.items():
        line = f"{name:<26}{statistics.median(spent) / 1000:>14.1f}"
        if name != BARE:
            ratios = taxes(times, name)
            low, middle, high = statistics.quantiles(ratios, n=4)
            line += f"{middle:>18.2f}{f'{low:.2f}..{high:.2f}':>15}"
        print(line)


def main() -> None:
    parser = argparse.ArgumentParser(description="What a session costs inside aiogram.")
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    rounds = 40 if parser.parse_args().quick else 300
    logging.disable(logging.CRITICAL)
    print(f"aiogram {__version__}, Python {platform.python_version()}, goal {GOAL:.2f}")
    for title, data in (("small data", SMALL), ("medium data", MEDIUM)):
        report(title, asyncio.run(measure(data, rounds, length=100)))


if __name__ == "__main__":
    main()

"""What it costs to read a key off an update, as multiples of reading it by hand.

    python benchmarks/keys.py            # half a minute; one table
    python benchmarks/keys.py --quick    # some seconds, noisier

By hand is ``str(update.message.chat.id)``, or ``str(update["message"]["chat"]["id"])``:
what somebody writes who knows the shape of each update.  The functions of
``keys`` know no shape.  All take turns in short slices within one run, because
the speed of a shared machine drifts; a figure is the median over the rounds of
the ratio within a round.  Absolute times are given for orientation only.

Rows for aiogram, python-telegram-bot and pyrogram show where these are installed.
"""

from __future__ import annotations

import argparse
import asyncio
import platform
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from time import perf_counter_ns
from types import SimpleNamespace
from typing import Any

from sessionkit import keys

Reader = Callable[[Any], Any]

FUNCTIONS = (keys.chat, keys.user, keys.topic, keys.user_in_chat, keys.migration)

ANN = {"id": 3, "is_bot": False, "first_name": "Ann"}
GROUP = {"id": -100, "type": "supergroup", "title": "Group"}
TEXT = {"message_id": 1, "date": 1700000000, "chat": GROUP, "from": ANN, "text": "hi"}
PRESS = {"id": "1", "from": ANN, "chat_instance": "7", "data": "x", "message": TEXT}
QUERY = {"id": "1", "from": ANN, "query": "q", "offset": ""}
MEMBER = {
    "chat": GROUP,
    "from": ANN,
    "date": 1700000000,
    "old_chat_member": {"status": "left", "user": ANN},
    "new_chat_member": {"status": "member", "user": ANN},
}
RAW: dict[str, dict[str, Any]] = {
    "message": {"update_id": 1, "message": TEXT},
    "button": {"update_id": 1, "callback_query": PRESS},
    "inline query": {"update_id": 1, "inline_query": QUERY},
    "member": {"update_id": 1, "chat_member": MEMBER},
}


@dataclass(frozen=True)
class Row:
    """One shape of update."""

    name: str
    update: Any
    by_hand: Reader


def of_item(update: Any) -> str:
    return str(update["message"]["chat"]["id"])


def of_attribute(update: Any) -> str:
    return str(update.message.chat.id)


def of_event(message: Any) -> str:
    return str(message.chat.id)


def of_context(ctx: Any) -> str:
    return str(ctx.chat_id)


def plain_rows() -> list[Row]:
    def carrying(update: Any) -> Any:
        return SimpleNamespace(update=update, text="hi", chat_id=-100)

    return [
        Row("context with chat_id", SimpleNamespace(chat_id=-100, user_id=3), of_context),
        Row("context, dict inside", carrying(RAW["message"]), of_context),
        Row("dict: message", RAW["message"], of_item),
        *(Row(f"dict: {kind}", RAW[kind], of_item) for kind in list(RAW)[1:]),
    ]


def aiogram_rows() -> list[Row]:
    types = import_module("aiogram.types")
    made = {kind: types.Update.model_validate(raw) for kind, raw in RAW.items()}
    rows = [Row(f"aiogram: {kind}", update, of_attribute) for kind, update in made.items()]
    return [*rows, Row("aiogram: Message itself", made["message"].message, of_event)]


def ptb_rows() -> list[Row]:
    telegram = import_module("telegram")
    made = {kind: telegram.Update.de_json(raw, None) for kind, raw in RAW.items()}
    rows = [Row(f"PTB: {kind}", update, of_attribute) for kind, update in made.items()]
    return [*rows, Row("PTB: Message itself", made["message"].message, of_event)]


def pyrogram_rows() -> list[Row]:
    asyncio.set_event_loop(asyncio.new_event_loop())  # pyrogram asks for one while it is imported
    pyrogram = import_module("pyrogram")
    enums, types = pyrogram.enums, pyrogram.types
    chat = types.Chat(id=-100, type=enums.ChatType.SUPERGROUP)
    ann = types.User(id=3)
    message = types.Message(id=1, chat=chat, from_user=ann)
    press = types.CallbackQuery(id="1", from_user=ann, chat_instance="7", message=message, data="x")
    return [
        Row("pyrogram: Message", message, of_event),
        Row("pyrogram: CallbackQuery", press, lambda press: of_event(press.message)),
    ]


def all_rows() -> list[Row]:
    rows = plain_rows()
    for make in (aiogram_rows, ptb_rows, pyrogram_rows):
        try:
            rows += make()
        except ImportError as error:
            print(f"left out: {error}")
    return rows


def by_hand(row: Row) -> Reader:
    """What the others are compared with, on whatever update has a message and a chat."""
    try:
        row.by_hand(row.update)
    except (AttributeError, KeyError):
        return keys.constant("-100")  # this kind has none: the least a function can do
    return row.by_hand


def slice_of(function: Reader, update: Any, size: int) -> float:
    numbers = range(size)
    begin = perf_counter_ns()
    for _ in numbers:
        function(update)
    return (perf_counter_ns() - begin) / size


def measure(row: Row, rounds: int, size: int) -> tuple[float, list[tuple[float, float]]]:
    """Return the time by hand, and for each function its time and the ratio to that."""
    functions = [by_hand(row), *FUNCTIONS]
    times: list[list[float]] = [[] for _ in functions]
    for turn in range(-2, rounds):  # two rounds to warm up
        for which in range(len(functions)) if turn % 2 else reversed(range(len(functions))):
            time = slice_of(functions[which], row.update, size)
            if turn >= 0:
                times[which].append(time)
    figures = [
        (
            statistics.median(each),
            statistics.median(one / other for one, other in zip(each, times[0], strict=True)),
        )
        for each in times[1:]
    ]
    return statistics.median(times[0]), figures


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    rounds = 20 if parser.parse_args().quick else 100
    rows = all_rows()
    print(f"Python {platform.python_version()}, {sys.platform}; {rounds} rounds of 500 calls")
    print("Nanoseconds, and multiples of by hand\n")
    print(f"| update | by hand | {' | '.join(each.__name__ for each in FUNCTIONS)} |")
    print(f"|---|---{'|---' * len(FUNCTIONS)}|")
    for row in rows:
        reference, figures = measure(row, rounds, 500)
        cells = " | ".join(f"{time:.0f} ({ratio:.1f}x)" for time, ratio in figures)
        print(f"| {row.name} | {reference:.0f} | {cells} |")


if __name__ == "__main__":
    main()

"""A chat in the terminal: lines come in, answers go out."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Final

from sessionkit import SessionConflictError, SessionError, Sessions
from sessionkit._cli.interrupts import Interrupts
from sessionkit._cli.pizza import PIZZA, SessionData, answer, pizza_sessions

ADDRESSED: Final = re.compile(r"(?P<address>(?P<chat>-?[0-9]{1,18}): )(?P<text>.*)", re.DOTALL)
GREETING: Final = f"This is chat {{}}. Send {PIZZA} or type pizza, ask /hunger, leave with Ctrl-D."


def demo(storage: str, chat: int) -> int:
    """Talk with the pizza bot until the input ends; return the exit code.

    Args:
        storage: The URL of the storage.
        chat: The chat of lines that name none.
    """
    try:
        sessions = pizza_sessions(storage)
    except (ImportError, OSError, SessionError, ValueError) as error:
        return _failed(error, 2)
    with suppress(KeyboardInterrupt), asyncio.Runner() as runner:
        try:
            return _talk(runner, sessions, chat)
        finally:
            runner.run(sessions.close())
    return 0


def _talk(runner: asyncio.Runner, sessions: Sessions[SessionData], chat: int) -> int:
    try:
        runner.run(sessions.get(chat))  # a server that does not answer is better known now
    except Exception as error:  # noqa: BLE001 (whatever the library of an adapter raises)
        return _failed(error, 2)
    interrupts = Interrupts()
    interrupts.install()
    try:
        for line in _lines(chat):
            with interrupts.deferred():
                _handle(runner, sessions, chat, line)
    except BrokenPipeError:
        _let_go_of_output()
    except (OSError, SessionError) as error:
        return _failed(error, 1)
    return 0


def _handle(runner: asyncio.Runner, sessions: Sessions[SessionData], chat: int, line: str) -> None:
    """Answer one line, in the chat that it names."""
    address = ""
    if found := ADDRESSED.match(line):
        address, chat, line = found["address"], int(found["chat"]), found["text"]
    # The loop runs for this one answer, so waiting for lines holds nothing up
    reply = runner.run(answer_at_last(sessions, chat, line))
    if reply is not None:
        print(f"{address}{reply}", flush=True)  # noqa: T201


async def answer_at_last(sessions: Sessions[SessionData], chat: int, text: str) -> str | None:
    """Handle a message as often as it takes."""
    while True:
        with suppress(SessionConflictError):  # another demo in this chat was quicker: again
            return await answer(sessions, chat, text)


def _lines(chat: int) -> Iterator[str]:
    """Yield each line as it arrives; ask for it where somebody types."""
    lines: Iterable[str] = sys.stdin or ()  # None if it is closed
    return _prompted(lines, chat) if _somebody_types() else iter(lines)


def _somebody_types() -> bool:
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout))


def _prompted(lines: Iterable[str], chat: int) -> Iterator[str]:
    print(GREETING.format(chat))  # noqa: T201
    try:
        print("> ", end="", flush=True)  # noqa: T201
        for line in lines:
            yield line
            print("> ", end="", flush=True)  # noqa: T201
    finally:
        print()  # noqa: T201


def _failed(error: Exception, code: int) -> int:
    text = " ".join(str(error).split()) or type(error).__name__
    print(f"sessionkit demo: {text}", file=sys.stderr)  # noqa: T201
    return code


def _let_go_of_output() -> None:
    """Nobody reads the answers any more: keep Python from complaining at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

"""The bots of the README, pasted into a file: they answer, and go on after a SIGKILL."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from sessionkit import SQLiteSessionStorage
from tests.adapters.bot_api_server import Sent
from tests.adapters.driver import message
from tests.adapters.life import life_of
from tests.test_docs import ROOT, Block, python_of, reason_not_to_run

if TYPE_CHECKING:
    from pathlib import Path

MAIN = 'if __name__ == "__main__":'


def bots() -> dict[str, list[Block]]:
    """Return the blocks to paste for each library; the second bot says what it shares."""
    first, second, *_ = python_of(ROOT / "README.md")
    return {"aiogram": [first], "ptb": [first, second]}


def pasted(blocks: list[Block]) -> str:
    """Return the last bot of *blocks*, with what it shares with those before."""
    *shared, last = (block.code for block in blocks)
    code = "".join(block.partition(MAIN)[0] for block in shared) + last
    return code if MAIN in code else f"{code}\n\nrun()\n"


@pytest.mark.parametrize("library", ["aiogram", "ptb"])
def test_the_bot_of_the_readme_answers_before_and_after_it_is_killed(
    library: str, tmp_path: Path
) -> None:
    blocks = bots()[library]
    missing = [reason for reason in map(reason_not_to_run, blocks) if reason]
    if missing:
        pytest.skip(missing[0])
    assert blocks[-1].all_of("needs") == [library]
    script = tmp_path / "bot.py"
    script.write_text(pasted(blocks), "utf-8")

    async def main() -> None:
        async with life_of(script, tmp_path) as life:
            await life.api.push(message("I want 🍕", chat=5))
            await life.until(lambda: len(life.api.sent) == 1)
            await stored(tmp_path / "pizza.db", {"count": 1})  # it answers before it saves
            await life.kill()
            await life.start()
            await life.api.push(message("more 🍕", chat=5))
            await life.until(lambda: len(life.api.sent) == 2)
            assert life.api.sent == [
                Sent(life.tokens[0], 5, "Your hunger level is 1!"),
                Sent(life.tokens[1], 5, "Your hunger level is 2!"),
            ]

    asyncio.run(main())


async def stored(database: Path, value: object) -> None:
    """Wait until another process has stored *value* for chat 5."""
    async with SQLiteSessionStorage(database) as storage, asyncio.timeout(60):
        while await storage.read("5") != value:
            await asyncio.sleep(0.01)

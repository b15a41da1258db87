"""The bots of the README, pasted into a file: they answer, and go on after a SIGKILL."""

from __future__ import annotations

import ast
import asyncio
import sys
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from sessionkit import SQLiteSessionStorage
from tests.adapters.bot_api_server import Sent
from tests.adapters.driver import message
from tests.adapters.life import life_of
from tests.profiles import thorough
from tests.test_docs import ROOT, Block, python_of, reason_not_to_run

if TYPE_CHECKING:
    from pathlib import Path

ROUNDS = 2


def bots() -> dict[str, list[Block]]:
    """Return the blocks of the bot for each library; the second says what it shares."""
    first, second, *_ = python_of(ROOT / "README.md")
    return {"aiogram": [first], "ptb": [first, second]}


def pasted(library: str) -> str:
    """Return the bot for *library* as a file: with the parts of the first that it shares."""
    first, *second = bots()[library]
    if not second:
        return first.code
    return f"{shared(first.code)}\n{second[0].code}\n\nif __name__ == '__main__':\n    run()\n"


def shared(code: str) -> str:
    """Return the ``Pizza``, the ``sessions`` and the ``API`` of a bot, and their imports."""
    kept: list[ast.stmt] = []
    for node in ast.parse(code).body:
        match node:
            case ast.Import(names=[ast.alias(name="os")]):
                kept.append(node)
            case ast.ImportFrom(module="dataclasses" | "sessionkit"):
                kept.append(node)
            case ast.ClassDef(name="Pizza") | ast.Assign(targets=[ast.Name("API" | "sessions")]):
                kept.append(node)
            case _:
                pass
    return "\n".join(map(ast.unparse, kept))


@pytest.mark.parametrize("library", ["aiogram", thorough("ptb")])
def test_the_bot_of_the_readme_has_stored_what_it_answers(library: str, tmp_path: Path) -> None:
    """It is killed as soon as the answer is there."""
    blocks = bots()[library]
    missing = [reason for reason in map(reason_not_to_run, blocks) if reason]
    if missing:
        pytest.skip(missing[0])
    assert blocks[-1].all_of("needs") == [library]
    script = tmp_path / "bot.py"
    script.write_text(pasted(library), "utf-8")

    async def main() -> None:
        async with life_of(script, tmp_path) as life:
            for count in range(1, ROUNDS + 1):
                if count > 1:
                    await life.start()
                await life.api.push(message("I want 🍕", chat=5))
                await life.until(lambda: len(life.api.sent) == len(life.tokens))
                await life.kill()
                life.api.waiting.clear()  # what it has answered, but not confirmed yet
                assert await stored(tmp_path / "pizza.db") == {"count": count}
                answer = Sent(life.tokens[-1], 5, f"Your hunger level is {count}!")
                assert life.api.sent[-1] == answer

    asyncio.run(main())


async def stored(database: Path) -> object:
    """Return what is stored for chat 5."""
    async with SQLiteSessionStorage(database) as storage:
        return await storage.read("5")


@pytest.mark.parametrize("library", ["aiogram", "ptb"])
def test_a_test_of_the_whole_bot_leaves_its_database_alone(
    library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if any(reason_not_to_run(block) for block in bots()[library]):
        pytest.skip(f"{library} is not installed")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SESSIONS", "memory:")
    module = ModuleType("bot_of_the_readme")
    monkeypatch.setitem(sys.modules, module.__name__, module)  # dataclasses look there
    exec(pasted(library), vars(module))
    sessions = vars(module)["sessions"]

    async def main() -> None:
        async with sessions.open(5) as opened:
            opened.data.count += 1
        assert (await sessions.get(5)).count == 1
        await sessions.close()

    asyncio.run(main())
    assert list(tmp_path.iterdir()) == []

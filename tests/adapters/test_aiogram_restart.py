"""FSM, Scenes and sessions in SQLite go on where a bot was killed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import pytest

ROOT = Path(__file__).parents[2]
Bot: TypeAlias = "subprocess.Popen[str]"


@contextmanager
def bot(database: Path) -> Generator[Bot]:
    """A bot that is killed in the end."""
    command = [sys.executable, "-m", "tests.adapters.aiogram_worker", str(database)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=ROOT) as process:
        try:
            yield process
        finally:
            process.kill()


def answers(process: Bot, chat: int, *texts: str) -> list[str]:
    assert process.stdin is not None and process.stdout is not None
    found: list[str] = []
    for text in texts:
        print(chat, text, file=process.stdin, flush=True)
        found.append(process.stdout.readline().strip())
    return found


@pytest.mark.thorough
def test_scenes_and_states_survive_sigkill(tmp_path: Path) -> None:
    database = tmp_path / "bot.db"

    with bot(database) as first:
        assert answers(first, 3, "order", "big", "ham") == ["size?", "topping?", "1: big with ham"]
        assert answers(first, 1, "order", "big") == ["size?", "topping?"]
        assert answers(first, 2, "count", "2", "3") == ["send numbers", "2", "5"]
    with bot(database) as second:
        assert answers(second, 1, "back", "small", "cheese") == [
            "size?",
            "topping?",
            "1: small with cheese",
        ]
        assert answers(second, 2, "4") == ["9"]
        assert answers(second, 3, "order", "big", "olives")[-1] == "2: big with olives"

"""The pizza bot on pyrogram: its handlers, called by the real dispatcher, over a restart."""

from __future__ import annotations

import asyncio
import importlib.util
from pathlib import Path
from typing import Any

import pytest

from tests.adapters.driver import Raw, message
from tests.adapters.pyrogram_bot import Offline
from tests.adapters.pyrogram_raw import NAME, PACKAGE

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "pyrogram_pizza.py"

pytestmark = pytest.mark.skipif(NAME != "pyrogram", reason="the example imports pyrogram")


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("API_ID", "1")
    monkeypatch.setenv("API_HASH", "hash")
    monkeypatch.setenv("BOT_TOKEN", "42:TEST")
    monkeypatch.delenv("SESSIONS", raising=False)


async def replies_to(*updates: Raw) -> list[str]:
    """Start the example again, and return what it answers."""
    spec = importlib.util.spec_from_file_location("pyrogram_pizza", EXAMPLE)
    assert spec is not None and spec.loader is not None
    example: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    sent: list[str] = []

    async def send_message(chat_id: int, text: str, *_: Any, **__: Any) -> None:
        sent.append(f"{chat_id}: {text}")

    app = example.app
    app.me = PACKAGE.types.User(id=42, username="pizza_bot")
    app.send_message = send_message
    bot = Offline(app)
    async with example.sessions, bot:
        for update in updates:
            await bot.feed(update)
    assert not bot.errors
    return sent


def test_the_example_counts_pizzas_and_still_knows_after_a_restart() -> None:
    async def main() -> None:
        assert await replies_to(message("/hunger"), message("🍕"), message("a 🍕🍕")) == [
            "11: Your hunger level is 0!"
        ]
        assert await replies_to(
            message("/hunger"),
            message("🍕", chat=12),
            message("/hunger", chat=12),
            message("/reset"),
            message("/hunger"),
        ) == [
            "11: Your hunger level is 2!",
            "12: Your hunger level is 1!",
            "11: Your hunger level is 0!",
        ]

    asyncio.run(main())
    assert Path("pizza.db").exists()

"""A bot as its user runs it: a process that talks to a Bot API server, killed and restarted."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from pathlib import Path  # noqa: TC003 (dataclasses look it up)

import pytest

from tests.adapters.bot_api_server import BotApi, serve
from tests.adapters.driver import BOT_ID


@dataclass
class Life:
    """The processes of one bot, one after the other, each with a token of its own."""

    api: BotApi
    script: Path
    folder: Path
    """The working directory, with the bot's database."""
    tokens: list[str] = field(default_factory=list[str])
    process: asyncio.subprocess.Process | None = None

    @property
    def database(self) -> Path:
        return self.folder / "pizza.db"

    async def start(self) -> None:
        self.tokens.append(f"{BOT_ID}:{chr(ord('A') + len(self.tokens)) * 35}")
        environment = {
            **os.environ,
            "BOT_TOKEN": self.tokens[-1],
            "BOT_API": self.api.url,
            "SESSIONS": f"sqlite:///{self.database}",
            "NO_PROXY": "127.0.0.1",
            "PYTHONIOENCODING": "utf-8",
        }
        with self._log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                str(self.script),
                cwd=self.folder,
                env=environment,
                stdout=log,
                stderr=log,
            )

    async def kill(self) -> None:
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something while the bot runs; say what it printed if it does not come."""
        assert self.process is not None
        wanted = asyncio.ensure_future(self.api.until(condition))
        ended = asyncio.ensure_future(self.process.wait())
        await asyncio.wait({wanted, ended}, return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()
        if not wanted.done() or wanted.exception() is not None:
            wanted.cancel()
            pytest.fail(
                f"{self.script.name} did not go on. It printed:\n{self._log.read_text('utf-8')}"
            )

    @property
    def _log(self) -> Path:
        return self.folder / "output.txt"


@contextlib.asynccontextmanager
async def life_of(script: Path, folder: Path) -> AsyncGenerator[Life, None]:
    """Serve a bot, run it in *folder*, and kill it at the end."""
    async with serve() as api:
        life = Life(api, script, folder)
        await life.start()
        try:
            yield life
        finally:
            await life.kill()
            await api.recover()

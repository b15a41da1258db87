"""Run a bot as several processes behind a web hook: what grammY's page does not answer.

    python worker_bot.py                                       # SQLite, on this machine
    python worker_bot.py redis://localhost 20000
    python worker_bot.py postgresql://localhost/bot 20000

A web server in front of the workers gives each update to any of them.  Two updates of
one chat may so be handled at the same time, in two processes.  Then one of them ends in
``SessionConflictError``, and nothing of it is written; the worker does not confirm the
update, and the platform delivers it again.  So none is lost, and none is counted twice.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from dataclasses import dataclass
from itertools import count
from typing import Any

from sessionkit import Session, SessionConflictError, session

DEFAULTS = ("sqlite:///worker_bot.db", "400")
WORKERS = 4
IN_FLIGHT = 64
CHATS = 25


@dataclass
class SessionData:
    messages: int = 0
    latest: str = ""


@dataclass
class Message:
    chat_id: int
    text: str


async def count_message(message: Message, session: Session[SessionData]) -> None:
    session.data.messages += 1
    session.data.latest = message.text


# --- a worker: listens for updates, as a web application does -----------------------------


async def work(storage: str) -> None:
    sessions = session(SessionData, storage=storage)
    closed = asyncio.Event()

    async def handle(line: bytes, writer: asyncio.StreamWriter) -> None:
        update = json.loads(line)
        message = Message(update["chat_id"], update["text"])
        try:
            async with sessions.open(message) as opened:
                await count_message(message, opened)
        except SessionConflictError:
            status = 500
        else:
            status = 200
        writer.write(json.dumps({"id": update["id"], "status": status}).encode() + b"\n")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.TaskGroup() as group:
            while line := await reader.readline():
                group.create_task(handle(line, writer))
        writer.close()
        closed.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await closed.wait()
    server.close()
    await sessions.close()


# --- the platform: delivers each update until it is confirmed -----------------------------


class Platform:
    """Gives each update to the next worker, until one confirms it."""

    def __init__(self) -> None:
        self.delivered: Counter[int] = Counter()
        self.again = 0
        self._statuses: dict[int, asyncio.Future[int]] = {}
        self._writers: list[asyncio.StreamWriter] = []
        self._listeners: list[asyncio.Task[None]] = []
        self._turns = count()

    async def connect(self, port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        self._writers.append(writer)
        self._listeners.append(asyncio.create_task(self._listen(reader)))

    async def deliver(self, number: int, chat: int) -> None:
        while await self._post({"id": number, "chat_id": chat, "text": "hello"}) != 200:
            self.again += 1
        self.delivered[chat] += 1

    async def disconnect(self) -> None:
        for writer in self._writers:
            writer.write_eof()
        await asyncio.gather(*self._listeners)
        for writer in self._writers:
            writer.close()

    async def _post(self, update: dict[str, Any]) -> int:
        status: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._statuses[update["id"]] = status
        writer = self._writers[next(self._turns) % len(self._writers)]
        writer.write(json.dumps(update).encode() + b"\n")
        return await status

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            answer = json.loads(line)
            self._statuses.pop(answer["id"]).set_result(answer["status"])


async def main(storage: str, updates: int) -> None:
    command = [sys.executable, __file__, "--worker", storage]
    pipe = asyncio.subprocess.PIPE
    workers = [await asyncio.create_subprocess_exec(*command, stdout=pipe) for _ in range(WORKERS)]
    platform = Platform()
    for worker in workers:
        assert worker.stdout is not None
        await platform.connect(int(await worker.stdout.readline()))

    numbers = iter(range(updates))

    async def feed() -> None:
        for number in numbers:
            await platform.deliver(number, 1 + number * 7919 % CHATS)

    await asyncio.gather(*(feed() for _ in range(IN_FLIGHT)))
    await platform.disconnect()
    for worker in workers:
        await worker.wait()

    sessions = session(SessionData, storage=storage)
    stored: Any = {int(key): data.messages async for key, data in sessions.items()}
    await sessions.close()
    exact = stored == platform.delivered
    print(f"{WORKERS} workers handled {updates} updates of {CHATS} chats", end="; ")
    print(f"{platform.again} were delivered again, because two workers clashed")
    print(f"messages counted: {sum(stored.values())}; each chat as delivered: {exact}")


if __name__ == "__main__":
    given = sys.argv[1:]
    if given[:1] == ["--worker"]:
        asyncio.run(work(given[1]))
    else:
        url, updates = (*given, *DEFAULTS[len(given) :])
        asyncio.run(main(url, int(updates)))

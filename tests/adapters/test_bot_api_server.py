"""The Bot API server of the tests delivers updates as Telegram does."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.adapters.bot_api_server import BotApi, serve
from tests.adapters.driver import TOKEN, message

ROOT = Path(__file__).parents[2]
OTHER_TOKEN = TOKEN + "2"


def served(course: Callable[[BotApi], Awaitable[None]]) -> None:
    async def main() -> None:
        async with serve() as api:
            await course(api)

    asyncio.run(main())


async def ask(api: BotApi, token: str = TOKEN, **parameters: Any) -> list[int]:
    """Call getUpdates; return the ids of the updates."""
    result = await api.call(token, "getUpdates", parameters)
    return [each["update_id"] for each in result]


def test_an_update_is_delivered_until_a_higher_offset_confirms_it() -> None:
    async def course(api: BotApi) -> None:
        one, two, three = updates = [message("hi") for _ in range(3)]
        await api.push(*updates)
        ids = [each["update_id"] for each in updates]
        assert await ask(api) == ids
        assert await ask(api, limit=2) == ids[:2]
        assert await ask(api, OTHER_TOKEN, offset=ids[1]) == ids[1:]
        assert await ask(api) == ids[1:]
        assert await ask(api, offset=-1) == ids[2:]
        assert await ask(api, offset=ids[2] + 1) == []
        assert api.delivered == {
            TOKEN: [one, two, three, one, two, two, three, three],
            OTHER_TOKEN: [two, three],
        }

    served(course)


def test_asking_waits_for_updates() -> None:
    async def course(api: BotApi) -> None:
        polling = asyncio.create_task(ask(api, timeout=30))
        await api.until(lambda: api.asked == 1)
        update = message("hi")
        await api.push(update)
        assert await polling == [update["update_id"]]

    served(course)


def test_the_last_poller_is_served_and_others_get_an_error() -> None:
    async def course(api: BotApi) -> None:
        async with aiohttp.ClientSession() as client:
            address = f"{api.url}/bot{{}}/getUpdates?timeout=30"
            first = asyncio.create_task(client.get(address.format(TOKEN)))
            await api.until(lambda: api.asked == 1)
            second = asyncio.create_task(client.get(address.format(OTHER_TOKEN)))
            assert (await first).status == 409
            await api.push(message("hi"))
            assert (await second).status == 200

    served(course)


def test_pending_updates_are_dropped_if_the_bot_says_so() -> None:
    async def course(api: BotApi) -> None:
        await api.push(message("hi"))
        assert await api.call(TOKEN, "deleteWebhook", {"drop_pending_updates": "false"}) is True
        assert len(api.waiting) == 1
        assert await api.call(TOKEN, "deleteWebhook", {"drop_pending_updates": "true"}) is True
        assert api.waiting == []

    served(course)


def test_waiting_ends_in_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.adapters.bot_api_server.PATIENCE", 0)

    async def course(api: BotApi) -> None:
        with pytest.raises(TimeoutError):
            await api.until(lambda: False)

    served(course)


def test_a_user_is_played_through_http() -> None:
    command = [sys.executable, "-m", "tests.adapters.bot_api_server"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stdout is not None
            asyncio.run(play(server.stdout.readline().strip()))
        finally:
            server.kill()


async def play(url: str) -> None:
    async with aiohttp.ClientSession(url) as client:

        async def result(path: str, **body: Any) -> Any:
            async with client.post(f"/bot{TOKEN}/{path}", **body) as response:
                answer = await response.json()
                assert answer["ok"]
                return answer["result"]

        assert (await result("getMe"))["is_bot"]
        assert await result("setMyCommands", json={"commands": []}) is True
        async with client.post("/control/say", json={"chat": 5, "text": "/hunger"}) as response:
            assert response.ok
        (update,) = await result("getUpdates", data={"timeout": "30"})
        assert update["message"]["text"] == "/hunger"
        sent = asyncio.create_task(client.get("/control/sent", params={"count": 1}))
        told = await result("sendMessage", data={"chat_id": 5, "text": "0"})
        assert (told["chat"]["id"], told["text"]) == (5, "0")
        async with await sent as response:
            assert await response.json() == [{"token": TOKEN, "chat": 5, "text": "0"}]

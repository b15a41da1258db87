"""A Bot API server on loopback: long polling as Telegram does it, and what tests want to know.

Telegram keeps an update until a ``getUpdates`` with a higher ``offset`` confirms
it; until then every ``getUpdates`` delivers it again, to whomever asks.  All
tokens of one bot (``42:first``, ``42:second``) see the same updates, so that a
test can tell one process of the bot from the next by its token.

``async with serve() as api`` runs it within a test.  As a process of its own,
``python -m tests.adapters.bot_api_server`` prints its address and serves until it
is stopped; then a user is played through HTTP::

    curl ADDRESS/control/say -d '{"chat": 1, "text": "/hunger"}'
    curl "ADDRESS/control/sent?count=1"        # waits until the bot has sent so many messages
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

from aiohttp import web

from tests.adapters.driver import BOT_ID, Raw, message

PATIENCE = 60.0
MOST_AT_ONCE = 100

Parameters: TypeAlias = Mapping[str, Any]


class Sent(NamedTuple):
    """A message that the bot sent."""

    token: str
    chat: int
    text: str


class Conflict(Exception):
    """Another process of the bot asks for updates; Telegram serves the last one who came."""


class BotApi:
    """What Telegram knows of one bot."""

    def __init__(self) -> None:
        self.url = ""
        self.waiting: list[Raw] = []
        """Updates that were not confirmed."""
        self.delivered: dict[str, list[Raw]] = {}
        """By token, in order, what answers to ``getUpdates`` held; again if delivered again."""
        self.sent: list[Sent] = []
        self.held = 0
        """How many of the bot's messages still wait for an answer."""
        self.asked = 0
        """How many ``getUpdates`` wait for updates."""
        self.most_at_once = MOST_AT_ONCE
        """How many updates an answer to ``getUpdates`` may hold."""
        self.forgets: Callable[[], bool] = lambda: False
        """Asked at each ``getUpdates``: whether what that confirms is delivered again."""
        self._answers = float("inf")
        self._polls_arrive = True
        self._changed = asyncio.Condition()
        self._polls = 0

    # --- what a test does ---

    async def push(self, *updates: Raw) -> None:
        """Let updates come in, from users."""
        async with self._changed:
            self.waiting.extend(updates)
            self._changed.notify_all()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something is so; it is looked at whenever anything has changed.

        Raises:
            TimeoutError: It does not come to that.
        """
        async with asyncio.timeout(PATIENCE), self._changed:
            await self._changed.wait_for(condition)

    async def hold_after(self, answers: float) -> None:
        """Answer so many messages of the bot; keep it waiting for the answers to all others."""
        async with self._changed:
            self._answers = answers
            self._changed.notify_all()

    def lose_polls(self) -> None:
        """Let no ``getUpdates`` arrive any more: the bot has updates, and cannot confirm them."""
        self._polls_arrive = False

    async def recover(self) -> None:
        """Hold and lose nothing any more."""
        self._polls_arrive = True
        await self.hold_after(float("inf"))

    # --- what the bot does ---

    async def call(self, token: str, method: str, parameters: Parameters) -> Any:
        """The result of a method of the Bot API; what is not known is true."""
        if method.lower() == "getupdates":
            return await self._get_updates(token, parameters)
        if method.lower() == "sendmessage":
            return await self._send_message(token, parameters)
        if method.lower() == "deletewebhook" and _is_true(parameters.get("drop_pending_updates")):
            self.waiting.clear()
        if method.lower() == "getme":
            bot = int(token.partition(":")[0])
            return {"id": bot, "is_bot": True, "first_name": "Pizza", "username": "pizza_bot"}
        return True

    async def _get_updates(self, token: str, parameters: Parameters) -> list[Raw]:
        offset = int(parameters.get("offset") or 0)
        limit = int(parameters.get("limit") or MOST_AT_ONCE)
        async with self._changed:
            await self._changed.wait_for(lambda: self._polls_arrive)
            self._polls += 1
            mine = self._polls
            if not self.forgets():
                self._confirm(offset)
            self._changed.notify_all()
            await self._wait_for_updates(float(parameters.get("timeout") or 0), mine)
            answer = self.waiting[: min(limit, self.most_at_once)]
            self.delivered.setdefault(token, []).extend(answer)
            self._changed.notify_all()
            return answer

    def _confirm(self, offset: int) -> None:
        if offset < 0:
            self.waiting = self.waiting[offset:]
        else:
            self.waiting = [each for each in self.waiting if each["update_id"] >= offset]

    async def _wait_for_updates(self, timeout: float, mine: int) -> None:
        self.asked += 1
        try:
            async with asyncio.timeout(timeout):
                await self._changed.wait_for(lambda: bool(self.waiting) or self._polls != mine)
        except TimeoutError:
            pass  # the answer is that there are none
        finally:
            self.asked -= 1
        if self._polls != mine:
            raise Conflict

    async def _send_message(self, token: str, parameters: Parameters) -> Raw:
        chat, text = int(parameters["chat_id"]), str(parameters["text"])
        async with self._changed:
            self.sent.append(Sent(token, chat, text))
            self.held += 1
            self._changed.notify_all()
            try:
                await self._changed.wait_for(lambda: self._answers > 0)
            finally:
                self.held -= 1
                self._changed.notify_all()
            self._answers -= 1
        answer: Raw = message(text, chat=chat)["message"]
        return answer | {"from": {"id": BOT_ID, "is_bot": True, "first_name": "Pizza"}}


def _is_true(parameter: Any) -> bool:
    return str(parameter).lower() in {"true", "1"}


# --- over HTTP ----------------------------------------------------------------------------


async def _parameters_of(request: web.Request) -> Parameters:
    if request.content_type == "application/json":
        return {**request.query, **await request.json()}
    # telebot sends a form with GET, where aiohttp would not look for one
    form = await request.clone(method="POST").post()
    return {**request.query, **form}


def _application(api: BotApi) -> web.Application:
    async def call(request: web.Request) -> web.Response:
        token, method = request.match_info["token"], request.match_info["method"]
        try:
            result = await api.call(token, method, await _parameters_of(request))
        except Conflict:
            error = {"ok": False, "error_code": 409, "description": "Conflict: other getUpdates"}
            return web.json_response(error, status=409)
        return web.json_response({"ok": True, "result": result})

    async def say(request: web.Request) -> web.Response:
        said = json.loads(await request.text())
        await api.push(message(said["text"], chat=int(said["chat"])))
        return web.json_response({"ok": True})

    async def sent(request: web.Request) -> web.Response:
        count = int(request.query.get("count", 0))
        await api.until(lambda: len(api.sent) >= count)
        return web.json_response([each._asdict() for each in api.sent])

    application = web.Application()
    application.router.add_route("*", "/bot{token}/{method}", call)
    application.router.add_post("/control/say", say)
    application.router.add_get("/control/sent", sent)
    return application


@contextlib.asynccontextmanager
async def serve(port: int = 0) -> AsyncGenerator[BotApi, None]:
    """Serve a bot on loopback; ``api.url`` is where."""
    api = BotApi()
    # What a process asked for that is gone, nobody gets.
    runner = web.AppRunner(_application(api), handler_cancellation=True, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        host, port = runner.addresses[0][:2]
        api.url = f"http://{host}:{port}"
        yield api
    finally:
        await runner.cleanup()


async def main() -> None:
    async with serve() as api:
        print(api.url, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())

"""Which bots may use a storage: those on a list, or those that the Bot API knows."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, Final

import aiohttp
from yarl import URL

_TOKEN: Final = re.compile(r"(\d{1,20}):[\w-]{1,100}", re.ASCII)
_DIGEST: Final = re.compile(r"[0-9a-fA-F]{64}")
_ID: Final = re.compile(r"\d{1,20}", re.ASCII)
_PATIENCE: Final = 10.0
_AT_ONCE: Final = 8
_MOST_BYTES: Final = 2**16


class UnavailableError(Exception):
    """Raised if the Bot API does not say whether it knows a bot."""


class BotAPI:
    """Asks a Bot API whose token it is.

    No token is shown in errors, although it is part of each address.

    Args:
        address: Such as ``https://api.telegram.org``.

    Raises:
        ValueError: It is not an address.
    """

    def __init__(self, address: str) -> None:
        if not re.fullmatch(r"https?://[^\s?#]+", address, re.IGNORECASE):
            msg = f"{address!r} is not the address of a Bot API, such as https://api.telegram.org"
            raise ValueError(msg)
        self._address = address.rstrip("/")
        self._turn = asyncio.Semaphore(_AT_ONCE)

    async def knows(self, token: str) -> bool:
        """Return whether *token* is that of a bot.

        Raises:
            UnavailableError: There was no answer that tells.
        """
        async with self._turn:
            status, body = await self._get_me(token)
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.NOT_FOUND):
            return False
        try:
            answer: Any = json.loads(body)
            found = status == HTTPStatus.OK and answer["result"]["id"]
        except (ValueError, TypeError, KeyError, RecursionError):
            found = False
        if found == _bot_of(token):
            return True
        msg = f"the Bot API answered {status}"
        raise UnavailableError(msg)

    async def _get_me(self, token: str) -> tuple[int, bytes]:
        url = URL(f"{self._address}/bot{token}/getMe", encoded=True)
        timeout = aiohttp.ClientTimeout(total=_PATIENCE)
        kind = None
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as http,
                http.get(url, allow_redirects=False) as response,
            ):
                return response.status, await response.content.read(_MOST_BYTES)
        except (aiohttp.ClientError, OSError) as error:
            kind = type(error).__name__  # the text may have the address
        msg = f"the Bot API cannot be asked: {kind}"
        raise UnavailableError(msg)


class Bots:
    """The bots that may log in.

    Args:
        lines: What the list says, None if there is none: in each line the token of a bot, its
            SHA-256, or, for bots that *api* is asked about, its id.  Empty lines, and those that
            begin with ``#``, are left out.
        api: Who is asked; without a list, about each bot.

    Raises:
        ValueError: A line is none of this (it is not shown), nobody is on the list, or there is
            neither a list nor somebody to ask.
    """

    def __init__(self, lines: Iterable[str] | None, api: BotAPI | None) -> None:
        self._api = api
        self._digests: set[str] = set()
        self._ids: set[str] = set()
        self._anybody = lines is None
        for number, line in enumerate(lines or (), 1):
            self._add(line.strip(), number)
        if lines is None and api is None:
            msg = "it has to be said who may use it: give --bots FILE, --telegram-api URL, or both"
            raise ValueError(msg)
        if not (self._digests or self._ids or self._anybody):
            msg = "the list of bots is empty"
            raise ValueError(msg)

    def __str__(self) -> str:
        if self._anybody:
            return "every bot that the Bot API knows"
        number = len(self._digests | self._ids)
        return "one bot" if number == 1 else f"{number} bots"

    async def bot_of(self, token: str) -> int | None:
        """Return the id of the bot that *token* belongs to; None if it may not log in.

        Raises:
            UnavailableError: It is not known.
        """
        bot = _bot_of(token)
        if bot is None:
            return None
        if hashlib.sha256(token.encode()).hexdigest() in self._digests:
            return bot
        if self._api is None or not (self._anybody or str(bot) in self._ids):
            return None
        return bot if await self._api.knows(token) else None

    def _add(self, line: str, number: int) -> None:
        if not line or line.startswith("#"):
            return
        if _TOKEN.fullmatch(line):
            self._digests.add(hashlib.sha256(line.encode()).hexdigest())
        elif _DIGEST.fullmatch(line):
            self._digests.add(line.lower())
        elif _ID.fullmatch(line) and self._api is not None:
            self._ids.add(line)
        else:
            hint = ", and an id alone needs --telegram-api" if _ID.fullmatch(line) else ""
            msg = f"line {number} is neither the token of a bot nor its SHA-256{hint}"
            raise ValueError(msg)


def _bot_of(token: str) -> int | None:
    parts = _TOKEN.fullmatch(token)
    return None if parts is None else int(parts[1])

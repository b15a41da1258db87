"""Sessions in a free storage."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import re
import threading
import warnings
from collections.abc import AsyncIterator, Coroutine, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Self, TypeGuard, cast

from sessionkit import (
    InvalidSessionKeyError,
    SessionClosedError,
    SessionDecodeError,
    SessionEncodeError,
    SessionError,
    SessionListingError,
)
from sessionkit.codecs import JSONCodec
from sessionkit.storages.authoring import (
    BlockingView,
    check_key,
    decode_value,
    encode_entry,
    seconds,
    settle,
)
from sessionkit_free import _limits
from sessionkit_free._client import Client, Request, Secret, Sleep
from sessionkit_free._keys import escaped, unescaped

if TYPE_CHECKING:
    from collections.abc import Hashable
    from datetime import timedelta

TOKEN_VARIABLE: Final = "BOT_TOKEN"  # noqa: S105 (the name of a variable)

_TOKEN: Final = re.compile(r"(\d+):[\w-]+", re.ASCII)
_ROOT: Final = re.compile(r"https?://[^\s/?#@\\]+(?:/[^\s?#@\\]*)?", re.ASCII | re.IGNORECASE)
_AT_ONCE: Final = 16
_SHOWN: Final = 5


class FreeSessionStorage:
    """Keep sessions in grammY's free storage, or in one that speaks its protocol.

    **Those who run it get the bot token and the data of all chats.**  It has no revisions:
    only one process may use it for a bot at a time, or updates overwrite each other.
    Nothing expires there by itself.  Keys have at most 63 characters (all but the usual ones
    count as three for each byte), values 16,383 bytes as JSON, a bot has 50,000 sessions.

    A call logs in if need be, and once more if the login has expired.  What failed is repeated
    as long as that is harmless: a write only if nothing of it can be under way.

    Args:
        bot_token: The token of the bot, which is sent to log in.
        root_url: The address of the storage.  That of grammY is
            ``"https://grammy-free-session.deno.dev/api"``.
        deadline: How long a call may take before it raises, repetitions included.

    Attributes:
        deadline: The same, in seconds.
        identity: Equal for storages on the same data.

    Raises:
        TypeError: *bot_token* or *root_url* is not a text, or *deadline* not a span of time.
        ValueError: *bot_token* is not a bot token (it is not shown), *root_url* not an address,
            or *deadline* not positive and finite.
    """

    isolated: Final = True
    settles: Final = True

    def __init__(self, bot_token: str, *, root_url: str, deadline: timedelta | float = 20) -> None:
        self.deadline: float = seconds("deadline", deadline)
        bot = _bot_of(bot_token)
        self._token = Secret(bot_token)
        self._root = _address(root_url)
        self.identity: Hashable = ("free", self._root, bot)
        self._name = f"<FreeSessionStorage of bot {bot} at {self._root}>"
        self._codec = JSONCodec()
        self._sleep: Sleep = asyncio.sleep
        self._clients: dict[asyncio.AbstractEventLoop, Client] = {}
        self._view: BlockingView | None = None
        self._opening = threading.Lock()
        self._closed = False

    def __repr__(self) -> str:
        return self._name

    @property
    def sync(self) -> BlockingView:
        """The same for threads: a storage of its own, in an event loop on a thread of its own."""
        with self._opening:
            if self._view is None:
                self._view = BlockingView(self._copy)
            return self._view

    async def read(self, key: str, /) -> Any:
        """Return the value, None if missing.

        Raises:
            SessionDecodeError: It is not JSON.
            SessionError: The storage failed.
        """
        request = Request("GET", _path(key), key=key)
        client = self._client()
        reply = await client.call(request)
        if reply.status == HTTPStatus.NOT_FOUND and not reply.body:
            return None  # if the address were wrong, there would be a text
        if reply.status == HTTPStatus.UNPROCESSABLE_ENTITY:
            said = client.without_secrets(reply)
            msg = f"what is stored under {key!r} cannot be decoded: {said}. It was left as it is"
            raise SessionDecodeError(msg, key=key)
        client.check(reply, request)
        return decode_value(self._codec, key, reply.body, f"in {self._root}")

    def write(self, key: str, value: Any, /) -> Coroutine[Any, Any, None]:
        """Store *value* as it is now, whatever was there.

        Raises:
            InvalidSessionKeyError: The key is too long; nothing was sent.
            SessionEncodeError: The value is too large, or not JSON; nothing was sent.
            SessionWriteError: It may have been written, or not.
            SessionError: The storage failed; nothing was written.
        """
        path = _path(key)
        raw = encode_entry(self._codec, key, value)
        if len(raw) > _limits.VALUE:
            msg = (
                f"the data of {key!r} has {len(raw):,} bytes as JSON, and a free storage takes "
                f"{_limits.VALUE:,}. The stored value was kept"
            )
            raise SessionEncodeError(msg, key=key)
        return self._change(Request("POST", path, raw, key))

    def delete(self, key: str, /) -> Coroutine[Any, Any, None]:
        """Remove *key*; a no-op if nothing is stored under it."""
        return self._change(Request("DELETE", _path(key), key=key))

    async def iter_keys(self, prefix: str = "", /) -> AsyncIterator[str]:
        """Yield each key that begins with *prefix*, in any order.

        Raises:
            SessionListingError: At the end, if a program with other rules for keys wrote some.
        """
        sent = await self._listed()
        foreign: list[str] = []
        for each in sent:
            key = unescaped(each)
            if key is None:
                foreign.append(each)
            elif key.startswith(prefix):
                yield key
        if foreign:
            msg = (
                f"{_some(foreign)} cannot be reached from here and were left out: grammY wrote "
                "keys with a percent sign, or without anything in them"
            )
            raise SessionListingError(msg, key=foreign[0], keys=tuple(foreign))

    async def iter_items(self, prefix: str = "", /) -> AsyncIterator[tuple[str, Any]]:
        """Yield pairs of key and value, otherwise as ``iter_keys``.

        Raises:
            SessionListingError: At the end, if values could not be read; says which.
        """
        keys: list[str] = []
        left_out: dict[str, SessionError] = {}
        try:
            async for key in self.iter_keys(prefix):
                keys.append(key)  # noqa: PERF401 (they are kept if an error ends the listing)
        except SessionListingError as error:
            left_out |= dict.fromkeys(error.keys, error)
        for start in range(0, len(keys), _AT_ONCE):
            page = keys[start : start + _AT_ONCE]
            found = await asyncio.gather(*map(self.read, page), return_exceptions=True)
            for key, value in zip(page, found, strict=True):
                if isinstance(value, SessionDecodeError):
                    left_out[key] = value
                elif isinstance(value, BaseException):
                    raise value
                elif value is not None:
                    yield key, value
        if left_out:
            first = next(iter(left_out.values()))
            some = _some(list(left_out))
            msg = f"{some} cannot be read and were left out. The first error: {first}"
            raise SessionListingError(msg, keys=tuple(left_out)) from first

    async def close(self) -> None:
        """Finish what is under way, and let go of all connections; a no-op the second time."""
        self._closed = True
        self._forget_closed_loops()
        here = asyncio.get_running_loop()
        clients, self._clients = self._clients, {}
        for loop, client in clients.items():
            if loop is here:
                await client.close()
            else:
                asyncio.run_coroutine_threadsafe(client.close(), loop)
        if self._view is not None:
            await asyncio.to_thread(self._view.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def _change(self, request: Request) -> None:
        client = self._client()
        client.check(await settle(client.call(request)), request)

    async def _listed(self) -> Sequence[str]:
        """Return all keys as they are sent."""
        client, request = self._client(), Request("GET", "/sessions")
        reply = await client.call(request)
        client.check(reply, request)
        keys = _keys_in(reply.body)
        if keys is None:
            reason = f"that is not a list of keys: {reply}"
            raise client.error(reason, request)
        return keys

    def _client(self) -> Client:
        loop = asyncio.get_running_loop()
        client = self._clients.get(loop)
        if client is None:
            if self._closed:
                msg = f"{self._name} was closed: make a new one"
                raise SessionClosedError(msg)
            self._forget_closed_loops()
            client = Client(self._root, self._token, self.deadline, self._sleep)
            self._clients[loop] = client
        return client

    def _forget_closed_loops(self) -> None:
        gone = [loop for loop in self._clients if loop.is_closed()]
        if not gone:
            return
        with warnings.catch_warnings():  # their sockets can be closed by the collector only
            warnings.simplefilter("ignore", ResourceWarning)
            for loop in gone:
                self._clients.pop(loop).abandon()
            gc.collect()

    def _copy(self) -> FreeSessionStorage:
        return FreeSessionStorage(self._token.reveal(), root_url=self._root, deadline=self.deadline)


def open_url(url: str) -> FreeSessionStorage:
    """Return the storage at ``free:ADDRESS``, for the bot whose token is in ``BOT_TOKEN``.

    Raises:
        ValueError: The variable is not set, or the address is wrong.
    """
    token = os.environ.get(TOKEN_VARIABLE)
    if not token:
        msg = f"free: takes the token of the bot from the environment: set {TOKEN_VARIABLE}"
        raise ValueError(msg)
    return FreeSessionStorage(token, root_url=url.partition(":")[2])


def _bot_of(token: str) -> int:
    """Return the id of the bot."""
    if not isinstance(token, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        msg = f"bot_token must be a str, not {type(token).__name__}"
        raise TypeError(msg)
    parts = _TOKEN.fullmatch(token)
    if parts is None:
        msg = "bot_token is not the token of a bot, which is a number, a colon, and some letters"
        raise ValueError(msg)
    return int(parts[1])


def _address(root_url: str) -> str:
    if not isinstance(root_url, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        msg = f"root_url must be a str, not {type(root_url).__name__}"
        raise TypeError(msg)
    if not _ROOT.fullmatch(root_url):
        msg = (
            "root_url must be the address of a free storage, such as http://127.0.0.1:8080/api: "
            "without user, password, '?' and '#'"
        )
        raise ValueError(msg)
    return root_url.rstrip("/")


def _path(key: str) -> str:
    sent = escaped(check_key(key))
    if len(sent) > _limits.KEY:
        msg = (
            f"the key {key!r} has {len(sent)} characters as it is sent, and a free storage takes "
            f"{_limits.KEY}: use a shorter prefix, or letters that need no escape"
        )
        raise InvalidSessionKeyError(msg, key=key)
    return f"/session/{sent}"


def _keys_in(body: bytes) -> Sequence[str] | None:
    """Return the keys of a listing, None if it is none."""
    try:
        found: Any = json.loads(body)
    except (ValueError, RecursionError):
        return None
    keys: Any = cast("dict[str, Any]", found).get("keys") if isinstance(found, dict) else found
    return keys if _are_texts(keys) else None


def _are_texts(found: Any) -> TypeGuard[list[str]]:
    if not isinstance(found, list):
        return False
    return all(isinstance(each, str) for each in cast("Sequence[Any]", found))


def _some(keys: Sequence[str]) -> str:
    shown = ", ".join(map(repr, keys[:_SHOWN]))
    return f"{len(keys)} of the sessions ({shown}{', ...' if len(keys) > _SHOWN else ''})"

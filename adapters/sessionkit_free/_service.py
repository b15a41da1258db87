"""The protocol of grammY's free storage, answered from any storage."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import AsyncIterable, AsyncIterator, Callable
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sessionkit import (
    InvalidSessionKeyError,
    SessionDecodeError,
    SessionEncodeError,
    SessionListingError,
)
from sessionkit.codecs import JSONCodec
from sessionkit_free import _limits
from sessionkit_free._bots import Bots, UnavailableError
from sessionkit_free._tokens import Tokens

if TYPE_CHECKING:
    from sessionkit.protocols import MaybeAsyncIterable

_log: Final = logging.getLogger("sessionkit_free")

_RECOUNT_AFTER: Final = 60.0
_RETRY_AFTER: Final = 2
_codec: Final = JSONCodec()


class RefusedError(Exception):
    """Raised if a request is not as it should be."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Answer(NamedTuple):
    """A reply of HTTP; its body, if it has one, is JSON."""

    status: int
    body: bytes = b""
    retry_after: int | None = None


class Asked(NamedTuple):
    """A request of HTTP.

    Attributes:
        method: ``GET`` and so on.
        target: The path, as it was sent.
        authorization: The header of this name.
        body: At most so much of it that one can tell that it is too large.
    """

    method: str
    target: str
    authorization: str | None
    body: bytes


class Service:
    """What a server of the protocol answers.

    The sessions of the bot 42 are under ``bot42/KEY``, where the key has the form in which it
    is sent, as on grammY's server.

    Args:
        storage: Any storage that lists its keys.
        bots: Who may log in.
        tokens: What they get.
        most: How many sessions a bot may have.
        clock: Seconds, for counting again from time to time.
    """

    def __init__(
        self,
        storage: Any,
        bots: Bots,
        tokens: Tokens,
        most: int = _limits.SESSIONS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._storage = storage
        self._bots = bots
        self._tokens = tokens
        self._census = _Census(storage, most, clock)

    async def answer(self, asked: Asked) -> Answer:
        """Return the answer to a request; never raises."""
        try:
            return await self._answer(asked)
        except RefusedError as error:
            return _error(error.status, str(error))
        except UnavailableError as error:
            _log.warning("a bot cannot log in: %s", error)
            return _error(503, str(error))
        except SessionDecodeError:
            _log.exception("a session cannot be read")
            return _error(422, "what is stored is damaged: ask those who run this storage")
        except (SessionEncodeError, InvalidSessionKeyError) as error:
            return _error(400, str(error))
        except Exception:  # noqa: BLE001 (storages raise what they like, and bots wait)
            _log.exception("the storage failed")
            return _error(500, "the storage failed")

    async def _answer(self, asked: Asked) -> Answer:
        match asked.target.partition("?")[0].split("/"):
            case ["", "api", "login"]:
                return await self._log_in(asked.body)
            case ["", "api", "sessions"]:
                return await self._list(self._bot_of(asked), asked.method)
            case ["", "api", "session", *parts]:
                return await self._session(self._bot_of(asked), "/".join(parts), asked)
            case _:
                raise RefusedError(404, "not found")

    def _bot_of(self, asked: Asked) -> int:
        scheme, _, token = (asked.authorization or "").partition(" ")
        bot = self._tokens.bot_of(token) if scheme == "Bearer" else None
        if bot is None:
            raise RefusedError(401, "unauthorized")
        return bot

    async def _log_in(self, body: bytes) -> Answer:
        try:
            token: Any = _codec.decode(body)["token"]
        except (ValueError, TypeError, KeyError, RecursionError):
            raise RefusedError(400, "invalid or missing json body") from None
        if not isinstance(token, str) or not token:
            raise RefusedError(400, "expected token string in request body")
        bot = await self._bots.bot_of(token)
        if bot is None:
            raise RefusedError(401, "invalid bot token")
        return _json(201, {"token": self._tokens.token_for(bot)})

    async def _list(self, bot: int, method: str) -> Answer:
        if method != "GET":
            raise _not_allowed()
        return _json(200, {"keys": [key async for key in keys_of(self._storage, bot)]})

    async def _session(self, bot: int, key: str, asked: Asked) -> Answer:
        match asked.method:
            case "GET":
                value = await _done(self._storage.read(_place(bot, key)))
                return Answer(404) if value is None else _json(200, value)
            case "POST":
                return await self._write(bot, key, asked.body)
            case "DELETE":
                await _done(self._storage.delete(_place(bot, key)))
                self._census.forget(bot, key)
                return Answer(204)
            case _:
                raise _not_allowed()

    async def _write(self, bot: int, key: str, body: bytes) -> Answer:
        if len(key) > _limits.KEY:
            raise RefusedError(400, f"key lengths exceeds {_limits.KEY + 1}")
        value = _value_in(body)
        if not await self._census.admits(bot, key):
            raise RefusedError(409, "max session count reached")
        await _done(self._storage.write(_place(bot, key), value))
        return Answer(204)


class _Census:
    """Counts the sessions of each bot."""

    def __init__(self, storage: Any, most: int, clock: Callable[[], float]) -> None:
        self._storage = storage
        self._most = most
        self._clock = clock
        self._keys: dict[int, set[str]] = {}
        self._counted: dict[int, float] = {}
        self._turns: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def admits(self, bot: int, key: str) -> bool:
        """Return whether there is room for *key*, which counts from now on."""
        async with self._turns[bot]:
            if self._must_count(bot, key):
                self._keys[bot] = {key async for key in keys_of(self._storage, bot)}
                self._counted[bot] = self._clock()
            if self._is_full(bot, key):
                return False
            self._keys[bot].add(key)
            return True

    def forget(self, bot: int, key: str) -> None:
        """Take note that *key* was removed."""
        self._keys.get(bot, set()).discard(key)

    def _must_count(self, bot: int, key: str) -> bool:
        """Whether it is not known how many there are, or some may have expired since."""
        if bot not in self._keys:
            return True
        return self._is_full(bot, key) and self._clock() >= self._counted[bot] + _RECOUNT_AFTER

    def _is_full(self, bot: int, key: str) -> bool:
        keys = self._keys[bot]
        return key not in keys and len(keys) >= self._most


async def keys_of(storage: Any, bot: int) -> AsyncIterator[str]:
    """Yield the keys of a bot, as they were sent."""
    prefix = _place(bot, "")
    try:
        async for key in _listing(await _done(storage.iter_keys(prefix))):
            yield key.removeprefix(prefix)
    except SessionListingError as error:  # what cannot be read is there, too
        for key in error.keys:
            yield key.removeprefix(prefix)


async def _listing(keys: MaybeAsyncIterable[str]) -> AsyncIterator[str]:
    if isinstance(keys, AsyncIterable):
        async for key in keys:
            yield key
    else:
        for key in keys:
            yield key


async def _done(answer: Any) -> Any:
    return await answer if isawaitable(answer) else answer


def _place(bot: int, key: str) -> str:
    return f"bot{bot}/{key}"


def _value_in(body: bytes) -> Any:
    """Return the value that is to be stored."""
    if not body:
        raise RefusedError(400, "missing body")
    if len(body) > _limits.VALUE:
        raise RefusedError(400, f"data exceeds {_limits.VALUE + 1} bytes")
    try:
        value = _codec.decode(body)
        _codec.encode(value)  # a number beyond all floats can only be read
    except (ValueError, RecursionError) as error:
        raise RefusedError(400, f"data is not JSON: {error}") from None
    if value is None:
        raise RefusedError(400, "data is null: to remove a session, DELETE it")
    return value


def _not_allowed() -> RefusedError:
    return RefusedError(405, "method not allowed")


def _error(status: int, text: str) -> Answer:
    answer = _json(status, {"error": text})
    return answer._replace(retry_after=_RETRY_AFTER) if status == 503 else answer


def _json(status: int, value: Any) -> Answer:
    return Answer(status, _codec.encode(value))

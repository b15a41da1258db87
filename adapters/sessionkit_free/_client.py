"""Asking a free storage over HTTP: one login for all who wait, repetitions, a deadline."""

from __future__ import annotations

import asyncio
import json
import random
import re
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import suppress
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final, TypeAlias

import aiohttp
from yarl import URL

from sessionkit import SessionClosedError, SessionError, SessionWriteError

Sleep: TypeAlias = Callable[[float], Awaitable[object]]

_MOST_TRIES: Final = 6
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 3.0
_MOST_BYTES: Final = 16 * 2**20
_CHUNK: Final = 2**16
_SHOWN: Final = 200
_HINTS: Final = {
    **dict.fromkeys((301, 302, 307, 308), ". Is root_url the address itself, https and all?"),
    404: ". Is root_url right?",
}
_PASS: Final = re.compile(r"[\x21-\x7e]+")
_SERVER_ERRORS: Final = range(500, 600)
_ENDED: Final = (429, 500, 503)
"""Failures after which nothing of a request is under way any more."""


class Secret:
    """A bot token, not shown by accident."""

    __slots__ = ("reveal",)

    def __init__(self, token: str) -> None:
        self.reveal: Callable[[], str] = lambda: token

    def __repr__(self) -> str:
        return "<a bot token>"


class Request:
    """What is asked for.

    Args:
        method: Of HTTP.
        path: Below the address of the storage, escaped.
        body: What is sent.
        key: The session that this is about.

    Attributes:
        changes: Whether it is a write or delete.  Once its reply is lost it may still take
            effect later, over what was written meanwhile, so it is not repeated then.
        may_be_done: Whether it was sent, and not refused.
    """

    def __init__(
        self, method: str, path: str, body: bytes | None = None, key: str | None = None
    ) -> None:
        self.method = method
        self.path = path
        self.body = body
        self.key = key
        self.changes: bool = key is not None and method != "GET"
        self.may_be_done = False


class Reply:
    """What the server answered.

    Attributes:
        status: Of HTTP.
        body: What came with it.
        retry_after: For how many seconds the server wants to be left alone, None if it does
            not say.
    """

    def __init__(self, status: int, body: bytes, retry_after: float | None) -> None:
        self.status = status
        self.body = body
        self.retry_after = retry_after
        self.is_done: bool = HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES
        self.is_failure: bool = status in _SERVER_ERRORS or status == HTTPStatus.TOO_MANY_REQUESTS

    def __str__(self) -> str:
        said = self.body[:_SHOWN].decode("utf-8", "replace").strip()
        wait = "" if self.retry_after is None else f", try again in {self.retry_after:g} seconds"
        return f"it answered {self.status}{f': {said}' if said else ''}{wait}"


class Lost:
    """There was no reply.

    Attributes:
        was_sent: Whether the server may have got the request.
    """

    def __init__(self, text: str, *, was_sent: bool) -> None:
        self._text = text
        self.was_sent = was_sent

    def __str__(self) -> str:
        return self._text


class Client:
    """The way to a free storage from one event loop.

    Args:
        root: The address of the storage.
        token: The bot's.
        deadline: How long a call may take, logins and repetitions included, in seconds.
        sleep: Waits between repetitions.
    """

    def __init__(self, root: str, token: Secret, deadline: float, sleep: Sleep) -> None:
        self._root = root
        self._token = token
        self._deadline = deadline
        self._sleep = sleep
        self._loop = asyncio.get_running_loop()
        self._http = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=None),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Accept": "application/json", "Content-Type": "application/json"},
        )
        self._http._retry_connection = False  # it would repeat deletes
        self._pass: str | None = None
        self._login: asyncio.Task[str | Lost] | None = None
        self._under_way = 0
        self._idle = asyncio.Event()
        self._closed = False

    async def call(self, request: Request) -> Reply:
        """Return the reply, in which the server does not say that it failed.

        Raises:
            SessionError: There was none, or the bot cannot log in: nothing was written.
            SessionWriteError: It may have been written, or not.
        """
        if self._closed:
            msg = "this storage was closed: make a new one"
            raise SessionClosedError(msg)
        self._under_way += 1
        try:
            outcome = await self._in_time(self._authorized(request))
        finally:
            self._under_way -= 1
            self._idle.set()
        if isinstance(outcome, Reply) and not outcome.is_failure:
            return outcome
        raise self.error(outcome, request)

    def check(self, reply: Reply, request: Request) -> None:
        """Raise ``SessionError`` unless *reply* says that *request* was done."""
        if not reply.is_done:
            reason = f"{reply}{_HINTS.get(reply.status, '')}"
            raise self.error(reason, request)

    def error(self, reason: object, request: Request) -> SessionError:
        """Return the error that says why *request* was not done, without any secret."""
        text = self.without_secrets(reason)
        where = f"the free storage at {self._root}"
        if request.changes and request.may_be_done:
            msg = (
                f"{request.key!r} may have been written, or not: {text}. Read it again before you "
                f"repeat the change; in {where}"
            )
            return SessionWriteError(msg, key=request.key, unknown=(str(request.key),))
        end = ". Nothing was written" if request.changes else ""
        return SessionError(f"{where} failed: {text}{end}", key=request.key)

    def without_secrets(self, said: object) -> str:
        """Return a text, in which a server may have repeated what it was sent."""
        text = str(said)
        for secret in filter(None, (self._token.reveal(), self._pass)):
            text = text.replace(secret, "...")
        return text

    async def close(self) -> None:
        """Finish what is under way, and close the connections; a no-op the second time."""
        self._closed = True
        while self._under_way:
            self._idle.clear()
            await self._idle.wait()
        if self._login is not None:  # all who had waited for it have given up
            self._login.cancel()
            await asyncio.wait((self._login,))
        await self._http.close()

    def abandon(self) -> None:
        """Let go of the connections of an event loop that is closed: nothing waits any more."""
        closing = self._http.close()
        with suppress(StopIteration):
            while True:
                closing.send(None)

    async def _in_time(self, course: Coroutine[Any, Any, Reply | Lost]) -> Reply | Lost:
        try:
            async with asyncio.timeout(self._deadline):
                return await course
        except TimeoutError:
            return Lost(f"there was no answer within {self._deadline:g} seconds", was_sent=True)

    async def _authorized(self, request: Request) -> Reply | Lost:
        """Return the outcome; log in before, and once more if the login has expired."""
        end = self._loop.time() + self._deadline
        admission = await self._admission(request)
        outcome = await self._patiently(request, admission, end)
        if isinstance(outcome, Reply) and outcome.status == HTTPStatus.UNAUTHORIZED:
            admission = await self._admission(request, expired=admission)
            outcome = await self._patiently(request, admission, end)
        return outcome

    async def _admission(self, request: Request, expired: str | None = None) -> str:
        """Return what lets the bot pass, not *expired*; all who wait for it share one login."""
        if self._pass is not None and self._pass != expired:
            return self._pass
        if self._login is None:
            self._login = asyncio.create_task(self._log_in())
        admission = await asyncio.shield(self._login)
        if isinstance(admission, Lost):
            raise self.error(admission, request)
        return admission

    async def _log_in(self) -> str | Lost:
        self._pass = None
        request = Request("POST", "/login")
        try:
            end = self._loop.time() + self._deadline
            outcome = await self._in_time(self._patiently(request, None, end))
        finally:
            self._login = None
        self._pass = _pass_in(outcome)
        if self._pass is not None:
            return self._pass
        if isinstance(outcome, Reply) and outcome.status == HTTPStatus.UNAUTHORIZED:
            text = f"it does not let this bot in, is the token still right? {outcome}"
            return Lost(text, was_sent=True)
        return Lost(f"the bot cannot log in: {outcome}", was_sent=True)

    async def _patiently(self, request: Request, admission: str | None, end: float) -> Reply | Lost:
        """Send *request*, again if that is harmless and may help, until *end*."""
        outcome = await self._send(request, admission)
        for pause in _pauses():
            if not _may_be_repeated(request, outcome):
                break
            wanted = max(pause, getattr(outcome, "retry_after", None) or 0.0)
            if self._loop.time() + wanted >= end:
                break
            await self._sleep(wanted)
            outcome = await self._send(request, admission)
        return outcome

    async def _send(self, request: Request, admission: str | None) -> Reply | Lost:
        before, request.may_be_done = request.may_be_done, True
        try:
            async with self._http.request(**self._parts(request, admission)) as response:
                wait = _seconds(response.headers.get("Retry-After"))
                reply = Reply(response.status, await _content(response), wait)
        except aiohttp.ClientConnectorError as error:
            request.may_be_done = before
            return Lost(f"it cannot be reached: {error}", was_sent=False)
        except (aiohttp.ClientError, OSError) as error:
            return Lost(f"the connection was lost: {_text(error)}", was_sent=True)
        if not (reply.is_done or reply.status in _SERVER_ERRORS):
            request.may_be_done = before
        return reply

    def _parts(self, request: Request, admission: str | None) -> dict[str, Any]:
        url = URL(self._root + request.path, encoded=True)
        parts: dict[str, Any] = {"method": request.method, "url": url, "allow_redirects": False}
        if admission is None:
            return parts | {"data": json.dumps({"token": self._token.reveal()}).encode()}
        return parts | {"data": request.body, "headers": {"Authorization": f"Bearer {admission}"}}


def _pauses() -> Iterator[float]:
    """Yield how long to wait before each repetition: at random, or all would come at once."""
    for tries in range(_MOST_TRIES - 1):
        yield min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**tries) * random.uniform(0.5, 1.0)  # noqa: S311


def _may_be_repeated(request: Request, outcome: Reply | Lost) -> bool:
    if isinstance(outcome, Reply):
        return outcome.is_failure and (outcome.status in _ENDED or not request.changes)
    return not (request.changes and outcome.was_sent)


async def _content(response: aiohttp.ClientResponse) -> bytes:
    """Return the body; of an endless one its beginning, which cannot be decoded."""
    content = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK):
        content += chunk
        if len(content) > _MOST_BYTES:
            response.close()
            break
    return bytes(content)


def _pass_in(outcome: Reply | Lost) -> str | None:
    """Return what a login gave, None if it did not, or if no header can hold it."""
    if not (isinstance(outcome, Reply) and outcome.is_done):
        return None
    try:
        admission: Any = json.loads(outcome.body)["token"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return admission if isinstance(admission, str) and _PASS.fullmatch(admission) else None


def _seconds(header: str | None) -> float | None:
    """Return the seconds that a ``Retry-After`` asks for: a number, or a date."""
    if header is None:
        return None
    if re.fullmatch(r"\d{1,9}", header):
        return float(header)
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
    except ValueError:
        return None


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__

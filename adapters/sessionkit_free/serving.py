"""The server of ``sessionkit serve-free``: grammY's free storage, from any storage.

    server = open_server(storage, bots=tokens)
    async with server.running("127.0.0.1", 8080) as url:
        ...

See docs/free-storage.md.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final

try:
    import jwt as _base
except ImportError as _error:
    _msg = (
        "serve-free needs aiohttp and PyJWT. They come with the extra 'serve-free': "
        'python -m pip install "<checkout>[serve-free]"'
    )
    raise ImportError(_msg, name="jwt") from _error

from aiohttp import web

from sessionkit_free import _limits
from sessionkit_free._bots import BotAPI, Bots
from sessionkit_free._service import Asked, Service
from sessionkit_free._tokens import Tokens

__all__ = [
    "FreeServer",
    "open_server",
]

del _base

_GRACE: Final = 10.0
"""Seconds for which requests under way are waited for at the end."""


class _Brief(logging.Filter):
    """Leaves out of the log what a broken request said: that may be a token."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep the message only."""
        record.exc_info = None
        return True


_log: Final = logging.getLogger("sessionkit_free.http")
_log.addFilter(_Brief())


class FreeServer:
    """Serves the protocol over HTTP.

    Attributes:
        bots: Who may use it, for people.
    """

    def __init__(self, service: Service, bots: str) -> None:
        self.bots: str = bots
        self._service = service

    @asynccontextmanager
    async def running(self, host: str, port: int) -> AsyncGenerator[str]:
        """Serve during the body; at its end, finish what is under way.

        Args:
            host: The address to listen at.
            port: Of TCP; 0 takes one that is free.

        Yields:
            The address for ``root_url``.

        Raises:
            OSError: It cannot listen there.
        """
        server = web.Server(self._handle, access_log=None, logger=_log)
        runner = web.ServerRunner(server, shutdown_timeout=_GRACE)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
            shown = f"[{host}]" if ":" in host else host
            yield f"http://{shown}:{runner.addresses[0][1]}/api"
        finally:
            await runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            body = await _beginning(request)
        except (OSError, web.RequestPayloadError):  # it has gone, or does not speak HTTP
            return web.Response(status=400)
        authorization = request.headers.get("Authorization")
        asked = Asked(request.method, request.raw_path, authorization, body)
        answer = await self._service.answer(asked)
        headers = {"Content-Type": "application/json"} if answer.body else {}
        if answer.retry_after is not None:
            headers["Retry-After"] = str(answer.retry_after)
        return web.Response(status=answer.status, body=answer.body, headers=headers)


def open_server(
    storage: Any,
    *,
    bots: Iterable[str] | None = None,
    telegram_api: str | None = None,
    max_sessions: int = _limits.SESSIONS,
) -> FreeServer:
    """Return a server that keeps the sessions of several bots apart in *storage*.

    Those of the bot 42 are under ``bot42/KEY``.

    Args:
        storage: Any storage that lists its keys.  It is not closed.
        bots: Who may log in: tokens, or their SHA-256 in hexadecimal digits; together with
            *telegram_api*, ids too.  None: all bots that *telegram_api* knows.
        telegram_api: The Bot API that tells whose token it is, ``https://api.telegram.org``.
        max_sessions: How many sessions a bot may have.

    Raises:
        TypeError: *storage* does not list its keys.
        ValueError: It is not said who may log in, or not rightly.
    """
    if not callable(getattr(storage, "iter_keys", None)):
        msg = f"{storage!r} cannot list its keys (it has no iter_keys), which the protocol needs"
        raise TypeError(msg)
    if max_sessions < 1:
        msg = f"max_sessions must be at least 1, not {max_sessions}"
        raise ValueError(msg)
    admitted = Bots(bots, None if telegram_api is None else BotAPI(telegram_api))
    return FreeServer(Service(storage, admitted, Tokens(), max_sessions), str(admitted))


async def _beginning(request: web.BaseRequest) -> bytes:
    """Return the body; of one that is too large, a little more than may be stored."""
    content = bytearray()
    async for chunk in request.content.iter_any():
        content += chunk
        if len(content) > _limits.VALUE:
            break
    return bytes(content)

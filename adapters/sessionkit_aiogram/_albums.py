"""Albums: Telegram sends each photo of one as an update of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from aiogram import BaseMiddleware
from aiogram.types import Message, TelegramObject

from sessionkit_aiogram._install import refuse_taken_name

if TYPE_CHECKING:
    from datetime import timedelta

    from aiogram import Dispatcher

_KINDS: Final = ("message", "channel_post", "business_message", "guest_message")
_MOST: Final = 10
"""Telegram allows no more messages in one album."""

Handler = Callable[[TelegramObject, dict[str, Any]], Awaitable[Any]]


def gather_albums(dp: Dispatcher, *, wait: timedelta | float = 0.5, name: str = "album") -> None:
    """Hand all messages of an album to one handler, as its argument ``album``.

    It is handled as one update, that of its first message, with one session.  The
    argument is a list of messages in their order; of a message that is in no album,
    a list of that message.  It makes no difference whether sessions are installed
    before or after.

    Telegram does not say how many messages there will be.  The updates must be
    handled side by side, as aiogram does by itself; each of them ends with the album.

    Args:
        dp: The dispatcher.
        wait: How long to wait for more after each message, as ``timedelta`` or seconds.
        name: What handlers call the list.

    Raises:
        ValueError: The name is taken.
    """
    refuse_taken_name(dp, name)
    seconds = wait if isinstance(wait, int | float) else wait.total_seconds()
    middlewares = dp.update.outer_middleware
    inner: list[Any] = list(middlewares)  # where updates of one chat may wait for each other
    for each in inner:
        middlewares.unregister(each)
    for each in (_Albums(seconds, name), *inner):
        middlewares.register(each)


class _Albums(BaseMiddleware):
    """Outermost: lets only one update of each album through, when all have come."""

    def __init__(self, wait: float, name: str) -> None:
        self._wait = wait
        self._name = name
        self._gathering: dict[tuple[object, ...], _Album] = {}

    async def __call__(self, handler: Handler, event: TelegramObject, data: dict[str, Any]) -> Any:
        message = _message_of(event)
        if message is None:
            return await handler(event, data)
        if message.media_group_id is None:
            data[self._name] = [message]
            return await handler(event, data)
        key = (data["bot"].id, message.business_connection_id, message.chat.id)
        return await self._handle((*key, message.media_group_id), message, handler, event, data)

    async def _handle(
        self,
        key: tuple[object, ...],
        message: Message,
        handler: Handler,
        event: TelegramObject,
        data: dict[str, Any],
    ) -> Any:
        album = self._gathering.get(key)
        if album is not None:
            album.add(message, event)
            return await album.ended()
        album = self._gathering[key] = _Album()
        album.add(message, event)
        with album:
            try:
                await album.complete(self._wait)
            finally:
                del self._gathering[key]
            first, data[self._name] = album.sorted()
            return await handler(first, data)


class _Album:
    """The messages of one album, and how its handling ended."""

    def __init__(self) -> None:
        self._parts: dict[int, tuple[Message, TelegramObject]] = {}
        self._full = asyncio.Event()
        self._end = asyncio.Event()
        self._error: BaseException | None = None

    def add(self, message: Message, event: TelegramObject) -> None:
        """Take one more message; one that comes again counts once."""
        self._parts[message.message_id] = message, event
        if len(self._parts) == _MOST:
            self._full.set()

    async def complete(self, wait: float) -> None:
        """Wait until no more messages come."""
        known = 0
        while known < len(self._parts) < _MOST:
            known = len(self._parts)
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._full.wait()

    def sorted(self) -> tuple[TelegramObject, list[Message]]:
        """Return the update of the first message, and all messages in their order."""
        parts = [self._parts[number] for number in sorted(self._parts)]
        return parts[0][1], [message for message, _ in parts]

    async def ended(self) -> None:
        """Wait until it was handled; raise what that raised, for a web hook to try again."""
        await self._end.wait()
        if self._error is not None:
            raise self._error

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._error = error
        self._end.set()


def _message_of(event: TelegramObject) -> Message | None:
    return next((found for kind in _KINDS if (found := getattr(event, kind, None))), None)

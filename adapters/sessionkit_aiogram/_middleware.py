"""The middleware that opens sessions around handlers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiogram import BaseMiddleware
from aiogram.types import ErrorEvent, TelegramObject

from sessionkit import REPEATED, SessionError
from sessionkit.adapters import Bindable, Binding, MergeChats, any_number_of_times
from sessionkit_aiogram._context import SIGNALS, context_of, parts_of


class SessionMiddleware(BaseMiddleware):
    """Opens sessions around handlers, which get them as arguments.

    As inner middleware of a router, ``router.message.middleware(...)``, it opens
    them only for updates that a handler takes.  As outer middleware, filters get
    them, too.  Where they are open for the update already, it joins.

    A handler that raises ``SkipHandler`` or ``CancelHandler`` did not fail: what
    it changed is saved.  After other errors nothing is.  Error handlers get
    sessions of their own; nothing is opened for those that ask for none.

    Args:
        sessions: Strict, lazy or multi sessions, for the argument *name*.
        name: What handlers call them.
        migrate_chats: Whether sessions follow a group that becomes a supergroup;
            or what merges them, ``(theirs, mine)``, if both chats have data.
        **named: Several instead, each for the argument of its name.

    Raises:
        TypeError, ValueError: The arguments make no sense; see ``Binding``.
    """

    def __init__(
        self,
        sessions: Bindable | None = None,
        /,
        *,
        name: str = "session",
        migrate_chats: bool | MergeChats = True,
        **named: Bindable,
    ) -> None:
        self._binding = Binding(
            sessions, named, name=name, migrate_chats=migrate_chats, signals=SIGNALS
        )
        self.names: tuple[str, ...] = self._binding.names
        """The arguments that handlers get."""

    async def __call__(
        self,
        handler: Callable[[TelegramObject, dict[str, Any]], Awaitable[Any]],
        event: TelegramObject,
        data: dict[str, Any],
    ) -> Any:
        ctx = context_of(event, data)
        if isinstance(event, ErrorEvent):
            if not self._is_asked_for(data):
                return await handler(event, data)
            with any_number_of_times(ctx):  # it has failed, and may come again
                return await self._open(ctx, handler, event, data)
        return await self._open(ctx, handler, event, data)

    async def _open(
        self,
        ctx: object,
        handler: Callable[[TelegramObject, dict[str, Any]], Awaitable[Any]],
        event: TelegramObject,
        data: dict[str, Any],
    ) -> Any:

        async def call(sessions: dict[str, Any]) -> Any:
            added = sessions
            if not data.keys().isdisjoint(sessions):
                refuse_taken({name for name, s in sessions.items() if data.get(name, s) is not s})
                added = {name: session for name, session in sessions.items() if name not in data}
            data.update(added)
            try:
                with self._binding.shown_on(ctx, *parts_of(ctx)):
                    return await handler(event, data)
            finally:
                for name in added:  # error handlers get the same dict
                    data.pop(name, None)

        result = await self._binding.run(ctx, call)
        return None if result is REPEATED else result  # None: it is handled

    def _is_asked_for(self, data: Mapping[str, Any]) -> bool:
        """Whether the handler that comes next wants a session; outer middlewares cannot know."""
        handler = data.get("handler")
        return handler is None or handler.varkw or not handler.params.isdisjoint(self.names)


def refuse_taken(names: set[str]) -> None:
    """Raise if something else is passed to handlers under one of these names."""
    if names:
        msg = (
            f"handlers get something else as {' and '.join(sorted(names))}: from workflow data or "
            "another middleware. Give the sessions another name: install(dp, sessions, "
            "name='memory')"
        )
        raise SessionError(msg)

"""``with_session``: sessions for one handler."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Protocol, TypeVar, overload

from sessionkit.adapters import Bindable, MergeChats
from sessionkit_pyrogram._calls import called, opening
from sessionkit_pyrogram._packages import binding_of

R = TypeVar("R")


class Decorator(Protocol):
    """What makes handlers, async or not, to async ones without the session's parameter."""

    @overload
    def __call__(
        self, handler: Callable[..., Coroutine[Any, Any, R]], /
    ) -> Callable[..., Coroutine[Any, Any, R]]: ...
    @overload
    def __call__(self, handler: Callable[..., R], /) -> Callable[..., Coroutine[Any, Any, R]]: ...


def with_session(
    sessions: Bindable | None = None,
    /,
    *,
    name: str = "session",
    migrate_chats: bool | MergeChats = True,
    **named: Bindable,
) -> Decorator:
    """Decorate a handler to get sessions as arguments: below ``@app.on_message(...)``.

    They are open while it runs, and saved when it returns.  Updates that the handler
    does not take cost nothing.  Handlers that are not async run in the client's
    executor, and get a ``SyncSession``.  To test a handler call it as it is
    decorated: ``await on_text(client, message)``.

    Args:
        sessions: Strict, lazy or multi sessions, for the parameter *name*.
        name: What the handler calls them.
        migrate_chats: Whether sessions follow a group that becomes a supergroup, if the
            handler takes the message that says so; or what merges them.
        **named: Several instead, each for the parameter of its name.

    Raises:
        TypeError: The handler has no parameter for any, or has it where client or
            update come; or the arguments make no sense.
    """
    binding = binding_of(sessions, named, name=name, migrate_chats=migrate_chats)

    def decorate(function: Callable[..., Any]) -> Callable[..., Coroutine[Any, Any, Any]]:
        binding.require(function)
        opened = opening(function, binding)

        @wraps(opened)
        async def callback(client: Any, *update: Any, **sessions: Any) -> Any:
            return await called(opened, client, *update, **sessions)

        return callback

    return decorate

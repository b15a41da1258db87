"""Callbacks that open sessions, as the dispatchers of all packages can call them."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from functools import partial, wraps
from typing import Any, Final, TypeAlias
from weakref import WeakKeyDictionary

from sessionkit.adapters import Binding, is_async
from sessionkit_pyrogram._context import context_of

Function: TypeAlias = Callable[..., Any]

_GIVEN: Final = 2  # client and update
_SHARED: Final = "__sessionkit_shared__"


async def called(function: Function, client: Any, *update: Any, **sessions: Any) -> Any:
    """Call a handler; those that are not async run in the client's executor.

    Dispatchers do the same, but those of the forks await the callbacks of messages
    and queries whatever they are.
    """
    if is_async(function):
        return await function(client, *update, **sessions)
    call = partial(function, client, *update, **sessions)
    executor = getattr(client, "executor", None)
    return await asyncio.get_running_loop().run_in_executor(executor, call)


def opening(function: Function, binding: Binding) -> Function:
    """Return *function* with its sessions open while it runs.

    Raises:
        TypeError: It takes a session where it is called with client and update.
    """
    misplaced = _misplaced(function, binding)
    if misplaced:
        shown = _shown(function)
        msg = (
            f"{shown}() takes {misplaced[0]!r} where it is called with client and update: "
            f"let it be {shown}(client, update, {misplaced[0]})"
        )
        raise TypeError(msg)
    return binding.inject(function, context_of)


def callback_for(present: Function, app: object, binding: Binding) -> Function:
    """Return what to call instead of *present* so that *app* gives it sessions.

    *present* itself if it asks for none, or gets them already.
    """
    shared: _Shared = getattr(present, _SHARED, None) or _Shared(present)
    function = shared.by_client.get(app, shared.function)
    if binding.asked_for(function) is None:
        return present
    shared.by_client[app] = opening(function, binding)
    return shared.callback


def refuse(function: Function, binding: Binding, kind: str) -> None:
    """Check a handler that is called without an update.

    Raises:
        TypeError: It asks for a session.
    """
    if binding.asked_for(function) is not None and not _misplaced(function, binding):
        msg = (
            f"{_shown(function)}() asks for a session, but a {kind} has no update: open the "
            "session by its key, async with sessions.open(key)"
        )
        raise TypeError(msg)


class _Shared:
    """A plugin's handler may belong to several clients, each with sessions of its own."""

    def __init__(self, function: Function) -> None:
        self.function = function
        self.by_client: WeakKeyDictionary[Any, Function] = WeakKeyDictionary()

        @wraps(function)
        async def callback(client: Any, *update: Any) -> Any:
            return await called(self.by_client.get(client, function), client, *update)

        setattr(callback, _SHARED, self)
        self.callback: Function = callback


def _misplaced(function: Function, binding: Binding) -> list[str]:
    """The names of sessions where client and update are given."""
    given = list(inspect.signature(function).parameters)[:_GIVEN]
    return [name for name in given if name in binding.names]


def _shown(function: Function) -> str:
    return getattr(function, "__qualname__", None) or repr(function)

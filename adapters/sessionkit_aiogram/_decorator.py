"""``with_session``: sessions for one handler."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from aiogram.types import TelegramObject

from sessionkit.adapters import Bindable, Binding, MergeChats, is_async
from sessionkit_aiogram._context import SIGNALS, context_of, parts_of

R = TypeVar("R")


def with_session(
    sessions: Bindable | None = None,
    /,
    *,
    name: str = "session",
    migrate_chats: bool | MergeChats = True,
    **named: Bindable,
) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """Decorate a handler to get sessions as arguments: below ``@router.message(...)``.

    They are open while it runs, and saved when it returns.  Filters do not get
    them, and updates that the handler does not take cost nothing.  Handlers that
    are not async, which aiogram calls in threads, get a ``SyncSession``.  To test
    a handler call it as it is decorated, with an event: ``await on_text(message)``.

    Args:
        sessions: Strict, lazy or multi sessions, for the parameter *name*.
        name: What the handler calls them.
        migrate_chats: Whether sessions follow a group that becomes a supergroup, if the
            handler takes the message that says so; or what merges them.
        **named: Several instead, each for the parameter of its name.

    Raises:
        TypeError: The handler has no parameter for any, or the arguments make no sense.
    """
    binding = Binding(sessions, named, name=name, migrate_chats=migrate_chats, signals=SIGNALS)

    def decorate(function: Callable[..., R]) -> Callable[..., R]:
        binding.require(function)
        opened: Callable[..., R] = _opening(binding.asked_for(function) or binding, function)
        return opened

    return decorate


def _opening(binding: Binding, function: Callable[..., Any]) -> Any:
    signature = inspect.signature(function)
    shown = [each for name, each in signature.parameters.items() if name not in binding.names]
    kinds = {each.name: each.kind for each in shown}
    takes_all = inspect.Parameter.VAR_KEYWORD in kinds.values()
    takes_update = takes_all or "event_update" in kinds

    def context_in(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        ctx = context_of(_event_in(args), kwargs)
        if not takes_update:
            kwargs.pop("event_update", None)
        return ctx

    @wraps(function)
    async def opened(*args: Any, **kwargs: Any) -> Any:
        ctx = context_in(args, kwargs)
        with binding.ending(ctx):
            async with binding.open(ctx) as arguments:
                with binding.shown_on(ctx, *parts_of(ctx)):
                    return await function(*args, **{**kwargs, **arguments})
        return None

    @wraps(function)
    def opened_in_thread(*args: Any, **kwargs: Any) -> Any:
        ctx = context_in(args, kwargs)
        with (
            binding.ending(ctx),
            binding.open(ctx) as arguments,
            binding.shown_on(ctx, *parts_of(ctx)),
        ):
            return function(*args, **{**kwargs, **arguments})
        return None

    if not takes_update:
        shown.append(inspect.Parameter("event_update", inspect.Parameter.KEYWORD_ONLY))
    wrapper: Any = opened if is_async(function) else opened_in_thread
    del wrapper.__wrapped__  # aiogram would look there
    wrapper.__signature__ = signature.replace(parameters=shown)
    return wrapper


def _event_in(args: tuple[Any, ...]) -> object:
    """The event among the arguments: that of a scene's handler comes after ``self``."""
    return next((each for each in args if isinstance(each, TelegramObject)), args[0])

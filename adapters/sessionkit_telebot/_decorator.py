"""``with_session``: sessions for single handlers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from telebot.types import JsonDeserializable

from sessionkit.adapters import Bindable, Binding, MergeChats

R = TypeVar("R")


def with_session(
    sessions: Bindable | None = None,
    /,
    *,
    name: str = "session",
    migrate_chats: bool | MergeChats = True,
    **named: Bindable,
) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """Give one handler the sessions that it has parameters for; ``install`` is not needed.

    Put it below the decorator of the bot.  It is for handlers of all kinds, next
    steps and handlers of replies; ``async def`` gets a ``Session``, ``def`` a
    ``SyncSession``.

    Args:
        sessions: What ``session``, ``lazy_session`` or ``multi_session`` returned.
        name: The parameter that gets *sessions*.
        migrate_chats: As in ``install``, but only messages that the handler
            gets can say that a group became a supergroup.
        named: Several sessions instead, by the names of their parameters.

    Raises:
        TypeError: The function has no parameter for any of them, or the
            arguments are none that ``install`` takes.
    """
    binding = Binding(
        sessions,
        named,
        name=name,
        migrate_chats=migrate_chats,
        has_update_ids=False,  # only install() sees updates
    )

    def decorate(function: Callable[..., R]) -> Callable[..., R]:
        binding.require(function)
        return binding.inject(function, _event_in)

    return decorate


def _event_in(*args: Any, **_: Any) -> object:
    """What telebot hands over, among the arguments: that of a method comes after ``self``."""
    return next((each for each in args if isinstance(each, JsonDeserializable)), args[0])

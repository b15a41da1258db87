"""``install``: sessions for all handlers of a bot.

telebot offers two places for sessions, and we take neither.  A class middleware
reads before it is known whether a handler takes the update, and its
``post_process``, which would save and unlock, is left out if a later middleware
cancels the update, or fails.  A middleware function has no "after" at all.
Next steps and handlers of replies pass neither.

So the functions of handlers are wrapped where telebot takes them in, and next
steps and handlers of replies where it hands them to its workers.  A session is
opened for one call, in the thread or task of the call: only if the handler is
called at all and asks for it; its error passes through ``with`` before
telebot's exception handling swallows it; and nothing is left locked.
``ContinueHandling`` is an ordinary return value: what changed is saved, and the
next handler reads it.
"""

from __future__ import annotations

import copy
import re
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias
from weakref import WeakSet

import telebot
from telebot import asyncio_handler_backends, handler_backends
from telebot.types import JsonDeserializable

from sessionkit.adapters import Bindable, Binding, MergeChats, is_async

if TYPE_CHECKING:
    from telebot.async_telebot import AsyncTeleBot
    from telebot.types import Message

    Bot: TypeAlias = telebot.TeleBot | AsyncTeleBot

Function: TypeAlias = Callable[..., Any]

_installed: WeakSet[Any] = WeakSet()


def install(
    bot: Bot,
    sessions: Bindable | None = None,
    /,
    *,
    name: str = "session",
    migrate_chats: bool | MergeChats = True,
    **named: Bindable,
) -> None:
    """Give each handler of *bot* the sessions that it has parameters for.

    Handlers of every kind, next steps and handlers of replies; those added
    before, too.  On an ``AsyncTeleBot`` they get a ``Session``, on a ``TeleBot``,
    which calls them in threads, a ``SyncSession``.  Handlers that ask for none
    cost nothing.

    Args:
        bot: An ``AsyncTeleBot`` or a ``TeleBot``.
        sessions: What ``session``, ``lazy_session`` or ``multi_session`` returned.
        name: The parameter that gets *sessions*.
        migrate_chats: Whether the sessions of a group follow it when it becomes
            a supergroup, also if no handler takes the message that says so.
            A function ``(theirs, mine)`` merges where both chats have data,
            ``theirs`` is the supergroup's; with several sessions, give a
            mapping from names to functions.  Without one both are kept, and
            an error is logged.
        named: Several sessions instead, by the names of their parameters.

    Raises:
        TypeError: *bot* is not a bot of telebot; neither or both of *sessions* and
            *named* are given, or something that is not a ``Sessions``; a handler
            that asks for a session is ``async def`` on a ``TeleBot``, or is
            not on an ``AsyncTeleBot`` (raised where it is added).
        ValueError: The bot has sessions already, or telebot gives handlers an
            argument of this name.
    """
    binding = Binding(sessions, named, name=name, migrate_chats=migrate_chats)
    on_loop = _runs_on_loop(bot)
    _check_free(bot, binding.names)
    _installed.add(bot)
    inject = _injector(binding, _marking(bot), on_loop=on_loop)
    _inject_handlers(bot, inject)
    if not on_loop:
        _inject_steps(bot, binding, inject)
    if binding.has_once:
        _tell_identities(bot, on_loop=on_loop)
    if migrate_chats is not False:
        _follow_first(bot, binding, on_loop=on_loop)


def _runs_on_loop(bot: Bot) -> bool:
    """Whether *bot* is an ``AsyncTeleBot``, whose module needs aiohttp: others do not load it."""
    if isinstance(bot, telebot.TeleBot):
        return False
    module = sys.modules.get("telebot.async_telebot")
    if module is not None and isinstance(bot, module.AsyncTeleBot):
        return True
    msg = f"install(bot, sessions) needs a telebot.TeleBot or an AsyncTeleBot, not {bot!r}"
    raise TypeError(msg)


def _check_free(bot: Bot, names: tuple[str, ...]) -> None:
    if bot in _installed:
        msg = "this bot has sessions already: give all in one install(bot, cart=..., prefs=...)"
        raise ValueError(msg)
    taken = {"bot", "data"}.intersection(names)
    if taken:
        msg = f"telebot itself gives handlers the argument {taken.pop()!r}: use another name"
        raise ValueError(msg)


def _marking(bot: Any) -> Callable[..., Any]:
    """What sessions are opened on: the update, which does not know its bot until it is said."""
    number: str = bot.token.partition(":")[0]
    bot_id = int(number) if number.isdecimal() else None

    def context_of(event: Any, *_: Any, **__: Any) -> Any:
        event.bot_id = bot_id
        return event

    return context_of


def _is_event(part: object) -> bool:
    return isinstance(part, JsonDeserializable)


def _tell_identities(bot: Any, *, on_loop: bool) -> None:
    """Let each event know the id of its update, for ``once=``: handlers do not get that."""
    process = bot.process_new_updates
    prefix: str = bot.token.partition(":")[0]

    def tell(updates: list[Any]) -> None:
        for update in updates:
            identity = f"{prefix}:{update.update_id}"
            fields: Any = update.__dict__
            events: Any = filter(_is_event, fields.values())
            for event in events:
                event.update_identity = identity

    async def process_new_updates(updates: list[Any]) -> None:
        tell(updates)
        await process(updates)

    def process_new_updates_sync(updates: list[Any]) -> None:
        tell(updates)
        process(updates)

    bot.process_new_updates = process_new_updates if on_loop else process_new_updates_sync


def _injector(
    binding: Binding, context_of: Callable[..., Any], *, on_loop: bool
) -> Callable[[Function], Function]:
    def inject(function: Function) -> Function:
        if binding.asked_for(function) is not None and is_async(function) is not on_loop:
            wanted = (
                "AsyncTeleBot awaits its handlers: write async def"
                if on_loop
                else "TeleBot calls its handlers in threads: write def, or use AsyncTeleBot"
            )
            msg = f"{getattr(function, '__qualname__', function)}() asks for a session. {wanted}"
            raise TypeError(msg)
        return binding.inject(function, context_of)

    return inject


def _inject_handlers(bot: Any, inject: Callable[[Function], Function]) -> None:
    """Wrap the functions of handlers, of those that are there and of those to come."""

    def injecting(add: Function) -> Function:
        def add_handler(handler_dict: dict[str, Any]) -> None:
            add({**handler_dict, "function": inject(handler_dict["function"])})

        return add_handler

    for kind in _kinds_of_handlers(bot):
        for handler in getattr(bot, f"{kind}_handlers"):
            handler["function"] = inject(handler["function"])
        add = f"add_{kind}_handler"
        setattr(bot, add, injecting(getattr(bot, add)))


def _kinds_of_handlers(bot: Any) -> list[str]:
    """``message``, ``callback_query`` and so on; functions as middlewares are not handlers."""
    found = [re.fullmatch(r"add_(?!middleware)(\w+)_handler", name) for name in dir(bot)]
    return [match[1] for match in found if match]


def _inject_steps(bot: Any, binding: Binding, inject: Callable[[Function], Function]) -> None:
    """Wrap next steps and handlers of replies when they are called: until then they are pickled."""
    execute = bot._exec_task

    def execute_with_session(task: Function, *args: Any, **kwargs: Any) -> None:
        is_step = getattr(task, "__self__", None) is not bot
        execute(step(task) if is_step else task, *args, **kwargs)

    def step(callback: Function) -> Function:
        def stepped(message: Any, *args: Any, **kwargs: Any) -> None:
            binding.follow_sync(message)
            # Several may get one message at the same time, in different threads.
            inject(callback)(copy.copy(message), *args, **kwargs)

        return stepped

    bot._exec_task = execute_with_session


def _follow_first(bot: Any, binding: Binding, *, on_loop: bool) -> None:
    """Let sessions follow groups before any handler of the message that tells of it."""

    async def follow(message: Message) -> object:
        await binding.follow(message)
        return asyncio_handler_backends.ContinueHandling()

    def follow_sync(message: Message) -> object:
        binding.follow_sync(message)
        return handler_backends.ContinueHandling()

    told = ["migrate_to_chat_id", "migrate_from_chat_id"]
    bot.register_message_handler(follow if on_loop else follow_sync, content_types=told)
    bot.message_handlers.insert(0, bot.message_handlers.pop())

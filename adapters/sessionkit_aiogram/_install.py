"""``install``: sessions for all handlers of a dispatcher."""

from __future__ import annotations

from typing import Any, Final

from aiogram import Dispatcher

from sessionkit.adapters import Bindable, MergeChats
from sessionkit_aiogram._middleware import SessionMiddleware, refuse_taken

_OF_AIOGRAM: Final = frozenset(
    {
        *("bot", "bots", "dispatcher", "event", "handler", "self", "update", "update_type"),
        *("event_chat", "event_context", "event_from_user", "event_router", "event_thread_id"),
        *("event_update", "fsm_storage", "raw_state", "scenes", "state"),
    }
)


def install(
    dp: Dispatcher,
    sessions: Bindable | None = None,
    /,
    *,
    name: str = "session",
    migrate_chats: bool | MergeChats = True,
    **named: Bindable,
) -> None:
    """Give all handlers of *dp* the sessions of their update, as arguments.

    They are opened once for each update, before filters, and saved when all its
    handlers are through; error handlers get newly opened ones.  Middlewares that *dp* had
    before are outside of them, later ones inside.

    Args:
        dp: The dispatcher.
        sessions: Strict, lazy or multi sessions, for the argument *name*.
        name: What handlers call them.
        migrate_chats: Whether sessions follow a group that becomes a supergroup;
            or what merges them, ``(theirs, mine)``, if both chats have data.
        **named: Several instead, ``install(dp, cart=carts, prefs=prefs)``.

    Raises:
        TypeError: *dp* is not a dispatcher, or *sessions* are not sessions.
        ValueError: A name is taken: by aiogram, workflow data, or sessions installed
            before; or it is not an identifier.  Sessions installed before share storage
            and prefix with these.
    """
    if not isinstance(dp, Dispatcher):
        msg = (
            f"install() takes the Dispatcher, not {dp!r}. For the handlers of one router use "
            "router.message.middleware(SessionMiddleware(sessions))"
        )
        raise TypeError(msg)
    middleware = SessionMiddleware(sessions, name=name, migrate_chats=migrate_chats, **named)
    for argument in middleware.names:
        refuse_taken_name(dp, argument)
    middleware._binding.refuse_beside(each._binding for each in _installed(dp))
    dp.update.outer_middleware(middleware)
    dp.errors.middleware(middleware)

    async def check_names(**data: Any) -> None:
        refuse_taken(data.keys() & set(middleware.names))

    dp.startup.register(check_names)


def refuse_taken_name(dp: Dispatcher, name: str) -> None:
    """Check the name of an argument.

    Raises:
        ValueError: It is taken: by aiogram, workflow data, or sessions installed before.
    """
    if name in _OF_AIOGRAM:
        by = "an argument that aiogram gives to handlers"
    elif name in dp.workflow_data:
        by = f"workflow data: {dp.workflow_data[name]!r}"
    elif any(name in each.names for each in _installed(dp)):
        by = "installed already, on this dispatcher"
    else:
        return
    msg = f"the name {name!r} is taken, {by}. Give another: install(dp, sessions, name='memory')"
    raise ValueError(msg)


def _installed(dp: Dispatcher) -> list[SessionMiddleware]:
    return [each for each in dp.update.outer_middleware if isinstance(each, SessionMiddleware)]

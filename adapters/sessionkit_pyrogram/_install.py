"""``install``: sessions for all handlers of a client."""

from __future__ import annotations

import logging
import math
from collections import OrderedDict
from typing import Any, Final
from weakref import WeakKeyDictionary

from sessionkit.adapters import Bindable, Binding, MergeChats
from sessionkit_pyrogram._calls import callback_for, refuse
from sessionkit_pyrogram._packages import AnyClient, binding_of, package_of

_FIRST: Final = -math.inf  # the group before all others
_WITHOUT_UPDATE: Final = frozenset(
    {"ConnectHandler", "DisconnectHandler", "ErrorHandler", "StartHandler", "StopHandler"}
)

_log = logging.getLogger("sessionkit")
_bindings: Final[WeakKeyDictionary[Any, list[Binding]]] = WeakKeyDictionary()


def install(
    app: AnyClient,
    sessions: Bindable | None = None,
    /,
    *,
    name: str = "session",
    migrate_chats: bool | MergeChats = True,
    **named: Bindable,
) -> None:
    """Give those handlers of *app* their session that have a parameter ``session``.

    It is open while the handler runs, and saved when it returns; the next handler
    of the same update reads again.  Handlers without such a parameter are left
    alone.  Handlers that were added before get theirs, too, and so do plugins.

    Args:
        app: The client.
        sessions: Strict, lazy or multi sessions, for the parameter *name*.
        name: What handlers call them.
        migrate_chats: Whether sessions follow a group that becomes a supergroup;
            or what merges them, ``(theirs, mine)``, if both chats have data.
        **named: Several instead, ``install(app, cart=carts, prefs=prefs)``.

    Raises:
        TypeError: *app* is not a client, or the sessions are none.  From then on: a
            handler is added that cannot get the session it asks for.
        ValueError: A name is taken by sessions installed before; or is not an identifier.
            Sessions installed before share storage and prefix with these.
    """
    package = package_of(app)
    binding = binding_of(sessions, named, name=name, migrate_chats=migrate_chats, package=package)
    _claim(app, binding)
    _Installed(app, binding, _follower(package, binding)).begin()


class _Installed:
    """What lies between a client and the handlers that are added to it."""

    def __init__(self, app: AnyClient, binding: Binding, follower: Any) -> None:
        self._app = app
        self._binding = binding
        self._follower = follower
        self._add = app.add_handler

    def begin(self) -> None:
        app: Any = self._app
        app.add_handler = self.add_handler
        self._lead()
        self._wrap_all()  # an update may be on its way to them
        app.loop.call_soon(self._wrap_all)  # tasks of the client may be adding handlers

    def add_handler(self, handler: Any, group: int = 0) -> Any:
        """Register an update handler; see ``Client.add_handler``."""
        try:
            self._wrap(handler)
        except TypeError as error:
            _log.error("%s", error)  # where plugins are loaded, all errors are suppressed
            raise
        self._lead()
        return self._add(handler, group)

    def _wrap_all(self) -> None:
        for group in self._app.dispatcher.groups.values():
            for handler in group:
                self._wrap(handler)

    def _wrap(self, handler: Any) -> None:
        """Let the handler's callback open sessions; the handler stays the same object."""
        # The callback itself serves listen() and ask() before it calls the original one
        place = "original_callback" if hasattr(handler, "original_callback") else "callback"
        present = getattr(handler, place)
        if not _WITHOUT_UPDATE.isdisjoint(each.__name__ for each in type(handler).__mro__):
            refuse(present, self._binding, type(handler).__name__)
            return
        setattr(handler, place, callback_for(present, self._app, self._binding))

    def _lead(self) -> None:
        """Let the follower come first; a client that stops forgets all its handlers."""
        dispatcher = self._app.dispatcher
        first = dispatcher.groups.get(_FIRST, [])
        if self._follower not in first:
            groups = {**dispatcher.groups, _FIRST: [*first, self._follower]}
            dispatcher.groups = OrderedDict(sorted(groups.items()))


def _follower(package: Any, binding: Binding) -> Any:
    """Return a handler that lets sessions follow a chat, and takes no update from others."""

    async def follow(_client: object, message: object) -> bool:
        await binding.follow(message)
        return False

    handler = package.handlers.MessageHandler(follow)
    handler.check = follow
    return handler


def _claim(app: object, binding: Binding) -> None:
    before = _bindings.setdefault(app, [])
    for name in binding.names:
        if any(name in each.names for each in before):
            msg = (
                f"the name {name!r} is taken by sessions installed before on this client. Give "
                "another, install(app, sessions, name='memory'), or several in one: "
                "install(app, cart=carts, prefs=prefs)"
            )
            raise ValueError(msg)
    binding.refuse_beside(before)
    before.append(binding)

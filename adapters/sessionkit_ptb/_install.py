"""``install``: sessions for all handlers of an application."""

from __future__ import annotations

from typing import Any, TypeVar, overload

from telegram.ext import (
    ApplicationBuilder,
    ApplicationHandlerStop,
    ContextTypes,
)

from sessionkit import LazySessions, MultiSession, Sessions
from sessionkit.adapters import Bindable, Binding, MergeChats, SessionProperty
from sessionkit.types import MultiSessions
from sessionkit_ptb._application import SessionApplicationMixin, check_context
from sessionkit_ptb._classes import derived, naming
from sessionkit_ptb._context import (
    ContextProperty,
    LazySessionContext,
    SessionContext,
    SessionContextMixin,
)

S = TypeVar("S")
M = TypeVar("M", bound=MultiSession)
B = TypeVar("B", bound="ApplicationBuilder[Any, Any, Any, Any, Any, Any]")
BT = TypeVar("BT", bound=Any)
UD = TypeVar("UD")
CD = TypeVar("CD")
BD = TypeVar("BD")
JQ = TypeVar("JQ", bound=Any)


@overload
def install(
    builder: ApplicationBuilder[BT, ContextTypes.DEFAULT_TYPE, UD, CD, BD, JQ],
    sessions: Sessions[S],
    /,
    *,
    migrate_chats: bool | MergeChats = True,
) -> ApplicationBuilder[BT, SessionContext[S], UD, CD, BD, JQ]: ...
@overload
def install(
    builder: ApplicationBuilder[BT, ContextTypes.DEFAULT_TYPE, UD, CD, BD, JQ],
    sessions: LazySessions[S],
    /,
    *,
    migrate_chats: bool | MergeChats = True,
) -> ApplicationBuilder[BT, LazySessionContext[S], UD, CD, BD, JQ]: ...
@overload
def install(
    builder: ApplicationBuilder[BT, ContextTypes.DEFAULT_TYPE, UD, CD, BD, JQ],
    sessions: MultiSessions[M],
    /,
    *,
    migrate_chats: bool | MergeChats = True,
) -> ApplicationBuilder[BT, SessionContext[M], UD, CD, BD, JQ]: ...
@overload
def install(
    builder: B,
    sessions: Bindable | None = None,
    /,
    *,
    name: str = "session",
    migrate_chats: bool | MergeChats = True,
    **named: Bindable,
) -> B: ...
def install(
    builder: ApplicationBuilder[Any, Any, Any, Any, Any, Any],
    sessions: Bindable | None = None,
    /,
    *,
    name: str = "session",
    migrate_chats: bool | MergeChats = True,
    **named: Bindable,
) -> Any:
    """Give all handlers of the application ``context.session``: the data of the update's session.

    It is read when the first handler matches, and saved when the last one has
    ended, unless one failed.  ``sessions.of(context)``, or of the update, is the
    open ``Session``.

    Args:
        builder: Call its ``application_class`` and ``context_types`` before, if at all.
        sessions: Strict, lazy or multi sessions, for ``context.session``.
        name: What they are called instead of ``session``.
        migrate_chats: Whether a group's sessions follow it into its supergroup; a
            function ``(theirs, mine)`` merges where both have data.
        named: Several instead, for ``context.cart``, ``context.prefs``.

    Returns:
        The builder.

    Raises:
        TypeError: *builder* is not an ``ApplicationBuilder``; *sessions* are not sessions.
        ValueError: Sessions are installed already, or a context has such a name.
    """
    if not isinstance(builder, ApplicationBuilder):
        msg = (
            f"install() takes an ApplicationBuilder, not {type(builder).__name__}: "
            "install(Application.builder().token(...), sessions).build()"
        )
        raise TypeError(msg)
    binding = Binding(
        sessions,
        named,
        name=name,
        migrate_chats=migrate_chats,
        signals=(ApplicationHandlerStop,),
        stop=ApplicationHandlerStop,
    )
    settings: Any = builder  # it has no public way to ask what it is set to
    kwargs: dict[str, Any] = settings._application_kwargs
    if "session_binding" in kwargs:
        msg = (
            "this builder has sessions already: install several at once, "
            "install(builder, cart=carts, prefs=prefs)"
        )
        raise ValueError(msg)
    types: ContextTypes[Any, Any, Any, Any] = _chosen(settings._context_types, ContextTypes)
    context = _context_class(types.context, binding.names)
    application = _application_class(_chosen(settings._application_class, type))
    settings.context_types(ContextTypes(context, types.bot_data, types.chat_data, types.user_data))
    settings.application_class(application, {**kwargs, "session_binding": binding})
    builder.__class__ = _builder_class(type(builder))
    return builder


def _chosen(setting: Any, kind: type) -> Any:
    """What a builder is set to, or else PTB's default, which it keeps wrapped."""
    return setting if isinstance(setting, kind) else setting.value


def _context_class(base: type, names: tuple[str, ...]) -> type:
    """The user's context class with a property for each session."""
    for name in names:
        if hasattr(base, name) and not isinstance(getattr(base, name), SessionProperty):
            msg = (
                f"context.{name} has a meaning in {base.__name__} already: give the sessions "
                "another name, install(builder, sessions, name='memory')"
            )
            raise ValueError(msg)
    properties = {name: ContextProperty() for name in names}
    return derived(base, SessionContextMixin, properties)


def _application_class(base: type) -> type:
    """The user's application class with what ends sessions."""
    slots = tuple(SessionApplicationMixin.__annotations__)
    return derived(base, SessionApplicationMixin, {"__slots__": slots})


def _builder_class(base: type[ApplicationBuilder[Any, Any, Any, Any, Any, Any]]) -> type:
    """The class of a builder that checks what it has built: later settings may undo these."""

    def build(self: Any) -> Any:
        application = base.build(self)
        if not isinstance(application, SessionApplicationMixin):
            msg = "builder.application_class() was called after install(). Call it before"
            raise TypeError(msg)
        check_context(application.context_types.context, application._session_binding)
        return application

    return type(base.__name__, (base,), {"__slots__": (), "build": build, **naming(base)})

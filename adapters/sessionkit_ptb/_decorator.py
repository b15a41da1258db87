"""``with_session``: the open session as an argument, in handlers and jobs."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar, overload

from telegram.ext import ApplicationHandlerStop

from sessionkit import LazySession, LazySessions, MultiSession, Session, Sessions
from sessionkit.adapters import Bindable, Binding, MergeChats, is_async
from sessionkit.types import MultiSessions
from sessionkit_ptb._under_way import has_sessions

S = TypeVar("S")
M = TypeVar("M", bound=MultiSession)
Owner = TypeVar("Owner")
U = TypeVar("U")
C = TypeVar("C")
R = TypeVar("R")
A_co = TypeVar("A_co", covariant=True)


class WithSession(Protocol[A_co]):
    """Decorates a handler ``(update, context, session)`` or a job ``(context, session)``."""

    @overload
    def __call__(
        self, function: Callable[[Owner, U, C, A_co], Coroutine[Any, Any, R]], /
    ) -> Callable[[Owner, U, C], Coroutine[Any, Any, R]]: ...
    @overload
    def __call__(
        self, function: Callable[[U, C, A_co], Coroutine[Any, Any, R]], /
    ) -> Callable[[U, C], Coroutine[Any, Any, R]]: ...
    @overload
    def __call__(
        self, function: Callable[[C, A_co], Coroutine[Any, Any, R]], /
    ) -> Callable[[C], Coroutine[Any, Any, R]]: ...


class WithSessions(Protocol):
    """Decorates a handler or job that takes several sessions by their names."""

    def __call__(
        self, function: Callable[..., Coroutine[Any, Any, R]], /
    ) -> Callable[..., Coroutine[Any, Any, R]]: ...


class JobRun:
    """One run of a job, as key functions see it: its chat and user, the job itself, the bot.

    Runs of one job may overlap, and each is to have a session of its own.
    """

    update_identity: None = None
    """A run comes once by its nature: see ``once=``."""

    def __init__(self, job: Any, bot: Any) -> None:
        self.job = job
        self.bot = bot
        self.chat_id: int | None = job.chat_id
        self.user_id: int | None = job.user_id


@overload
def with_session(
    sessions: Sessions[S], /, *, name: str = "session", migrate_chats: bool | MergeChats = True
) -> WithSession[Session[S]]: ...
@overload
def with_session(
    sessions: LazySessions[S], /, *, name: str = "session", migrate_chats: bool | MergeChats = True
) -> WithSession[LazySession[S]]: ...
@overload
def with_session(
    sessions: MultiSessions[M], /, *, name: str = "session", migrate_chats: bool | MergeChats = True
) -> WithSession[M]: ...
@overload
def with_session(
    sessions: None = None,
    /,
    *,
    name: str = "session",
    migrate_chats: bool | MergeChats = True,
    **named: Bindable,
) -> WithSessions: ...
def with_session(
    sessions: Bindable | None = None,
    /,
    *,
    name: str = "session",
    migrate_chats: bool | MergeChats = True,
    **named: Bindable,
) -> Any:
    """Decorate a handler or a job, so that it gets the open session as its argument ``session``.

    The session is that of the update, and of the job's ``chat_id`` (or ``user_id``,
    as the key function says) in a job.  It is saved when the function returns.
    Where the update has its session open, by ``install``, the function shares it.

    Needed in jobs and in the TIMEOUT handlers of conversations, which run when
    no update is handled.

    Args:
        sessions: Strict, lazy or multi sessions, for the argument ``session``.
        name: What the argument is called instead.
        migrate_chats: As in ``install``.
        named: Several instead, for the arguments ``cart``, ``prefs``.

    Raises:
        TypeError: *sessions* are not sessions; the function is not async, or has no
            such argument.
    """
    binding = Binding(
        sessions,
        named,
        name=name,
        migrate_chats=migrate_chats,
        signals=(ApplicationHandlerStop,),
        stop=ApplicationHandlerStop,
    )

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        binding.require(function)
        if not is_async(function):
            msg = f"{function!r} must be async, as all handlers and jobs are: async def"
            raise TypeError(msg)
        return binding.inject(function, _origin)

    return decorate


def _origin(*args: Any, **kwargs: Any) -> object:
    """What a call is about: jobs get ``(context)``, handlers ``(update, context)``."""
    *before, context = (*args, *kwargs.values())
    if context.job is not None:
        return JobRun(context.job, context.bot)
    update = before[-1]
    return update if has_sessions(update) else context

"""Contexts that show the sessions of their update."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self, TypeVar

from telegram.ext import CallbackContext, ExtBot

from sessionkit import LazySessionFlavor, SessionClosedError, SessionFlavor
from sessionkit.adapters import SessionProperty

if TYPE_CHECKING:
    from telegram.ext import Application

    from sessionkit_ptb._under_way import UnderWay

S = TypeVar("S")
BT = TypeVar("BT", bound="ExtBot[Any]")
UD = TypeVar("UD")
CD = TypeVar("CD")
BD = TypeVar("BD")


class ContextProperty(SessionProperty):
    """``context.session``: the data of the session that is open on the context's update."""

    def _session(self, ctx: Any) -> Any:
        session = ctx.__dict__.get(self.slot)
        if session is None:
            msg = (
                "this context has no open session: a job gets one by @with_session(sessions), "
                "and everything else by async with sessions.open(update), or of a chat's id"
            )
            raise SessionClosedError(msg)
        return session


class SessionContextMixin(CallbackContext[BT, UD, CD, BD]):
    """Opens and shows the sessions of a context's update.

    ``install`` adds it to the context class of the builder.  Put it before the
    other bases of a class of your own to build on what it does.
    """

    __slots__ = ()

    _sessions_under_way: UnderWay | None

    @classmethod
    def from_update(
        cls, update: object, application: Application[Any, Any, Any, Any, Any, Any]
    ) -> Self:
        """Make a context; it shows the sessions of *update* as soon as they are open."""
        context = super().from_update(update, application)
        context._sessions_under_way = _under_way(application, update)
        if context._sessions_under_way is not None:
            context._sessions_under_way.show_on(context)
        return context

    async def refresh_data(self) -> None:
        """Open the sessions: called when the first handler has matched."""
        under_way: UnderWay | None = getattr(self, "_sessions_under_way", None)
        if under_way is not None:
            with under_way.ending():
                await under_way.begin()
        await super().refresh_data()


def _under_way(application: Any, update: object) -> UnderWay | None:
    found: UnderWay | None = application._sessions_under_way.get(id(update))
    return found


Plain = dict[Any, Any]


class SessionContext(SessionFlavor[S], SessionContextMixin[ExtBot[None], Plain, Plain, Plain]):
    """For annotations: PTB's own context with ``context.session``, the data of a strict session.

    Assigning replaces the data, None (or ``del``) deletes it.
    """


class LazySessionContext(
    LazySessionFlavor[S], SessionContextMixin[ExtBot[None], Plain, Plain, Plain]
):
    """For annotations: the same with a lazy session, ``await context.session``."""

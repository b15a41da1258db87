"""Mixins for context classes of the user's own, which keep every promise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from sessionkit._life.seats import SessionProperty

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from sessionkit._life.lazy_data import LazyData

S = TypeVar("S")


class SessionFlavor(Generic[S]):
    """Mixin for a context class: a typed ``session``, the data of a strict session.

    Assigning replaces the data, None (or ``del``) deletes it.  Reading raises
    ``NoSessionKeyError``, ``NoInitialDataError`` or ``SessionClosedError``.
    """

    if TYPE_CHECKING:

        @property
        def session(self) -> S:
            """The data of the session that is open on this context."""
            ...

        @session.setter
        def session(self, value: S | None) -> None: ...

        @session.deleter
        def session(self) -> None: ...
    else:
        session = SessionProperty()


class LazySessionFlavor(Generic[S]):
    """Mixin for a context class: ``await ctx.session`` gives a lazy session's data.

    Always awaitable, as often as you like.  Assigning takes data, or an
    awaitable of data that is awaited at the end; None deletes.
    """

    if TYPE_CHECKING:

        @property
        def session(self) -> LazyData[S]:
            """The data of the session that is open on this context, to be awaited."""
            ...

        @session.setter
        def session(self, value: S | Awaitable[S] | None) -> None: ...

        @session.deleter
        def session(self) -> None: ...
    else:
        session = SessionProperty()

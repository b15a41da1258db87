"""What a context class declares to show a session: a property, or a flavor that has one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Generic, NoReturn, Protocol, TypeVar

from sessionkit.errors import SessionClosedError

S = TypeVar("S")
S_co = TypeVar("S_co", covariant=True)


class LazyData(Awaitable[S_co]):
    """What ``ctx.session`` gives in a lazy session: awaiting it gives the data.

    Any number of times, also at the same time: it is read once.
    """

    __slots__ = ()

    def __getitem__(self, name: object) -> NoReturn:
        msg = f"lazy session: write (await ctx.session)[{name!r}]"
        raise TypeError(msg)

    def __setitem__(self, name: object, value: object) -> NoReturn:
        msg = f"lazy session: write (await ctx.session)[{name!r}] = ..."
        raise TypeError(msg)

    def __getattr__(self, name: str) -> NoReturn:
        msg = f"lazy session: write (await ctx.session).{name}"
        raise AttributeError(msg)


class Shown(Protocol):
    """An open session, strict or lazy, as its context sees it."""

    def _shown(self) -> Any:
        """What ``ctx.session`` gives; raises if it cannot be had."""
        ...

    def _assign(self, value: Any, /) -> None:
        """``ctx.session = value``."""
        ...


class SessionProperty(property):
    """A property of a context class that shows the session open on a context.

    For authors of adapters: name it as the ``attribute=`` of the ``Sessions``.
    It stays with a context that outlives its session, so as to say so.
    A ``property``, because pydantic's models let nothing else be assigned to.
    """

    def __init__(self) -> None:
        super().__init__(doc="The session that is open on this context: its data.")

    def __set_name__(self, owner: type, name: str) -> None:
        self.slot: str = f"_sessionkit_{name}"

    def __get__(self, ctx: Any, owner: type | None = None, /) -> Any:
        return self if ctx is None else self._session(ctx)._shown()

    def __set__(self, ctx: Any, value: Any, /) -> None:
        self._session(ctx)._assign(value)

    def __delete__(self, ctx: Any, /) -> None:
        self._session(ctx)._assign(None)

    def _session(self, ctx: Any) -> Shown:
        session: Shown | None = attributes_of(ctx).get(self.slot)
        if session is None:
            msg = (
                f"no session was opened on this {type(ctx).__name__}: handle it inside "
                "'await sessions(ctx, handler)', or open one: async with sessions.open(ctx)"
            )
            raise SessionClosedError(msg)
        return session


class_of: Callable[[object], type[object]] = type
"""The class of a context; ``type``, known to type checkers by less."""


def attributes_of(ctx: object) -> dict[str, Any]:
    """The attributes of a context itself."""
    return vars(ctx)


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

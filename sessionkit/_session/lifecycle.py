"""The way through an update, for every kind of session, storage and handler.

    ask for the key -> attach -> lock, load -> handler -> detach -> compare, write, unlock

``run`` is that way around a handler; an ``Opening`` goes the same steps around the
body of ``async with`` and ``with``.  The steps themselves are ``Record``'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import Any, Final, Protocol, TypeAlias, cast

from sessionkit._locks.owners import holds_session
from sessionkit._session.context import Registry, Slots
from sessionkit._session.stored import Rest
from sessionkit._storage.sync_or_async import is_awaitable
from sessionkit.errors import RepeatedUpdateError
from sessionkit.protocols import MaybeAwaitable

Handler: TypeAlias = Callable[[Any], Any]


class Repeated(Enum):
    """What a middleware returns for an update that was handled already."""

    REPEATED = "REPEATED"

    def __repr__(self) -> str:
        return self.name


REPEATED: Final[Any] = Repeated.REPEATED
"""What ``await sessions(ctx, handler)`` returns without having called *handler*: see ``once=``."""

UNASKED: Final[Any] = object()
"""In place of a key for which the key function was not asked yet."""

COROUTINE: Final = cast("Any", CoroutineType)
_GENERATORS: Final = frozenset({GeneratorType, AsyncGeneratorType})


class Openable(Protocol):
    """What an update opens: a strict, lazy or multi session."""

    def _begin(self, slots: Slots | None, /) -> Rest:
        """Show on its context as *slots* say, None if it has none; lock and load."""
        ...

    def _end(self, error: BaseException | None = None, /) -> Rest:
        """Leave the context, write what is to be written, and unlock."""
        ...

    def _holders(self) -> Iterable[Any]: ...


class Factory(Protocol):
    """Makes the sessions of an update: a ``Sessions`` or a ``MultiSessions``."""

    @property
    def _registry(self) -> Registry: ...

    def _make(self, ctx: Any, key: Any, /) -> MaybeAwaitable[Any]:
        """Return a session that is not begun yet, of *key* or, UNASKED, of the context's key."""
        ...

    def _make_in_thread(self, ctx: Any, key: Any, /) -> MaybeAwaitable[Any]:
        """Return the same for a thread that runs no event loop."""
        ...

    def _handle(self, session: Any, /) -> Any:
        """Return what users hold of a session."""
        ...

    def _view(self, handle: Any, /) -> Any:
        """Return the same for users in a thread."""
        ...


@holds_session
async def run(  # noqa: C901, PLR0917 (calls, and keywords, take longer)
    factory: Factory,
    ctx: Any,
    handler: Handler,
    argument: Callable[[Any], Any] | None = None,
    signals: tuple[type[BaseException], ...] = (),
    in_thread: bool = False,  # noqa: FBT001, FBT002
) -> Any:
    """Call *handler* while the session of *ctx* is open, and return what it returns.

    ``REPEATED``, if *ctx* is an update that was handled already: see ``once=``.

    The handler gets *ctx*, which shows the session; with *argument* it gets what that
    makes of the session instead, and nothing is put on the context.  An error of the
    handler propagates, and nothing is written; *signals* are not errors.

    A context whose session is open already joins: the outer one saves.
    """
    registry = factory._registry
    open_on = registry.open_on
    if id(ctx) in open_on:
        result = handler(ctx if argument is None else argument(open_on[id(ctx)]))
        return await result if is_awaitable(result) else result
    session: Any = (factory._make_in_thread if in_thread else factory._make)(ctx, UNASKED)
    if type(session) is COROUTINE:
        session = await session
    slots = registry.slots
    try:
        rest = session._begin(slots if argument is None else slots.properties)
        if rest is not None:
            await rest
    except RepeatedUpdateError:
        return REPEATED
    try:
        result = handler(ctx if argument is None else argument(session))
        if type(result) is COROUTINE or is_awaitable(result):
            result = await result
        if result is not None and type(result) in _GENERATORS:
            raise _never_run(result)
    except BaseException as error:
        rest = session._end(None if isinstance(error, signals) else error)
        if rest is not None:
            await rest
        if type(error) is RepeatedUpdateError and error.ctx is ctx:
            return REPEATED
        raise
    rest = session._end()
    if rest is not None:
        await rest
    return result


def _never_run(generator: Any) -> TypeError:
    msg = (
        f"{generator.__qualname__}() has a yield: it is a generator, of which nothing has run yet, "
        "and its session ends here"
    )
    return TypeError(msg)

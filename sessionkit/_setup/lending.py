"""The express lane of sessions that are passed on as arguments: ``Binding.run``.

What ``express`` is for ``ctx.session``, with nothing put on the context.  It lends
the session out: as long as only its data is used, it need not know more than
that.  At any other use the session fills its slots, and ends the general way.
"""

from __future__ import annotations

import marshal
from collections.abc import Callable, Coroutine
from types import CoroutineType
from typing import Any, Final, TypeAlias, cast

from sessionkit import keys
from sessionkit._drive import is_awaitable
from sessionkit._frozen import MARSHAL_VERSION
from sessionkit._life.attach import open_on
from sessionkit._life.lazy import UNASKED, LazySession, may_be_asked_late
from sessionkit._life.record import CLOSED, LENT
from sessionkit._life.seats import property_seat
from sessionkit._life.settings import Settings, checked
from sessionkit._life.strict import Session
from sessionkit._locks.whereabouts import lifecycle
from sessionkit._reading import LIKELY
from sessionkit._setup.express import express_table
from sessionkit._setup.sessions import LazySessions, Sessions

Call: TypeAlias = Callable[[dict[str, Any]], Any]
Run: TypeAlias = Callable[[Any, Call], Coroutine[Any, Any, Any]]
General: TypeAlias = Callable[..., Coroutine[Any, Any, Any]]
"""A ``Run`` that takes the key, if it is known, as a third argument."""
Signals: TypeAlias = tuple[type[BaseException], ...]

_COROUTINE = cast("Any", CoroutineType)
_new = cast("Callable[[Any], Any]", object.__new__)
_NO_CONTEXT: Final = (str, int, type(None))


def lane_for(whole: Any, general: General, name: str, signals: Signals, *, follows: bool) -> Run:
    """The short way to pass on one session as *name*; *general* where there is none."""
    if isinstance(whole, Sessions):
        return _strict_lane(whole._settings, general, name, signals, follows=follows)
    if isinstance(whole, LazySessions):
        return _lazy_lane(whole._settings, general, name, signals, follows=follows)
    return general


def _strict_lane(  # noqa: C901 (one function, for speed)
    settings: Settings, general: General, name: str, signals: Signals, *, follows: bool
) -> Run:
    table = express_table(settings)
    if table is None:
        return general
    get_key, prefix, seated, moved = (
        settings.get_key,
        settings.prefix,
        settings.seated,
        settings.moved,
    )
    look_up, held, locks = table.get, settings.locks.held, settings.locks
    hold: Callable[[str, Any], Any] = held.setdefault
    dumps, loads = marshal.dumps, marshal.loads
    blank = _BlankKinds(settings.attribute)

    @lifecycle
    async def express(ctx: Any, call: Call) -> Any:  # noqa: C901 (for speed, too)
        seat = id(ctx)
        if not blank[type(ctx)] or seat in seated or moved or (follows and tells_of_a_move(ctx)):
            return await general(ctx, call)
        key = get_key(ctx)
        if type(key) is not str or not key:
            key = str(key) if type(key) is int else await checked(key)
            if key is None:
                return await general(ctx, call, key)
        full_key = prefix + key if prefix else key
        session = _new(Session)
        if hold(full_key, session) is not session:
            return await general(ctx, call, key)
        found = look_up(full_key)
        if type(found) is not bytes:
            locks.release(full_key)
            return await general(ctx, call, key)
        session.key = key
        session._settings = settings
        session._base = found
        session._ctx = ctx
        session._state = LENT
        seated[seat] = session
        try:
            session._data = loads(found)
            result = call({name: session})
            if type(result) is _COROUTINE or is_awaitable(result):
                result = await result
        except BaseException as error:
            await session._end(None if isinstance(error, signals) else error)
            raise
        if session._state == LENT:
            try:
                frozen = dumps(session._data, MARSHAL_VERSION)
                # No other thread gets in between looking up and storing an item
                if len(frozen) == len(found) and table[full_key] is found:
                    if frozen != found:
                        table[full_key] = frozen
                    del seated[seat]
                    session._state = CLOSED
                    del held[full_key]
                    if locks.waiting:
                        locks.hand_over(full_key)
                    return result
            except Exception:  # noqa: BLE001, S110
                pass  # not plain, or deleted: not for this lane
        await session._end()
        return result

    return express


def _lazy_lane(
    settings: Settings, general: General, name: str, signals: Signals, *, follows: bool
) -> Run:
    asks_late = may_be_asked_late(settings.get_key)
    get_key, seated, moved = settings.get_key, settings.seated, settings.moved
    blank = _BlankKinds(settings.attribute)

    async def express(ctx: Any, call: Call) -> Any:
        if (
            not blank[type(ctx)]
            or open_on(ctx, settings) is not None
            or moved
            or (follows and tells_of_a_move(ctx))
        ):
            return await general(ctx, call)
        key: Any = UNASKED
        if not asks_late:
            key = await checked(get_key(ctx))
            if key is None:
                return await general(ctx, call, key)
        session: LazySession[Any] = LazySession()
        session._key = key
        session._settings = settings
        session._ctx = ctx
        session._state = LENT
        seated[id(ctx)] = session
        try:
            result = call({name: session})
            if type(result) is _COROUTINE or is_awaitable(result):
                result = await result
        except BaseException as error:
            await session._end(None if isinstance(error, signals) else error)
            raise
        if session._state == LENT:
            del seated[id(ctx)]
            session._state = CLOSED
        else:
            await session._end()
        return result

    return express


class _BlankKinds(dict[type, bool]):
    """Whether contexts of a class show nothing by themselves: found out once per class."""

    def __init__(self, attribute: str) -> None:
        super().__init__()
        self._attribute = attribute

    def __missing__(self, kind: Any) -> bool:
        blank = not issubclass(kind, _NO_CONTEXT) and property_seat(kind, self._attribute) is None
        self[kind] = blank
        return blank


def tells_of_a_move(ctx: Any) -> bool:
    """Whether ``keys.migration`` finds something: quicker where the update is a message."""
    read_ctx = LIKELY[type(ctx)]
    message = read_ctx(ctx, "message", None)
    if message is not None and read_ctx(ctx, "update_id", None) is not None:
        read = LIKELY[type(message)]
        if (
            read(message, "migrate_to_chat_id", None) is None
            and read(message, "migrate_from_chat_id", None) is None
        ):
            return False
    return keys.migration(ctx) is not None

"""The express lane: the way of an update when nothing out of the ordinary happens.

It does what ``Record`` does, in the same order, without a function call to
spare; whatever it does not know (somebody holds the key, nothing is stored,
the size changed, the handler asked for the ``Session``) it leaves to ``Record``.
"""

from __future__ import annotations

import marshal
from collections.abc import Callable, Coroutine
from types import CoroutineType
from typing import Any, Final, TypeAlias, cast

from sessionkit._drive import is_awaitable
from sessionkit._frozen import MARSHAL_VERSION
from sessionkit._life.attach import MARK
from sessionkit._life.lazy import UNASKED, LazySession, may_be_asked_late
from sessionkit._life.record import CLOSED, FRESH
from sessionkit._life.seats import MISSING, is_plain_object
from sessionkit._life.settings import Settings
from sessionkit._life.strict import Session
from sessionkit._locks.whereabouts import lifecycle

Handler: TypeAlias = Callable[[Any], Any]
Middleware: TypeAlias = Callable[[Any, Handler], Coroutine[Any, Any, Any]]
General: TypeAlias = Callable[..., Coroutine[Any, Any, Any]]
"""A middleware that takes what the key function gave as a third argument."""

ATTRIBUTE: Final = "session"
"""The only attribute that goes by express: its name is written into the code."""

_COROUTINE = cast("Any", CoroutineType)
_new = cast("Callable[[Any], Any]", object.__new__)


def strict_express(  # noqa: C901 (one function, for speed)
    settings: Settings, general: General
) -> Middleware:
    """The middleware of strict sessions in memory; *general* where there is no such lane."""
    table = express_table(settings)
    if table is None or settings.attribute != ATTRIBUTE:
        return general
    get_key, prefix, seated = settings.get_key, settings.prefix, settings.seated
    look_up, held, locks = table.get, settings.locks.held, settings.locks
    hold: Callable[[str, Any], Any] = held.setdefault
    dumps, loads = marshal.dumps, marshal.loads
    plain: set[type] = set()

    @lifecycle
    async def express(ctx: Any, handler: Handler) -> Any:  # noqa: C901 (for speed, too)
        seat = id(ctx)
        if seat in seated:
            return await general(ctx, handler)
        key = get_key(ctx)
        key = str(key) if type(key) is int else key
        if (
            type(key) is not str
            or not key
            or type(ctx) not in plain
            or getattr(ctx, ATTRIBUTE, MISSING) is not MISSING
        ):
            note_if_plain(plain, ctx)
            return await general(ctx, handler, key)
        full_key = prefix + key if prefix else key
        session = _new(Session)
        if hold(full_key, session) is not session:
            return await general(ctx, handler, key)
        found = look_up(full_key)
        if type(found) is not bytes:
            locks.release(full_key)
            return await general(ctx, handler, key)
        session.key = key
        session._settings = settings
        session._base = found
        session._ctx = ctx
        session._state = FRESH
        seated[seat] = session
        try:
            ctx.session = loads(found)
            result = handler(ctx)
            if type(result) is _COROUTINE or is_awaitable(result):
                result = await result
        except BaseException as error:
            await session._end(error)
            raise
        if session._state == FRESH:
            try:
                frozen = dumps(ctx.session, MARSHAL_VERSION)
                # No other thread gets in between looking up and storing an item
                if len(frozen) == len(found) and table[full_key] is found:
                    if frozen != found:
                        table[full_key] = frozen
                    del ctx.session, seated[seat]
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


def express_table(settings: Settings) -> dict[str, Any] | None:
    """The table of a storage in memory, if nothing stands between it and handlers but a copy."""
    if (
        settings.any_value
        and settings.locked
        and settings.conversion is None
        and settings.lock is None
        and settings.kept is None
    ):
        return getattr(settings.backend.storage, "express_table", None)
    return None


def note_if_plain(plain: set[type], ctx: object) -> bool:
    """Note the class of *ctx* if its contexts may go by express; return whether they may."""
    kind = type(ctx)
    if is_plain_object(kind, ATTRIBUTE):  # type: ignore[arg-type]  # classes are hashable
        plain.add(kind)
    return kind in plain


def lazy_express(  # noqa: C901 (for speed)
    settings: Settings, general: General
) -> Middleware:
    """The middleware of lazy sessions, quick for the updates that do not touch theirs.

    An untouched session is in no registry: its context is marked with it, until
    somebody looks for it (see ``open_on``) or at it.
    """
    if settings.attribute != ATTRIBUTE:
        return general
    get_key, seated = settings.get_key, settings.seated
    asks_late = may_be_asked_late(get_key)
    plain: set[type] = set()

    async def express(ctx: Any, handler: Handler) -> Any:
        if (
            (type(ctx) not in plain and not note_if_plain(plain, ctx))
            or hasattr(ctx, ATTRIBUTE)
            or hasattr(ctx, MARK)
            or (seated and id(ctx) in seated)
        ):
            return await general(ctx, handler)
        session: LazySession[Any] = LazySession()
        if asks_late:
            session._key = UNASKED
        else:
            key = get_key(ctx)
            if type(key) is not str or not key:
                if type(key) is not int:
                    return await general(ctx, handler, key)
                key = str(key)
            session._key = key
        session._settings = settings
        session._ctx = ctx
        session._state = FRESH
        ctx.session = ctx._sessionkit_untouched = session
        try:
            result = handler(ctx)
            if type(result) is _COROUTINE or is_awaitable(result):
                result = await result
        except BaseException as error:
            await session._end(error)
            raise
        try:
            if ctx.session is session and ctx._sessionkit_untouched is session:
                del ctx.session, ctx._sessionkit_untouched
                session._state = CLOSED
                return result
        except AttributeError:  # the handler deleted ctx.session, or looked for its session
            pass
        await session._end()
        return result

    return express

"""A multi session: fragments with a storage, key and prefix each, under one ``ctx.session``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, ClassVar, NoReturn, TypeAlias, cast

from sessionkit._life.attach import Attached, open_on
from sessionkit._life.lazy import LazySession
from sessionkit._life.seats import MISSING
from sessionkit._life.strict import Session
from sessionkit._life.together import begin_all, end_all
from sessionkit._setup.sessions import AnySessions
from sessionkit.errors import SessionError

AnyKind: TypeAlias = AnySessions[Any, Any, Any]
Fragment: TypeAlias = Session[Any] | LazySession[Any]


@dataclass(eq=False)
class Seating:
    """Under which attribute the multi sessions of one kind show, and on which contexts they do."""

    attribute: str
    seated: dict[int, Any] = field(default_factory=dict[int, Any])


class MultiSession(Attached):
    """Base of a declared multi session: a class whose attributes are ``Sessions``.

        class Shop(MultiSession):
            cart = session(Cart, get_session_key=keys.user, prefix="cart:")
            prefs = lazy_session(Prefs)

    ``multi_session(Shop)`` makes the middleware; in a handler ``ctx.session`` is
    a ``Shop``: ``ctx.session.cart`` is a ``Cart``, ``await ctx.session.prefs``
    gives the ``Prefs``.  Assigning to a fragment replaces its data, None deletes.
    """

    __slots__ = ("_fragments", "_seating")

    _fragments: dict[AnyKind, Fragment]
    _seating: Seating
    _names: ClassVar[dict[str, AnyKind]] = {}

    def __init_subclass__(cls) -> None:
        found = {name: getattr(cls, name) for base in cls.__mro__[::-1] for name in vars(base)}
        cls._names = {
            name: value for name, value in found.items() if isinstance(value, AnySessions)
        }
        for name in cls._names:
            if name.startswith("_") or hasattr(MultiSession, name):
                msg = f"a fragment cannot be called {name!r}: that name has a meaning already"
                raise TypeError(msg)

    def __init__(self, fragments: dict[AnyKind, Fragment], seating: Seating) -> None:
        object.__setattr__(self, "_fragments", fragments)
        object.__setattr__(self, "_seating", seating)
        object.__setattr__(self, "_seat", None)
        object.__setattr__(self, "_ctx", None)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {', '.join(self._names)}>"

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(self._no_fragment(name))

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self._names and name not in Attached.__slots__:
            raise AttributeError(self._no_fragment(name))
        object.__setattr__(self, name, value)

    def _no_fragment(self, name: str) -> str:
        return f"there is no fragment {name!r} in {type(self).__name__}: {', '.join(self._names)}"

    def _fragment(self, sessions: AnyKind) -> Any:
        return self._fragments[sessions]

    def shown(self) -> MultiSession:
        """What ``ctx.session`` gives."""
        return self

    def assigned(self, value: Any) -> None:
        """``ctx.session = value``: assigns the fragments of a mapping; None deletes all."""
        if value is None:
            for fragment in self._fragments.values():
                if fragment.has_key:
                    fragment.assigned(None)
            return
        if value is self:
            return
        if not isinstance(value, Mapping):
            names = ", ".join(self._names)
            msg = f"a multi session takes a mapping of {names}, or None, not {value!r}"
            raise TypeError(msg)
        values = cast("Mapping[str, Any]", value)
        for name in values:
            if name not in self._names:
                raise AttributeError(self._no_fragment(name))
            self._fragments[self._names[name]]._use()  # all, or none
        for name, data in values.items():
            self._fragments[self._names[name]].assigned(data)

    # Attach, begin, end

    def _settle_on(self, ctx: Any, *, show: bool) -> None:
        for name, sessions in self._names.items():
            if open_on(ctx, sessions._settings) is not None:
                msg = (
                    f"the session of the fragment {name!r} is open on this {type(ctx).__name__} "
                    "already: use these sessions by themselves, or in a multi session"
                )
                raise SessionError(msg)
        self._attach(ctx, self._seating, self, show=show)
        for sessions, fragment in self._fragments.items():
            sessions._settings.seated[id(ctx)] = fragment
            fragment._ctx = ctx

    def _holders(self) -> Iterable[object]:
        return chain.from_iterable(each._holders() for each in self._fragments.values())

    def _leave(self) -> None:
        for sessions in self._fragments:
            sessions._settings.seated.pop(id(self._ctx), None)
        self._detach(self._seating.seated)

    def _strict(self) -> list[Session[Any]]:
        return [fragment for fragment in self._fragments.values() if isinstance(fragment, Session)]

    def _lazy(self) -> list[LazySession[Any]]:
        return [each for each in self._fragments.values() if isinstance(each, LazySession)]

    async def _begin(self) -> None:
        await begin_all(self._strict())

    async def _end(self, error: BaseException | None = None) -> None:
        try:
            self._take_assigned(error)
            for fragment in self._lazy():
                await fragment._take_last_assignment(error)
        except BaseException as failure:
            error = failure
            raise
        finally:
            self._leave()
            opened = self._strict() + [lazy._record for lazy in self._lazy() if lazy._finish()]
            await end_all(opened, error, [self._name_of(session) for session in opened])

    def _take_assigned(self, error: BaseException | None) -> None:
        """Take over what was assigned to a plain attribute."""
        if self._seat is None:
            return
        value = self._seat.look(self._ctx)
        try:
            self.assigned(None if value is MISSING else value)
        except Exception:
            if error is None:  # otherwise the handler's own error is the one to see
                raise

    def _name_of(self, session: Session[Any]) -> str:
        fragments = self._fragments
        return next(
            name
            for name, sessions in self._names.items()
            if session in (fragments[sessions], getattr(fragments[sessions], "_record", None))
        )

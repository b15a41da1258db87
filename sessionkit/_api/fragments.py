"""A multi session: fragments with a storage, key and prefix each, under one ``ctx.session``."""

from __future__ import annotations

from collections.abc import Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, ClassVar, NoReturn, TypeAlias, cast

from sessionkit._api.sessions import AnySessions
from sessionkit._session.context import Attached, ContextSlots, Registry, Slots
from sessionkit._session.group import begin_all, end_all
from sessionkit._session.lazy import LazyRecord
from sessionkit._session.record import Record
from sessionkit._session.serializer import MISSING
from sessionkit._session.stored import Rest, wait_for
from sessionkit.errors import SessionError

AnyKind: TypeAlias = AnySessions[Any, Any, Any]
Fragment: TypeAlias = Record[Any] | LazyRecord[Any]


@dataclass(eq=False)
class MultiRegistry:
    """The multi sessions of one kind that are open on contexts."""

    slots: ContextSlots
    open_on: dict[int, Any] = field(default_factory=dict[int, Any])


class MultiSession:
    """Base of a declared multi session: a class whose attributes are ``Sessions``.

        class Shop(MultiSession):
            cart = session(Cart, get_session_key=keys.user, prefix="cart:")
            prefs = lazy_session(Prefs)

    ``multi_session(Shop)`` makes the middleware; in a handler ``ctx.session`` is
    a ``Shop``: ``ctx.session.cart`` is a ``Cart``, ``await ctx.session.prefs``
    gives the ``Prefs``.  Assigning to a fragment replaces its data, None deletes.
    """

    __slots__ = ("_record",)

    _record: MultiRecord
    _names: ClassVar[dict[str, AnyKind]] = {}
    _in_order: ClassVar[tuple[str, ...]] = ()
    _name_of: ClassVar[dict[AnyKind, str]] = {}

    def __init_subclass__(cls) -> None:
        found = {name: getattr(cls, name) for base in cls.__mro__[::-1] for name in vars(base)}
        cls._names = {
            name: value for name, value in found.items() if isinstance(value, AnySessions)
        }
        cls._in_order = tuple(cls._names)
        cls._name_of = {value: name for name, value in cls._names.items()}
        for name in cls._names:
            if name.startswith("_") or hasattr(MultiSession, name):
                msg = f"a fragment cannot be called {name!r}: that name has a meaning already"
                raise TypeError(msg)

    def __init__(self, record: MultiRecord) -> None:
        _set_record(self, record)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {', '.join(self._names)}>"

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(self._no_fragment(name))

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self._names:
            raise AttributeError(self._no_fragment(name))
        object.__setattr__(self, name, value)

    @classmethod
    def _no_fragment(cls, name: str) -> str:
        return f"there is no fragment {name!r} in {cls.__name__}: {', '.join(cls._names)}"

    def _fragment(self, sessions: AnyKind) -> Any:
        return self._record._fragments[sessions]


_set_record: Any = vars(MultiSession)["_record"].__set__


class MultiRecord(Attached):
    """The life of the fragments of a multi session in one update."""

    __slots__ = ("_declared", "_fragments", "_handle", "_registry", "_strict")

    _fragments: dict[AnyKind, Fragment]
    _strict: Sequence[Record[Any]]
    _registry: MultiRegistry

    def __init__(
        self,
        declared: type[MultiSession],
        fragments: dict[AnyKind, Fragment],
        registry: MultiRegistry,
        ctx: object,
    ) -> None:
        self._declared = declared
        self._fragments = fragments
        self._registry = registry
        self._strict = [each for each in fragments.values() if isinstance(each, Record)]
        self._slot = self._plain = None
        self._handle: MultiSession | None = None
        self._ctx = ctx

    def _fragment(self, sessions: AnyKind) -> Any:
        return self._fragments[sessions]

    def _shown(self) -> MultiSession:
        """What ``ctx.session`` gives: the same until it ends."""
        handle = self._handle
        if handle is None:
            handle = self._handle = self._declared(self)
        return handle

    def _assign(self, value: Any) -> None:
        """``ctx.session = value``: assigns the fragments of a mapping; None deletes all."""
        if value is None:
            for fragment in self._fragments.values():
                if fragment.key is not None:
                    fragment._assign(None)
            return
        if value is self._handle:
            return
        names = self._declared._names
        if not isinstance(value, Mapping):
            msg = f"a multi session takes a mapping of {', '.join(names)}, or None, not {value!r}"
            raise TypeError(msg)
        values = cast("Mapping[str, Any]", value)
        for name in values:
            if name not in names:
                raise AttributeError(self._declared._no_fragment(name))
            self._fragments[names[name]]._use()  # all, or none
        for name, data in values.items():
            self._fragments[names[name]]._assign(data)

    async def _before_pause(self) -> None:
        self._take_assigned(None)
        if self._slot is not None:
            self._slot.put(self._ctx, self._shown())
        for each in self._lazy():
            await wait_for(each._before_pause())

    # Attach, begin, end

    def _attach(self, registry: Registry, slots: Slots) -> None:
        ctx = self._ctx
        number = id(ctx)
        for sessions in self._fragments:
            if number in sessions._registry.open_on:
                msg = (
                    f"the session of the fragment {self._declared._name_of[sessions]!r} is open "
                    f"on this {type(ctx).__name__} already: use these sessions by themselves, or "
                    "in a multi session"
                )
                raise SessionError(msg)
        super()._attach(registry, slots)
        for sessions, fragment in self._fragments.items():
            sessions._registry.open_on[number] = fragment

    def _holders(self) -> Iterable[Record[Any]]:
        return chain.from_iterable(each._holders() for each in self._fragments.values())

    def _leave(self) -> None:
        number = id(self._ctx)
        for sessions in self._fragments:
            sessions._registry.open_on.pop(number, None)
        self._detach(self._registry.open_on)
        self._handle = None  # or the garbage collector had to part them

    def _lazy(self) -> list[LazyRecord[Any]]:
        return [each for each in self._fragments.values() if isinstance(each, LazyRecord)]

    def _begin(self, slots: Slots) -> Rest:
        self._attach(self._registry, slots)
        if self._plain is not None:
            setattr(self._ctx, self._plain, self._shown())
        elif self._slot is not None:
            self._slot.put(self._ctx, self._shown())
        rest = begin_all(self._strict)
        return None if rest is None else self._begin_after(rest)

    async def _begin_after(self, rest: Coroutine[Any, Any, None]) -> None:
        try:
            await rest
        except BaseException:
            self._leave()
            raise

    def _end(self, error: BaseException | None = None) -> Rest:
        if len(self._strict) < len(self._fragments):
            return self._end_with_lazy(error)
        try:
            self._take_assigned(error)
        except BaseException as failure:  # noqa: BLE001 (raised when all have ended)
            return self._end_after(failure)
        return self._end_all(error)

    async def _end_after(self, failure: BaseException) -> None:
        await wait_for(self._end_all(failure))
        raise failure

    async def _end_with_lazy(self, error: BaseException | None) -> None:
        try:
            self._take_assigned(error)
            for fragment in self._lazy():
                await fragment._take_last_assignment(error)
        except BaseException as failure:
            error = failure
            raise
        finally:
            await wait_for(self._end_all(error))

    def _end_all(self, error: BaseException | None) -> Rest:
        self._leave()
        if len(self._strict) == len(self._fragments):
            return self._end_records(self._strict, error, self._declared._in_order)
        sessions: list[Record[Any]] = []
        names: list[str] = []
        for name, of in self._declared._names.items():
            fragment = self._fragments[of]
            session = fragment if isinstance(fragment, Record) else fragment._closed()
            if session is not None:
                sessions.append(session)
                names.append(name)
        return self._end_records(sessions, error, names)

    def _end_records(
        self, records: Sequence[Record[Any]], error: BaseException | None, names: Sequence[str]
    ) -> Rest:
        return end_all(records, error, names)

    def _take_assigned(self, error: BaseException | None) -> None:
        """Take over what was assigned to a plain attribute."""
        slot = self._slot
        if slot is None:
            return
        value = slot.look(self._ctx)
        if value is self._handle:
            return
        try:
            self._assign(None if value is MISSING else value)
        except Exception:
            if error is None:  # otherwise the handler's own error is the one to see
                raise

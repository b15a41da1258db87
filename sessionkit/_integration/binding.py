"""What ``install(target, sessions)`` means, whatever the framework."""

from __future__ import annotations

import keyword
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from functools import wraps
from typing import Any, TypeAlias, TypeVar, overload

from sessionkit import keys
from sessionkit._api.by_key import move_chat
from sessionkit._api.fragments import MultiSession
from sessionkit._api.multi import MultiSessions, multi_session
from sessionkit._api.sessions import AnySessions
from sessionkit._api.signatures import hiding, is_async, parameters_of, refuse_generator
from sessionkit._integration.chats import logged_conflicts, merges_of, tells_of_a_move
from sessionkit._integration.parts import Shown
from sessionkit._integration.repeats import Ending, refuse_unknown_ids
from sessionkit._session.context import property_slot
from sessionkit._session.lifecycle import UNASKED, run
from sessionkit._session.opening import Opening
from sessionkit._session.stored import Rest, wait_for
from sessionkit._storage.sync_or_async import run_sync

Bindable: TypeAlias = AnySessions[Any, Any, Any] | MultiSessions[Any]
MergeChats: TypeAlias = Callable[[Any, Any], Any] | Mapping[str, Callable[[Any, Any], Any]]

Call: TypeAlias = Callable[[dict[str, Any]], Any]

R = TypeVar("R")

_log = logging.getLogger("sessionkit")


class Binding:
    """The sessions that handlers ask for by name, as ``install`` got them.

    Args:
        sessions: Strict, lazy or multi sessions, under *name*.
        named: Several instead, by name.  They are opened together: locked in
            sorted order, and all encoded before one is written.
        name: What *sessions* are called.
        migrate_chats: Whether a group's sessions follow it into its supergroup
            before an update that announces it.  A function ``(theirs, mine)``
            merges where both chats have data, ``theirs`` is the supergroup's;
            with several sessions, give a mapping from names to functions.
            Without one both are kept, and an error is logged.
        signals: Exceptions by which handlers of this framework say where to go
            on, rather than that they failed: what changed is saved.
        stop: The one of them that ends an update, raised by ``inject`` where an update was
            handled already (``once=``).  Without, the handler is left out.
        has_update_ids: Whether updates have the ids of the Bot API; otherwise sessions with
            ``once=`` need an identity function.

    Raises:
        TypeError: Both, or neither, of *sessions* and *named* are given, or
            something that is not a ``Sessions``; an identity function is missing.
        ValueError: A name is not an identifier; two sessions share storage and prefix.
    """

    def __init__(
        self,
        sessions: Bindable | None = None,
        named: Mapping[str, Bindable] | None = None,
        /,
        *,
        name: str = "session",
        migrate_chats: bool | MergeChats = True,
        signals: tuple[type[BaseException], ...] = (),
        stop: type[BaseException] | None = None,
        has_update_ids: bool = True,
    ) -> None:
        if (sessions is None) == (not named):
            msg = "give sessions, or several by name: install(target, cart=carts, prefs=prefs)"
            raise TypeError(msg)
        parts: Mapping[str, Any] = named or {name: sessions}
        self._parts = dict(parts)
        for part, value in self._parts.items():
            _check(part, value, alone=not named)
        self._whole: Any = _together(self._parts)
        self._fragments = _fragments(self._whole, self._parts)
        self._registries = _registries(self._whole, self._fragments)
        self._stop = stop
        self._has_update_ids = has_update_ids
        if not has_update_ids:
            refuse_unknown_ids(self._fragments)
        self._migrates = migrate_chats is not False
        self._merges = merges_of(migrate_chats, self._fragments)
        self._signals = signals
        self._argument = (
            self._arguments if len(self._parts) > 1 else _passing(self.names[0], self._whole)
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The names under which handlers ask for sessions."""
        return tuple(self._parts)

    @property
    def has_once(self) -> bool:
        """Whether one of them stores ids of updates: see ``once=``."""
        return any(each._settings.once is not None for each in self._fragments.values())

    def refuse_beside(self, others: Iterable[Binding], /) -> None:
        """Check them against what was installed on the same target before.

        Raises:
            ValueError: Two share storage and prefix: each update would wait for itself.
        """
        for other in others:
            for name, sessions in self._fragments.items():
                for taken, before in other._fragments.items():
                    if sessions is not before and _place(sessions) == _place(before):
                        msg = (
                            f"the sessions {name!r} and {taken!r}, installed before, share storage "
                            "and prefix, so that each update would wait for itself: give one of "
                            f"them prefix='{name}:'"
                        )
                        raise ValueError(msg)

    def open(self, ctx: object, /) -> Use:
        """Open all of them for one update: ``async with``, in threads ``with``, or by steps.

        On a context that has them open already, join.
        """
        return Use(self, ctx)

    @overload
    def run(
        self, ctx: object, call: Callable[[dict[str, Any]], Awaitable[R]], /
    ) -> Coroutine[Any, Any, R]: ...
    @overload
    def run(
        self, ctx: object, call: Callable[[dict[str, Any]], R], /
    ) -> Coroutine[Any, Any, R]: ...
    def run(self, ctx: object, call: Call, /) -> Coroutine[Any, Any, Any]:
        """Return what *call* does, given the sessions by name, while they are open.

        As ``async with binding.open(ctx) as sessions: return await call(sessions)``,
        and quicker.  *call* may be sync.
        """
        following = self._following(ctx, blocking=False)
        if following is not None:
            return self._run_after(following, ctx, call)
        return run(self._whole, ctx, call, self._argument, self._signals)

    async def _run_after(self, following: Any, ctx: object, call: Call) -> Any:
        await following
        return await run(self._whole, ctx, call, self._argument, self._signals)

    def shown_on(self, ctx: object, /, *parts: object) -> Shown:
        """Let ``of`` and ``open`` find on *parts* what is open on *ctx*: ``with``.

        For updates whose handlers get a part of them, their message perhaps.
        """
        return Shown(self._registries, ctx, parts)

    def of(self, ctx: object, /) -> dict[str, Any]:
        """Return the sessions that are open on *ctx*, by name.

        Raises:
            SessionClosedError: None are.
        """
        self._whole.of(ctx)
        return self._arguments(self._opened_on(ctx))

    def _opened_on(self, ctx: object) -> Any:
        return self._whole._registry.open_on[id(ctx)]

    def asked_for(self, function: Callable[..., Any], /) -> Binding | None:
        """Return what *function* has parameters for, None if it asks for no session.

        Raises:
            TypeError: It asks, and is a generator.
        """
        wanted = [name for name in self._parts if name in parameters_of(function)]
        if not wanted:
            return None
        refuse_generator(function)
        if len(wanted) == len(self._parts):
            return self
        parts = {name: self._parts[name] for name in wanted}
        merges = {name: self._merges[name] for name in wanted if name in self._merges}
        binding = Binding(
            None,
            parts,
            migrate_chats=self._migrates,
            signals=self._signals,
            stop=self._stop,
            has_update_ids=self._has_update_ids,
        )
        binding._merges = merges
        return binding

    def inject(
        self,
        function: Callable[..., Any],
        /,
        context_of: Callable[..., object] | None = None,
    ) -> Callable[..., Any]:
        """Wrap a handler so that it gets the sessions it has parameters for.

        They are open while it runs, and saved when it returns.  They do not
        show in the signature of what is returned, for frameworks that look at
        it.  A function that asks for none is returned as it is.

        Args:
            function: The handler, sync or async.
            context_of: Picks the context out of the handler's arguments, of which it
                gets all; without it, that is the first.
        """
        pick = context_of or _first
        binding = self.asked_for(function)
        if binding is None:
            return function
        if is_async(function):

            @wraps(function)
            async def opened(*args: Any, **kwargs: Any) -> Any:
                ctx = pick(*args, **kwargs)
                with binding.ending(ctx):
                    async with binding.open(ctx) as arguments:
                        return await function(*args, **kwargs, **arguments)
                return None

            return hiding(opened, function, binding.names)

        @wraps(function)
        def opened_sync(*args: Any, **kwargs: Any) -> Any:
            ctx = pick(*args, **kwargs)
            with binding.ending(ctx), binding.open(ctx) as arguments:
                return function(*args, **kwargs, **arguments)
            return None

        return hiding(opened_sync, function, binding.names)

    def ending(self, ctx: object, /) -> Ending:
        """End the update quietly if that of *ctx* was handled already: ``with``, around ``open``.

        Raises:
            BaseException: What the framework has to end an update by, if it has that.
        """
        return Ending(ctx, self._stop)

    def require(self, function: Callable[..., Any], /) -> None:
        """Check a function that is to get sessions.

        Raises:
            TypeError: It has no parameter for any; or it is a generator.
        """
        if self.asked_for(function) is None:
            name = getattr(function, "__qualname__", repr(function))
            msg = f"{name}() asks for no session: give it a parameter {' or '.join(self._parts)}"
            raise TypeError(msg)

    async def follow(self, ctx: object, /) -> None:
        """Let the sessions of a group follow it, if *ctx* says that it became a supergroup.

        ``open`` does so too.  For updates on which nothing is opened, call it
        yourself.  A no-op for others, and if *migrate_chats* is False.
        """
        following = self._following(ctx, blocking=False)
        if following is not None:
            await following

    def follow_sync(self, ctx: object, /) -> None:
        """The same for threads."""
        following = self._following(ctx, blocking=True)
        if following is not None:
            run_sync(following)

    def _following(self, ctx: object, *, blocking: bool) -> Rest:
        """Move the sessions of a chat, if *ctx* is about that and none is open there."""
        if not self._migrates or not tells_of_a_move(ctx) or self._is_open_on(ctx):
            return None
        moved = keys.migration(ctx)
        return None if moved is None else self._move(*moved, blocking=blocking)

    async def _move(self, old: int, new: int, *, blocking: bool) -> None:
        for name, sessions in self._fragments.items():
            settings = sessions._settings_for(blocking=blocking)
            with logged_conflicts():
                await move_chat(settings, old, new, self._merges.get(name))

    def _is_open_on(self, ctx: object) -> bool:
        return any(id(ctx) in open_on for open_on in self._registries)

    def _sessions(self, opened: Any) -> dict[str, Any]:
        """The sessions of one update, by name."""
        if len(self._parts) == 1:
            return dict.fromkeys(self._parts, opened)
        return {name: opened._fragment(part) for name, part in self._parts.items()}

    def _arguments(self, opened: Any) -> dict[str, Any]:
        """The same as handlers get them."""
        sessions = self._sessions(opened)
        return {name: part._handle(sessions[name]) for name, part in self._parts.items()}

    def _views(self, opened: Any) -> dict[str, Any]:
        """The same for threads."""
        arguments = self._arguments(opened)
        return {name: part._view(arguments[name]) for name, part in self._parts.items()}


class Use(Opening[dict[str, Any], dict[str, Any]]):
    """One use of a ``Binding``: ``async with``, ``with``, or begin, fail, hold and close.

    See ``Opening``, whose steps these are; ``begin`` gives the sessions by name.
    """

    __slots__ = ("_binding", "_shown_on")

    def __init__(self, binding: Binding, ctx: object) -> None:
        if ctx is None or isinstance(ctx, str | int):
            msg = f"an update is needed to open sessions of, not {ctx!r}"
            raise TypeError(msg)
        super().__init__(binding._whole, ctx, UNASKED, binding._signals)
        self._binding = binding
        self._shown_on: list[object] = []

    def show_on(self, other: object, /) -> None:
        """Let a second context of this update show the open sessions, until they end.

        ``of(other)`` finds them, and a ``SessionProperty`` of its class shows them.

        Raises:
            SessionClosedError: They are not open.
        """
        self._binding.of(self._ctx)
        for name, session in self._binding._sessions(self._session).items():
            slot = property_slot(type(other), name)
            if slot is not None:
                slot.put(other, session)
        for open_on in self._binding._registries:
            open_on[id(other)] = open_on[id(self._ctx)]
        self._shown_on.append(other)

    def _given(self) -> dict[str, Any]:
        return self._binding._arguments(self._session)

    def _given_to_thread(self) -> dict[str, Any]:
        return self._binding._views(self._session)

    def _begin(self, blocking: bool) -> Rest:  # noqa: FBT001
        following = self._binding._following(self._ctx, blocking=blocking)
        if following is None:
            return super()._begin(blocking)
        return self._begin_after(following, blocking=blocking)

    async def _begin_after(self, following: Any, *, blocking: bool) -> None:
        await following
        await wait_for(super()._begin(blocking))

    def _end_if_done(self) -> Rest:
        try:
            return super()._end_if_done()
        finally:
            self._forget_if_over()

    def _forget_if_over(self) -> None:
        if self.is_open or not self._shown_on:
            return
        for open_on in self._binding._registries:
            for other in self._shown_on:
                open_on.pop(id(other), None)
        self._shown_on.clear()


def _check(name: str, sessions: object, *, alone: bool) -> None:
    if not name.isidentifier() or keyword.iskeyword(name):
        msg = f"a session is asked for by the name of a parameter, which {name!r} cannot be"
        raise ValueError(msg)
    kinds = (AnySessions, MultiSessions) if alone else (AnySessions,)
    if not isinstance(sessions, kinds):
        wanted = "session(...), lazy_session(...)" + (" or multi_session(...)" if alone else "")
        msg = f"{name} must be what {wanted} returns, not {sessions!r}"
        raise TypeError(msg)


def _place(sessions: AnySessions[Any, Any, Any]) -> tuple[int, str]:
    """Where data is kept: sessions of one place have their keys in common."""
    return id(sessions._settings.locks), sessions._settings.prefix


def _fragments(whole: Bindable, parts: Mapping[str, Any]) -> dict[str, AnySessions[Any, Any, Any]]:
    """The sessions that are neither multi nor several."""
    if isinstance(whole, MultiSessions):
        return dict(whole._declared._names)
    return dict.fromkeys(parts, whole)


def _registries(whole: Any, fragments: Mapping[str, Any]) -> tuple[dict[int, Any], ...]:
    """By ``id`` of a context, what is open on it: for each of these sessions."""
    all_of_them: list[Any] = list(fragments.values())
    if isinstance(whole, MultiSessions):
        all_of_them.append(whole)
    return tuple(sessions._registry.open_on for sessions in all_of_them)


def _together(parts: Mapping[str, Any]) -> Any:
    """One ``Sessions`` for all."""
    if len(parts) > 1:
        return multi_session(type("Bound", (MultiSession,), dict(parts)))
    return next(iter(parts.values()))


def _passing(name: str, sessions: Any) -> Callable[[Any], dict[str, Any]]:
    """What makes the arguments of a single session; ``_arguments`` does for several."""
    handle = sessions._handle
    return lambda session: {name: handle(session)}


def _first(ctx: object, *_: object, **__: object) -> object:
    return ctx

"""What ``install(target, sessions)`` means, whatever the framework."""

from __future__ import annotations

import keyword
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from functools import wraps
from typing import Any, TypeAlias, TypeVar, cast, overload

from sessionkit import keys
from sessionkit._drive import resolve
from sessionkit._life.attach import open_on
from sessionkit._setup.handlers import hiding, is_async, parameters_of
from sessionkit._setup.lending import Call, lane_for, tells_of_a_move
from sessionkit._setup.multi import MultiSession
from sessionkit._setup.multi_sessions import MultiSessions, multi_session
from sessionkit._setup.sessions import AnySessions
from sessionkit._setup.use import Use
from sessionkit.errors import SessionConflictError

Bindable: TypeAlias = AnySessions[Any, Any, Any] | MultiSessions[Any]
MergeChats: TypeAlias = Callable[[Any, Any], Any] | Mapping[str, Callable[[Any, Any], Any]]

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
            before an update that tells of it.  A function ``(theirs, mine)``
            merges where both chats have data, ``theirs`` is the supergroup's;
            with several sessions, give a mapping from names to functions.
            Without one both are kept, and an error is logged.
        signals: Exceptions by which handlers of this framework say where to go
            on, rather than that they failed: what changed is saved.

    Raises:
        TypeError: Both, or neither, of *sessions* and *named* are given, or
            something that is no ``Sessions``.
        ValueError: A name is no identifier; two sessions share storage and prefix.
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
    ) -> None:
        if (sessions is None) == (not named):
            msg = "give sessions, or several by name: install(target, cart=carts, prefs=prefs)"
            raise TypeError(msg)
        parts: Mapping[str, Any] = named or {name: sessions}
        self._parts = dict(parts)
        for part, value in self._parts.items():
            _check(part, value, alone=not named)
        self._whole: Bindable = _together(self._parts)
        self._fragments = _fragments(self._whole, self._parts)
        self._migrates = migrate_chats is not False
        self._merges = _merges(migrate_chats, self._fragments)
        self._signals = signals
        self._run = lane_for(
            self._whole, self._run_generally, self.names[0], signals, follows=self._migrates
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The names under which handlers ask for sessions."""
        return tuple(self._parts)

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
        return self._run(ctx, call)

    async def _run_generally(self, ctx: object, call: Call, *key: str | None) -> Any:
        """The way where there is no express lane, or it gave up; *key*: if it is known."""
        async with Use(self, ctx, *key) as arguments:
            return await resolve(call(arguments))

    def of(self, ctx: object, /) -> dict[str, Any]:
        """Return the sessions that are open on *ctx*, by name.

        Raises:
            SessionClosedError: None are.
        """
        return self._arguments(self._whole.of(ctx))

    def asked_for(self, function: Callable[..., Any], /) -> Binding | None:
        """Return what *function* has parameters for, None if it asks for no session."""
        wanted = [name for name in self._parts if name in parameters_of(function)]
        if not wanted:
            return None
        if len(wanted) == len(self._parts):
            return self
        parts = {name: self._parts[name] for name in wanted}
        merges = {name: self._merges[name] for name in wanted if name in self._merges}
        binding = Binding(None, parts, migrate_chats=self._migrates, signals=self._signals)
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
                async with binding.open(pick(*args, **kwargs)) as arguments:
                    return await function(*args, **kwargs, **arguments)

            return hiding(opened, function, binding.names)

        @wraps(function)
        def opened_sync(*args: Any, **kwargs: Any) -> Any:
            with binding.open(pick(*args, **kwargs)) as arguments:
                return function(*args, **kwargs, **arguments)

        return hiding(opened_sync, function, binding.names)

    def require(self, function: Callable[..., Any], /) -> None:
        """Check a function that is to get sessions.

        Raises:
            TypeError: It has no parameter for any.
        """
        if self.asked_for(function) is None:
            name = getattr(function, "__qualname__", repr(function))
            msg = f"{name}() asks for no session: give it a parameter {' or '.join(self._parts)}"
            raise TypeError(msg)

    async def follow(self, ctx: object, /) -> None:
        """Let the sessions of a group follow it, if *ctx* tells that it became a supergroup.

        ``open`` does so too.  For updates on which nothing is opened, call it
        yourself.  A no-op for others, and if *migrate_chats* is False.
        """
        moved = self._migration(ctx)
        if moved is not None:
            for name, sessions in self._fragments.items():
                with _Conflicts():
                    await sessions.move_chat(*moved, self._merges.get(name))

    def follow_sync(self, ctx: object, /) -> None:
        """The same for threads."""
        moved = self._migration(ctx)
        if moved is not None:
            for name, sessions in self._fragments.items():
                with _Conflicts():
                    sessions.sync.move_chat(*moved, self._merges.get(name))

    def _migration(self, ctx: object) -> tuple[int, int] | None:
        """The move that *ctx* tells of, if sessions are to follow and none is open on it."""
        if not self._migrates or not tells_of_a_move(ctx) or self._is_open_on(ctx):
            return None
        return keys.migration(ctx)

    def _is_open_on(self, ctx: object) -> bool:
        fragments = self._fragments.values()
        return any(open_on(ctx, each._settings) is not None for each in fragments)

    def _registries(self) -> Iterator[dict[int, Any]]:
        """By ``id`` of a context, what is open on it."""
        for sessions in self._fragments.values():
            yield sessions._settings.seated
        if isinstance(self._whole, MultiSessions):
            yield self._whole._seating.seated

    def _arguments(self, opened: Any) -> dict[str, Any]:
        if len(self._parts) == 1:
            return dict.fromkeys(self._parts, opened)
        return {name: opened._fragment(part) for name, part in self._parts.items()}

    def _views(self, opened: Any) -> dict[str, Any]:
        """The same for threads."""
        if len(self._parts) == 1:
            return dict.fromkeys(self._parts, opened)
        arguments = self._arguments(opened)
        return {name: self._parts[name]._view(session) for name, session in arguments.items()}


class _Conflicts:
    """Logs a chat's data that cannot follow it, for both are kept."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, SessionConflictError):
            return False
        _log.error(
            "A group became a supergroup, and both have data: %s. Both were kept. Give "
            "migrate_chats=function(theirs, mine) to merge, or call sessions.move(..., merge)",
            error,
        )
        return True


def _check(name: str, sessions: object, *, alone: bool) -> None:
    if not name.isidentifier() or keyword.iskeyword(name):
        msg = f"a session is asked for by the name of a parameter, which {name!r} cannot be"
        raise ValueError(msg)
    kinds = (AnySessions, MultiSessions) if alone else (AnySessions,)
    if not isinstance(sessions, kinds):
        wanted = "session(...), lazy_session(...)" + (" or multi_session(...)" if alone else "")
        msg = f"{name} must be what {wanted} returns, not {sessions!r}"
        raise TypeError(msg)


def _merges(
    migrate_chats: object, fragments: Mapping[str, object]
) -> dict[str, Callable[[Any, Any], Any]]:
    """What merges the data of each fragment, by its name."""
    if isinstance(migrate_chats, bool):
        return {}
    if len(fragments) == 1 and callable(migrate_chats):
        return dict.fromkeys(fragments, migrate_chats)
    if isinstance(migrate_chats, Mapping):
        merges = dict(cast("Mapping[str, Any]", migrate_chats))
        if merges.keys() <= fragments.keys() and all(map(callable, merges.values())):
            return merges
    several = f"a mapping from {' or '.join(fragments)} to functions"
    wanted = several if len(fragments) > 1 else "a function"
    msg = f"migrate_chats must be True, False or {wanted} (theirs, mine), not {migrate_chats!r}"
    raise TypeError(msg)


def _fragments(whole: Bindable, parts: Mapping[str, Any]) -> dict[str, AnySessions[Any, Any, Any]]:
    """The sessions that are neither multi nor several."""
    if isinstance(whole, MultiSessions):
        return dict(whole._declared._names)
    return dict.fromkeys(parts, whole)


def _together(parts: Mapping[str, Any]) -> Any:
    """One ``Sessions`` for all."""
    if len(parts) > 1:
        return multi_session(type("Bound", (MultiSession,), dict(parts)))
    return next(iter(parts.values()))


def _first(ctx: object, *_: object, **__: object) -> object:
    return ctx

"""One use of a session, from begin to close: what ``async with`` and adapters hold."""

from __future__ import annotations

import asyncio
import sys
from types import FrameType
from typing import Any, Final, Generic, Self, TypeVar

from sessionkit._locks.owners import disown, holds_session, own, own_for
from sessionkit._session.context import Slots
from sessionkit._session.lifecycle import COROUTINE, UNASKED, Factory
from sessionkit._session.settings import required_key
from sessionkit._session.stored import Rest, wait_for
from sessionkit._storage.sync_or_async import run_sync
from sessionkit.errors import SessionError

A = TypeVar("A")
B = TypeVar("B")


_NOT_CONTEXTS: Final = frozenset({float, complex, bytes, tuple, list, set, frozenset})


def target_of(target: object, key: object) -> tuple[Any, Any]:
    """Return the context (None: there is none) and key (UNASKED: the context's) of a target.

    Raises:
        TypeError: A context and a key were given.
        NoSessionKeyError, InvalidSessionKeyError: The key is none.
    """
    if key is None and target is not None and not _is_key(target):
        return target, UNASKED
    if target is not None and key is not None:
        msg = "give a context or a key to open, not both"
        raise TypeError(msg)
    return None, required_key(target if key is None else key)


def _is_key(target: object) -> bool:
    """Whether a target is, or was meant as, a key."""
    return isinstance(target, (str, int)) or type(target) in _NOT_CONTEXTS


class Opening(Generic[A, B]):
    """One use of a session: ``async with`` where a loop runs, ``with`` in threads.

    Adapters whose framework has no place for ``with`` call the steps:
    ``begin``, then ``fail`` for an error that the framework keeps to itself,
    ``hold`` for work that goes on after the handler, and at last ``close``.
    """

    __slots__ = (
        "_closing",
        "_ctx",
        "_error",
        "_factory",
        "_holds",
        "_joined",
        "_key",
        "_place",
        "_session",
        "_signals",
    )

    def __init__(
        self,
        factory: Factory,
        ctx: Any,
        key: Any,
        signals: tuple[type[BaseException], ...] = (),
    ) -> None:
        self._factory = factory
        self._ctx = ctx
        self._key = key
        self._signals = signals
        self._session: Any = None
        self._place: FrameType | None = None
        self._error: BaseException | None = None
        self._joined = self._closing = False
        self._holds = 0

    @property
    def is_open(self) -> bool:
        """Whether the session was begun and has not ended."""
        return self._session is not None

    async def begin(self) -> A:
        """Open the session; ``close`` must follow, whatever happens, in this task or another.

        On a context that has a session of the same ``Sessions`` open, join it:
        it ends with the one who opened it.

        Raises:
            SessionError: The session is begun already, or the context's attribute is taken.
            SessionLockTimeoutError, SessionDeadlockError: The key cannot be had.
            SessionDecodeError, SessionMigrationError: What is stored cannot be read.
        """
        await wait_for(self._begin(False))  # noqa: FBT003 (as a keyword it takes longer)
        return self._given()

    async def close(self, error: BaseException | None = None) -> None:
        """End the use: write what changed, unless it failed; let go of the key.

        Waits for nothing: with holds left, the last of them ends the session.
        A no-op if nothing was begun, or all has ended.
        """
        await wait_for(self._close(error))

    def fail(self, error: BaseException | None = None) -> None:
        """Note that the handler failed, so that nothing is saved; see ``save_on_error``.

        A no-op for errors that are signals of the framework.
        """
        if error is None or not isinstance(error, self._signals):
            self._error = self._error or error or SessionError("marked as failed")

    def hold(self, task: asyncio.Task[Any] | None = None) -> Hold:
        """Keep the session open until the hold is released, also after ``close``.

        From now on it belongs to *task*, or to none: who opened it may wait for its key.
        The error of a waiter that times out names *task*.

        Raises:
            SessionError: Nothing is open: it was not begun, or has ended.
        """
        if self._session is None:
            msg = "there is no open session to hold: begin() it before"
            raise SessionError(msg)
        self._holds += 1
        self._disown(self._session)
        if task is not None:
            self._place = own_for(self._session, task)
        return Hold(self)

    async def __aenter__(self) -> A:
        rest = self._begin(False)  # noqa: FBT003
        if rest is not None:
            await rest
        if not self._joined:
            self._place = own(self._session, sys._getframe(1))  # pyright: ignore[reportPrivateUsage]
        return self._given()

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        rest = self._close(error)
        if rest is not None:
            await rest

    def __enter__(self) -> B:
        refuse_loop()
        rest = self._begin(True)  # noqa: FBT003
        if rest is not None:
            run_sync(rest)
        if not self._joined:
            self._place = own(self._session, sys._getframe(1))  # pyright: ignore[reportPrivateUsage]
        return self._given_to_thread()

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        rest = self._close(error)
        if rest is not None:
            run_sync(rest)

    def _given(self) -> A:
        handle: Any = self._factory._handle  # as a method it takes longer to call
        return handle(self._session)  # type: ignore[no-any-return]

    def _given_to_thread(self) -> B:
        factory = self._factory
        return factory._view(factory._handle(self._session))  # type: ignore[no-any-return]

    def _begin(self, blocking: bool) -> Rest:  # noqa: FBT001
        if self._session is not None:
            handle = self._factory._handle(self._session)
            msg = f"this use of {handle!r} is already active; call sessions.open() again"
            raise SessionError(msg)
        self._error, self._closing = None, False
        factory, ctx, slots = self._factory, self._ctx, None
        if ctx is not None:
            registry = factory._registry
            if id(ctx) in registry.open_on:
                self._joined = True
                self._session = registry.open_on[id(ctx)]
                return None
            slots = registry.slots.properties
        self._joined = False
        make = factory._make_in_thread if blocking else factory._make
        session: Any = make(ctx, self._key)
        if type(session) is COROUTINE:  # a lazy session is awaitable, too
            return self._begin_made(session, slots)
        rest = session._begin(slots)
        if rest is not None:
            return self._begin_later(session, rest)
        self._session = session
        return None

    async def _begin_made(self, making: Any, slots: Slots | None) -> None:
        session = await making
        await self._begin_later(session, session._begin(slots))

    async def _begin_later(self, session: Any, rest: Rest) -> None:
        await wait_for(rest)
        self._session = session

    def _close(self, error: BaseException | None = None) -> Rest:
        if error is not None:
            self.fail(error)
        self._closing = True
        return self._end_if_done()

    def _end_if_done(self) -> Rest:
        if self._session is None or self._holds or not self._closing:
            return None
        session, self._session = self._session, None
        try:
            rest: Rest = None if self._joined else session._end(self._error)
        finally:
            self._disown(session)
        return None if rest is None else _ending(session, rest)

    def _disown(self, session: Any) -> None:
        if self._place is not None:
            disown(session, self._place)
            self._place = None


@holds_session
async def _ending(session: Any, rest: Any) -> None:  # noqa: ARG001 (it is looked for here)
    await rest


class Hold:
    """Keeps a session open for work that outlives its handler: ``async with opening.hold():``."""

    def __init__(self, opening: Opening[Any, Any]) -> None:
        self._opening: Opening[Any, Any] | None = opening

    async def release(self, error: BaseException | None = None) -> None:
        """Let go; the last one to do so ends a closed session.  A no-op the second time."""
        opening, self._opening = self._opening, None
        if opening is None:
            return
        if error is not None:
            opening.fail(error)
        opening._holds -= 1
        await wait_for(opening._end_if_done())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        await self.release(error)


def refuse_loop() -> None:
    """Raise on a thread whose event loop is running: blocking there would stop it."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    msg = "an event loop is running in this thread: use 'async with' (or await), not 'with'"
    raise RuntimeError(msg)

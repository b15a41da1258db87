"""One use of a session, from begin to close: what ``async with`` and adapters hold."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Generic, Protocol, Self, TypeVar

from sessionkit._drive import run_sync
from sessionkit._life.attach import Seating, open_on
from sessionkit._life.settings import Settings
from sessionkit._life.strict import required_key
from sessionkit._locks.table import disown
from sessionkit.errors import SessionError

A = TypeVar("A")
B = TypeVar("B")


class Target:
    """What to open: a key, or whatever key a context has."""

    __slots__ = ("asks", "ctx", "key")

    def __init__(self, ctx: Any, key: object = None) -> None:
        if ctx is not None and key is not None:
            msg = "give a context or a key to open, not both"
            raise TypeError(msg)
        if isinstance(ctx, str | int):
            ctx, key = None, ctx
        self.ctx: Any = ctx
        self.asks = ctx is not None and key is None
        """Whether the key is for the key function to tell."""
        self.key: str | None = None if self.asks else required_key(key)

    @classmethod
    def known(cls, ctx: Any, key: str | None) -> Target:
        """A context whose key the key function told already, None if it has none."""
        target = cls(ctx)
        target.asks, target.key = False, key
        return target

    async def key_by(self, settings: Settings) -> str | None:
        """The key, asking the key function if need be."""
        return await settings.key_of(self.ctx) if self.asks else self.key


class Openable(Protocol):
    """What an ``Opening`` opens: a strict, lazy or multi session."""

    def _settle_on(self, ctx: Any, *, show: bool) -> None: ...
    async def _begin(self) -> None: ...
    async def _end(self, error: BaseException | None = None) -> None: ...
    def _leave(self) -> None: ...
    def _holders(self) -> Iterable[object]: ...


class Maker(Protocol):
    """Makes what is to be opened, for a loop or for a thread."""

    async def __call__(self, *, blocking: bool) -> Openable: ...


class Opening(Generic[A, B]):
    """One use of a session: ``async with`` where a loop runs, ``with`` in threads.

    Adapters whose framework has no place for ``with`` call the steps:
    ``begin``, then ``fail`` for an error that the framework keeps to itself,
    ``hold`` for work that goes on after the handler, and at last ``close``.
    """

    def __init__(
        self,
        make: Maker,
        view: Callable[[Any], B],
        ctx: Any,
        seating: Seating,
        *,
        show: bool = False,
    ) -> None:
        self._make = make
        self._view = view
        self._ctx = ctx
        self._seating = seating
        self._show = show
        self._record: Openable | None = None
        self._joined = False
        self._error: BaseException | None = None
        self._holds = 0
        self._closing = False

    @property
    def is_open(self) -> bool:
        """Whether the session was begun and has not ended."""
        return self._record is not None

    async def begin(self) -> A:
        """Open the session; ``close`` must follow, whatever happens.

        On a context that has a session of the same ``Sessions`` open, join it:
        it ends with the one who opened it.

        Raises:
            SessionError: The session is begun already, or the context's attribute is taken.
            SessionLockTimeoutError, SessionDeadlockError: The key cannot be had.
            SessionDecodeError, SessionMigrationError: What is stored cannot be read.
        """
        return await self._begin(blocking=False)  # type: ignore[no-any-return]

    async def close(self, error: BaseException | None = None) -> None:
        """End the use: write what changed, unless it failed; let go of the key.

        Waits for nothing: with holds left, the last of them ends the session.
        A no-op if nothing was begun, or all has ended.
        """
        if error is not None:
            self.fail(error)
        self._closing = True
        await self._end_if_done()

    def fail(self, error: BaseException | None = None) -> None:
        """Note that the handler failed, so that nothing is saved; see ``save_on_error``."""
        self._error = self._error or error or SessionError("marked as failed")

    def hold(self) -> Hold:
        """Keep the session open until the hold is released, also after ``close``.

        From now on it belongs to no task: whoever opened it may wait for its key.

        Raises:
            SessionError: Nothing is open: it was not begun, or has ended.
        """
        if self._record is None:
            msg = "there is no open session to hold: begin() it before"
            raise SessionError(msg)
        self._holds += 1
        for holder in self._record._holders():
            disown(holder)
        return Hold(self)

    async def __aenter__(self) -> A:
        return await self.begin()

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        await self.close(error)

    def __enter__(self) -> B:
        refuse_loop()
        return self._view(run_sync(self._begin(blocking=True)))

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        run_sync(self.close(error))

    async def _begin(self, *, blocking: bool) -> Any:
        if self._record is not None:
            msg = f"this use of {self._record!r} has begun already: open another"
            raise SessionError(msg)
        self._error, self._closing = None, False
        joined = open_on(self._ctx, self._seating)
        self._joined = joined is not None
        self._record = joined or await self._opened(blocking=blocking)
        return self._record

    async def _opened(self, *, blocking: bool) -> Openable:
        record = await self._make(blocking=blocking)
        if self._ctx is not None:
            record._settle_on(self._ctx, show=self._show)
        try:
            await record._begin()
        except BaseException:
            record._leave()
            raise
        return record

    async def _end_if_done(self) -> None:
        if self._record is None or self._holds or not self._closing:
            return
        record, self._record = self._record, None
        if not self._joined:
            await record._end(self._error)


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
        await opening._end_if_done()

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

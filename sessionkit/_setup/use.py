"""One update's use of what ``install`` was given, by whatever steps a framework takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sessionkit._drive import run_sync
from sessionkit._life.opening import Hold, Target, refuse_loop
from sessionkit._life.seats import class_of, property_seat

if TYPE_CHECKING:
    from sessionkit._setup.binding import Binding


class Use:
    """One use of a ``Binding``: ``async with``, ``with``, or begin, fail, hold and close.

    See ``Opening``, whose steps these are.
    """

    def __init__(self, binding: Binding, ctx: object, *key: str | None) -> None:
        if isinstance(ctx, str | int):
            msg = f"an update is needed to open sessions of, not {ctx!r}"
            raise TypeError(msg)
        self._binding = binding
        self._ctx = ctx
        whole: Any = binding._whole
        self._opening = whole._opening(Target.known(ctx, *key)) if key else whole.open(ctx)
        self._shown_on: list[object] = []

    async def begin(self) -> dict[str, Any]:
        """Open; return the sessions by name.  ``close`` must follow, whatever happens."""
        await self._binding.follow(self._ctx)
        return self._binding._arguments(await self._opening.begin())

    def show_on(self, other: object, /) -> None:
        """Let a second context of this update show the open sessions, until they end.

        ``of(other)`` finds them, and a ``SessionProperty`` of its class shows them.

        Raises:
            SessionClosedError: They are not open.
        """
        for name, session in self._binding.of(self._ctx).items():
            seat = property_seat(class_of(other), name)
            if seat is not None:
                seat.put(other, session)
        for seated in self._binding._registries():
            seated[id(other)] = seated[id(self._ctx)]
        self._shown_on.append(other)

    def fail(self, error: BaseException | None = None) -> None:
        """Note that the handler failed, unless the error is a signal of the framework."""
        if error is None or not isinstance(error, self._binding._signals):
            self._opening.fail(error)

    def hold(self) -> Hold:
        """Keep the sessions open until the hold is released, also after ``close``."""
        return _UseHold(self)

    async def close(self, error: BaseException | None = None) -> None:
        """End the use: write what changed, unless it failed; let go of the keys."""
        if error is not None:
            self.fail(error)
        try:
            await self._opening.close()
        finally:
            self._forget_if_over()

    def _forget_if_over(self) -> None:
        if self._opening.is_open or not self._shown_on:
            return
        for seated in self._binding._registries():
            for other in self._shown_on:
                seated.pop(id(other), None)
        self._shown_on.clear()

    async def __aenter__(self) -> dict[str, Any]:
        return await self.begin()

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        await self.close(error)

    def __enter__(self) -> dict[str, Any]:
        refuse_loop()
        self._binding.follow_sync(self._ctx)
        return self._binding._views(self._opening.__enter__())

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        run_sync(self.close(error))


class _UseHold(Hold):
    """A hold that knows the signals of the framework."""

    def __init__(self, use: Use) -> None:
        super().__init__(use._opening)
        self._hold: Hold = use._opening.hold()
        self._use = use

    async def release(self, error: BaseException | None = None) -> None:
        """Let go; the last one to do so ends closed sessions.  A no-op the second time."""
        if error is not None and self._opening is not None:
            self._use.fail(error)
        self._opening = None
        try:
            await self._hold.release()
        finally:
            self._use._forget_if_over()

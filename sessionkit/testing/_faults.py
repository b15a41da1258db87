"""What a ``FaultyStorage`` was told to do wrong."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, NoReturn

from sessionkit._drive import is_awaitable, resolve, runs_loop
from sessionkit.testing._signal import Signal

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from sessionkit._types import MaybeAwaitable
    from sessionkit.testing._calls import Call
    from sessionkit.testing._plan import Plan
    from sessionkit.testing._target import Target


class Fault(ABC):
    """A fault that a ``FaultyStorage`` was told of; lifted at the end of a ``with``.

    A ``with`` that ends without an error makes sure that the fault was met.

    Attributes:
        met: How many calls met it so far.
    """

    name: str

    def __init__(self, plan: Plan, target: Target) -> None:
        self._plan = plan
        self._target = target
        self._seen = 0
        self.met = 0

    def __repr__(self) -> str:
        return f"{self.name}({self._target})"

    def lift(self) -> None:
        """Let further calls pass, and no longer expect any; a no-op the second time."""
        self._plan.lift(self)

    def assert_met(self) -> None:
        """Raise ``AssertionError`` if fewer calls met it than ``times``, or none at all."""
        if not self.is_met:
            raise AssertionError(self._plan.account(self))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None:
        self.lift()
        if kind is None:
            self.assert_met()

    @property
    def is_met(self) -> bool:
        """Whether all calls came that it was for."""
        return self.met >= (self._target.times or 1)

    def sees(self, call: Call) -> bool:
        """Note that *call* came; return whether this fault wants it."""
        if not self._target.matches(call):
            return False
        self._seen += 1
        is_over = self._target.times is not None and self.met >= self._target.times
        return self._seen > self._target.after and not is_over

    def balance(self) -> str:
        """How many calls it was for, and how many came, in words."""
        wanted = self._target.after + (self._target.times or 1)
        return f"{self!r}: {self._seen} of {wanted} calls came"

    @abstractmethod
    def answer(self, call: Call, ask: Callable[[Call], Any]) -> Any:
        """Answer *call* wrongly; *ask* asks the storage inside."""


class Failure(Fault):
    """Does nothing, and raises."""

    name = "fail"

    def __init__(self, plan: Plan, target: Target, error: BaseException) -> None:
        super().__init__(plan, target)
        self._error = error

    def answer(self, call: Call, ask: Callable[[Call], Any]) -> Any:  # noqa: ARG002 (never asks)
        raise self._error


class LostAnswer(Failure):
    """Does what was asked, and raises nevertheless."""

    name = "lose_answer"

    def answer(self, call: Call, ask: Callable[[Call], Any]) -> Any:
        return _then_raise(ask(call), self._error)


class TornBatch(Failure):
    """Stores a part of a batch, and raises."""

    name = "tear"

    def __init__(self, plan: Plan, target: Target, error: BaseException, stored: int) -> None:
        super().__init__(plan, target, error)
        self._stored = stored

    def answer(self, call: Call, ask: Callable[[Call], Any]) -> Any:
        part = dict(call.written[: self._stored])
        return _then_raise(ask(call._replace(args=(part,))), self._error)


class Block(Fault):
    """Holds calls up, before they do anything, until ``release()``.

    Released as well by ``lift()``, and at the end of a ``with``.
    """

    name = "block"

    def __init__(self, plan: Plan, target: Target) -> None:
        super().__init__(plan, target)
        self._entered = Signal()
        self._released = Signal()
        self._error: BaseException | None = None

    async def entered(self, *, timeout: float = 10) -> None:  # noqa: ASYNC109 (with its own error)
        """Wait until a call is held up, or was.

        Args:
            timeout: How long to wait, in seconds.

        Raises:
            AssertionError: None came.
        """
        try:
            async with asyncio.timeout(timeout):
                await self._entered.wait()
        except TimeoutError:
            self._nobody_came(timeout)

    def wait_entered(self, *, timeout: float = 10) -> None:
        """Do what ``entered`` does, and block this thread meanwhile."""
        if not self._entered.block(timeout):
            self._nobody_came(timeout)

    def release(self, *, error: BaseException | None = None) -> None:
        """Let the calls that are held up go on, and all others pass; a no-op the second time.

        Args:
            error: What they raise then, without having done anything.
        """
        if not self._released.is_set:
            self._error = error
            self._plan.remove(self)
            self._released.set()

    def lift(self) -> None:
        """Release, and no longer expect any calls; a no-op the second time."""
        super().lift()
        self.release()

    def answer(self, call: Call, ask: Callable[[Call], Any]) -> Any:
        self._entered.set()
        if runs_loop():
            return self._hold(call, ask)
        self._released.block()
        return self._let_go(call, ask)

    async def _hold(self, call: Call, ask: Callable[[Call], Any]) -> Any:
        await self._released.wait()
        return await resolve(self._let_go(call, ask))

    def _let_go(self, call: Call, ask: Callable[[Call], Any]) -> Any:
        if self._error is not None:
            raise self._error
        return ask(call)

    def _nobody_came(self, timeout: float) -> NoReturn:
        msg = f"nothing was held up within {timeout} seconds. {self._plan.account(self)}"
        raise AssertionError(msg)


def _then_raise(answer: MaybeAwaitable[Any], error: BaseException) -> Awaitable[NoReturn]:
    if is_awaitable(answer):
        return _await_and_raise(answer, error)
    raise error


async def _await_and_raise(answer: Awaitable[Any], error: BaseException) -> NoReturn:
    await answer
    raise error

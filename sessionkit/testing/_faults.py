"""The faults of a ``FaultyStorage``: which calls they are about, and what these meet."""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NoReturn

from sessionkit._storage.sync_or_async import is_awaitable, resolve, runs_loop
from sessionkit.testing._ops import WITHOUT_KEY, Op
from sessionkit.testing._signal import Signal

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from sessionkit.protocols import MaybeAwaitable

_SHOWN: Final = 20


@dataclass(frozen=True)
class Target:
    """An operation, a key, and which of the calls that go there.

    Attributes:
        operation: ``"read"``, ``"write"``, ``"delete"``, or the name of a method.
        key: The full storage key; None for any.
        times: How many calls it takes; None for all.
        after: How many calls pass before.
    """

    operation: str
    key: str | None = None
    times: int | None = 1
    after: int = 0

    def matches(self, call: Op) -> bool:
        """Whether *call* is of this operation and key."""
        known = self.operation in (call.operation, call.method)
        return known and (self.key is None or self.key in call.keys)

    def __str__(self) -> str:
        given = [repr(self.operation)]
        given += [] if self.key is None else [f"key={self.key!r}"]
        given += [] if self.times == 1 else [f"times={self.times}"]
        given += [] if self.after == 0 else [f"after={self.after}"]
        return ", ".join(given)


def target_of(operation: str, key: str | int | None, times: int | None, after: int) -> Target:
    """Check what a user gave.

    Raises:
        TypeError: An argument is of a wrong type.
        ValueError: A number is too small, or the operation has no key.
    """
    if key is not None:
        _check_key(operation, key)
    if times is not None:
        check_number("times", times, 1)
    check_number("after", after, 0)
    return Target(operation, None if key is None else str(key), times, after)


def check_number(name: str, number: object, least: int) -> None:
    """Raise ``TypeError`` or ``ValueError`` if *number* is not a whole number from *least*."""
    if isinstance(number, bool) or not isinstance(number, int):
        msg = f"{name} must be a whole number, not {number!r}"
        raise TypeError(msg)
    if number < least:
        msg = f"{name} must be at least {least}, not {number}"
        raise ValueError(msg)


def _check_key(operation: str, key: object) -> None:
    if isinstance(key, bool) or not isinstance(key, str | int):
        msg = f"key must be a str or an int, not {key!r}"
        raise TypeError(msg)
    if operation in WITHOUT_KEY:
        msg = f"{operation} has no key: leave out key={key!r}"
        raise ValueError(msg)


class Plan:
    """What is to go wrong, shared by a storage and its ``sync`` view.

    Args:
        calls: What the storage was asked so far, oldest first, for messages.
    """

    def __init__(self, calls: Sequence[Op]) -> None:
        self._calls = calls
        self._mutex = threading.Lock()
        self._active: list[Fault] = []
        self._expected: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Expect *fault* to be met."""
        with self._mutex:
            self._active.append(fault)
            self._expected.append(fault)

    def meet(self, call: Op) -> Fault | None:
        """Return the fault that *call* meets: the oldest one that wants it."""
        with self._mutex:
            wanting = [fault for fault in self._active if fault.sees(call)]
            if not wanting:
                return None
            wanting[0].met += 1
            return wanting[0]

    def remove(self, fault: Fault) -> None:
        """Let further calls pass it by; that it was met is still expected."""
        with self._mutex, suppress(ValueError):
            self._active.remove(fault)

    def lift(self, fault: Fault) -> None:
        """Forget *fault*."""
        self.remove(fault)
        with self._mutex, suppress(ValueError):
            self._expected.remove(fault)

    def lift_all(self) -> None:
        """Forget all faults."""
        for fault in list(self._expected):
            fault.lift()

    def assert_all_met(self) -> None:
        """Raise ``AssertionError`` if a fault was not met as often as it was meant to be."""
        unmet = [fault for fault in self._expected if not fault.is_met]
        if unmet:
            raise AssertionError(self.account(*unmet))

    def account(self, *faults: Fault) -> str:
        """What should have come, and what came."""
        lines = ["Not met:", *(f"  {fault.balance()}" for fault in faults)]
        lines += ["The storage was asked (keys are those in the storage, with prefix):"]
        lines += ["  ..."] if len(self._calls) > _SHOWN else []
        lines += [f"  {call!r}" for call in self._calls[-_SHOWN:]] or ["  nothing"]
        return "\n".join(lines)


class Fault(ABC):
    """A fault of a ``FaultyStorage``; lifted at the end of a ``with``.

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

    def sees(self, call: Op) -> bool:
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
    def answer(self, call: Op, ask: Callable[[Op], Any]) -> Any:
        """Answer *call* wrongly; *ask* asks the storage inside."""


class Failure(Fault):
    """Does nothing, and raises."""

    name = "fail"

    def __init__(self, plan: Plan, target: Target, error: BaseException) -> None:
        super().__init__(plan, target)
        self._error = error

    def answer(self, call: Op, ask: Callable[[Op], Any]) -> Any:  # noqa: ARG002 (never asks)
        raise self._error


class LostAnswer(Failure):
    """Does what was asked, and raises nevertheless."""

    name = "lose_answer"

    def answer(self, call: Op, ask: Callable[[Op], Any]) -> Any:
        return _then_raise(ask(call), self._error)


class TornBatch(Failure):
    """Stores a part of a batch, and raises."""

    name = "tear"

    def __init__(self, plan: Plan, target: Target, error: BaseException, stored: int) -> None:
        super().__init__(plan, target, error)
        self._stored = stored

    def answer(self, call: Op, ask: Callable[[Op], Any]) -> Any:
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

    def answer(self, call: Op, ask: Callable[[Op], Any]) -> Any:
        self._entered.set()
        if runs_loop():
            return self._hold(call, ask)
        self._released.block()
        return self._let_go(call, ask)

    async def _hold(self, call: Op, ask: Callable[[Op], Any]) -> Any:
        await self._released.wait()
        return await resolve(self._let_go(call, ask))

    def _let_go(self, call: Op, ask: Callable[[Op], Any]) -> Any:
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

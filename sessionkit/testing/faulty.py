"""A storage that fails on purpose."""

from __future__ import annotations

from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sessionkit._storage.sync_or_async import resolve
from sessionkit.testing._faults import (
    Block,
    Failure,
    Fault,
    LostAnswer,
    Plan,
    TornBatch,
    check_number,
    target_of,
)
from sessionkit.testing._ops import LISTINGS, OPTIONAL, Op
from sessionkit.testing.recording import RecordingStorage

if TYPE_CHECKING:
    from typing import TypeAlias

    from sessionkit.protocols import Storage
    from sessionkit.testing._faults import Target

    Error: TypeAlias = BaseException | type[BaseException] | None

F = TypeVar("F", bound=Fault)

_OPERATIONS: Final = ("read", "write", "delete")


class FaultyStorage(RecordingStorage):
    """A storage that fails, hangs or loses answers on request, and works otherwise.

    It records its calls, as ``RecordingStorage`` does, and can do exactly what the
    storage inside can.  Usable from tasks and threads.

    An *operation* is ``"read"``, ``"write"`` or ``"delete"``, by any method:
    sessions write with ``write_if`` where there are revisions.  Or it is the name of
    a method: ``"write_if"``, ``"touch"``, ``"iter_keys"``.

    Each fault takes the next call of its operation and key, or the next *times*
    calls (None: all until it is lifted), once *after* such calls have passed.  A call
    meets one fault, the oldest that wants it.  In a ``with``, a fault is lifted at the
    end, and must have been met.

    Args:
        inner: Any storage, sync or async; by default a new ``MemorySessionStorage``.

    Attributes:
        calls: All calls, oldest first, those that failed as well.
        wrapped: The storage inside.
        capabilities: The names of the optional methods that are there.

    Raises:
        TypeError: *inner* is not a storage.

    Example:
        storage = FaultyStorage()
        with storage.fail("write", key=1), pytest.raises(ConnectionError):
            await sessions.with_storage(storage)(FakeContext(chat_id=1), handler)
    """

    def __init__(self, inner: Storage[Any] | None = None) -> None:
        super().__init__(inner)
        self._plan = Plan(self.calls)

    def fail(
        self,
        operation: str,
        *,
        key: str | int | None = None,
        error: Error = None,
        times: int | None = 1,
        after: int = 0,
    ) -> Fault:
        """Let calls raise, without having done anything.

        Args:
            operation: Of which calls; see the class.
            key: Of which key, with its prefix; None for any.
            error: What they raise; by default a ``ConnectionError``.
            times: How many calls; None for all until the fault is lifted.
            after: How many calls pass before.

        Raises:
            TypeError: An argument is of a wrong type.
            ValueError: The storage has no such method, or no call can ever meet the fault.
        """
        target = self._target(operation, key, times, after)
        raised = _raised(error, ConnectionError, f"{operation} failed, as this test asked for")
        return self._expect(Failure(self._plan, target, raised))

    def lose_answer(
        self,
        operation: str,
        *,
        key: str | int | None = None,
        error: Error = None,
        times: int | None = 1,
        after: int = 0,
    ) -> Fault:
        """Let calls raise although they did what they should: the answer was lost.

        Args:
            operation: Of which calls; see the class.
            key: Of which key, with its prefix; None for any.
            error: What they raise; by default a ``TimeoutError``.
            times: How many calls; None for all until the fault is lifted.
            after: How many calls pass before.

        Raises:
            TypeError: An argument is of a wrong type.
            ValueError: The storage has no such method, or no call can ever meet the fault.
        """
        target = self._target(operation, key, times, after)
        message = f"{operation} took place, and its answer was lost, as this test asked for"
        return self._expect(LostAnswer(self._plan, target, _raised(error, TimeoutError, message)))

    def tear(
        self,
        *,
        stored: int = 1,
        error: Error = None,
        times: int | None = 1,
        after: int = 0,
    ) -> Fault:
        """Let ``write_many`` store only a part, and raise.

        Args:
            stored: How many values land, in their order.
            error: What it raises; by default a ``ConnectionError``.
            times: How many calls; None for all until the fault is lifted.
            after: How many calls pass before.

        Raises:
            TypeError: An argument is of a wrong type.
            ValueError: The storage has no ``write_many``, or a number is too small.
        """
        target = self._target("write_many", None, times, after)
        check_number("stored", stored, 0)
        message = f"write_many was torn after {stored}, as this test asked for"
        raised = _raised(error, ConnectionError, message)
        return self._expect(TornBatch(self._plan, target, raised, stored))

    def block(
        self,
        operation: str,
        *,
        key: str | int | None = None,
        times: int | None = 1,
        after: int = 0,
    ) -> Block:
        """Hold calls up, before they do anything, until they are released.

        Where an event loop runs, such a call returns an awaitable, also if the storage
        inside is sync; otherwise it blocks its thread.

        Args:
            operation: Of which calls; see the class.  Listings cannot be held up.
            key: Of which key, with its prefix; None for any.
            times: How many calls; None for all until they are released.
            after: How many calls pass before.

        Raises:
            TypeError: An argument is of a wrong type.
            ValueError: The storage has no such method, or no call can ever meet the fault.

        Example:
            with storage.block("write") as block:
                first = asyncio.create_task(sessions(FakeContext(chat_id=1), handler))
                await block.entered()
                ...                     # the first update hangs in its write
                block.release()
                await first
        """
        target = self._target(operation, key, times, after)
        if operation in LISTINGS:
            msg = f"{operation} cannot be held up, only fail: it gives an iterator, at once"
            raise ValueError(msg)
        return self._expect(Block(self._plan, target))

    def lift(self) -> None:
        """Lift all faults: release what is held up, let every call pass."""
        self._plan.lift_all()

    def assert_all_met(self) -> None:
        """Raise ``AssertionError`` if a fault that was not lifted was not met."""
        self._plan.assert_all_met()

    def _expect(self, fault: F) -> F:
        self._plan.add(fault)
        return fault

    def _answer(self, call: Op) -> Any:
        fault = self._plan.meet(call)
        if fault is None:
            return super()._answer(call)
        if iscoroutinefunction(getattr(self._inner, call.method)):
            return self._answer_later(fault, call)  # its errors show when it is awaited
        return fault.answer(call, super()._answer)

    async def _answer_later(self, fault: Fault, call: Op) -> Any:
        return await resolve(fault.answer(call, super()._answer))

    def _target(
        self, operation: str, key: str | int | None, times: int | None, after: int
    ) -> Target:
        self._check_operation(operation)
        return target_of(operation, key, times, after)

    def _check_operation(self, operation: str) -> None:
        if operation in _OPERATIONS or (operation in OPTIONAL and operation in self.capabilities):
            return
        offered = ", ".join([*_OPERATIONS, *sorted(self.capabilities - {"sync"})])
        msg = (
            f"{operation!r} is not an operation of {type(self.wrapped).__name__}, it has {offered}"
        )
        raise ValueError(msg)


def _raised(error: object, default: type[Exception], message: str) -> BaseException:
    if error is None:
        return default(message)
    if isinstance(error, BaseException):
        return error
    if isinstance(error, type) and issubclass(error, BaseException):
        return error(message)
    msg = f"error must be an exception or a class of exceptions, not {error!r}"
    raise TypeError(msg)

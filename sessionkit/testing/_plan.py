"""All faults of one ``FaultyStorage``, and which of them a call meets."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sessionkit.testing._calls import Call
    from sessionkit.testing._faults import Fault

_SHOWN: Final = 20


class Plan:
    """What is to go wrong, shared by a storage and its ``sync`` view.

    Args:
        calls: What the storage was asked so far, oldest first, for messages.
    """

    def __init__(self, calls: Sequence[Call]) -> None:
        self._calls = calls
        self._mutex = threading.Lock()
        self._active: list[Fault] = []
        self._expected: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Expect *fault* to be met."""
        with self._mutex:
            self._active.append(fault)
            self._expected.append(fault)

    def meet(self, call: Call) -> Fault | None:
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

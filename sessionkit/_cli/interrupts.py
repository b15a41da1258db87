"""Handling of Ctrl-C and SIGTERM between messages."""

from __future__ import annotations

import signal
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType


class Interrupts:
    """Raises ``KeyboardInterrupt`` on Ctrl-C and SIGTERM, yet not in the middle of a message.

    The message in hand is finished first; a second signal does not wait for that.
    """

    def __init__(self) -> None:
        self._busy = False
        self._wanted = False

    def install(self) -> None:
        """Begin to handle the signals, except those that the parent process has ignored."""
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self)

    def __call__(self, _number: int, _frame: FrameType | None, /) -> None:
        """Handle a signal."""
        if self._wanted or not self._busy:
            raise KeyboardInterrupt
        self._wanted = True

    @contextmanager
    def deferred(self) -> Generator[None, None, None]:
        """Let a signal wait for the end of the block."""
        self._busy = True
        try:
            yield
        finally:
            self._busy = False
        if self._wanted:
            raise KeyboardInterrupt

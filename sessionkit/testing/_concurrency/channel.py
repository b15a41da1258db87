"""Messages between processes: pickled, each with its length before it."""

from __future__ import annotations

import os
import pickle
import struct
import sys
import threading
from typing import IO, Any, Final, Self

_LENGTH: Final = struct.Struct("!I")


class Channel:
    """Two pipes, for messages there and back.

    Args:
        incoming: Where messages come from.
        outgoing: Where messages go.
    """

    def __init__(self, incoming: IO[bytes], outgoing: IO[bytes]) -> None:
        self._incoming = incoming
        self._outgoing = outgoing
        self._mutex = threading.Lock()

    @classmethod
    def of_this_process(cls) -> Self:
        """Take over stdin and stdout; what is printed from now on goes to stderr."""
        outgoing = os.fdopen(os.dup(1), "wb")
        os.dup2(2, 1)
        return cls(sys.stdin.buffer, outgoing)

    def send(self, *message: Any) -> None:
        """Send a message; any thread may."""
        raw = pickle.dumps(message)
        with self._mutex:
            self._outgoing.write(_LENGTH.pack(len(raw)) + raw)
            self._outgoing.flush()

    def receive(self) -> tuple[Any, ...] | None:
        """Wait for a message; None if none will come any more."""
        head = self._incoming.read(_LENGTH.size)
        if len(head) < _LENGTH.size:
            return None
        raw = self._incoming.read(_LENGTH.unpack(head)[0])
        message: tuple[Any, ...] = pickle.loads(raw)  # noqa: S301 (from the kit itself)
        return message

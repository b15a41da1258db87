"""A storage that tells what was asked of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sessionkit.testing._forwarding import ForwardingStorage
from sessionkit.testing._ops import Op

if TYPE_CHECKING:
    from sessionkit.protocols import Storage


class RecordingStorage(ForwardingStorage):
    """Passes everything on to another storage, and records it, whether it succeeds or not.

    It has the optional methods of the storage inside, and no others, and declares the
    same, so that sessions use it alike.

    Args:
        inner: Any storage, sync or async; by default a new ``MemorySessionStorage``.

    Attributes:
        calls: All calls, oldest first, with copies of their arguments.
        wrapped: The storage inside.
        capabilities: The names of the optional methods that are there.

    Raises:
        TypeError: *inner* is not a storage.

    Example:
        storage = RecordingStorage()
        sessions = bot.sessions.with_storage(storage)
        await sessions(FakeContext(chat_id=1), handler)
        assert storage.writes == [("1", {"count": 1})]
    """

    def __init__(self, inner: Storage[Any] | None = None) -> None:
        super().__init__(inner)
        self.calls: list[Op] = []

    @property
    def reads(self) -> list[str]:
        """The keys that were read, by any method; not those of listings."""
        return self._keys_of("read")

    @property
    def writes(self) -> list[tuple[str, Any]]:
        """The pairs of key and value that were to be stored, by any method."""
        return [pair for call in self.calls for pair in call.written]

    @property
    def deletes(self) -> list[str]:
        """The keys that were to be removed, by any method."""
        return self._keys_of("delete")

    def clear(self) -> None:
        """Forget the calls so far; what is stored stays."""
        self.calls.clear()

    def _keys_of(self, operation: str) -> list[str]:
        return [key for call in self.calls if call.operation == operation for key in call.keys]

    def _call(self, call: Op) -> Any:
        self.calls.append(call.copied())
        return self._answer(call)

    def _answer(self, call: Op) -> Any:
        return super()._call(call)

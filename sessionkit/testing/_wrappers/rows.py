"""What a storage of the kit holds: the data of one namespace, shared by all openings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sessionkit._storage.listing import LeftOut
from sessionkit.errors import SessionDecodeError
from sessionkit.protocols import Clock, Revision
from sessionkit.storages.memory import MemorySessionStorage


class Rows(MemorySessionStorage):
    """All methods that a storage may have; they fail on request.

    Args:
        clock: The time, in seconds since the epoch.

    Attributes:
        failing: What methods raise instead of doing anything, by their names; a
            listing raises after the first entry.
        damaged: What cannot be read any more: each key that ends with this.
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock=clock)
        self.clock = clock
        self.failing: dict[str, BaseException] = {}
        self.damaged: str | None = None

    def iter_keys(self, prefix: str = "", /) -> Iterator[str]:
        """Yield the keys that begin with *prefix*."""
        return self._failing_later("iter_keys", super().iter_keys(prefix))

    def iter_items(self, prefix: str = "", /) -> Iterator[tuple[str, Any]]:
        """Yield pairs of key and value, and report at the end what cannot be read."""
        left_out = LeftOut()
        for key in self._failing_later("iter_items", super().iter_keys(prefix)):
            value = None
            with left_out.noting(key):
                value = self.read(key)
            if value is not None:
                yield key, value
        left_out.report()

    def read_with_revision(self, key: str, /) -> tuple[Any, Revision | None]:
        """Return value and revision.

        Raises:
            SessionDecodeError: What is stored is damaged.
        """
        value, revision = super().read_with_revision(key)
        if revision is not None and self.damaged is not None and key.endswith(self.damaged):
            msg = f"what is stored under {key!r} cannot be decoded"
            raise SessionDecodeError(msg, key=key)
        return value, revision

    read_tracked = read_with_revision

    def renew(self, key: str, revision: object) -> None:
        """Do nothing: there is no timeout to renew."""

    def fail(self, method: str) -> None:
        """Raise what *method* is to raise."""
        if method in self.failing:
            raise self.failing[method]

    def _failing_later(self, method: str, keys: Iterator[str]) -> Iterator[str]:
        for number, key in enumerate(keys):
            if number == 1:
                self.fail(method)
            yield key

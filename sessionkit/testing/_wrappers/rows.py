"""What a storage of the kit holds: the data of one namespace, whoever has it open."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sessionkit._types import ANY, Clock, Expected
from sessionkit.errors import SessionConflictError, SessionDecodeError


class Row(NamedTuple):
    """A stored value."""

    value: Any
    revision: int
    expires: float | None


class Rows:
    """All methods that a storage may have, over a dict; usable from tasks and threads.

    Args:
        clock: The time, in seconds since the epoch.

    Attributes:
        failing: What methods raise instead of doing anything, by their names; a
            listing raises after the first entry.
        damaged: Whether nothing that is stored can be read any more.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.failing: dict[str, BaseException] = {}
        self.damaged = False
        self._rows: dict[str, Row] = {}
        self._revision = 0
        self._mutex = threading.RLock()

    def read(self, key: str) -> Any:
        """Return the value, None if missing or expired."""
        return self.read_with_revision(key)[0]

    def write(self, key: str, value: Any) -> None:
        """Store *value*."""
        self.write_if(key, value, ANY)

    def delete(self, key: str) -> None:
        """Remove *key*."""
        self.write_if(key, None, ANY)

    def has(self, key: str) -> bool:
        """Return whether *key* is stored and not expired."""
        return self._lives(self._rows.get(key))

    def read_many(self, keys: Sequence[str]) -> dict[str, Any]:
        """Return what is stored under *keys*."""
        return {key: self.read(key) for key in keys if self.has(key)}

    def write_many(self, values: Mapping[str, Any]) -> None:
        """Store all of *values*."""
        for key, value in values.items():
            self.write(key, value)

    def iter_keys(self, prefix: str = "") -> Iterator[str]:
        """Yield the keys that begin with *prefix*."""
        for number, key in enumerate(list(self._rows)):
            if number == 1:
                self.fail("iter_keys")
            if key.startswith(prefix) and self.has(key):
                yield key

    def iter_items(self, prefix: str = "") -> Iterator[tuple[str, Any]]:
        """Yield pairs of key and value."""
        items = ((key, self.read(key)) for key in self.iter_keys(prefix))
        for number, item in enumerate(item for item in items if item[1] is not None):
            if number == 1:
                self.fail("iter_items")
            yield item

    def read_with_revision(self, key: str) -> tuple[Any, int | None]:
        """Return value and revision."""
        row = self._rows.get(key)
        if row is None:
            return None, None
        if self.damaged:
            msg = f"what is stored under {key!r} cannot be decoded"
            raise SessionDecodeError(msg, key=key)
        return (copy.deepcopy(row.value) if self._lives(row) else None), row.revision

    def write_if(
        self, key: str, value: Any, expected: Expected, *, expires: float | None = None
    ) -> int | None:
        """Store *value* (None deletes) if the stored revision is *expected*."""
        value = copy.deepcopy(value)
        with self._mutex:
            self._compare(key, expected)
            if value is None:
                self._rows.pop(key, None)
                return None
            self._revision += 1
            self._rows[key] = Row(value, self._revision, expires)
            return self._revision

    def touch(self, key: str) -> bool:
        """Return whether *key* is stored: there is no timeout to renew."""
        return self.has(key)

    def renew(self, key: str, revision: object) -> None:
        """Do nothing: there is no timeout to renew."""

    read_tracked = read_with_revision

    def purge_expired(self) -> int:
        """Remove what has expired."""
        with self._mutex:
            gone = [key for key, row in self._rows.items() if not self._lives(row)]
            for key in gone:
                del self._rows[key]
        return len(gone)

    def fail(self, method: str) -> None:
        """Raise what *method* is to raise."""
        if method in self.failing:
            raise self.failing[method]

    def _lives(self, row: Row | None) -> bool:
        return row is not None and (row.expires is None or self.clock() < row.expires)

    def _compare(self, key: str, expected: Expected) -> None:
        if expected is ANY:
            return
        row = self._rows.get(key)
        if row is not None and row.revision == expected:
            return
        if expected is not None or self._lives(row):
            msg = f"{key!r} is not what was read"
            raise SessionConflictError(msg, key=key)

"""What must be stored: the simplest storage there can be, written without a look at any."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sessionkit.testing._equal import alike
from sessionkit.testing._machine.pools import fresh


@dataclass
class Entry:
    """A value that was written and not deleted, be it expired."""

    value: Any
    expires: float | None
    has_own_expiry: bool


class Model:
    """What a namespace must hold.

    Args:
        now: The time.
        ttl: Seconds after a write without an expiry of its own, until the value is gone.
    """

    def __init__(self, now: Callable[[], float], ttl: float | None) -> None:
        self._now = now
        self._ttl = ttl
        self._entries: dict[str, Entry] = {}
        self._instants: set[float] = set()

    def entry(self, key: str) -> Entry | None:
        """Return what was written under *key* and not deleted, be it expired."""
        return self._entries.get(key)

    def read(self, key: str) -> Any:
        """Return the value that *key* must read as; None if there must be none."""
        entry = self._entries.get(key)
        return None if entry is None or self._is_expired(entry) else fresh(entry.value)

    def live(self, prefix: str = "") -> dict[str, Any]:
        """Return all that must be there under keys that begin with *prefix*."""
        return {
            key: fresh(entry.value)
            for key, entry in self._entries.items()
            if key.startswith(prefix) and not self._is_expired(entry)
        }

    def expired(self) -> list[str]:
        """Return the keys of all that has expired."""
        return [key for key, entry in self._entries.items() if self._is_expired(entry)]

    def instants(self) -> list[float]:
        """Return all instants to come at which a value expires, or would if it were there still."""
        return sorted(instant for instant in self._instants if instant > self._now())

    def expired_for(self, key: str) -> float | None:
        """Return how many seconds ago *key* expired; None if it did not."""
        entry = self._entries.get(key)
        if entry is None or entry.expires is None or not self._is_expired(entry):
            return None
        return self._now() - entry.expires

    def write(self, key: str, value: Any, expires: float | None = None) -> None:
        """Store a copy of *value*, until *expires* or as long as the timeout says."""
        own = expires is not None
        self._entries[key] = Entry(fresh(value), None, own)
        self._expire(self._entries[key], expires if own else self._timeout())

    def delete(self, key: str) -> None:
        """Remove *key*, if it is there."""
        self._entries.pop(key, None)

    def touch(self, key: str) -> None:
        """Let the timeout of *key* begin anew, if it is there and has one."""
        if self._ttl is not None and self.read(key) is not None:
            self._expire(self._entries[key], self._timeout())

    def keys_holding(self, value: Any) -> list[str]:
        """Return the keys under which just this *value* was written."""
        return [key for key, entry in self._entries.items() if alike(entry.value, value)]

    def _expire(self, entry: Entry, expires: float | None) -> None:
        entry.expires = expires
        if expires is not None:
            self._instants.add(expires)

    def _timeout(self) -> float | None:
        return None if self._ttl is None else self._now() + self._ttl

    def _is_expired(self, entry: Entry) -> bool:
        return entry.expires is not None and self._now() >= entry.expires

"""What a storage must answer: the simplest one there can be, written without a look at any."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from sessionkit.testing._equal import alike


class Verdict(Enum):
    """What must become of a conditional write."""

    THROUGH = "it goes through"
    REFUSED = "it is refused"
    EITHER = "the contract leaves it open"


@dataclass(frozen=True)
class SeenRevision:
    """A revision that the storage gave.

    Attributes:
        revision: The revision.
        value: The value that it belonged to.
        expires: When that value was to expire, as far as was known then.
        changes: How often the key had changed by then.
        doubts: How often by then something had happened that may change a revision.
    """

    revision: Any
    value: Any
    expires: float | None
    changes: int
    doubts: int


class Revisions:
    """The revisions that a namespace gave, and what they are still worth."""

    def __init__(self) -> None:
        self._seen: dict[str, list[SeenRevision]] = {}
        self._changes: Counter[str] = Counter()
        self._doubts: Counter[str] = Counter()

    def change(self, key: str) -> None:
        """Take note that what is stored under *key* is another value now, or none."""
        self._changes[key] += 1

    def doubt(self, key: str) -> None:
        """Take note of what may or may not change the revision of *key*."""
        self._doubts[key] += 1

    def see(self, key: str, revision: Any, value: Any, expires: float | None = None) -> None:
        """Take note of a *revision* that the storage gave for *key*, which holds *value* now."""
        seen = SeenRevision(revision, value, expires, self._changes[key], self._doubts[key])
        self._seen.setdefault(key, []).append(seen)

    def pick(self, key: str, age: int) -> SeenRevision | None:
        """Return a revision that *key* had: the newest for *age* 0, an older one for more."""
        known = self._seen.get(key)
        return None if not known else known[-1 - min(age, len(known) - 1)]

    def unchanged(self, key: str) -> SeenRevision | None:
        """Return the revision of *key* that must be given again: nothing has happened since."""
        seen = self.pick(key, 0)
        now = (self._changes[key], self._doubts[key])
        return seen if seen is not None and (seen.changes, seen.doubts) == now else None

    def belongs_to_another(self, key: str, revision: Any, value: Any) -> bool:
        """Return whether *key* had *revision* with a value other than *value*."""
        known = (seen for seen in self._seen.get(key, ()) if seen.revision == revision)
        return any(seen.value is not None and not alike(seen.value, value) for seen in known)

    def verdict(
        self,
        key: str,
        seen: SeenRevision,
        entry: Entry | None,
        *,
        there: bool,
        lapsed: bool = False,
    ) -> Verdict:
        """Return what must become of a write to *key* if it is still *seen*.

        The content may serve as a revision: it comes again with a value that comes again.
        Where nothing is, a storage cannot tell what has expired and was removed for that
        from what was deleted.

        Args:
            key: The key.
            seen: The expected revision.
            entry: What was written under the key, expired or not.
            there: Whether it is not.
            lapsed: Whether the value that was seen would have expired by now.
        """
        if not there and lapsed:
            return Verdict.EITHER
        if seen.changes != self._changes[key]:
            is_alike = entry is not None and alike(seen.value, entry.value)
            return Verdict.EITHER if is_alike else Verdict.REFUSED
        return Verdict.THROUGH if there and seen.doubts == self._doubts[key] else Verdict.EITHER


@dataclass
class Entry:
    """A value that was written and not deleted, expired or not."""

    value: Any
    expires: float | None
    has_own_expiry: bool


class Model:
    """What a namespace must hold.

    Attributes:
        revisions: The revisions that it gave.

    Args:
        now: The time.
        ttl: Seconds after a write without an expiry of its own, until the value is gone.
    """

    def __init__(self, now: Callable[[], float], ttl: float | None) -> None:
        self._now = now
        self._ttl = ttl
        self._entries: dict[str, Entry] = {}
        self._instants: set[float] = set()
        self.revisions: Revisions = Revisions()

    def entry(self, key: str) -> Entry | None:
        """Return what was written under *key* and not deleted, expired or not."""
        return self._entries.get(key)

    def read(self, key: str) -> Any:
        """Return the value that *key* must read as; None if there must be none."""
        entry = self._entries.get(key)
        return None if entry is None or self._is_expired(entry) else copy.deepcopy(entry.value)

    def is_past(self, instant: float | None) -> bool:
        """Return whether what expires at *instant* is gone."""
        return instant is not None and self._now() >= instant

    def live(self, prefix: str = "") -> dict[str, Any]:
        """Return all that must be there under keys that begin with *prefix*."""
        return {
            key: copy.deepcopy(entry.value)
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
        self._entries[key] = Entry(copy.deepcopy(value), None, own)
        self._expire(self._entries[key], expires if own else self._timeout())

    def delete(self, key: str) -> None:
        """Remove *key*, if it is there."""
        self._entries.pop(key, None)

    def touch(self, key: str) -> None:
        """Restart the timeout of *key*, if it is there and has one."""
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
        return self.is_past(entry.expires)

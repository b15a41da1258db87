"""What must become of a conditional write: the life of revisions, apart from that of values."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import Enum
from typing import Any

from sessionkit.testing._equal import alike
from sessionkit.testing._machine.model import Entry


class Verdict(Enum):
    """What must become of a conditional write."""

    THROUGH = "it goes through"
    REFUSED = "it is refused"
    EITHER = "the contract leaves it open"


@dataclass(frozen=True)
class Seen:
    """A revision that the storage gave.

    Attributes:
        revision: The revision.
        value: The value that it stood for.
        changes: How often the key had changed by then.
        doubts: How often by then something had happened that may change a revision.
    """

    revision: Any
    value: Any
    changes: int
    doubts: int


class Revisions:
    """The revisions that a namespace gave, and what they are still worth."""

    def __init__(self) -> None:
        self._seen: dict[str, list[Seen]] = {}
        self._changes: Counter[str] = Counter()
        self._doubts: Counter[str] = Counter()

    def change(self, key: str) -> None:
        """Take note that what is stored under *key* is another value now, or none."""
        self._changes[key] += 1

    def doubt(self, key: str) -> None:
        """Take note of what may or may not change the revision of *key*."""
        self._doubts[key] += 1

    def see(self, key: str, revision: Any, value: Any) -> None:
        """Take note of a *revision* that the storage gave for *key*, which holds *value* now."""
        seen = Seen(revision, value, self._changes[key], self._doubts[key])
        self._seen.setdefault(key, []).append(seen)

    def pick(self, key: str, age: int) -> Seen | None:
        """Return a revision that *key* had: the newest for *age* 0, an older one for more."""
        known = self._seen.get(key)
        return None if not known else known[-1 - min(age, len(known) - 1)]

    def verdict(self, key: str, seen: Seen, entry: Entry | None, *, there: bool) -> Verdict:
        """Return what must become of a write to *key* if it is still *seen*.

        The content may serve as a revision: it comes again with a value that comes again.

        Args:
            key: The key.
            seen: The expected revision.
            entry: What was written under the key, be it expired.
            there: Whether it is not.
        """
        if seen.changes != self._changes[key]:
            is_alike = entry is not None and alike(seen.value, entry.value)
            return Verdict.EITHER if is_alike else Verdict.REFUSED
        return Verdict.THROUGH if there and seen.doubts == self._doubts[key] else Verdict.EITHER

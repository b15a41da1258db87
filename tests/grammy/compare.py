"""What sessionkit has to do in an update, given what grammY did: equal, but for named differences.

Every difference that is allowed here has a name in ``Difference``, a test of its own in
``test_grammy_differences.py`` and a sentence in ``docs/grammy.md``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum
from itertools import chain
from typing import TYPE_CHECKING, Final

from sessionkit import (
    NoSessionKeyError,
    SessionMigrationError,
    SessionWriteError,
)
from tests.grammy.changes import ChangeFailedError, migrate
from tests.grammy.doubles import ThrownError
from tests.grammy.outcome import Call
from tests.grammy.process import JSError
from tests.grammy.wire import JSON, UNDEFINED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.grammy.changes import Change


BROKEN: Final = "its migration fails"


class Difference(Enum):
    """What a random history may show to be different; see ``docs/grammy.md``."""

    UNCHANGED = "unchanged data is not written"
    INITIAL = "unchanged initial data is not written"
    NEVER_STORED = "what is not stored is not deleted"
    UNAWAITED = "a lazy session that nobody awaits is not read"
    MIGRATED = "migrated data is written once"
    LEGACY = "reading data without a timeout does not write"
    EXPIRED = "reading expired data does not delete"
    KEYS_FIRST = "no fragment is read if a key function fails"


@dataclass(frozen=True)
class Enhancement:
    """The options of ``enhanceStorage`` and ``enhance_storage``."""

    ttl_ms: int | None = None
    table: Mapping[int, Sequence[Change]] | None = None

    @property
    def latest(self) -> int:
        """The newest version; 0 without migrations."""
        return max(self.table or {0: ()})


def is_wrapped(raw: JSON) -> bool:
    """Return whether *raw* was written by an enhancer; no data here looks like that."""
    return isinstance(raw, dict) and "__d" in raw


def expiry_of(raw: JSON) -> int | None:
    """Return when *raw* expires, None if never."""
    return raw.get("e") if is_wrapped(raw) else None


def is_pending(raw: JSON, enhancement: Enhancement | None) -> bool:
    """Return whether *raw* is to be migrated."""
    if raw is UNDEFINED or enhancement is None:
        return False
    version: int = raw.get("v", 0) if is_wrapped(raw) else 0
    return version < enhancement.latest


def observed(raw: JSON, enhancement: Enhancement | None, now: int) -> JSON:
    """Return what a session sees of *raw*; UNDEFINED if missing, BROKEN if it cannot be had."""
    if enhancement is None or raw is UNDEFINED:
        return raw
    expiry = expiry_of(raw)
    if expiry is not None and expiry < now:
        return UNDEFINED
    data, version = (raw["__d"], raw.get("v", 0)) if is_wrapped(raw) else (raw, 0)
    steps = [each for target, each in sorted((enhancement.table or {}).items()) if target > version]
    try:
        return migrate(data, chain.from_iterable(steps))
    except ChangeFailedError:
        return BROKEN


def same(one: JSON, other: JSON) -> bool:
    """Return whether two values are the same JSON: here ``1`` and ``True`` differ."""
    if UNDEFINED in (one, other):
        return one is other
    return _text(one) == _text(other)


def _text(value: JSON) -> str:
    return json.dumps(value, sort_keys=True)


@dataclass(frozen=True)
class Stored:
    """What both sides had under a key before an update.

    Attributes:
        key: With the prefix.
        raw: As it is stored; the same on both sides.
        initial: What ``initial`` gives.
    """

    key: str
    raw: JSON
    initial: JSON
    enhancement: Enhancement | None
    now: int

    @property
    def data(self) -> JSON:
        """What a session gets to see."""
        return observed(self.raw, self.enhancement, self.now)

    @property
    def has_expired(self) -> bool:
        """Whether there is something that has expired."""
        return self.raw is not UNDEFINED and self.data is UNDEFINED

    @property
    def is_stamped_by_grammy(self) -> bool:
        """Whether grammY gives it a timeout when it reads it."""
        has_ttl = self.enhancement is not None and self.enhancement.ttl_ms is not None
        return has_ttl and self.raw is not UNDEFINED and expiry_of(self.raw) is None


@dataclass(frozen=True)
class Handled:
    """What a handler did with the session of a key.

    Attributes:
        reads: Whether data was asked for before any was assigned; True if strict.
        assigned: Whether data was assigned.
        failed: Whether the handler failed.
        has_keys: Whether no key function failed.
    """

    reads: bool
    assigned: bool
    failed: bool
    has_keys: bool = True


@dataclass(frozen=True)
class Expected:
    """The calls that sessionkit has to make, and why they are not those of grammY."""

    calls: list[Call]
    differences: set[Difference]


def expected_calls(theirs: Sequence[Call], stored: Stored, handled: Handled) -> Expected:
    """Return what sessionkit has to do where grammY made the calls *theirs*, all of one key."""
    if not handled.has_keys:
        return Expected([], {Difference.KEYS_FIRST} if theirs else set())
    differences: set[Difference] = set()
    ours: list[Call] = []
    calls = list(theirs)
    if calls and calls[0].op == "R":
        read = calls.pop(0)
        if handled.reads:
            ours.append(read)
        else:
            differences.add(Difference.UNAWAITED)
        if read.error is None:
            calls = _without_upkeep(calls, stored, differences)
    assert len(calls) <= 1, calls
    if not handled.failed:
        ours += _end(calls[0] if calls else None, stored, handled, differences)
    return Expected(ours, differences)


def _without_upkeep(calls: list[Call], stored: Stored, differences: set[Difference]) -> list[Call]:
    """Leave out what grammY's enhancer writes while it reads."""
    if stored.has_expired:
        assert calls[0].op == "D"
        differences.add(Difference.EXPIRED)
        return calls[1:]
    if stored.is_stamped_by_grammy:
        assert calls[0].op == "W"
        differences.add(Difference.LEGACY)
        return calls[1:]
    return calls


def _end(
    theirs: Call | None, stored: Stored, handled: Handled, differences: set[Difference]
) -> list[Call]:
    if not handled.reads and handled.assigned:
        return [theirs] if theirs else []
    if theirs is None:
        return _migrated(stored, differences) if handled.reads else []
    ours = (_delete if theirs.op == "D" else _write)(theirs, stored, differences)
    return ours if handled.reads else []


def _migrated(stored: Stored, differences: set[Difference]) -> list[Call]:
    if stored.data is UNDEFINED or not is_pending(stored.raw, stored.enhancement):
        return []
    differences.add(Difference.MIGRATED)
    return [Call("W", stored.key, sealed(stored.data, stored))]


def _delete(theirs: Call, stored: Stored, differences: set[Difference]) -> list[Call]:
    if stored.data is UNDEFINED:
        differences.add(Difference.NEVER_STORED)
        return []
    return [theirs]


def _write(theirs: Call, stored: Stored, differences: set[Difference]) -> list[Call]:
    data = unsealed(theirs.value, stored)
    before = stored.data
    if before is UNDEFINED and same(data, stored.initial):
        differences.add(Difference.INITIAL)
        return []
    if same(data, before) and not is_pending(stored.raw, stored.enhancement):
        differences.add(Difference.UNCHANGED)
        return []
    return [theirs]


def sealed(data: JSON, stored: Stored) -> JSON:
    """Return *data* as both sides store it."""
    if stored.enhancement is None:
        return data
    raw: dict[str, JSON] = {"__d": data}
    if stored.enhancement.latest:
        raw["v"] = stored.enhancement.latest
    if stored.enhancement.ttl_ms is not None:
        raw["e"] = stored.now + stored.enhancement.ttl_ms
    return raw


def unsealed(raw: JSON, stored: Stored) -> JSON:
    """Return the data in what was stored just now."""
    return raw if stored.enhancement is None else raw["__d"]


def told(error: BaseException | JSError | None) -> str:
    """Return an error of either side in words that both share."""
    match error:
        case None:
            return ""
        case JSError("TypeError"):
            return "no fields"
        case JSError(_, message) if "session data because" in message:
            return "no key"
        case JSError(_, message):
            return message
        case NoSessionKeyError():
            return "no key"
        case SessionWriteError() | SessionMigrationError():
            return told(error.__cause__)
        case ThrownError() | ChangeFailedError():
            return str(error)
        case TypeError() if "has no fields" in str(error):
            return "no fields"
        case _:
            return f"unknown: {error!r}"

"""Storages that keep every promise in other ways than the reference."""

from __future__ import annotations

import json
from typing import Any

from sessionkit.errors import InvalidSessionKeyError
from sessionkit.protocols import Clock
from sessionkit.testing import Limits
from tests.testing.broken_basics import Live
from tests.testing.reference import Disk, Reference


class Bare:
    """Three methods over a dict, as users write it."""

    def __init__(self, disk: Disk, clock: Clock, ttl: float | None = None) -> None:
        self.rows: dict[str, Any] = disk.__dict__.setdefault("bare", {})

    def read(self, key: str) -> Any:
        return self.rows.get(key)

    def write(self, key: str, value: Any) -> None:
        self.rows[key] = value

    def delete(self, key: str) -> None:
        self.rows.pop(key, None)


class BareTimed(Reference):
    """A timeout and a view for threads, and little else."""

    has: Any = None
    read_many: Any = None
    write_many: Any = None
    iter_keys: Any = None
    iter_items: Any = None
    read_with_revision: Any = None
    write_if: Any = None
    touch: Any = None
    renew: Any = None
    purge_expired: Any = None
    close: Any = None
    supports_expiry = False

    def write(self, key: str, value: Any) -> Any:
        self.store(key, self.encode(value), self.expiry(None))

    def delete(self, key: str) -> Any:
        self.drop(key)


class References(Live):
    """Keeps what it is given, functions too, and says so."""

    isolated = False


class NeverCloses(Reference):
    def close(self) -> None:
        pass


class Strict(Reference):
    """Refuses what is out of the ordinary."""

    def place(self, key: str) -> str:
        if any(char == "\x00" or "\ud800" <= char <= "\udfff" for char in key):
            raise InvalidSessionKeyError("no such keys", key=key)
        return key

    def encode(self, value: Any) -> Any:
        raw = json.dumps(value, ensure_ascii=False).encode()
        if b"\\u0000" in raw or (type(value) is int and not -(2**63) <= value < 2**63):
            raise OverflowError(value)
        return raw


class Numbered(Reference):
    """Takes only numbers as keys."""

    limits = Limits(key_alphabet="[0-9-]", max_value_bytes=256)

    def place(self, key: str) -> str:
        if not self.limits.allows_key(key):
            raise InvalidSessionKeyError("only numbers", key=key)
        return key

    def encode(self, value: Any) -> Any:
        if not self.limits.allows_value(value):
            raise ValueError("too large")
        return super().encode(value)

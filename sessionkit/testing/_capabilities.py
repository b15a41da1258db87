"""What a storage offers beside the three methods, found by name."""

from __future__ import annotations

from typing import Any, Final

METHODS: Final = (
    "has",
    "iter_keys",
    "iter_items",
    "read_many",
    "write_many",
    "read_with_revision",
    "write_if",
    "touch",
    "renew",
    "purge_expired",
    "close",
)
"""Optional methods, looked for by name."""

FLAGS: Final = ("isolated", "settles", "any_value", "supports_expiry")
"""Declarations that count only if they are true."""

VALUES: Final = ("sync", "identity")
"""Attributes that count if they are there."""


def capabilities_of(storage: Any) -> frozenset[str]:
    """Return the names of what *storage* offers beside the three methods."""
    methods = {name for name in METHODS if callable(getattr(storage, name, None))}
    flags = {name for name in FLAGS if getattr(storage, name, False) is True}
    values = {name for name in VALUES if getattr(storage, name, None) is not None}
    return frozenset(methods | flags | values)


READING: Final = frozenset(
    {"read", "has", "read_many", "read_with_revision", "iter_keys", "iter_items"}
)
"""Methods that change nothing."""

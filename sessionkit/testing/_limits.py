"""What a storage says that it cannot do."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, fields
from typing import Any, Final

from sessionkit.codecs import JSONCodec

ORDINARY_KEYS: Final = ("1", "2", "3", "4", "5", "-100")
"""Keys that every storage of sessions must take."""

LEAST_KEY_BYTES: Final = 16
LEAST_VALUE_BYTES: Final = 256


@dataclass(frozen=True, kw_only=True, repr=False)
class Limits:
    """What a storage cannot do; everything else it must.

    Inside the limits everything has to come back as it was.  Outside of them a
    write has to raise ``SessionError``, ``ValueError`` or ``TypeError``, and to
    leave what is stored alone.

    Attributes:
        max_key_bytes: The longest key, in bytes of UTF-8; at least 16.
        max_value_bytes: The longest value, in bytes of compact JSON; at least 256.
        key_alphabet: A regular expression for one character that a key may have,
            such as ``"[a-z0-9_-]"``.  Digits and ``-`` must be among them.
        shared: False if two openings of one namespace at the same time may not
            see the same data: each has its own, or only one can be open.
        threads: False if the storage may be used on one thread only.
        durable: False if the data may be gone after the storage was closed.
        eventually_consistent: Seconds after which, at the latest, a second opening
            sees what the first one wrote.
        ttl: The timeout of the storages that ``open`` gives, in seconds, if they
            have one of their own: values are gone so long after their last write.

    Raises:
        ValueError: A limit that would leave no room for ordinary sessions.
    """

    max_key_bytes: int | None = None
    max_value_bytes: int | None = None
    key_alphabet: str | None = None
    shared: bool = True
    threads: bool = True
    durable: bool = True
    eventually_consistent: float = 0.0
    ttl: float | None = None

    def __post_init__(self) -> None:
        _check_least("max_key_bytes", self.max_key_bytes, LEAST_KEY_BYTES)
        _check_least("max_value_bytes", self.max_value_bytes, LEAST_VALUE_BYTES)
        if not 0 <= self.eventually_consistent < math.inf:
            msg = f"eventually_consistent must be seconds from 0, not {self.eventually_consistent}"
            raise ValueError(msg)
        if self.ttl is not None and not 0 < self.ttl < math.inf:
            msg = f"ttl must be seconds above 0, or None, not {self.ttl}"
            raise ValueError(msg)
        self._check_alphabet()

    @property
    def declared(self) -> dict[str, Any]:
        """The limits that are set, by name."""
        return {
            each.name: getattr(self, each.name)
            for each in fields(self)
            if getattr(self, each.name) != each.default
        }

    def __repr__(self) -> str:
        return f"Limits({', '.join(f'{name}={value!r}' for name, value in self.declared.items())})"

    def allows_key(self, key: str) -> bool:
        """Return whether *key* is inside the limits."""
        size = len(key.encode("utf-8", "surrogatepass"))
        if self.max_key_bytes is not None and size > self.max_key_bytes:
            return False
        return self.key_alphabet is None or _spells(self.key_alphabet, key)

    def allows_value(self, value: Any) -> bool:
        """Return whether *value*, a plain JSON value, is inside the limits."""
        return self.max_value_bytes is None or value_bytes(value) <= self.max_value_bytes

    def _check_alphabet(self) -> None:
        if self.key_alphabet is None:
            return
        try:
            missing = [c for c in "0123456789-" if not _spells(self.key_alphabet, c)]
        except re.error as error:
            msg = f"key_alphabet {self.key_alphabet!r} is not a regular expression: {error}"
            raise ValueError(msg) from error
        if missing:
            msg = (
                f"key_alphabet {self.key_alphabet!r} must match each single character that a key "
                f"may have, such as '[a-z0-9_-]', and does not match {', '.join(missing)}: "
                "keys of sessions are numbers such as -100"
            )
            raise ValueError(msg)


def value_bytes(value: Any) -> int:
    """Return the size of a plain JSON value, as ``max_value_bytes`` counts it."""
    return len(JSONCodec().encode(value))


def _check_least(name: str, limit: int | None, least: int) -> None:
    if limit is not None and limit < least:
        msg = f"{name} must be at least {least}, not {limit}: sessions need that much"
        raise ValueError(msg)


def _spells(alphabet: str, text: str) -> bool:
    return re.fullmatch(f"(?:{alphabet})*", text, re.DOTALL) is not None

"""Which calls a fault is about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sessionkit.testing._calls import WITHOUT_KEY

if TYPE_CHECKING:
    from sessionkit.testing._calls import Call


@dataclass(frozen=True)
class Target:
    """An operation, a key, and which of the calls that go there.

    Attributes:
        operation: ``"read"``, ``"write"``, ``"delete"``, or the name of a method.
        key: The full storage key; None for any.
        times: How many calls it takes; None for all.
        after: How many calls pass before.
    """

    operation: str
    key: str | None = None
    times: int | None = 1
    after: int = 0

    def matches(self, call: Call) -> bool:
        """Whether *call* is of this operation and key."""
        known = self.operation in (call.operation, call.method)
        return known and (self.key is None or self.key in call.keys)

    def __str__(self) -> str:
        given = [repr(self.operation)]
        given += [] if self.key is None else [f"key={self.key!r}"]
        given += [] if self.times == 1 else [f"times={self.times}"]
        given += [] if self.after == 0 else [f"after={self.after}"]
        return ", ".join(given)


def target_of(operation: str, key: str | int | None, times: int | None, after: int) -> Target:
    """Check what a user gave.

    Raises:
        TypeError: An argument is of a wrong type.
        ValueError: A number is too small, or the operation has no key.
    """
    if key is not None:
        _check_key(operation, key)
    if times is not None:
        check_number("times", times, 1)
    check_number("after", after, 0)
    return Target(operation, None if key is None else str(key), times, after)


def check_number(name: str, number: object, least: int) -> None:
    """Raise ``TypeError`` or ``ValueError`` if *number* is no whole number from *least*."""
    if isinstance(number, bool) or not isinstance(number, int):
        msg = f"{name} must be a whole number, not {number!r}"
        raise TypeError(msg)
    if number < least:
        msg = f"{name} must be at least {least}, not {number}"
        raise ValueError(msg)


def _check_key(operation: str, key: object) -> None:
    if isinstance(key, bool) or not isinstance(key, str | int):
        msg = f"key must be a str or an int, not {key!r}"
        raise TypeError(msg)
    if operation in WITHOUT_KEY:
        msg = f"{operation} has no key: leave out key={key!r}"
        raise ValueError(msg)

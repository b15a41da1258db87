"""The stored shape: ``{"v": version, "__d": data, "e": expiry}``, as grammY writes it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeGuard

if TYPE_CHECKING:
    from sessionkit._types import Revision

Number: TypeAlias = int | float

_DATA: Final = "__d"
_VERSION: Final = "v"
_EXPIRES: Final = "e"
_FIELDS: Final = frozenset({_DATA, _VERSION, _EXPIRES})


@dataclass(frozen=True, slots=True)
class Envelope:
    """Data with what is stored beside it.

    Attributes:
        data: None if there is none.
        version: The schema version, None if the data never had one.
        expires: Milliseconds since the epoch, None if the data never expires.
    """

    data: Any
    version: Number | None = None
    expires: Number | None = None

    def has_expired(self, now: int) -> bool:
        """Return whether the expiry has been reached at *now*, in epoch milliseconds."""
        return self.expires is not None and now >= self.expires

    def is_live(self, now: int) -> bool:
        """Return whether there is data that has not expired."""
        return self.data is not None and not self.has_expired(now)

    def to_plain(self) -> dict[str, Any]:
        """Return what is to be stored, in the order grammY writes it."""
        plain: dict[str, Any] = {} if self.version is None else {_VERSION: self.version}
        plain[_DATA] = self.data
        if self.expires is not None:
            plain[_EXPIRES] = self.expires
        return plain


@dataclass(frozen=True, slots=True)
class EnhancedRevision:
    """What an enhanced storage knows of a stored value; opaque but for ``migrated``.

    Attributes:
        inner: The revision of the storage inside, None if that has no revisions.
        migrated: Whether the data given out is newer than what is stored: it counts
            as changed, and should be written.
        expires: The stored expiry, in epoch milliseconds.
        version: The stored schema version.
    """

    inner: Revision | None
    migrated: bool = field(default=False, compare=False)
    expires: Number | None = field(default=None, compare=False)
    version: Number | None = field(default=None, compare=False)


def envelope_of(stored: Any) -> Envelope:
    """Return *stored* taken apart; what is no envelope is data without one."""
    if not _is_envelope(stored):
        return Envelope(stored)
    return Envelope(
        stored[_DATA],
        version=_number(stored.get(_VERSION)),
        expires=_number(stored.get(_EXPIRES)),
    )


def _is_envelope(stored: object) -> TypeGuard[dict[str, Any]]:
    # Strict, since user data may have a "__d" of its own.  Null passes as a number:
    # it is how grammY's JSON spells the NaN and the Infinity that it lets through.
    return (
        _is_dict(stored)
        and _DATA in stored
        and _FIELDS.issuperset(stored)
        and _is_number_or_null(stored.get(_VERSION))
        and _is_number_or_null(stored.get(_EXPIRES))
    )


def _is_dict(value: object) -> TypeGuard[dict[Any, Any]]:
    return isinstance(value, dict)


def _is_number_or_null(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _number(value: Number | None) -> Number | None:
    is_nan = value != value  # noqa: PLR0124 (also right for None and big integers)
    return None if is_nan else value

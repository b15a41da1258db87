"""An envelope taken apart, and what an enhanced storage says about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sessionkit._data.envelope import (
    DATA,
    EXPIRES,
    VERSION,
    Kept,
    Number,
    is_envelope,
    kept_in,
    number_in,
)

if TYPE_CHECKING:
    from sessionkit.protocols import Revision


class Envelope(NamedTuple):
    """Data with what is stored beside it.

    Attributes:
        data: None if there is none.
        version: The schema version, None if the data never had one.
        expires: Milliseconds since the epoch, None if the data never expires.
        kept: Fields that belong to other releases, None if there are none.
    """

    data: Any
    version: Number | None = None
    expires: Number | None = None
    kept: Kept | None = None

    def has_expired(self, now: int) -> bool:
        """Return whether the expiry has been reached at *now*, in epoch milliseconds."""
        return self.expires is not None and now >= self.expires

    def is_live(self, now: int) -> bool:
        """Return whether there is data that has not expired."""
        return self.data is not None and not self.has_expired(now)

    def to_plain(self) -> dict[str, Any]:
        """Return what is to be stored, in the order grammY writes it."""
        plain: dict[str, Any] = {} if self.version is None else {VERSION: self.version}
        plain[DATA] = self.data
        if self.expires is not None:
            plain[EXPIRES] = self.expires
        if self.kept is not None:
            plain.update(self.kept)
        return plain


class EnhancedRevision:
    """What an enhanced storage knows of a stored value; opaque but for ``migrated``.

    Two are equal if they are of the same value.

    Attributes:
        inner: The revision of the storage inside, None if that has no revisions.
        migrated: Whether the data given out is newer than what is stored: it counts
            as changed, and should be written.
        expires: The stored expiry, in epoch milliseconds.
        kept: The stored fields that belong to other releases.
    """

    __slots__ = ("expires", "inner", "kept", "migrated")

    def __init__(
        self,
        inner: Revision | None,
        expires: Number | None = None,
        kept: Kept | None = None,
        *,
        migrated: bool = False,
    ) -> None:
        self.inner: Revision | None = inner
        self.migrated: bool = migrated
        self.expires: Number | None = expires
        self.kept: Kept | None = kept

    def __eq__(self, other: object) -> bool:
        return isinstance(other, EnhancedRevision) and self.inner == other.inner

    def __hash__(self) -> int:
        return hash(self.inner)

    def __repr__(self) -> str:
        return f"EnhancedRevision({self.inner!r}, migrated={self.migrated})"


def envelope_of(stored: Any) -> Envelope:
    """Return *stored* taken apart; what is not an envelope is data without one."""
    if not is_envelope(stored):
        return Envelope(stored)
    return Envelope(
        stored[DATA],
        version=number_in(stored, VERSION),
        expires=number_in(stored, EXPIRES),
        kept=kept_in(stored) or None,
    )

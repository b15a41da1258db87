"""What was asked of a storage, in the words of those who test a bot."""

from __future__ import annotations

import copy
from typing import Any, Final, NamedTuple

OPTIONAL: Final = (
    "has",
    "iter_keys",
    "iter_items",
    "read_many",
    "write_many",
    "read_with_revision",
    "read_tracked",
    "write_if",
    "touch",
    "renew",
    "purge_expired",
    "close",
)
"""The methods that a storage may have beside ``read``, ``write`` and ``delete``."""

LISTINGS: Final = frozenset({"iter_keys", "iter_items"})
WITHOUT_KEY: Final = LISTINGS | {"purge_expired", "close"}
_READS: Final = frozenset({"read", "read_many", "read_with_revision", "read_tracked"})


class Call(NamedTuple):
    """One call of a storage's method; ``repr`` shows it as Python."""

    method: str
    args: tuple[Any, ...] = ()
    options: tuple[tuple[str, Any], ...] = ()

    def __repr__(self) -> str:
        options = (f"{name}={value!r}" for name, value in self.options)
        return f"{self.method}({', '.join([*map(repr, self.args), *options])})"

    @property
    def operation(self) -> str:
        """``"read"``, ``"write"`` or ``"delete"``, by whichever method; else the method."""
        if self.method in _READS:
            return "read"
        if self.method == "write_if":
            return "delete" if self.args[1] is None else "write"
        return "write" if self.method == "write_many" else self.method

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys it was about; none for a listing, which is about all of them."""
        if self.method in WITHOUT_KEY:
            return ()
        if self.method in ("read_many", "write_many"):
            return tuple(self.args[0])
        return (self.args[0],)

    @property
    def written(self) -> list[tuple[str, Any]]:
        """The pairs of key and value that it was to store."""
        if self.operation != "write":
            return []
        return list(self.args[0].items()) if self.method == "write_many" else [self.args[:2]]

    def copied(self) -> Call:
        """Return the call with values that nobody can change later."""
        if self.method == "renew":
            return self  # a revision is the storage's own
        return self._replace(args=(*copy.deepcopy(self.args[:2]), *self.args[2:]))

"""A storage that passes everything on to another one."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Final

from sessionkit._storage.capabilities import optional, require
from sessionkit._storage.checks import check_storage
from sessionkit.storages.memory import MemorySessionStorage
from sessionkit.testing._ops import OPTIONAL, Op

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Self

    from sessionkit.protocols import Expected, Revision, Storage

_DECLARATIONS: Final = (
    "isolated",
    "settles",
    "any_value",
    "identity",
    "supports_expiry",
    "clock",
    "_clock",  # a storage that keeps expiries is asked for it
)


class ForwardingStorage:
    """Does what the storage inside does: its methods, no others, and its declarations.

    Methods are sync where those inside are, and async where those are.

    Args:
        inner: Any storage, sync or async; by default a new ``MemorySessionStorage``.

    Attributes:
        wrapped: The storage inside.
        capabilities: The names of the optional methods that are there.

    Raises:
        TypeError: *inner* is not a storage.
    """

    wrapped: Storage[Any]
    capabilities: frozenset[str]
    _inner: Any

    def __init__(self, inner: Storage[Any] | None = None) -> None:
        storage = MemorySessionStorage() if inner is None else inner
        check_storage(storage)
        self._sync: Self | None = None
        self._stand_on(storage)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.wrapped!r})"

    def _stand_on(self, storage: Any) -> None:
        self.wrapped = storage
        self._inner = storage  # has optional methods, which Storage does not declare
        self.capabilities = frozenset(name for name in (*OPTIONAL, "sync") if _has(storage, name))
        for name in _DECLARATIONS:
            self.__dict__.pop(name, None)
            if _has(storage, name):
                setattr(self, name, getattr(storage, name))

    def _call(self, call: Op) -> Any:
        """Pass *call* on to the storage inside; all calls come through here."""
        return getattr(self._inner, call.method)(*call.args, **dict(call.options))

    # Always there.

    def read(self, key: str, /) -> Any:
        """Return what the storage inside has; None if missing."""
        return self._call(Op("read", (key,)))

    def write(self, key: str, value: Any, /) -> Any:
        """Store *value* in the storage inside."""
        return self._call(Op("write", (key, value)))

    def delete(self, key: str, /) -> Any:
        """Remove *key* from the storage inside."""
        return self._call(Op("delete", (key,)))

    # There if the storage inside has the method of that name, and does what that does.

    @optional
    def has(self, key: str, /) -> Any:
        """Return whether *key* is stored."""
        return self._call(Op("has", (key,)))

    @optional
    def iter_keys(self, prefix: str = "", /) -> Any:
        """Yield the keys that begin with *prefix*."""
        return self._call(Op("iter_keys", (prefix,)))

    @optional
    def iter_items(self, prefix: str = "", /) -> Any:
        """Yield pairs of key and value."""
        return self._call(Op("iter_items", (prefix,)))

    @optional
    def read_many(self, keys: Sequence[str], /) -> Any:
        """Return what is stored under *keys*."""
        return self._call(Op("read_many", (keys,)))

    @optional
    def write_many(self, values: Mapping[str, Any], /) -> Any:
        """Store all of *values*."""
        return self._call(Op("write_many", (values,)))

    @optional
    def read_with_revision(self, key: str, /) -> Any:
        """Return value and revision."""
        return self._call(Op("read_with_revision", (key,)))

    @optional
    def read_tracked(self, key: str, /) -> Any:
        """Return what an enhanced storage knows of *key*."""
        return self._call(Op("read_tracked", (key,)))

    @optional
    def write_if(self, key: str, value: Any, expected: Expected, /, **options: float | None) -> Any:
        """Store *value* (None deletes) if the stored revision is *expected*."""
        return self._call(Op("write_if", (key, value, expected), tuple(options.items())))

    @optional
    def touch(self, key: str, /) -> Any:
        """Restart the timeout of *key*."""
        return self._call(Op("touch", (key,)))

    @optional
    def renew(self, key: str, revision: Revision | None, /) -> Any:
        """Renew a sliding timeout if it is due."""
        return self._call(Op("renew", (key, revision)))

    @optional
    def purge_expired(self) -> Any:
        """Remove what has expired."""
        return self._call(Op("purge_expired"))

    @optional
    def close(self) -> Any:
        """Close the storage inside."""
        return self._call(Op("close"))

    @property
    def sync(self) -> Self:
        """The same over the blocking view of the storage inside; shares all that it knows."""
        require(self, "sync")
        inside = self._inner.sync
        if inside is self.wrapped:
            return self
        if self._sync is None:
            self._sync = copy.copy(self)
            self._sync._stand_on(inside)
        return self._sync


def _has(storage: object, name: str) -> bool:
    return getattr(storage, name, None) is not None

"""Frozen copies of data: what isolates sessions, and tells whether data changed.

Version 2 of marshal knows no references, so equal plain data always freezes to
equal bytes; type differences (``1``, ``1.0``, ``True``) show.  What marshal
does not know, or would silently turn into something else, is pickled.  Frozen
data never leaves the process: marshal differs between Python versions.
"""

from __future__ import annotations

import marshal
import pickle
from typing import Any, Final

from sessionkit.errors import SessionEncodeError

MARSHAL_VERSION: Final = 2
_ATOMS: Final = frozenset({type(None), bool, int, float, complex, str})
_COLLECTIONS: Final = frozenset({list, tuple, set, frozenset})
_KNOWN: Final = _ATOMS | _COLLECTIONS | {dict}
_BYTES_MARK: Final = ord("s")


class Pickled(bytes):
    """A frozen value that marshal could not hold."""

    __slots__ = ()


def freeze(value: Any) -> bytes:
    """Return a frozen copy of any value: exact ``bytes``, or ``Pickled``.

    Raises:
        SessionEncodeError: The value cannot be pickled either.
    """
    try:
        frozen = marshal.dumps(value, MARSHAL_VERSION)
    except ValueError:
        return _pickle(value)
    # marshal writes every bytes-like object (bytearray, array, numpy) as bytes
    if _BYTES_MARK in frozen and not _is_faithful(value):
        return _pickle(value)
    return frozen


def freeze_loaded(value: Any) -> bytes:
    """Return a frozen copy of what a storage of plain values gave."""
    try:
        return marshal.dumps(value, MARSHAL_VERSION)
    except ValueError:
        return _pickle(value)


def thaw(frozen: bytes) -> Any:
    """Return a fresh copy of what was frozen."""
    if type(frozen) is bytes:
        return marshal.loads(frozen)  # noqa: S302 (made by freeze, in this process)
    return pickle.loads(frozen)  # noqa: S301 (made by freeze, in this process)


def copied(value: Any) -> Any:
    """Return a copy of *value* that shares nothing mutable with it."""
    return thaw(freeze(value))


def _is_faithful(value: Any) -> bool:
    """Whether all that is in *value* is of a type that marshal gives back."""
    pending = [value]
    while pending:
        container = pending.pop()
        kind: Any = container.__class__
        if kind in _COLLECTIONS:
            parts = container
        elif kind is dict:
            parts = [*container, *container.values()]
        else:
            parts = (container,)
        kinds = set(map(type, parts))
        if kinds <= _ATOMS:
            continue
        if not kinds <= _KNOWN:
            return False
        pending += [part for part in parts if type(part) not in _ATOMS]
    return True


def _pickle(value: Any) -> bytes:
    try:
        return Pickled(pickle.dumps(value, protocol=5))
    except Exception as error:
        msg = (
            f"session data must be copyable, and {type(value).__name__} is not: {error}. "
            "The stored value was kept."
        )
        raise SessionEncodeError(msg) from error

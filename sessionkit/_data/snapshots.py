"""Frozen copies of data: what isolates sessions, and shows whether data changed.

Version 2 of marshal knows no references, so equal plain data always freezes to
equal bytes; type differences (``1``, ``1.0``, ``True``) show.  What marshal
does not know, or would silently turn into something else, is pickled.  Frozen
data never leaves the process: marshal differs between Python versions.
"""

from __future__ import annotations

import re
from gc import get_referents, is_tracked
from marshal import dumps, loads
from math import isfinite
from typing import Any, Final

from sessionkit.errors import SessionEncodeError

MARSHAL_VERSION: Final = 2
_ATOMS: Final = frozenset({type(None), bool, int, float, complex, str})
_COLLECTIONS: Final = frozenset({list, tuple, set, frozenset})
_CONTAINERS: Final = _COLLECTIONS | {dict}
_KNOWN: Final = _ATOMS | _CONTAINERS
_MANY: Final = 1_000_000
_MARSHAL_DEPTH: Final = 2000
_JSON_ATOMS: Final[frozenset[type]] = frozenset({str, bool, type(None), int})
_SHORT: Final = 0xFFFF
_BYTES: Final = ord("s")  # begins bytes-like objects in what marshal writes


class _BytesIn(dict[int, re.Pattern[bytes]]):
    """Finds the beginnings of bytes-like objects, by the size of the whole in units of 256.

    An ``s``, the length in four bytes, and the bytes: no longer than the whole.
    """

    def __missing__(self, units: int) -> re.Pattern[bytes]:
        if units > _SHORT >> 8:
            return _ANY
        pattern = self[units] = re.compile(rb"(?s:s.[\x00-\x%02x]\0\0)" % units)
        return pattern


_ANY: Final = re.compile(b"s")
_bytes_in: Final = _BytesIn()


class Pickled(bytes):
    """A frozen value that marshal could not hold."""

    __slots__ = ()


def freeze(value: Any) -> bytes:
    """Return a frozen copy of any value: exact ``bytes``, or ``Pickled``.

    Raises:
        SessionEncodeError: The value cannot be pickled either.
    """
    if is_simple(value):
        return dumps(value, MARSHAL_VERSION)
    if is_tangled(value):
        return _pickle(value)
    try:
        frozen = dumps(value, MARSHAL_VERSION)
    except ValueError:
        return _pickle(value)
    if _BYTES in frozen:  # marshal writes every bytes-like object (bytearray, array) as bytes
        found = _bytes_in[len(frozen) >> 8].search(frozen)
        if found is not None and _is_in(frozen, found) and not _is_faithful(value):
            return _pickle(value)
    return frozen


def freeze_loaded(value: Any) -> bytes:
    """Return a frozen copy of what a storage of plain values gave."""
    try:
        return dumps(value, MARSHAL_VERSION)
    except ValueError:
        return _pickle(value)


def freeze_pair(first: str, frozen: bytes, second: str, value: Any) -> bytes:
    """Return what ``freeze`` returns for a dict of two, of which one is *frozen* already.

    *value* is plain.
    """
    if type(frozen) is not bytes:
        return freeze({first: thaw(frozen), second: value})
    return b"".join((_opened[first], frozen, _named[second], dumps(value, MARSHAL_VERSION), b"0"))


def first_of_pair(first: str, pair: bytes, second: str, value: Any) -> bytes | None:
    """Return what was given to ``freeze_pair``; None if *pair* was made in another way."""
    begin, end = _opened[first], _named[second] + dumps(value, MARSHAL_VERSION) + b"0"
    if type(pair) is bytes and pair.startswith(begin) and pair.endswith(end):
        return pair[len(begin) : -len(end)]
    return None


def freeze_fields(fields: dict[str, Any]) -> bytes:
    """Return plain fields as they are within a frozen dict, to put others around them.

    ``b"{%b%b%b0"`` of some fields, a name with its frozen value, and more fields is what
    ``freeze`` returns for the dict of all.
    """
    return dumps(fields, MARSHAL_VERSION)[1:-1]


class _Frozen(dict[str, bytes]):
    """Texts as ``freeze`` returns them, after *begin*."""

    def __init__(self, begin: bytes) -> None:
        super().__init__()
        self._begin = begin

    def __missing__(self, text: str) -> bytes:
        frozen = self[text] = self._begin + dumps(text, MARSHAL_VERSION)
        return frozen


_opened: Final = _Frozen(b"{")
_named: Final = _Frozen(b"")


def thaw(frozen: bytes) -> Any:
    """Return a fresh copy of what was frozen."""
    if type(frozen) is bytes:
        return loads(frozen)  # noqa: S302 (made by freeze, in this process)
    import pickle  # noqa: PLC0415 (see _pickle)

    return pickle.loads(frozen)  # noqa: S301 (made by freeze, in this process)


def is_simple(value: Any, room: int = _MANY) -> bool:
    """Whether *value* is of the JSON types, as most data is, with *room* for its lists and dicts.

    Then marshal comes to an end and gives back what it was given, and JSON does so, too, but
    for what ``holds_no_extremes`` looks for.  Parts share the room equally.  Where it does not
    suffice, data may contain itself, which takes a closer look.
    """
    parts = value
    kind: Any = type(value)  # pyright: ignore[reportUnknownVariableType]
    if kind is dict:
        for key in value:
            if type(key) is not str:
                return False
        parts = value.values()
    elif kind is not list:
        return kind in _JSON_ATOMS
    for part in parts:
        if type(part) in _JSON_ATOMS:
            continue
        kind = type(part)  # pyright: ignore[reportUnknownVariableType]
        if kind is dict or kind is list:
            if not room or not is_simple(part, room // (len(value) + 1)):
                return False
        elif kind is not float or not isfinite(part):
            return False
    return True


def is_tangled(value: Any) -> bool:
    """Whether marshal would never end: it writes a list as often as the list is met.

    So it does for data that contains itself twice, such as a tree whose leaves know their
    parent.

    Only of plain data is asked what it refers to: of some other objects, such as iterators
    of futures in Python 3.12, an answer ends the process.
    """
    if type(value) not in _CONTAINERS:
        return False
    level: list[Any] = [value]
    for _ in range(_MARSHAL_DEPTH):  # marshal itself refuses what is deeper
        level = list(filter(is_tracked, get_referents(*level)))  # nothing else contains anything
        if not _CONTAINERS.issuperset(map(type, level)):
            level = [each for each in level if type(each) in _CONTAINERS]
        if not level:
            return False
        if len(level) > _MANY and len(level) > 10 * len(set(map(id, level))):
            return True
    return False


def copied(value: Any) -> Any:
    """Return a copy of *value* that shares nothing mutable with it."""
    return thaw(freeze(value))


def _is_in(frozen: bytes, first: re.Match[bytes]) -> bool:
    """Whether what was found *first*, or something after it, may be a bytes-like object.

    Texts may look like that; whether there is room for an object of that length distinguishes most.
    """
    size = len(frozen)
    if size > _SHORT:
        return True
    found: re.Match[bytes] | None = first
    while found is not None:
        start = found.start()
        if start + 5 + frozen[start + 1] + (frozen[start + 2] << 8) <= size:
            return True
        found = _bytes_in[size >> 8].search(frozen, start + 1)
    return False


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
    import pickle  # noqa: PLC0415 (only data of other types than JSON's needs it)

    try:
        return Pickled(pickle.dumps(value, protocol=5))
    except Exception as error:
        msg = (
            f"session data must be copyable, and {type(value).__name__} is not: {error}. "
            "The stored value was kept."
        )
        raise SessionEncodeError(msg) from error

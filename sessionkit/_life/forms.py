"""Data in its forms: as handlers have it, plain as storages keep it, frozen to compare."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from sessionkit._convert.plain import check_plain, freeze_plain
from sessionkit._drive import discard, is_awaitable
from sessionkit._frozen import freeze, freeze_loaded, thaw
from sessionkit._life.backend import Found
from sessionkit._life.seats import MISSING
from sessionkit._life.settings import Settings
from sessionkit.errors import SessionDecodeError, SessionEncodeError


class Change(NamedTuple):
    """What is to be written: frozen data, and the same as plain values; None deletes."""

    frozen: bytes | None
    plain: Any


class Loaded(NamedTuple):
    """Data as a handler gets it, its frozen form, and the stored fields its type lacks."""

    data: Any
    frozen: bytes | None
    residue: Any


NOTHING: Final = Loaded(MISSING, None, None)
"""Nothing is stored, and there is no ``initial``."""
GONE: Final = Loaded(None, None, None)
"""Nothing is stored, or what was is deleted."""


def taken_over(settings: Settings, key: str, found: Found) -> Loaded:
    """What the storage gave, made independent of it."""
    value, _, frozen = found
    if frozen is None:
        frozen = freeze(value) if settings.any_value else freeze_loaded(value)
    plain = value if settings.backend.isolated else thaw(frozen)
    return _opened(settings, key, plain, frozen)


def thawed(settings: Settings, key: str, frozen: bytes) -> Loaded:
    """What was frozen, as it was loaded."""
    return _opened(settings, key, thaw(frozen), frozen)


def begun_anew(settings: Settings, key: str) -> Loaded:
    """What a chat begins with that has nothing stored."""
    if settings.initial is None:
        return NOTHING
    made = settings.initial()
    if is_awaitable(made):
        discard(made)
        msg = "initial must return data, and it returned an awaitable: it cannot be async"
        raise TypeError(msg)
    if made is None:
        return GONE
    change = encoded(settings, key, made, None)
    check(settings, key, change)
    return thawed(settings, key, change.frozen or b"")


def encoded(settings: Settings, key: str, data: Any, residue: Any) -> Change:
    """What handlers have, as storages keep it.

    Raises:
        SessionEncodeError: It is not of the declared type, or cannot be copied.
    """
    if is_awaitable(data):
        discard(data)
        kind = type(data).__name__
        msg = f"session.data is a {kind}: forgot await? The stored value was kept."
        raise SessionEncodeError(msg, key=key)
    with naming(key):
        plain = settings.conversion.close(data, residue) if settings.conversion else data
        if settings.any_value:
            return Change(freeze(plain), plain)
        return Change(*freeze_plain(plain))


def reencoded(settings: Settings, frozen: bytes) -> bytes:
    """What was frozen, in the form in which this program would write it.

    A stored value may lack new fields, or write the same in another form.
    """
    conversion = settings.conversion
    if conversion is None:
        return frozen
    return freeze(conversion.close(*conversion.open(thaw(frozen))))


def check(settings: Settings, key: str, change: Change) -> None:
    """Make sure that the data would come back equal.

    Raises:
        SessionEncodeError: It would not.
    """
    if not settings.any_value:
        with naming(key):
            check_plain(change.plain)


def _opened(settings: Settings, key: str, plain: Any, frozen: bytes) -> Loaded:
    if settings.conversion is None:
        return Loaded(plain, frozen, None)
    with naming(key):
        data, residue = settings.conversion.open(plain)
    return Loaded(data, frozen, residue)


class naming:  # noqa: N801 (reads as a statement)
    """Name the key in errors that know only the data."""

    __slots__ = ("_key",)

    def __init__(self, key: str) -> None:
        self._key = key

    def __enter__(self) -> None:
        """Nothing to do before."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, SessionEncodeError | SessionDecodeError):
            error.key = self._key

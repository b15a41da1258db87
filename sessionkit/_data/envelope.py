"""The stored shape ``{"v": version, "__d": data, "e": expiry}``, as grammY writes it.

A mapping is an envelope if it has ``__d``, and beside it nothing but ``v``, ``e``
and fields that begin with ``__``.  The latter belong to other releases: they are
kept, and written back.  What is not an envelope is data without one.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias, TypeGuard

from sessionkit.errors import NewerVersionError, SessionDecodeError

DATA: Final = "__d"
VERSION: Final = "v"
EXPIRES: Final = "e"
_NUMBERS: Final = frozenset({VERSION, EXPIRES})
_OURS: Final = _NUMBERS | {DATA}

Number: TypeAlias = int | float
Kept: TypeAlias = dict[str, Any]
"""The fields of an envelope that belong to other releases."""


def is_envelope(stored: object) -> TypeGuard[dict[str, Any]]:
    """Return whether *stored* has the shape; strictly, for data may have a ``__d`` of its own."""
    return _is_dict(stored) and DATA in stored and all(map(_is_field, stored, stored.values()))


def _is_dict(value: object) -> TypeGuard[dict[Any, Any]]:
    return isinstance(value, dict)


def _is_field(name: object, value: Any) -> bool:
    if name in _NUMBERS:
        # Null is how grammY's JSON spells the NaN and the Infinity that it lets through.
        return value is None or (isinstance(value, int | float) and not isinstance(value, bool))
    return isinstance(name, str) and name.startswith("__")


def number_in(envelope: dict[str, Any], name: str) -> Number | None:
    """Return the version or the expiry of an envelope, None if it has none."""
    number: Number | None = envelope.get(name)
    is_nan = number != number  # noqa: PLR0124 (also right for None and big integers)
    return None if is_nan else number


def kept_in(envelope: dict[str, Any]) -> Kept:
    """Return the fields of an envelope that belong to other releases."""
    return {name: value for name, value in envelope.items() if name not in _OURS}


def open_plain(stored: Any, key: str) -> tuple[Any, Kept | None]:
    """Return the data of a value that a session without ``enhance_storage`` has read.

    And what is to be kept beside it, None if the value is not an envelope.  The data
    of an envelope may be None: then only what is beside it is stored.

    Raises:
        NewerVersionError: The value has a schema version, which no migration here knows.
        SessionDecodeError: The value has an expiry, which nothing here would honour.
    """
    if not _is_dict(stored) or DATA not in stored or not is_envelope(stored):
        return stored, None
    version = number_in(stored, VERSION)
    if version is not None:
        raise unknown_version(key, version)
    if number_in(stored, EXPIRES) is not None:
        msg = (
            f"what is stored under {key!r} has a timeout, and these sessions know of none: give "
            "them storage=enhance_storage(storage), with the same ttl. The stored value was kept"
        )
        raise SessionDecodeError(msg, key=key)
    return stored[DATA], kept_in(stored)


def close_plain(data: Any, kept: Kept | None) -> Any:
    """Return *data* as ``open_plain`` finds it again, with what is kept beside it."""
    if kept is None and not (_is_dict(data) and DATA in data):
        return data
    return {DATA: data, **(kept or {})}


def unknown_version(key: str, version: Number) -> NewerVersionError:
    """Return the error for data with a version that meets a program without migrations."""
    msg = (
        f"what is stored under {key!r} has version {version}, and this program has no "
        "migrations: a newer release wrote it (a rolling deploy under way, or this program was "
        "rolled back). Run the newer release, or give this one the migrations, "
        f"enhance_storage(storage, migrations={{{version}: ...}}). The stored value was kept"
    )
    return NewerVersionError(msg, key=key, version=version)

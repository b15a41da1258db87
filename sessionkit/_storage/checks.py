"""What a storage must be, checked at set-up."""

from __future__ import annotations

from typing import Any, Final

_REQUIRED: Final = ("read", "write", "delete")


def file_lock_of(storage: Any, patience: float | None) -> Any:
    """Return the lock that ``lock="file"`` means for *storage*; None if one process has it alone.

    Raises:
        TypeError: It does not say where its lock files belong.
    """
    while (inside := getattr(storage, "wrapped", None)) is not None:
        storage = inside
    make = getattr(storage, "file_lock", None)
    if not callable(make):
        msg = (
            f"lock='file' needs a storage in files or SQLite, and {storage!r} is neither: give "
            "lock=FileLock(folder) for processes on one host, or a lock of the database"
        )
        raise TypeError(msg)
    return make(patience)


def check_storage(storage: Any) -> None:
    """Raise ``TypeError`` if *storage* lacks one of the three methods."""
    if isinstance(storage, type):
        msg = f"storage must be an object, and {storage.__name__} is a class: {storage.__name__}()"
        raise TypeError(msg)
    missing = [name for name in _REQUIRED if not callable(getattr(storage, name, None))]
    if missing:
        msg = (
            f"{storage!r} is not a storage: it has no method {', '.join(missing)}. "
            "A storage has read(key), write(key, value) and delete(key), sync or async"
            f"{'; for a URL write storage_from_url(url)' if isinstance(storage, str) else ''}"
        )
        raise TypeError(msg)

"""Storages by URL: ``memory:``, ``file:PATH``, ``sqlite:///PATH``, and those of adapters."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from sessionkit.storages.file import FileSessionStorage
from sessionkit.storages.memory import MemorySessionStorage
from sessionkit.storages.sqlite import SQLiteSessionStorage

if TYPE_CHECKING:
    import os

ENTRY_POINTS: Final = "sessionkit.storages"

_SQLALCHEMY: Final = "sqlalchemy"
_IN_PLACE: Final = "grammy+"
"""Before the scheme of a database: sessions in the layout of grammY's storage for it."""

_DATABASE_SUFFIXES: Final = (".db", ".sqlite", ".sqlite3")

_IN_MEMORY: Final = ":memory:"

_EXTRAS: Final = {
    "free": "free",
    "postgres": "postgres",
    "postgresql": "postgres",
    "mongodb": "mongo",
    "redis": "redis",
    "rediss": "redis",
    "valkey": "redis",
    "valkeys": "redis",
    "sqlalchemy": "sqlalchemy",
}


def storage_from_url(url: str) -> Any:
    """Open the storage that *url* names.

    ``memory:``; ``file:PATH`` (a directory); ``sqlite:///PATH`` for a path
    relative to the current directory, ``sqlite:////PATH`` for an absolute one,
    ``sqlite://`` for one in memory.  Other schemes come from adapters, through
    the entry-point group ``sessionkit.storages``: a function of the URL.  ``grammy+``
    before ``redis:``, ``postgresql:`` or ``mongodb:`` means what grammY's storage wrote there.

    Raises:
        ValueError: The scheme is unknown (the text says which extra has it), or
            the URL lacks something.
        SessionError, OSError: The storage cannot be opened.
    """
    scheme, colon, rest = url.partition(":")
    if not colon:
        msg = f"{url!r} is not a storage URL: write {_urls_of(url)}"
        raise ValueError(msg)
    scheme = scheme.lower()
    opener = _OPENERS.get(scheme)
    return opener(rest) if opener else _from_adapters(scheme, url)


def is_url(text: str) -> bool:
    """Return whether *text* begins with a scheme that ``storage_from_url`` knows."""
    scheme, colon, _ = text.partition(":")
    scheme = scheme.lower()
    name = _registered(scheme)
    known = scheme in _OPENERS or name in _EXTRAS
    return bool(colon) and (known or bool(entry_points(group=ENTRY_POINTS, name=name)))


def path_of_url(url: str) -> Path | None:
    """Return the folder or file that *url* leads to, None if it leads to none on a disk.

    Raises:
        ValueError: The URL lacks something.
    """
    scheme, _, rest = url.partition(":")
    dialect = "+".join(scheme.lower().split("+")[:2])  # without a driver of SQLAlchemy
    locate = _PATHS.get(dialect)
    path = None if locate is None else locate(rest)
    return None if path in (None, _IN_MEMORY) else Path(path)


def storage_from_path(path: os.PathLike[str]) -> Any:
    """Open the storage at *path*: files in an existing folder, else SQLite, by the suffix.

    Raises:
        ValueError: It is not a folder, and not named as a database.
        SessionError, OSError: The storage cannot be opened.
    """
    path = Path(path)
    if path.is_dir():
        return FileSessionStorage(path)
    if path.suffix.lower() in _DATABASE_SUFFIXES:
        return SQLiteSessionStorage(path)
    known = ", ".join(_DATABASE_SUFFIXES)
    msg = (
        f"'{path}' is not an existing folder, and its suffix is none of {known}: "
        f"write {_urls_of(str(path))}"
    )
    raise ValueError(msg)


def _urls_of(path: str) -> str:
    escaped = path.replace("%", "%25").replace("?", "%3F")
    return f"'sqlite:///{escaped}' or 'file:{escaped}'"


def _without_options(rest: str) -> str:
    path, mark, options = rest.partition("?")
    if mark:
        msg = (
            f"there are no options to give after '?', and there is {options!r}: make the storage "
            "yourself, as in SQLiteSessionStorage(path, table=...); in a path, '?' is %3F"
        )
        raise ValueError(msg)
    return path


def _memory(rest: str) -> MemorySessionStorage:
    if _without_options(rest).strip("/"):
        msg = f"'memory:' takes no path, and there is {rest!r} after it"
        raise ValueError(msg)
    return MemorySessionStorage()


def _file(rest: str) -> FileSessionStorage:
    return FileSessionStorage(_folder_in(rest))


def _folder_in(rest: str) -> str:
    path = unquote(_without_options(rest).removeprefix("//"))
    if not path:
        msg = "'file:' needs the path of a directory: file:sessions"
        raise ValueError(msg)
    return path


def _sqlite(rest: str) -> SQLiteSessionStorage:
    return SQLiteSessionStorage(_database_in(rest))


def _database_in(rest: str) -> str:
    rest = _without_options(rest)
    if rest in ("", "//", "///:memory:"):
        return _IN_MEMORY
    if not rest.startswith("///"):
        msg = f"write three slashes before a relative path: sqlite:///{rest.lstrip('/')}"
        raise ValueError(msg)
    return unquote(rest[3:])


def _database_of_sqlalchemy_in(rest: str) -> str:
    path = rest.partition("?")[0]
    is_path = path.startswith("///") and not path.startswith("///file:")
    return path[3:] if is_path else _IN_MEMORY  # or refused by SQLAlchemy


_OPENERS: Final[dict[str, Callable[[str], Any]]] = {
    "memory": _memory,
    "file": _file,
    "sqlite": _sqlite,
}
_PATHS: Final[dict[str, Callable[[str], str]]] = {
    "file": _folder_in,
    "sqlite": _database_in,
    f"{_SQLALCHEMY}+sqlite": _database_of_sqlalchemy_in,
}


def _from_adapters(scheme: str, url: str) -> Any:
    name = _registered(scheme)
    for entry in entry_points(group=ENTRY_POINTS, name=name):
        return entry.load()(url)
    extra = _EXTRAS.get(name)
    known = ", ".join(f"{name}:" for name in _OPENERS)
    hint = (
        f"those of SQLAlchemy are written {_SQLALCHEMY}+{name}:"
        if extra is None and "+" in name
        else f"they come with the extra {extra!r}, if your sessionkit has it: "
        f"python -m pip install '<checkout>[{extra}]'"
        if extra
        else f"known are {known} and what installed extras add"
    )
    msg = f"there is no storage for {scheme}: URLs; {hint}"
    raise ValueError(msg)


def _registered(scheme: str) -> str:
    """Return the name under which the opener of *scheme* is found."""
    if scheme.startswith(f"{_SQLALCHEMY}+"):
        return _SQLALCHEMY
    return scheme.removeprefix(_IN_PLACE)

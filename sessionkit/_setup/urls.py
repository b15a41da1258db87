"""Storages by URL: ``memory:``, ``file:PATH``, ``sqlite:///PATH``, and what adapters add."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any, Final
from urllib.parse import unquote

from sessionkit.storages.file import FileSessionStorage
from sessionkit.storages.memory import MemorySessionStorage
from sessionkit.storages.sqlite import SQLiteSessionStorage

ENTRY_POINTS: Final = "sessionkit.storages"

_EXTRAS: Final = {
    "redis": "redis",
    "rediss": "redis",
    "valkey": "redis",
    "postgres": "postgres",
    "postgresql": "postgres",
    "mongodb": "mongodb",
}


def storage_from_url(url: str) -> Any:
    """Open the storage that *url* names.

    ``memory:``; ``file:PATH`` (a directory); ``sqlite:///PATH`` for a path
    relative to the current directory, ``sqlite:////PATH`` for an absolute one,
    ``sqlite://`` for one in memory.  Other schemes come from adapters, through
    the entry-point group ``sessionkit.storages``: a function of the URL.

    Raises:
        ValueError: The scheme is unknown (the text says which extra has it), or
            the URL lacks something.
        SessionError, OSError: The storage cannot be opened.
    """
    scheme, colon, rest = url.partition(":")
    if not colon:
        msg = f"{url!r} is no storage URL: write 'sqlite:///{url}' or 'file:{url}'"
        raise ValueError(msg)
    scheme = scheme.lower()
    opener = _OPENERS.get(scheme)
    return opener(_without_options(rest)) if opener else _from_adapters(scheme, url)


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
    if rest.strip("/"):
        msg = f"'memory:' takes no path, and there is {rest!r} after it"
        raise ValueError(msg)
    return MemorySessionStorage()


def _file(rest: str) -> FileSessionStorage:
    path = unquote(rest.removeprefix("//"))
    if not path:
        msg = "'file:' needs the path of a directory: file:sessions"
        raise ValueError(msg)
    return FileSessionStorage(path)


def _sqlite(rest: str) -> SQLiteSessionStorage:
    if rest in ("", "//", "///:memory:"):
        return SQLiteSessionStorage(":memory:")
    if not rest.startswith("///"):
        msg = f"write three slashes before a relative path: sqlite:///{rest.lstrip('/')}"
        raise ValueError(msg)
    return SQLiteSessionStorage(unquote(rest[3:]))


_OPENERS: Final[dict[str, Callable[[str], Any]]] = {
    "memory": _memory,
    "file": _file,
    "sqlite": _sqlite,
}


def _from_adapters(scheme: str, url: str) -> Any:
    for entry in entry_points(group=ENTRY_POINTS, name=scheme):
        return entry.load()(url)
    extra = _EXTRAS.get(scheme.partition("+")[0])
    known = ", ".join(f"{name}:" for name in _OPENERS)
    hint = (
        f"they come with the extra {extra!r}, if your sessionkit has it: "
        f"python -m pip install '<checkout>[{extra}]'"
        if extra
        else f"known are {known} and what installed extras add"
    )
    msg = f"there is no storage for {scheme}: URLs; {hint}"
    raise ValueError(msg)

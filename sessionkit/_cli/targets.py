"""What a command is about: a storage by URL, or ``module:object`` with all that is known of it."""

from __future__ import annotations

import importlib
import re
import sqlite3
import sys
from collections.abc import AsyncGenerator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, closing
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from sessionkit._api.multi import MultiSessions
from sessionkit._api.personal import personal_sources
from sessionkit._api.sessions import AnySessions
from sessionkit._cli.exits import CommandError
from sessionkit._cli.places import Place, what
from sessionkit.storages._sqlite.errors import explain
from sessionkit.storages.urls import is_url, path_of_url, storage_from_url

if TYPE_CHECKING:
    from pathlib import Path


METAVAR: Final = "TARGET"
HELP: Final = "the URL of a storage, or module:object"

EXPLAINED: Final = """\
a target is one of
  sqlite:///bot.db, file:sessions, redis://localhost ...
                   the URL of a storage: its keys and values as they are stored
  module:object    something in your program, as in bot:sessions. A Sessions, a list
                   of them, or a storage. Then prefixes, data types, timeouts and
                   migrations are known, and kept. The module is imported: what is
                   at its top level runs
"""

_OBJECT: Final = re.compile(r"[^\W\d][\w.]*:[^\W\d][\w.]*")
_SQLITE_MAGIC: Final = b"SQLite format 3\0"


@asynccontextmanager
async def opened(text: str, *, makes: bool = False) -> AsyncGenerator[Place]:
    """Open the one storage that *text* names.

    Args:
        text: A URL, or ``module:object``.
        makes: Whether what a URL leads to is made if it is not there.

    Raises:
        CommandError: There is none, or there are several.
    """
    async with all_opened(text, makes=makes) as places:
        if len(places) > 1:
            names = ", ".join(repr(place.storage) for place in places)
            msg = f"{text} is of several storages, and this is about one: {names}"
            raise CommandError(msg)
        yield places[0]


@asynccontextmanager
async def all_opened(text: str, *, makes: bool = False) -> AsyncGenerator[list[Place]]:
    """Open all storages that *text* names, otherwise as ``opened``."""
    places = list(_places(text, makes=makes))
    async with AsyncExitStack() as stack:
        for place in places:
            stack.push_async_callback(place.close)
        yield places


def _places(text: str, *, makes: bool) -> Iterable[Place]:
    if is_url(text):
        return [Place(text, _storage_at(text, makes=makes))]
    if _OBJECT.fullmatch(text):
        return places_of(text, loaded(text))
    try:
        storage_from_url(text)
    except ValueError as error:
        msg = f"{what(error)}. An object in your program is written as module:object"
        raise CommandError(msg.removeprefix("ValueError: ")) from None
    raise AssertionError  # pragma: no cover (what is not a URL is refused)


# By URL


def _storage_at(url: str, *, makes: bool) -> Any:
    try:
        path, scheme = path_of_url(url), url.partition(":")[0].lower()
        if scheme == "memory" or (path is None and scheme == "sqlite"):
            msg = f"{url} is the memory of one process, empty in every other: name a file or server"
            raise CommandError(msg)
        if path is not None and not makes:
            _CHECKS.get(scheme, _tables_in)(path)
        return storage_from_url(url)
    except (ValueError, ImportError) as error:
        raise CommandError(str(error)) from error


def _check_folder(path: Path) -> None:
    if not path.exists():
        raise CommandError(_not_there(path, "folder"))
    if not path.is_dir():
        msg = f"{path} is not a folder: is it sqlite:///{path}?"
        raise CommandError(msg)
    known = path.joinpath(".sessionkit").is_dir() or any(path.glob("*/*.json"))
    if not known:
        msg = (
            f"there are no sessions in the folder {path}: expected files such as "
            "42/424242.json. Nothing was made in it"
        )
        raise CommandError(msg)


def _check_database(path: Path) -> None:
    tables = _tables_in(path)
    if "sessions" in tables:
        return
    if tables:
        msg = (
            f"the sessions in {path} are in {', '.join(map(repr, tables))}, and a URL leads to the "
            "table 'sessions': name the storage in your program, module:object"
        )
    else:
        msg = f"{path} is a database without sessions of sessionkit. It was left as it is"
    raise CommandError(msg)


def _tables_in(path: Path) -> list[str]:
    """The tables of SQLite's sessions in a database, which is only read.

    Raises:
        CommandError: It is not there, or cannot be read; says what to do.
    """
    if not path.exists():
        raise CommandError(_not_there(path, "database"))
    if path.is_dir():
        msg = f"{path} is a folder: is it file:{path}?"
        raise CommandError(msg)
    with path.open("rb") as file:
        if file.read(len(_SQLITE_MAGIC)) != _SQLITE_MAGIC:
            msg = f"{path} is not an SQLite database. It was left as it is"
            raise CommandError(msg)
    uri = f"file:{quote(str(path))}?mode=rw"  # read-only, it would leave its log behind
    try:
        with closing(sqlite3.connect(uri, timeout=2, uri=True)) as connection:
            query = "SELECT 1 FROM sqlite_master WHERE name = 'sessionkit_tables'"
            if connection.execute(query).fetchone() is None:
                return []
            return [name for (name,) in connection.execute("SELECT name FROM sessionkit_tables")]
    except sqlite3.Error as error:
        raise CommandError(str(explain(str(path), error))) from error


_CHECKS: Final = {"file": _check_folder, "sqlite": _check_database}


def _not_there(path: Path, kind: str) -> str:
    where = path.absolute().parent
    if not where.is_dir():
        return f"there is no folder {where}. Nothing was made"
    return f"there is no {kind} {path.name} in {where}. Nothing was made"


def local_path(text: str) -> Path | None:
    """Return the file or folder that a target leads to, None if to none, or if it is wrong."""
    try:
        return path_of_url(text) if is_url(text) else None
    except ValueError:
        return None


# By module:object


def loaded(text: str) -> Any:
    """Return the object that ``module:object`` names.

    Raises:
        CommandError: There is no such module or object, or the module raises.
    """
    module_name, _, path = text.partition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise CommandError(_failed_import(module_name, error)) from error
        msg = (
            f"there is no module {error.name!r}: go to the folder of your program, or set "
            "PYTHONPATH"
        )
        raise CommandError(msg) from None
    except Exception as error:
        raise CommandError(_failed_import(module_name, error)) from error
    for name in path.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            msg = f"{module_name} has no {path!r}{_suggestion(module_name)}"
            raise CommandError(msg) from None
    return found


def _failed_import(module_name: str, error: Exception) -> str:
    return (
        f"importing {module_name} failed with {type(error).__name__}: {error}. Is your bot started "
        "at the top level of the module? Put that under if __name__ == '__main__':"
    )


def _suggestion(module_name: str) -> str:
    module = sys.modules[module_name]
    kinds = AnySessions, MultiSessions
    names = [name for name, value in vars(module).items() if isinstance(value, kinds)]
    return f"; it has {', '.join(f'{module_name}:{name}' for name in names)}" if names else ""


def places_of(text: str, found: Any) -> list[Place]:
    """Return the storages of *found*, each with the sessions that are known to be in it.

    Raises:
        CommandError: It is neither sessions nor a storage.
    """
    try:
        sources = list(personal_sources(found))
    except TypeError:
        sources = []
    places: dict[int, Place] = {}
    for source in sources:
        locks = id(source.sessions._settings.locks)
        others = places[locks].sources if locks in places else ()
        places[locks] = Place(text, raw(source.sessions.storage), (*others, source))
    if places:
        return list(places.values())
    if all(callable(getattr(found, name, None)) for name in ("read", "write", "delete")):
        return [Place(text, raw(found))]
    msg = (
        f"{text} is a {type(found).__name__}: name a Sessions, a list of them, or a storage"
        f"{'' if found else ' (this one is empty)'}{_suggestion(text.partition(':')[0])}"
    )
    raise CommandError(msg)


def raw(storage: Any) -> Any:
    """Return *storage* without the timeouts and migrations around it."""
    while getattr(storage, "enhanced", False) is True:
        storage = storage.wrapped
    return storage

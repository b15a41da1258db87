"""``doctor``: what is wrong with a storage, and what to do."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import quote

from sessionkit._cli.exits import DONE, NO
from sessionkit._cli.output import shown, size
from sessionkit._cli.places import what
from sessionkit._cli.targets import all_opened, local_path
from sessionkit._storage.sync_or_async import resolve
from sessionkit.errors import (
    NewerVersionError,
    SessionDecodeError,
    SessionError,
    SessionListingError,
    SessionMigrationError,
)
from sessionkit.storages._file.flock import try_lock

if TYPE_CHECKING:
    from argparse import Namespace
    from pathlib import Path

    from sessionkit._cli.output import Output
    from sessionkit._cli.places import Place

_LARGE_LOG: Final = 64_000_000
_SHOWN: Final = 20

_ADVICE: Final[dict[type[SessionError], str]] = {
    NewerVersionError: "run the newer release of your bot, or give this one its migrations",
    SessionMigrationError: "correct the migration, or the data with set",
    SessionDecodeError: "correct it with set, take it from a backup, or delete it",
}


class Finding(NamedTuple):
    """Something that is wrong.

    Attributes:
        about: A key, a file, or the storage.
        problem: What is wrong.
        advice: What to do.
    """

    about: str
    problem: str
    advice: str


async def doctor(options: Namespace, output: Output) -> int:
    """Look for damage, unreadable and newer data, leftover files and locks."""
    findings: list[Finding] = []
    number = 0
    path = local_path(options.target)
    if path is not None and path.is_dir():  # before it is opened, which tidies it up
        findings += _in_folder(path)
    async with all_opened(options.target) as places:
        progress = output.progress("looked at")
        for place in places:
            async for finding in _in_place(place):
                number += 1
                progress.add(1)
                findings += [finding] if finding is not None else []
        progress.end()
    if path is not None and path.is_file():
        findings += _in_database(path)
    _report(findings, number, output)
    return NO if findings else DONE


def _report(findings: list[Finding], number: int, output: Output) -> None:
    if output.as_json:
        for finding in findings:
            output.json(finding._asdict())
        return
    for finding in findings[:_SHOWN]:
        output.line(f"{shown(finding.about)}: {finding.problem}")
        output.line(f"    {finding.advice}")
    if len(findings) > _SHOWN:
        output.line(f"and {len(findings) - _SHOWN:,} more: --json shows all")
    verdict = f"{len(findings):,} problems" if findings else "nothing wrong"
    output.note(f"looked at {number:,} sessions: {verdict}")


# What is stored


async def _in_place(place: Place) -> AsyncIterator[Finding | None]:
    """Yield for each session what is wrong with it, None for nothing."""
    try:
        async for entry in place.entries():
            yield await _checked(place, entry.key)
    except SessionListingError as error:
        for key in error.keys:
            yield await _unreadable(place, key, error)
        if not error.keys:  # a file has lost its key
            yield Finding(place.name, what(error), _advice_for(error))
    except SessionError as error:
        yield Finding(place.name, what(error), "restore a backup")


async def _checked(place: Place, key: str) -> Finding | None:
    if place.owner(key) is None:
        return None
    try:
        await place.load(key)
    except SessionError as error:
        return Finding(key, what(error), _advice_for(error))
    return None


async def _unreadable(place: Place, key: str, listing: SessionListingError) -> Finding:
    error: BaseException = listing.__cause__ or listing
    try:
        await resolve(place.storage.read(key))
    except (SessionError, OSError) as own:
        error = own
    return Finding(key, what(error), _advice_for(error))


def _advice_for(error: BaseException) -> str:
    for kind, advice in _ADVICE.items():
        if isinstance(error, kind):
            return advice
    return "correct it with set, or delete it"


# Around it


def _in_folder(folder: Path) -> Iterator[Finding]:
    hidden = folder / ".sessionkit"
    unfinished = [path for path in hidden.glob("unfinished/*.new") if not _is_used(path)]
    if unfinished:
        yield Finding(
            str(hidden / "unfinished"),
            f"{len(unfinished)} unfinished writes of a process that was killed",
            "they are removed now; what they were to replace is whole",
        )
    for path in hidden.glob("locks/*"):
        holder = _holder(path)
        if holder is not None:
            yield Finding(
                str(path),
                f"locked by {holder} at this moment",
                "is that process stopped, or hanging? Then one in 64 chats waits for it: end it",
            )
    for path in folder.parent.glob(f"{folder.name}.unfinished-*"):
        yield _backup(path)


def _is_used(path: Path) -> bool:
    """Whether the process that wrote *path* lives: it has a file locked."""
    lock = path.with_name(f"{path.stem.partition('-')[0]}.lock")
    return _holder(lock) is not None


def _holder(path: Path) -> str | None:
    """Who has a lock file, None if nobody."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return None
    try:
        if try_lock(descriptor):
            return None
        pid, _, host = os.read(descriptor, 300).decode("ascii", "replace").strip().partition(" ")
        return f"process {pid} on {host}" if host else "another process"
    finally:
        os.close(descriptor)


def _in_database(path: Path) -> Iterator[Finding]:
    uri = f"file:{quote(str(path))}?mode=rw"
    with closing(sqlite3.connect(uri, timeout=2, uri=True)) as connection:
        try:
            results = [row[0] for row in connection.execute("PRAGMA quick_check(5)")]
        except sqlite3.DatabaseError as error:
            results = [str(error)]
    if results != ["ok"]:
        yield Finding(
            str(path),
            f"the database is damaged: {'; '.join(results)}",
            "stop the bot, and restore a backup; or export what can be read, and import it "
            "into a new database",
        )
    log = path.with_name(f"{path.name}-wal")
    if log.exists() and log.stat().st_size > _LARGE_LOG:
        yield Finding(
            str(log),
            f"the write-ahead log has {size(log.stat().st_size)}",
            "a program has been reading for a long time: close it. The log shrinks after that",
        )
    for left in path.parent.glob(f"{path.name}*.unfinished"):
        yield _backup(left)


def _backup(path: Path) -> Finding:
    return Finding(
        str(path),
        "a backup or export that was interrupted",
        "remove it, unless one is being made at this moment",
    )


def add(commands: Any) -> None:
    """Add the command to the parser."""
    commands(
        "doctor",
        doctor,
        "find damage, newer versions, leftover files",
        "Look at everything that is stored, and around it, and say what to do. With "
        "module:object, data is held to its types and migrations, too. Changes no session.",
    )

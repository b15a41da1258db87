"""Commands that change one storage: ``set``, ``delete``, ``purge``, ``migrate``, ``backup``."""

from __future__ import annotations

import difflib
import json
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from sessionkit._cli.exits import CONFLICT, DONE, MISUSED, NO, CommandError
from sessionkit._cli.output import pretty, shown
from sessionkit._cli.places import Loaded, what
from sessionkit._cli.targets import all_opened, opened
from sessionkit._storage.sync_or_async import resolve
from sessionkit.errors import SessionConflictError, SessionError

if TYPE_CHECKING:
    from argparse import Namespace

    from sessionkit._api.personal import AnyKind
    from sessionkit._cli.output import Output
    from sessionkit._cli.places import Place


async def set_(options: Namespace, output: Output) -> int:
    """Store data under a key, unless somebody else does so meanwhile."""
    given = _given(options)
    async with opened(options.target) as place:
        before = await place.load(options.key)
        draft = None if given is not None else _edited(options.key, before)
        data = _parsed(given) if draft is None else _parsed_draft(draft)
        if before is not None and _text(data) == _text(before.data):
            output.note(f"{options.key} has this data already: nothing was written")
            return DONE
        try:
            await place.store(options.key, data, before)
        except SessionConflictError:
            await _refuse(place, options.key, before, draft)
        except SessionError as error:
            msg = f"nothing was changed: {what(error)}{_kept_in(draft)}"
            raise CommandError(msg) from error
        if draft is not None:
            draft.unlink()
    output.note(f"{'changed' if before else 'made'} {options.key}")
    return DONE


def _given(options: Namespace) -> str | None:
    """The new data as text; None if an editor is to be opened for it."""
    if options.file is not None and options.json_text is not None:
        msg = "give the data as text or with --file, not both"
        raise CommandError(msg)
    if options.file is not None:
        try:
            return options.file.read_text("utf-8")  # type: ignore[no-any-return]
        except (OSError, UnicodeError) as error:
            msg = f"{options.file} cannot be read: {error}"
            raise CommandError(msg) from error
    if options.json_text == "-":
        return sys.stdin.read()
    return options.json_text  # type: ignore[no-any-return]


def _parsed(text: str | None) -> Any:
    try:
        data = json.loads(text or "", parse_constant=_refuse_constant)
    except ValueError as error:
        msg = f"that is not JSON: {error}. A text needs quotes: '\"text\"'"
        raise CommandError(msg) from None
    if data is None:
        msg = "null means that nothing is stored: use delete"
        raise CommandError(msg)
    return data


def _refuse_constant(name: str) -> NoReturn:
    msg = f"{name} is a number of JavaScript, not of JSON"
    raise ValueError(msg)


def _edited(key: str, before: Loaded | None) -> Path:
    """Open an editor for the data; return the file with what was made of it."""
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    if not editor:
        msg = "give the data as JSON, with --file, or set EDITOR to edit it"
        raise CommandError(msg)
    handle, name = tempfile.mkstemp(".json", "session-")
    draft = Path(name)
    with open(handle, "w", encoding="utf-8") as file:  # noqa: PTH123 (a descriptor)
        file.write(pretty(before.data if before else {}) + "\n")
    try:
        status = subprocess.run([*shlex.split(editor), name], check=False).returncode  # noqa: S603
    except OSError as error:
        draft.unlink()
        msg = f"the editor {editor!r} cannot be started: {error}"
        raise CommandError(msg) from error
    if status:
        draft.unlink()
        msg = f"the editor ended with {status}: {key} was left as it is"
        raise CommandError(msg)
    return draft


def _parsed_draft(draft: Path) -> Any:
    try:
        return _parsed(draft.read_text("utf-8"))
    except CommandError as error:
        msg = f"{error}{_kept_in(draft)}"
        raise CommandError(msg) from None


def _kept_in(draft: Path | None) -> str:
    return "" if draft is None else f". Your text was kept in {draft}: use --file"


async def _refuse(place: Place, key: str, before: Loaded | None, draft: Path | None) -> NoReturn:
    now = await place.load(key)
    change = "\n".join(
        difflib.unified_diff(
            _text(before and before.data).splitlines(),
            _text(now and now.data).splitlines(),
            "as you saw it",
            "as it is now",
            lineterm="",
        )
    )
    msg = (
        f"somebody else wrote {key!r} in between, and nothing was changed{_kept_in(draft)}. "
        f"What they changed:\n{change}"
    )
    raise CommandError(msg, CONFLICT)


def _text(data: Any) -> str:
    return "" if data is None else pretty(data)


async def delete(options: Namespace, output: Output) -> int:
    """Delete what is stored under keys, damaged or not."""
    async with opened(options.target) as place:
        missing = [key for key in options.keys if not await place.has(key)]
        for key in options.keys:
            if key not in missing and not options.dry_run:
                await place.delete(key)
    done = len(options.keys) - len(missing)
    output.note(f"{'would delete' if options.dry_run else 'deleted'} {done}")
    for key in missing:
        output.note(f"nothing is stored under {key!r}")
    return NO if missing else DONE


async def purge(options: Namespace, output: Output) -> int:
    """Remove what has expired for good."""
    purged = 0
    async with all_opened(options.target) as places:
        for place in places:
            storages = {id(each.storage): each.storage for each in place.sessions}
            for storage in storages.values() or [place.storage]:
                if not hasattr(storage, "purge_expired"):
                    msg = f"{place.name} keeps no expiry that could be looked for"
                    raise CommandError(msg)
                purged += await resolve(storage.purge_expired())
    if output.as_json:
        output.json({"purged": purged})
    else:
        output.note(f"removed {purged:,} expired sessions")
    return DONE


async def backup(options: Namespace, output: Output) -> int:
    """Copy everything to a new path while the bot runs."""
    async with opened(options.target) as place:
        if not hasattr(place.storage, "backup"):
            msg = (
                f"{place.name} has no backup of its own: use the tool of its engine, or "
                f"sessionkit copy {place.name} sqlite:///backup.db"
            )
            raise CommandError(msg)
        try:
            await resolve(place.storage.backup(options.path))
        except FileExistsError as error:
            raise CommandError(str(error), MISUSED) from error
    output.note(f"{options.path} is complete")
    return DONE


class _Migrated:
    def __init__(self) -> None:
        self.done = 0
        self.current = 0
        self.failed: list[str] = []


async def migrate(options: Namespace, output: Output) -> int:
    """Bring all stored data to the newest version."""
    result = _Migrated()
    async with all_opened(options.target) as places:
        known = [(place, each) for place in places for each in place.sessions]
        migrating = [(place, each) for place, each in known if _migrates(each)]
        if not migrating:
            msg = (
                f"{options.target} has no migrations: name sessions over "
                "enhance_storage(storage, migrations=...), as module:object"
            )
            raise CommandError(msg)
        progress = output.progress("looked at")
        for place, sessions in migrating:
            async for key in place.keys(sessions._settings.prefix):
                if place.owner(key) is sessions:
                    await _migrate_one(sessions, key, result, dry_run=options.dry_run)
                    progress.add(1)
        progress.end()
    verb = "would be migrated" if options.dry_run else "migrated"
    if output.as_json:
        output.json({"migrated": result.done, "current": result.current, "failed": result.failed})
    else:
        output.note(f"{result.done:,} {verb}, {result.current:,} were at the newest version")
    for reason in result.failed:
        output.note(reason)
    return NO if result.failed else DONE


def _migrates(sessions: AnyKind) -> bool:
    storage = sessions.storage
    return bool(getattr(storage, "migrates", False)) and hasattr(storage, "write_if")


async def _migrate_one(sessions: AnyKind, key: str, result: _Migrated, *, dry_run: bool) -> None:
    try:
        data, revision = await resolve(sessions.storage.read_with_revision(key))
        if revision is None or not revision.migrated:
            result.current += 1
            return
        sessions._settings.data_of(data, key)
        if not dry_run:
            await resolve(sessions.storage.write_if(key, data, revision))
        result.done += 1
    except SessionConflictError:  # who wrote it has migrated it
        result.current += 1
    except SessionError as error:
        result.failed.append(f"{shown(key)}: {what(error)}")


def add(commands: Any) -> None:
    """Add the commands to the parser."""
    setting = commands(
        "set",
        set_,
        "store data under a key",
        "Store data under a key, given as JSON, in a file, or in your editor. If the bot, or "
        "anybody else, writes it in between, nothing is changed and the difference is shown.",
    )
    setting.add_argument("key", metavar="KEY", help="the key with its prefix, as ls prints it")
    setting.add_argument(
        "json_text", metavar="JSON", nargs="?", help="the data; - reads it from standard input"
    )
    setting.add_argument("--file", type=Path, metavar="PATH", help="a file with the data")
    deleting = commands("delete", delete, "delete sessions by key", "Delete sessions by key.")
    deleting.add_argument("keys", metavar="KEY", nargs="+", help="keys as ls prints them")
    deleting.add_argument("--dry-run", action="store_true", help="delete nothing")
    commands("purge", purge, "remove what has expired", "Remove what has expired, for good.")
    migrating = commands(
        "migrate",
        migrate,
        "bring all data to the newest version",
        "Run the migrations of module:object on all stored data now, rather than when each is "
        "next used. The bot may run meanwhile. If it was interrupted, run it again.",
    )
    migrating.add_argument("--dry-run", action="store_true", help="run them, and write nothing")
    copying = commands(
        "backup",
        backup,
        "copy a storage of files or SQLite while it is in use",
        "Copy everything to a new path, from where a storage of the same kind opens it.",
    )
    copying.add_argument("path", metavar="PATH", help="where to; there must be nothing yet")

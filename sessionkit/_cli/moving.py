"""Commands that carry sessions from one place to another: ``export``, ``import``, ``copy``."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, TypeGuard, TypeVar

from sessionkit._cli.exits import DONE, NO, CommandError
from sessionkit._cli.looking import add_filters, is_wanted
from sessionkit._cli.output import shown
from sessionkit._cli.places import same, what
from sessionkit._cli.targets import all_opened, local_path, opened
from sessionkit._cli.ways.found import Asked, LeftOut
from sessionkit._cli.ways.grammy import GRAMMY_FREE, GRAMMY_MONGODB, GRAMMY_PSQL, GRAMMY_REDIS
from sessionkit._cli.ways.ptb import PTB_JSON, PTB_PICKLE
from sessionkit._cli.ways.states import (
    AIOGRAM_MONGODB,
    AIOGRAM_REDIS,
    TELEBOT_PICKLE,
    TELEBOT_REDIS,
)
from sessionkit._storage.entries import check_key
from sessionkit.codecs import JSONCodec
from sessionkit.errors import SessionError, SessionListingError
from sessionkit.protocols import Entry

if TYPE_CHECKING:
    from argparse import Namespace

    from sessionkit._cli.output import Output
    from sessionkit._cli.places import Place
    from sessionkit._cli.ways.found import Found, Way

R = TypeVar("R")

_CODEC: Final = JSONCodec()
_SHOWN: Final = 10
_SAMPLE: Final = 5
SECTIONS: Final = ("chat_data", "user_data")
WAYS: Final[dict[str, Way]] = {
    "ptb-pickle": PTB_PICKLE,
    "ptb-json": PTB_JSON,
    "aiogram-redis": AIOGRAM_REDIS,
    "aiogram-mongodb": AIOGRAM_MONGODB,
    "telebot-pickle": TELEBOT_PICKLE,
    "telebot-redis": TELEBOT_REDIS,
    "grammy-redis": GRAMMY_REDIS,
    "grammy-psql": GRAMMY_PSQL,
    "grammy-mongodb": GRAMMY_MONGODB,
    "grammy-free": GRAMMY_FREE,
}
_NEEDED: Final = frozenset({"key", "value"})
_KNOWN: Final = _NEEDED | {"expires"}
_PAGE: Final = 500


@dataclass
class Tally:
    """What became of each entry."""

    written: int = 0
    same: int = 0
    left_alone: list[str] = field(default_factory=list[str])
    left_out: list[str] = field(default_factory=list[str])

    def report(self, output: Output, verb: str) -> int:
        """Print it; return the exit code."""
        if output.as_json:
            output.json(
                {
                    verb: self.written,
                    "already_there": self.same,
                    "left_alone": self.left_alone,
                    "left_out": self.left_out,
                }
            )
        else:
            there = f", {self.same:,} were there already" if self.same else ""
            output.note(f"{verb} {self.written:,}{there}")
        _list(output, "has other data in the target, and was left alone", self.left_alone)
        _list(output, "", self.left_out)
        if self.left_alone:
            output.note("To replace other data: --overwrite")
        return NO if self.left_alone or self.left_out else DONE


def _list(output: Output, what_about: str, lines: Sequence[str]) -> None:
    for line in lines[:_SHOWN]:
        output.note(f"{shown(line)} {what_about}".rstrip())
    if len(lines) > _SHOWN:
        output.note(f"and {len(lines) - _SHOWN:,} more")


# Lines of JSON


async def export(options: Namespace, output: Output) -> int:
    """Write sessions as lines of JSON."""
    left_out: list[str] = []
    number = 0
    async with all_opened(options.target) as places:
        with _written(options.file) as file:
            progress = output.progress("exported", None)
            for place in places:
                async for entry in _readable(place, options.prefix, left_out):
                    if not is_wanted(place, entry.key, options):
                        continue
                    try:
                        file.write(line_of(entry))
                    except SessionError as error:
                        left_out.append(f"{entry.key}: {what(error)}")
                        continue
                    number += 1
                    progress.add(1)
            progress.end()
    if options.file is not None:
        output.note(f"exported {number:,} to {options.file}")
    _list(output, "", left_out)
    return NO if left_out else DONE


async def _readable(place: Place, prefix: str, left_out: list[str]) -> AsyncIterator[Entry]:
    try:
        async for entry in place.entries(prefix):
            yield entry
    except SessionListingError as error:
        left_out += [f"{key}: cannot be read, see doctor" for key in error.keys]


def line_of(entry: Entry) -> bytes:
    """Return an entry as a line of JSON.

    Raises:
        SessionError: Its value is more than JSON can hold.
    """
    line = {"key": entry.key, "value": entry.value}
    if entry.expires is not None:
        line["expires"] = entry.expires
    try:
        return _CODEC.encode(line) + b"\n"
    except (ValueError, TypeError) as error:
        msg = f"is more than JSON can hold: {error}"
        raise SessionError(msg, key=entry.key) from error


@contextmanager
def _written(path: Path | None) -> Generator[IO[bytes]]:
    """A file that is there once it is complete; standard output if *path* is None."""
    if path is None:
        sys.stdout.flush()
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    if os.path.lexists(path):
        msg = f"there is something at {path}, and it was left alone: give another name"
        raise CommandError(msg)
    if not path.absolute().parent.is_dir():
        msg = f"there is no folder {path.absolute().parent}. Nothing was made"
        raise CommandError(msg)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.unfinished")
    try:
        with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:  # noqa: PTH123
            yield file
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(path)
    finally:
        unfinished.unlink(missing_ok=True)


def entries_in(lines: Iterator[bytes], name: str) -> Iterator[Entry]:
    """Yield the entries of lines of JSON.

    Raises:
        CommandError: A line is none; says which.
    """
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                yield _entry_of(_CODEC.decode(line))
            except (ValueError, TypeError, SessionError) as error:
                msg = (
                    f"line {number} of {name} is not a session as export writes it: {error}. "
                    'Expected {"key": "42", "value": {"count": 1}}. Nothing was imported'
                )
                raise CommandError(msg) from None


def _entry_of(line: Any) -> Entry:
    if not (_is_object(line) and _NEEDED <= line.keys() <= _KNOWN):
        msg = "it needs key and value, and may have expires"
        raise ValueError(msg)
    key, value, expires = line["key"], line["value"], line.get("expires")
    if value is None:
        msg = "null means that nothing is stored"
        raise ValueError(msg)
    if not isinstance(expires, int | float | None) or isinstance(expires, bool):
        msg = "expires is a number of seconds"
        raise TypeError(msg)
    return Entry(check_key(key), value, expires)


def _is_object(line: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(line, dict)


async def import_(options: Namespace, output: Output) -> int:
    """Store what ``export``, or another library, has written."""
    if options.from_ is not None:
        return await import_from(WAYS[options.from_], options, output)
    with _read(None if options.file is None else Path(options.file)) as file:
        name = options.file or "standard input"
        for _ in entries_in(iter(file), name):  # before anything is written
            pass
        file.seek(0)
        return await _store(entries_in(iter(file), name), options, output, [])


async def import_from(way: Way, options: Namespace, output: Output) -> int:
    """Store what another library has written."""
    if options.file is None:
        msg = f"name the {way.source} of {way.summary}"
        raise CommandError(msg)
    asked = Asked(
        options.file, options.bot, options.only, options.prefix, options.match, options.convert
    )
    left_out: list[str] = []
    found = list(_brought(way.read(asked), left_out))  # before anything is written
    if options.dry_run:
        output.note(f"Keys: {way.keys}")
        for entry in found[:_SAMPLE]:
            output.line(f"{shown(entry.key)}\t{_CODEC.encode(entry.value).decode()}")
    return await _store(iter(found), options, output, left_out)


def _brought(found: Found, left_out: list[str]) -> Iterator[Entry]:
    for one in found:
        if isinstance(one, LeftOut):
            left_out.append(f"{one.where}: {one.reason}")
        else:
            yield one


async def _store(
    entries: Iterator[Entry], options: Namespace, output: Output, left_out: list[str]
) -> int:
    if options.dry_run and _is_missing(options.target):
        tally = Tally(sum(1 for _ in entries), left_out=left_out)
        output.note(f"{options.target} would be made")
        return tally.report(output, "would import")
    async with opened(options.target, makes=True) as place:
        pages = _in_pages(entries)
        replace, dry_run = options.overwrite, options.dry_run
        tally = await write_all(place, pages, output, replace=replace, dry_run=dry_run)
    tally.left_out += left_out
    return tally.report(output, "would import" if dry_run else "imported")


@contextmanager
def _read(path: Path | None) -> Generator[IO[bytes]]:
    if path is not None:
        try:
            file = path.open("rb")
        except OSError as error:
            msg = f"{path} cannot be read: {error}"
            raise CommandError(msg) from error
        with file:
            yield file
        return
    with tempfile.TemporaryFile() as spooled:  # read twice: once to see that it is right
        shutil.copyfileobj(sys.stdin.buffer, spooled)
        spooled.seek(0)
        yield spooled


async def _in_pages(entries: Iterator[Entry]) -> AsyncIterator[list[Entry]]:
    page: list[Entry] = []
    for entry in entries:
        page.append(entry)
        if len(page) == _PAGE:
            yield page
            page = []
    if page:
        yield page


async def write_all(
    place: Place,
    pages: AsyncIterator[list[Entry]],
    output: Output,
    *,
    replace: bool,
    dry_run: bool,
    verb: str = "imported",
    total: int | None = None,
) -> Tally:
    """Write entries where nothing is stored; what is equal is there already."""
    tally = Tally()
    progress = output.progress(verb, total)

    async def write(page: list[Entry]) -> tuple[list[Entry], set[str]]:
        fitting = _fitting(place, page, tally)
        return fitting, set(await _refused(place, fitting, replace=replace, dry_run=dry_run))

    async for page, (fitting, refused) in _overlapping(pages, write):
        others = [entry for entry in fitting if entry.key in refused]
        tally.written += len(fitting) - len(others)
        there = await place.read([entry.key for entry in others]) if others else {}
        for entry in others:
            if entry.key in there and same(entry, there[entry.key]):
                tally.same += 1
            else:
                tally.left_alone.append(entry.key)
        progress.add(len(page))
    progress.end()
    return tally


async def _overlapping(
    pages: AsyncIterator[list[Entry]], do: Callable[[list[Entry]], Coroutine[Any, Any, R]]
) -> AsyncIterator[tuple[list[Entry], R]]:
    """Yield each page with what *do* gave for it.

    While that is under way, the next page is read, and the one after it waits to be done.
    """
    begun: deque[tuple[list[Entry], asyncio.Task[R]]] = deque()
    try:
        async for page in pages:
            begun.append((page, asyncio.create_task(do(page))))
            if len(begun) > 1:
                yield begun[0][0], await begun.popleft()[1]
        while begun:
            yield begun[0][0], await begun.popleft()[1]
    finally:
        left = [task for _, task in begun]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


def _fitting(place: Place, page: list[Entry], tally: Tally) -> list[Entry]:
    """Return what the sessions of *place*, if any are known, can read; note the rest."""
    if not place.sources:
        return page
    fitting: list[Entry] = []
    for entry in page:
        try:
            place.check_stored(entry)
        except SessionError as error:
            tally.left_out.append(f"{entry.key}: {what(error)}")
        else:
            fitting.append(entry)
    return fitting


async def _refused(
    place: Place, entries: Sequence[Entry], *, replace: bool, dry_run: bool
) -> list[str]:
    if not dry_run:
        return await place.write(entries, replace=replace)
    if replace:
        return []
    return [entry.key for entry in entries if await place.has(entry.key)]


# From storage to storage


async def copy(options: Namespace, output: Output) -> int:
    """Copy sessions from one storage to another, and look whether they arrived."""
    async with opened(options.source) as source:
        if options.dry_run and _is_missing(options.target):
            number = [1 async for _ in source.keys(options.prefix)]
            output.note(f"would make {options.target} and copy {len(number):,}")
            return DONE
        async with opened(options.target, makes=True) as target:
            _check_apart(source, target)
            return await _copy(source, target, options, output)


def _is_missing(target: str) -> bool:
    path = local_path(target)
    return path is not None and not path.exists()


def _check_apart(source: Place, target: Place) -> None:
    one, other = (getattr(place.storage, "identity", place.storage) for place in (source, target))
    if one is other or one == other:
        msg = f"{source.name} and {target.name} are the same storage"
        raise CommandError(msg)


async def _copy(source: Place, target: Place, options: Namespace, output: Output) -> int:
    total = None
    if output.shows_progress:
        total = len([1 async for _ in source.keys(options.prefix)])
    left_out: list[str] = []
    tally = await write_all(
        target,
        _pages(source, options.prefix, left_out),
        output,
        replace=options.overwrite,
        dry_run=options.dry_run,
        verb="copied",
        total=total,
    )
    tally.left_out += left_out
    code = tally.report(output, "would copy" if options.dry_run else "copied")
    if not (source.keeps_expiry and target.keeps_expiry):
        place = target if source.keeps_expiry else source
        output.note(f"{place.name} knows of no expiry beside values, so none was copied")
    if options.dry_run or options.no_verify:
        return code
    return await _verify(source, target, tally, options, output) or code


async def _pages(place: Place, prefix: str, left_out: list[str]) -> AsyncIterator[list[Entry]]:
    try:
        async for page in place.pages(prefix):
            yield page
    except SessionListingError as error:
        left_out += [f"{key}: cannot be read, see doctor" for key in error.keys]


async def _verify(
    source: Place, target: Place, tally: Tally, options: Namespace, output: Output
) -> int:
    """List the source once more, and compare what it has with the target."""
    known = set(tally.left_alone) | {line.partition(": ")[0] for line in tally.left_out}
    expects_expiry = source.keeps_expiry and target.keeps_expiry
    number = 0
    differing: list[str] = []
    progress = output.progress("verified", tally.written + tally.same)

    async def read(page: list[Entry]) -> dict[str, Entry]:
        return await target.read([entry.key for entry in page])

    async for page, there in _overlapping(_pages(source, options.prefix, []), read):
        for entry in page:
            found = there.get(entry.key)
            if found is not None and not expects_expiry:
                found, entry = found._replace(expires=None), entry._replace(expires=None)  # noqa: PLW2901
            if found is not None and same(entry, found):
                number += 1
            elif entry.key not in known:
                differing.append(entry.key)
        progress.add(len(page))
    progress.end()
    if not output.as_json:
        output.note(f"verified {number:,}")
    if differing:
        _list(output, "was changed in the source meanwhile", differing)
        output.note("Stop the bot, and copy once more with --overwrite")
    return NO if differing else DONE


def add(commands: Any) -> None:
    """Add the commands to the parser."""
    exporting = commands(
        "export",
        export,
        "write sessions as lines of JSON",
        'Write sessions as lines of JSON, {"key": ..., "value": ..., "expires": ...}: as they are '
        "stored, expires in seconds since 1970.",
    )
    exporting.add_argument(
        "file", metavar="FILE", nargs="?", type=Path, help="where to; standard output if left out"
    )
    add_filters(exporting)
    importing = commands(
        "import",
        import_,
        "store what export, or another library, has written",
        "Store what export has written. A file with a line that is not right is refused before "
        "anything is stored.\n\nOr, with --from, what another library has written:\n"
        + "".join(f"  {name:15} {way.summary}\n" for name, way in WAYS.items())
        + "\nWith --dry-run it says where the data would go, and shows some of it. A pickle can "
        "run code\nwhen it is loaded. So it is read in a process of its own, which makes nothing "
        "but plain data.",
    )
    importing.add_argument(
        "file", metavar="FILE", nargs="?", help="from where; standard input if left out"
    )
    _add_writing(importing)
    importing.add_argument(
        "--from", dest="from_", choices=WAYS, metavar="KIND", help="what wrote it, see above"
    )
    importing.add_argument("--bot", type=int, metavar="ID", help="the id of your bot")
    importing.add_argument(
        "--only", metavar="SECTION", choices=SECTIONS, help="chat_data, user_data: as sessions"
    )
    importing.add_argument("--prefix", default="", help="put before the keys")
    importing.add_argument("--match", metavar="PATTERN", help="only these keys of a server")
    importing.add_argument(
        "--convert",
        action="store_true",
        help="turn what JSON does not have into something alike: times into ISO text, tuples "
        "and sets into lists, keys into text",
    )
    copying = commands(
        "copy",
        copy,
        "copy sessions to another storage",
        "Copy sessions from one storage to another, with their expiry, and compare both after it. "
        "If it was interrupted, run it again: what is there already is left alone.",
        places=("source", "target"),
    )
    copying.add_argument("--prefix", default="", help="only keys that begin with this")
    copying.add_argument("--no-verify", action="store_true", help="do not compare after it")
    _add_writing(copying)


def _add_writing(parser: Any) -> None:
    parser.add_argument("--overwrite", action="store_true", help="replace other data in the target")
    parser.add_argument(
        "--dry-run", action="store_true", help="write nothing, and say what would be"
    )

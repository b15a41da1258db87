"""Commands that only look: ``ls``, ``get``, ``count``, ``stats``."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Final

from sessionkit._api.personal import is_of
from sessionkit._cli.exits import DONE, NO, CommandError
from sessionkit._cli.output import iso, shown, size, until
from sessionkit._cli.places import size_of
from sessionkit._cli.targets import all_opened, opened
from sessionkit._data.envelope import EXPIRES, is_envelope, number_in
from sessionkit.errors import SessionListingError
from sessionkit.protocols import Entry

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from sessionkit._cli.output import Output
    from sessionkit._cli.places import Place

_BIGGEST: Final = 5
_BAR: Final = 40


def add_filters(parser: ArgumentParser) -> None:
    """Let a command be about some of the keys."""
    parser.add_argument("--prefix", default="", help="only keys that begin with this")
    parser.add_argument("--chat", type=int, metavar="ID", help="only sessions of this chat")
    parser.add_argument("--user", type=int, metavar="ID", help="only sessions of this user")


def is_wanted(place: Place, key: str, options: Namespace) -> bool:
    """Return whether the options ask for *key*."""
    if options.chat is None and options.user is None:
        return True
    parsed = place.parsed(key)
    if parsed is None:
        return False
    is_of_chat = options.chat in (None, None if parsed.guest else parsed.chat)
    return is_of_chat and (options.user is None or is_of(parsed, options.user))


async def ls(options: Namespace, output: Output) -> int:
    """List keys; with ``--long`` sizes and expiry, too."""
    found = 0
    now = time.time()
    rows: list[tuple[str, str, str]] = []
    async with all_opened(options.target) as places:
        for place in places:
            async for entry in _wanted(place, options, output):
                found += 1
                key, expires = entry.key, _expiry(entry)
                if output.as_json:
                    about = {"key": key}
                    more = {"size": size_of(entry.value), "expires": iso(expires)}
                    output.json(about | more if options.long else about)
                elif options.long:
                    rows.append((size(size_of(entry.value)), until(expires, now), shown(key)))
                else:
                    output.line(shown(key))
    if rows:
        output.table(("SIZE", "EXPIRES", "KEY"), rows)
    return DONE if found else NO


async def _wanted(place: Place, options: Namespace, output: Output) -> AsyncIterator[Entry]:
    if not getattr(options, "long", True):
        async for key in place.keys(options.prefix):
            if is_wanted(place, key, options):
                yield Entry(key, None)
        return
    try:
        async for entry in place.entries(options.prefix):
            if is_wanted(place, entry.key, options):
                yield entry
    except SessionListingError as error:
        output.note(f"{error} Run doctor to see what to do")


def _expiry(entry: Entry) -> float | None:
    if entry.expires is None and is_envelope(entry.value):
        expires = number_in(entry.value, EXPIRES)
        return None if expires is None else expires / 1000
    return entry.expires


async def get(options: Namespace, output: Output) -> int:
    """Print what is stored under a key."""
    async with opened(options.target) as place:
        found = await place.load(options.key)
        if found is None:
            msg = f"nothing is stored under {options.key!r} in {place.name}"
            raise CommandError(msg, NO)
        output.value(found.data)
    return DONE


async def count(options: Namespace, output: Output) -> int:
    """Print how many sessions there are."""
    number = 0
    async with all_opened(options.target) as places:
        for place in places:
            async for key in place.keys(options.prefix):
                number += is_wanted(place, key, options)
    output.line(str(number))
    return DONE


class _Statistics:
    def __init__(self) -> None:
        self.number = 0
        self.total = 0
        self.expiring = 0
        self.soonest: float | None = None
        self.sizes: Counter[int] = Counter()
        self.biggest: list[tuple[int, str]] = []

    def add(self, entry: Entry) -> None:
        length = size_of(entry.value)
        self.number += 1
        self.total += length
        self.sizes[math.ceil(math.log2(max(length, 1)))] += 1
        self.biggest = sorted([*self.biggest, (length, entry.key)], reverse=True)[:_BIGGEST]
        expires = _expiry(entry)
        if expires is not None:
            self.expiring += 1
            self.soonest = expires if self.soonest is None else min(self.soonest, expires)


async def stats(options: Namespace, output: Output) -> int:
    """Print how much is stored, what is big, and what expires."""
    found = _Statistics()
    progress = output.progress("looked at")
    async with all_opened(options.target) as places:
        for place in places:
            async for entry in _wanted(place, options, output):
                found.add(entry)
                progress.add(1)
    progress.end()
    (_print_json if output.as_json else _print)(found, output)
    return DONE


def _print_json(found: _Statistics, output: Output) -> None:
    output.json(
        {
            "sessions": found.number,
            "bytes": found.total,
            "expiring": found.expiring,
            "next_expiry": iso(found.soonest),
            "biggest": [{"key": key, "bytes": length} for length, key in found.biggest],
            "sizes": {str(2**power): number for power, number in sorted(found.sizes.items())},
        }
    )


def _print(found: _Statistics, output: Output) -> None:
    average = f", {size(found.total / found.number)} each on average" if found.number else ""
    output.line(f"{found.number:,} sessions, {size(found.total)} as JSON{average}")
    if found.expiring:
        output.line(
            f"{found.expiring:,} with an expiry, the next {until(found.soonest, time.time())}; "
            f"{found.number - found.expiring:,} without"
        )
    elif found.number:
        output.line("none expires")
    if found.number:
        output.line("\nsizes, up to")
        most = max(found.sizes.values())
        for power in range(min(found.sizes), max(found.sizes) + 1):
            number = found.sizes[power]
            bar = "#" * math.ceil(_BAR * number / most)
            output.line(f"{size(2**power):>8} {number:>9,} {bar}".rstrip())
        output.line("\nbiggest")
        for length, key in found.biggest:
            output.line(f"{size(length):>8} {shown(key)}")


def add(commands: Any) -> None:
    """Add the commands to the parser."""
    listing = commands("ls", ls, "list keys", "List the keys of a target.")
    add_filters(listing)
    listing.add_argument("--long", "-l", action="store_true", help="with size and expiry")
    getting = commands("get", get, "print the data of a key", "Print the data of a key as JSON.")
    getting.add_argument("key", metavar="KEY", help="the key with its prefix, as ls prints it")
    counting = commands("count", count, "count sessions", "Print how many sessions there are.")
    add_filters(counting)
    statistics = commands(
        "stats", stats, "sizes, expiry, the biggest", "Print how much is stored, and what is big."
    )
    add_filters(statistics)

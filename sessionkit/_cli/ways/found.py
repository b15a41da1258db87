"""What a way in finds, and where it puts it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias
from urllib.parse import quote

from sessionkit._cli.exits import CommandError
from sessionkit.codecs import JSONCodec

if TYPE_CHECKING:
    from sessionkit.protocols import Entry


class LeftOut(NamedTuple):
    """Something that cannot be brought over, and why."""

    where: str
    reason: str


Found: TypeAlias = "Iterator[Entry | LeftOut]"


@dataclass(frozen=True)
class Asked:
    """What was asked for on the command line.

    Attributes:
        source: A path or a URL.
        bot: The id of the bot.
        only: The one section that is wanted, to be put under *prefix* and its number.
        prefix: Goes before the keys of that section.
        match: The pattern of keys to look at.
        convert: Whether what JSON cannot hold is turned into something alike.
    """

    source: str
    bot: int | None = None
    only: str | None = None
    prefix: str = ""
    match: str | None = None
    convert: bool = False

    def required_bot(self, why: str) -> int:
        """Return the bot's id.

        Raises:
            CommandError: It was not given.
        """
        if self.bot is None:
            msg = f"give the id of the bot, --bot 42 (the number before ':' in its token): {why}"
            raise CommandError(msg)
        return self.bot


@dataclass(frozen=True)
class Way:
    """One kind of data that can be imported.

    Attributes:
        source: What names it: a file, or a URL.
        summary: What wrote it.
        keys: Where it goes, for people.
        read: Yields what there is.
    """

    source: str
    summary: str
    keys: str
    read: Callable[[Asked], Found]


class Spot(NamedTuple):
    """What keys of states are made of."""

    chat: str
    user: str
    bot: str | None = None
    business: str | None = None
    thread: str | None = None
    destiny: str | None = None

    def __str__(self) -> str:
        """Return the key as the adapters of aiogram and telebot write it."""
        segments = [] if self.bot is None else [self.bot]
        if self.business is not None:
            segments.append(f"b{quote(self.business, safe='')}")
        segments += [self.user, self.chat]
        if self.thread is not None:
            segments.append(f"t{self.thread}")
        if self.destiny is not None:
            segments.append(f"@{quote(self.destiny, safe='')}")
        return "/".join(segments)


def is_number(text: str) -> bool:
    """Return whether *text* is an id of Telegram."""
    return text.removeprefix("-").isdecimal()


def json_of(text: str) -> Any:
    """Return the value of JSON text.

    Raises:
        ValueError: It is none, or null.
    """
    value = JSONCodec().decode(text.encode())
    if value is None:
        msg = "null means that nothing is stored"
        raise ValueError(msg)
    return value

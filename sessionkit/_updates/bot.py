"""Which bot got an update, read off what frameworks hand to handlers."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

from sessionkit._updates.attributes import read
from sessionkit._updates.update import event_of, id_of, identifier, update_of

# pyrogram's updates know their client by a name of its own.
_BOTS: Final = ("bot", "_client")


def bot_id_of(ctx: Any) -> int | None:
    """Return the id of the bot that got the update in *ctx*, None if nothing names it."""
    for holder in (ctx, update_of(ctx), event_of(ctx)[1]):
        found = None if holder is None else _named_by(holder)
        if found is not None:
            return found
    return None


def _named_by(holder: Any) -> int | None:
    given = identifier(read(holder, "bot_id"))
    if isinstance(given, int):
        return given
    for bot in (got_from(holder), *(read(holder, name) for name in _BOTS)):
        found = None if bot is None else id_of_bot(bot)
        if found is not None:
            return found
    return None


def got_from(holder: Any) -> Any:
    """Return the bot that *holder* gives when asked, as python-telegram-bot's objects do."""
    get_bot = read(holder, "get_bot")
    if callable(get_bot):
        with suppress(RuntimeError):  # python-telegram-bot's: this object belongs to no bot
            return get_bot()
    return None


def id_of_bot(bot: Any) -> int | None:
    """Return the id of a framework's bot; None for a user, or where it is unknown."""
    if read(bot, "is_bot") is not None:
        return None  # a user: an update about a bot that this one manages names that as its bot
    for name in ("token", "bot_token"):  # some know their id only after the first request
        told = _id_in_token(read(bot, name))
        if told is not None:
            return told
    found = id_of(read(bot, "me")) or id_of(bot)
    return found if isinstance(found, int) else None


def _id_in_token(token: object) -> int | None:
    number = token.partition(":")[0] if isinstance(token, str) else ""
    return int(number) if number.isdecimal() and number.isascii() else None

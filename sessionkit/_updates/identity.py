"""The identity of an update: its bot's id and its own."""

from __future__ import annotations

from typing import Any, Final

from sessionkit._updates.attributes import READERS, Reader
from sessionkit._updates.bot import got_from, id_of_bot

GIVEN: Final = "update_identity"
"""The attribute in which an adapter gives the identity of what is not an update itself.

All parts and copies of one delivery have the same object there, another delivery another.
"""

_UNTOLD: Final[Any] = object()


class NoUpdateIdError(LookupError):
    """Nothing in a context is an update."""


def identity_of(ctx: Any) -> str | None:
    """Return ``"42:1001"`` for update 1001 of bot 42, in *ctx*.

    Only ``"1001"`` where neither context nor update names the bot.  None if an adapter
    says that *ctx* belongs to no update, such as a run of a job.

    Raises:
        NoUpdateIdError: There is no ``update_id``.
    """
    update, read_ctx = ctx, READERS[type(ctx)]
    read_update = read_ctx
    number = read_ctx(ctx, "update_id", None)
    if number is None:
        update = read_ctx(ctx, "update", None)
        read_update = READERS[type(update)]
        number = None if update is None else read_update(update, "update_id", None)
        if number is None:
            return _given_by(ctx)
    bot = _bot_of(ctx, read_ctx)
    if bot is None and update is not ctx and type(update) is not dict:  # bare JSON names none
        bot = _bot_of(update, read_update)
    return str(number) if bot is None else f"{bot}:{number}"


def _bot_of(holder: Any, read: Reader) -> int | None:
    given = read(holder, "bot_id", None)
    if type(given) is int:
        return given
    bot = read(holder, "bot", None)
    if bot is None:
        if read(holder, "get_bot", None) is None:
            return None
        bot = got_from(holder)
    return None if bot is None else id_of_bot(bot)


def delivery_of(ctx: Any) -> object:
    """Return an object that all contexts of one delivery have in common, and no others."""
    given = getattr(ctx, GIVEN, None)
    return ctx if given is None else given


def _given_by(ctx: Any) -> str | None:
    given = getattr(ctx, GIVEN, _UNTOLD)
    if given is _UNTOLD:
        raise NoUpdateIdError(type(ctx).__name__)
    identity: str | None = given
    return identity

"""Key functions: which session an update belongs to.

Each takes an update, an event such as a message, or a context that carries one,
as a raw ``dict`` or as objects of any library that names things as the Bot API
does, and returns a key, or None if the update has none.

| function | key | example |
|---|---|---|
| ``chat`` | the chat | ``-100`` |
| ``user`` | the user | ``3`` |
| ``user_in_chat`` | user and chat | ``3/-100`` |
| ``topic`` | the chat's topic | ``-100/t12`` |
| ``user_in_topic`` | user, chat and topic | ``3/-100/t12`` |
| ``chat_or_user`` | the chat, or else the user | ``-100`` |
| ``constant(name)`` | the same for all | ``name`` |
| ``per_bot(chat)`` | bot and chat, or any other of these | ``@42/-100`` |

These formats are permanent.  The table of all kinds of updates is in docs/keys.md.

Chats that are not the bot's own may have the same number as one that is, and
have their own keys: ``b<id>/5`` for a chat of the business account that the
connection belongs to, ``g/5`` for one that the bot was summoned into as a guest.
A topic of a channel's direct messages is ``/d<id>`` in the place of ``/t<id>``.

Who acts as a chat (anonymous admins, channels) counts as the user of that
chat's id.  In a private chat, user and chat have the same number, so that
sessions by user and sessions by chat need different prefixes in one storage.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sessionkit._updates.attributes import ATTRIBUTES, LIKELY, READERS
from sessionkit._updates.bot import bot_id_of
from sessionkit._updates.update import (
    Identifier,
    Origin,
    describe,
    event_of,
    identifier,
    migration_of,
    plain_event,
    plain_user,
)
from sessionkit.errors import InvalidSessionKeyError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = [
    "ParsedKey",
    "chat",
    "chat_or_user",
    "constant",
    "describe",
    "migration",
    "parse",
    "per_bot",
    "topic",
    "user",
    "user_in_chat",
    "user_in_topic",
    "why_no_key",
]


def _segment(part: Identifier) -> str:
    if type(part) is int:
        return str(part)
    # Ids of other platforms may hold the separator; Telegram's never do.
    return str(part).replace("%", "%25").replace("/", "%2F")


def _in_business(origin: Origin, key: str) -> str:
    business = origin.business()
    return key if business is None else f"b{_segment(business)}/{key}"


def _in_chat_of(origin: Origin, key: str) -> str:
    return f"g/{key}" if origin.is_guest() else _in_business(origin, key)


def chat(ctx: Any, /) -> str | None:
    """Return the key of the chat, None if the update belongs to none."""
    # The common case is a context with a plain chat_id, or a plain message.
    get = ATTRIBUTES[type(ctx)]
    chat_id = get(ctx, "chat_id", None)
    if (
        type(chat_id) is int
        and get(ctx, "update", None) is None
        and get(ctx, "business_connection_id", None) is None
        and get(ctx, "guest_query_id", None) is None
    ):
        return f"{chat_id}"
    event = plain_event(ctx)
    if event is not None:
        read_event = LIKELY[type(event)]
        place = read_event(event, "chat", None)
        if place is not None:
            chat_id = LIKELY[type(place)](place, "id", None)
            if event is ctx:  # of whatever kind, not likely a message
                read_event = READERS[type(event)]
            if type(chat_id) is int and read_event(event, "guest_query_id", None) is None:
                return f"{chat_id}"
    return _chat(Origin(ctx))


def _chat(origin: Origin) -> str | None:
    chat_id = origin.chat()
    return None if chat_id is None else _in_chat_of(origin, _segment(chat_id))


def user(ctx: Any, /) -> str | None:
    """Return the key of the user, None if the update names none."""
    event = plain_event(ctx)
    user_id = None if event is None else plain_user(event)
    return _user(Origin(ctx)) if user_id is None else _segment(user_id)


def _user(origin: Origin) -> str | None:
    user_id = origin.user()
    return None if user_id is None else _in_business(origin, _segment(user_id))


def user_in_chat(ctx: Any, /) -> str | None:
    """Return the key of the user within the chat, None if either is missing."""
    return _user_in_chat(Origin(ctx))


def _user_in_chat(origin: Origin) -> str | None:
    chat_id, user_id = origin.chat(), origin.user()
    if chat_id is None or user_id is None:
        return None
    return _in_chat_of(origin, f"{_segment(user_id)}/{_segment(chat_id)}")


def topic(ctx: Any, /) -> str | None:
    """Return the key of the chat's topic; the chat's own key outside of topics.

    None if the update belongs to no chat.  Threads of plain replies are not
    topics, and a forum's General topic is the chat itself.  In the direct messages
    of a channel, each person who writes to it has a topic of their own.  A context
    of your own names a topic as ``thread_id``.
    """
    origin = Origin(ctx)
    return _in_topic(origin, _chat(origin))


def user_in_topic(ctx: Any, /) -> str | None:
    """Return the key of the user within the topic; outside of topics, within the chat.

    None if the update lacks chat or user.
    """
    origin = Origin(ctx)
    return _in_topic(origin, _user_in_chat(origin))


def _in_topic(origin: Origin, key: str | None) -> str | None:
    if key is None:
        return None
    found = origin.topic()
    return key if found is None else f"{key}/{found[0]}{_segment(found[1])}"


def chat_or_user(ctx: Any, /) -> str | None:
    """Return the key of the chat or, where there is none, of the user.

    An inline query thus shares the session of the user's private chat.
    """
    origin = Origin(ctx)
    key = _chat(origin)
    return _user(origin) if key is None else key


def constant(name: str, /) -> Callable[[Any], str]:
    """Return a key function that gives *name* for every update: one session for all.

    Raises:
        TypeError: *name* is not a ``str``.
        ValueError: *name* is empty.
    """
    if not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance] (not all check)
        msg = f"keys.constant needs a str, not {name!r}: keys.constant('global')"
        raise TypeError(msg)
    if not name:
        msg = "keys.constant needs a name that is not empty: keys.constant('global')"
        raise ValueError(msg)

    def constant_key(_: Any, /) -> str:
        return name

    return constant_key


def per_bot(key_function: Callable[[Any], Any], /) -> PerBot:
    """Return a key function that puts the bot before what *key_function* gives: ``@42/-100``.

    For several bots that share a storage, or one dispatcher.  The bot is the one
    that got the update, as the framework's update names it.  A context of your own
    names it as ``bot_id``, or as ``bot`` with an ``id`` or a ``token``.

    Raises:
        TypeError: *key_function* is not a function, or has the bot already.  The key
            function raises it where nothing names the bot.
    """
    if not callable(key_function) or isinstance(key_function, PerBot):
        msg = f"keys.per_bot takes a key function, keys.per_bot(keys.chat), not {key_function!r}"
        raise TypeError(msg)
    return PerBot(key_function)


@dataclass(frozen=True, slots=True)
class PerBot:
    """A key function with the bot's id before the key; made by ``per_bot``."""

    key_function: Callable[[Any], Any]

    @property
    def __name__(self) -> str:
        return f"per_bot({_name_of(self.key_function)})"

    def __repr__(self) -> str:
        return f"keys.{self.__name__}"

    def __call__(self, ctx: Any, /) -> Any:
        key = self.key_function(ctx)
        return self._later(ctx, key) if inspect.isawaitable(key) else self._led(ctx, key)

    async def _later(self, ctx: Any, key: Awaitable[Any]) -> Any:
        return self._led(ctx, await key)

    def _led(self, ctx: Any, key: Any) -> Any:
        if identifier(key) is None:
            return key  # no key, or a wrong one, which is refused as everywhere
        bot = bot_id_of(ctx)
        if bot is None:
            msg = (
                f"{self!r} finds no bot in {type(ctx).__name__}: pass the framework's "
                "update, or a context that names the bot as bot_id or bot"
            )
            raise TypeError(msg)
        return f"@{bot}/{key}"


@dataclass(frozen=True, slots=True)
class ParsedKey:
    """What a key was made of; ``str`` makes it a key again.

    Attributes:
        chat: Id of the chat, or of the user if the key names only a user.
        user: Id of the user, None if the key has none.
        thread: Id of the topic, None if the key has none.
        business: Id of the business connection, None if the key has none.
        direct: Id of the topic of a channel's direct messages, None if the key has none.
        guest: Whether the bot is a guest in the chat: it is not the bot's own of that id.
        bot: Id of the bot, None if the key has none.

    Raises:
        ValueError: It has both *thread* and *direct*, or *business* and *guest*: no key has.
    """

    chat: int
    user: int | None = None
    thread: int | None = None
    business: str | None = None
    direct: int | None = None
    guest: bool = False
    bot: int | None = None

    def __post_init__(self) -> None:
        if self.thread is not None and self.direct is not None:
            msg = "a key has a thread or a topic of direct messages, not both"
            raise ValueError(msg)
        if self.business is not None and self.guest:
            msg = "a key is of a business chat or of a chat with a guest, not both"
            raise ValueError(msg)

    def __str__(self) -> str:
        bot = "" if self.bot is None else f"@{self.bot}/"
        business = "" if self.business is None else f"b{_segment(self.business)}/"
        guest = "g/" if self.guest else ""
        user = "" if self.user is None else f"{self.user}/"
        thread = "" if self.thread is None else f"/t{self.thread}"
        direct = "" if self.direct is None else f"/d{self.direct}"
        return f"{bot}{business}{guest}{user}{self.chat}{thread}{direct}"


_NUMBER: Final = "(?:0|-?[1-9][0-9]{0,18})"
_KEY: Final = re.compile(
    rf"(?:@(?P<bot>{_NUMBER})/)?(?:b(?P<business>[^/]+)/|(?P<guest>g/))?"
    rf"(?:(?P<user>{_NUMBER})/)?(?P<chat>{_NUMBER})"
    rf"(?:/t(?P<thread>{_NUMBER})|/d(?P<direct>{_NUMBER}))?"
)


def parse(key: str | int, /) -> ParsedKey:
    """Take a key without prefix apart; a number by itself is taken for a chat.

    Raises:
        InvalidSessionKeyError: None of these functions makes such a key from
            Telegram's updates.
    """
    found = _KEY.fullmatch(str(key))
    if found is None:
        msg = (
            f"{key!r} is not a key of sessionkit.keys: expected a chat's id such as '-100', "
            "'3/-100' or '-100/t12', without the prefix of the sessions"
        )
        raise InvalidSessionKeyError(msg, key=str(key))
    business = found["business"]
    return ParsedKey(
        chat=int(found["chat"]),
        user=_number(found["user"]),
        thread=_number(found["thread"]),
        direct=_number(found["direct"]),
        business=business and business.replace("%2F", "/").replace("%25", "%"),
        guest=found["guest"] is not None,
        bot=_number(found["bot"]),
    )


def _number(text: str | None) -> int | None:
    return None if text is None else int(text)


def migration(ctx: Any, /) -> tuple[int, int] | None:
    """Return a group's old and new id if *ctx* says that it became a supergroup.

    Telegram says so twice, in the old chat and in the new one, in any
    order; both give the same pair.  None for every other update.
    """
    return migration_of(ctx)


def _name_of(function: Callable[..., Any]) -> str:
    return getattr(function, "__name__", None) or repr(function)


_NEEDS: Final = (
    (chat, ("chat",)),
    (user, ("user",)),
    (user_in_chat, ("chat", "user")),
    (topic, ("chat",)),
    (user_in_topic, ("chat", "user")),
    (chat_or_user, ("chat", "user")),
)


def why_no_key(key_function: Callable[..., Any], ctx: Any, /) -> str:
    """Return a sentence for people: why *key_function* gave no key for *ctx*, and what to do."""
    asked = key_function.key_function if isinstance(key_function, PerBot) else key_function
    for known, needs in _NEEDS:
        if known is asked:
            return _why_missing(_name_of(key_function), needs, ctx)
    name = _name_of(key_function)
    return (
        f"the key function {name!r} gave no key for this update ({describe(ctx)}): let it "
        "return a str or int, or check sessions.of(ctx).has_key."
    )


def _why_missing(name: str, needs: tuple[str, ...], ctx: Any) -> str:
    origin = Origin(ctx)
    missing = [need for need in needs if getattr(origin, need)() is None]
    return (
        f"{describe(ctx)} has no {' and no '.join(missing)}, so keys.{name} gave no key. "
        f"{_advice(ctx, known=event_of(ctx)[0] is not None)}"
    )


def _advice(ctx: Any, *, known: bool) -> str:
    if chat_or_user(ctx) is not None:
        return "Use keys.chat_or_user, or check sessions.of(ctx).has_key."
    if known:
        return "Check sessions.of(ctx).has_key before you use the session."
    return (
        "Give the update or one of its events, or your own "
        "get_session_key=lambda ctx: ..., or check sessions.of(ctx).has_key."
    )

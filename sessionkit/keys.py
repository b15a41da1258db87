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

These formats are permanent.  Updates that came through a business connection
lead with it, ``b<id>/-100``: the customer's chat with the business is not their
chat with the bot, though both have the same number.  Who acts as a chat
(anonymous admins, channels) counts as the user of that chat's id.  In a private
chat, user and chat have the same number, so that sessions by user and sessions
by chat need different prefixes in one storage.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sessionkit._origin import (
    Identifier,
    Origin,
    describe,
    event_of,
    id_of,
    migration_of,
    plain_event,
    plain_user,
)
from sessionkit._reading import ATTRIBUTES, LIKELY
from sessionkit.errors import InvalidSessionKeyError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "ParsedKey",
    "chat",
    "chat_or_user",
    "constant",
    "describe",
    "migration",
    "parse",
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


def _join(origin: Origin, *parts: Identifier) -> str:
    key = "/".join([_segment(part) for part in parts])
    business = origin.business()
    return key if business is None else f"b{_segment(business)}/{key}"


def chat(ctx: Any, /) -> str | None:
    """Return the key of the chat, None if the update belongs to none."""
    # The common case is a context with a plain chat_id, or a plain message.
    get = ATTRIBUTES[type(ctx)]
    chat_id = get(ctx, "chat_id", None)
    if (
        type(chat_id) is int
        and get(ctx, "update", None) is None
        and get(ctx, "business_connection_id", None) is None
    ):
        return str(chat_id)
    event = plain_event(ctx)
    if event is not None:
        chat_id = id_of(LIKELY[type(event)](event, "chat", None))
        if chat_id is not None:
            return _segment(chat_id)
    return _chat(Origin(ctx))


def _chat(origin: Origin) -> str | None:
    chat_id = origin.chat()
    return None if chat_id is None else _join(origin, chat_id)


def user(ctx: Any, /) -> str | None:
    """Return the key of the user, None if the update names none."""
    event = plain_event(ctx)
    user_id = None if event is None else plain_user(event)
    return _user(Origin(ctx)) if user_id is None else _segment(user_id)


def _user(origin: Origin) -> str | None:
    user_id = origin.user()
    return None if user_id is None else _join(origin, user_id)


def user_in_chat(ctx: Any, /) -> str | None:
    """Return the key of the user within the chat, None if either is missing."""
    return _user_in_chat(Origin(ctx))


def _user_in_chat(origin: Origin) -> str | None:
    chat_id, user_id = origin.chat(), origin.user()
    return None if chat_id is None or user_id is None else _join(origin, user_id, chat_id)


def topic(ctx: Any, /) -> str | None:
    """Return the key of the chat's topic; the chat's own key outside of topics.

    None if the update belongs to no chat.  Threads of plain replies are no
    topics; a context of your own names a topic as ``thread_id``.
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
    thread = origin.thread()
    return key if key is None or thread is None else f"{key}/t{_segment(thread)}"


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


@dataclass(frozen=True, slots=True)
class ParsedKey:
    """What a key was made of; ``str`` makes it a key again.

    Attributes:
        chat: Id of the chat, or of the user if the key names only a user.
        user: Id of the user, None if the key has none.
        thread: Id of the topic, None if the key has none.
        business: Id of the business connection, None if the key has none.
    """

    chat: int
    user: int | None = None
    thread: int | None = None
    business: str | None = None

    def __str__(self) -> str:
        business = "" if self.business is None else f"b{_segment(self.business)}/"
        user = "" if self.user is None else f"{self.user}/"
        thread = "" if self.thread is None else f"/t{self.thread}"
        return f"{business}{user}{self.chat}{thread}"


_NUMBER: Final = "(?:0|-?[1-9][0-9]{0,18})"
_KEY: Final = re.compile(
    rf"(?:b(?P<business>[^/]+)/)?(?:(?P<user>{_NUMBER})/)?(?P<chat>{_NUMBER})"
    rf"(?:/t(?P<thread>{_NUMBER}))?"
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
            f"{key!r} is no key of sessionkit.keys: expected a chat's id such as '-100', "
            "'3/-100' or '-100/t12', without the prefix of the sessions"
        )
        raise InvalidSessionKeyError(msg, key=str(key))
    business = found["business"]
    return ParsedKey(
        chat=int(found["chat"]),
        user=_number(found["user"]),
        thread=_number(found["thread"]),
        business=business and business.replace("%2F", "/").replace("%25", "%"),
    )


def _number(text: str | None) -> int | None:
    return None if text is None else int(text)


def migration(ctx: Any, /) -> tuple[int, int] | None:
    """Return a group's old and new id if *ctx* tells that it became a supergroup.

    Telegram tells so twice, in the old chat and in the new one, in no certain
    order; both give the same pair.  None for every other update.
    """
    return migration_of(ctx)


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
    for known, needs in _NEEDS:
        if known is key_function:
            return _why_missing(known.__name__, needs, ctx)
    name = getattr(key_function, "__name__", None) or repr(key_function)
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

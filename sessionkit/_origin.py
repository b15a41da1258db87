"""Where an update came from, read off anything shaped like the Bot API."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, TypeAlias, cast

from sessionkit._reading import LIKELY, READERS, read

Identifier: TypeAlias = int | str

UPDATE_KINDS: Final = (
    "message",
    "callback_query",
    "edited_message",
    "channel_post",
    "edited_channel_post",
    "inline_query",
    "chosen_inline_result",
    "business_connection",
    "business_message",
    "edited_business_message",
    "deleted_business_messages",
    "guest_message",
    "message_reaction",
    "message_reaction_count",
    "shipping_query",
    "pre_checkout_query",
    "purchased_paid_media",
    "poll",
    "poll_answer",
    "my_chat_member",
    "chat_member",
    "chat_join_request",
    "chat_boost",
    "removed_chat_boost",
    "managed_bot",
    "subscription",
    "stopped_message_generation",
)

# Telegram fills these in as the user where the sender is really a chat.
ANONYMOUS_ADMIN: Final = 1087968824
CHANNEL_SENDER: Final = 136817688

_SENDERS: Final = ("sender_chat", "actor_chat", "voter_chat")
_USERS: Final = ("from_user", "from", "user")

_WITH_MESSAGE: Final = ("callback_query", None)


def identifier(value: object) -> Identifier | None:
    """Return *value* if it can name a chat or a user, otherwise None."""
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value)
    return value if isinstance(value, str) and value else None


def id_of(holder: object) -> Identifier | None:
    """Return the id of a chat or user, None if that is None, or has none."""
    if holder is None:
        return None
    found = LIKELY[type(holder)](holder, "id", None)
    return found if type(found) is int else identifier(found)


def update_of(ctx: Any) -> Any:
    """Return the update that *ctx* is or carries, None if there is none."""
    read_ctx = READERS[type(ctx)]
    if read_ctx(ctx, "update_id", None) is not None:
        return ctx
    carried = read_ctx(ctx, "update", None)
    return None if carried is None or read(carried, "update_id") is None else carried


def _event_in(holder: Any) -> tuple[str | None, Any]:
    read_holder = READERS[type(holder)]
    for kind in UPDATE_KINDS:
        event = read_holder(holder, kind, None)
        if event is not None:
            return kind, event
    return None, None


def _unknown_event_in(update: Any) -> tuple[str | None, Any]:
    """Find an event of a kind that is younger than this module."""
    if isinstance(update, Mapping):
        for kind, event in cast("Mapping[str, object]", update).items():
            if isinstance(event, Mapping):
                return kind, cast("Any", event)
    return None, None


def event_of(ctx: Any) -> tuple[str | None, Any]:
    """Return kind and event of an update or context; ``(None, ctx)`` if it is an event itself."""
    return _event_of(ctx, update_of(ctx))


def _event_of(ctx: Any, update: Any) -> tuple[str | None, Any]:
    if update is not None:
        kind, event = _event_in(update)
        return (kind, event) if kind is not None else _unknown_event_in(update)
    kind, event = (None, None) if _stands_alone(ctx) else _event_in(ctx)
    return (None, ctx) if kind is None else (kind, event)


def _stands_alone(ctx: Any) -> bool:
    """Tell an event from a holder of events: a message, too, has a ``poll``."""
    names = ("chat", "chat_id", "from_user", "from", "user", "user_id")
    return any(read(ctx, name) is not None for name in names)


def describe(ctx: Any) -> str:
    """Return the kind of update in *ctx*, ``"inline_query"``, or else the name of its type."""
    kind, _ = event_of(ctx)
    if kind is not None:
        return kind
    name = type(ctx).__name__
    snake = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
    return snake if snake in UPDATE_KINDS else name


def plain_event(ctx: Any) -> Any:
    """Return the event in *ctx* if no other place has to be looked at; None: ask ``Origin``.

    A short way for most updates: messages without a business connection, and
    events that stand alone.
    """
    read_ctx = READERS[type(ctx)]
    if read_ctx(ctx, "update_id", None) is not None:
        event = read_ctx(ctx, "message", None)
    else:
        update = read_ctx(ctx, "update", None)
        if update is None:
            event = ctx if read_ctx(ctx, "message", None) is None else None
        elif read_ctx(ctx, "business_connection_id", None) is None:
            read_update = READERS[type(update)]
            is_update = read_update(update, "update_id", None) is not None
            event = read_update(update, "message", None) if is_update else None
        else:
            return None
    if event is None or LIKELY[type(event)](event, "business_connection_id", None) is not None:
        return None
    return event


def plain_user(event: Any) -> Identifier | None:
    """Return the id of a plain event's user; None: ask ``Origin``."""
    read_event = READERS[type(event)]
    for name in _SENDERS:
        if read_event(event, name, None) is not None:
            return None
    for name in _USERS:
        found = id_of(read_event(event, name, None))
        if found is not None:
            return None if found in (ANONYMOUS_ADMIN, CHANNEL_SENDER) else found
    return None


class Origin:
    """Chat, user, thread and business connection of one update; each looked up when asked for."""

    __slots__ = ("_event", "_holders", "_sources")

    def __init__(self, ctx: Any) -> None:
        update = update_of(ctx)
        kind, event = _event_of(ctx, update)
        self._event = event
        # An update says nothing itself, a context around it may.
        is_bare = ctx is event or ctx is update
        self._holders: tuple[Any, ...] = (event,) if is_bare else (event, ctx)
        self._sources = self._holders
        if kind in _WITH_MESSAGE:
            message = read(event, "message")
            if message is not None:
                self._sources = (event, message, *self._holders[1:])

    def chat(self) -> Identifier | None:
        """Return the chat's id; for a new business connection, the one with its owner."""
        for source in self._sources:
            read_source = READERS[type(source)]
            found = id_of(read_source(source, "chat", None))
            if found is None:
                found = identifier(read_source(source, "chat_id", None))
            if found is not None:
                return found
        return identifier(read(self._event, "user_chat_id"))

    def user(self) -> Identifier | None:
        """Return the id of who acted: a chat's if it acted as a chat; None in channels."""
        sender = self._sender_chat()
        if sender is not None:
            return sender
        user = self._named_user()
        if user == ANONYMOUS_ADMIN:
            return self.chat()
        return None if user == CHANNEL_SENDER else user

    def _sender_chat(self) -> Identifier | None:
        event = self._event
        read_event = READERS[type(event)]
        for name in _SENDERS:
            found = id_of(read_event(event, name, None))
            if found is not None:
                return None if _is_channel(read_event(event, "chat", None)) else found
        return None

    def _named_user(self) -> Identifier | None:
        for source in self._holders:
            read_source = READERS[type(source)]
            for name in _USERS:
                found = id_of(read_source(source, name, None))
                if found is not None:
                    return found
            for name in ("user_id", "sender_id"):
                found = identifier(read_source(source, name, None))
                if found is not None:
                    return found
        return self._booster()

    def _booster(self) -> Identifier | None:
        boost = read(self._event, "boost")
        source = read(self._event if boost is None else boost, "source")
        # Gift codes and giveaways name whom the boost was given to, who did nothing.
        return id_of(read(source, "user")) if read(source, "source") == "premium" else None

    def thread(self) -> Identifier | None:
        """Return the topic's id; the thread of a plain reply is no topic."""
        for source in self._sources:
            found = identifier(read(source, "thread_id"))
            if found is None and _is_in_topic(source):
                found = identifier(read(source, "message_thread_id"))
            if found is not None:
                return found
        return None

    def business(self) -> str | None:
        """Return the id of the business connection that a message came through."""
        for source in self._sources:
            found = READERS[type(source)](source, "business_connection_id", None)
            if found is not None and isinstance(found, str) and found:
                return found
        return None


def _is_channel(chat: Any) -> bool:
    kind = read(chat, "type")
    return bool(getattr(kind, "value", kind) == "channel")


def _is_in_topic(source: Any) -> bool:
    # A draft has threads only where they are topics, and does not say so.
    marks = ("is_topic_message", "topic_message", "draft_id")
    return any(read(source, name) for name in marks)


def migration_of(ctx: Any) -> tuple[int, int] | None:
    """Return old and new id of a chat if *ctx* is a service message about its migration."""
    _, event = event_of(ctx)
    read_event = READERS[type(event)]
    to = read_event(event, "migrate_to_chat_id", None)
    origin = read_event(event, "migrate_from_chat_id", None)
    if to is None and origin is None:
        return None
    here = id_of(read(event, "chat"))
    if not isinstance(here, int):
        return None
    if isinstance(to, int):
        return here, to
    return (origin, here) if isinstance(origin, int) else None

"""Where an update came from, read off anything shaped like the Bot API."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, TypeAlias, cast

from sessionkit._updates.attributes import LIKELY, READERS, Reader, read

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
    """Find an event of a kind that is younger than this module, or than the framework."""
    # Where python-telegram-bot and pydantic's models keep what they have no field for.
    for fields in (update, read(update, "api_kwargs"), read(update, "model_extra")):
        if isinstance(fields, Mapping):
            for kind, event in cast("Mapping[str, object]", fields).items():
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
    kind, event = (None, None) if _is_event(ctx) else _event_in(ctx)
    return (None, ctx) if kind is None else (kind, event)


def _is_event(ctx: Any) -> bool:
    """Whether *ctx* is an event, not a holder of events: a message, too, has a ``poll``."""
    read_ctx = READERS[type(ctx)]
    for name in ("chat", "chat_id", "from_user", "from", "user", "user_id"):
        if read_ctx(ctx, name, None) is not None:
            return True
    return False


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
    events outside any update.
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


_Sources: TypeAlias = tuple[tuple[Any, Reader], ...]


class Origin:
    """Chat, user, topic and so on of one update; each looked up when asked for."""

    __slots__ = ("_event", "_holders", "_kind", "_message", "_read", "_sources")

    def __init__(self, ctx: Any) -> None:
        update = update_of(ctx)
        kind, event = _event_of(ctx, update)
        self._kind = kind
        self._event = event
        self._read = READERS[type(event)]
        self._message: Any = None
        found = (event, self._read)
        # An update says nothing itself, a context around it may.
        is_bare = ctx is event or ctx is update
        self._holders: _Sources = (found,) if is_bare else (found, (ctx, READERS[type(ctx)]))
        self._sources: _Sources = self._holders
        if kind in _WITH_MESSAGE:
            message = self._message = self._read(event, "message", None)
            if message is not None:
                self._sources = (found, (message, READERS[type(message)]), *self._holders[1:])

    def chat(self) -> Identifier | None:
        """Return the chat's id; for a new business connection, the one with its owner."""
        for source, read_source in self._sources:
            place = read_source(source, "chat", None)
            found = None if place is None else id_of(place)
            if found is None:
                given = read_source(source, "chat_id", None)
                found = None if given is None else identifier(given)
            if found is not None:
                return found
        return identifier(self._read(self._event, "user_chat_id", None))

    def user(self) -> Identifier | None:
        """Return the id of who acted: a chat's if it acted as a chat; None in channels."""
        sender = self._sender_chat()
        if sender is not None:
            return sender
        user = self._named_user()
        if user is None:
            return self._private_chat()
        if user == ANONYMOUS_ADMIN:
            return self.chat()
        return None if user == CHANNEL_SENDER else user

    def _sender_chat(self) -> Identifier | None:
        event, read_event = self._event, self._read
        for name in _SENDERS:
            sender = read_event(event, name, None)
            found = None if sender is None else id_of(sender)
            if found is not None:
                return None if _is(read_event(event, "chat", None), "channel") else found
        return None

    def _named_user(self) -> Identifier | None:
        for source, read_source in self._holders:
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
        boost = self._read(self._event, "boost", None)
        source = read(self._event if boost is None else boost, "source")
        # Gift codes and giveaways name whom the boost was given to, who did nothing.
        return id_of(read(source, "user")) if read(source, "source") == "premium" else None

    def _private_chat(self) -> Identifier | None:
        """Return the id of a private chat with the bot, which is that of its only user."""
        chat = self._read(self._event, "chat", None)
        is_own = _is(chat, "private") and self.business() is None and not self.is_guest()
        return id_of(chat) if is_own else None

    def topic(self) -> tuple[str, Identifier] | None:
        """Return ``("t", id)`` of a topic, ``("d", id)`` of one of a channel's direct messages.

        The thread of a plain reply is not a topic, and General is the chat itself.
        """
        for source, read_source in self._sources:
            thread = read_source(source, "thread_id", None)
            if thread is None:
                thread = read_source(source, "message_thread_id", None)
                if thread is not None and not _is_topic(thread, source, read_source):
                    thread = None
            thread = identifier(thread)
            if thread is not None:
                return "t", thread
            direct = _direct_messages_topic(source, read_source)
            if direct is not None:
                return "d", direct
        return None

    def business(self) -> str | None:
        """Return the id of the business connection that a message came through."""
        for source, read_source in self._sources:
            found = read_source(source, "business_connection_id", None)
            if found is not None and isinstance(found, str) and found:
                return found
        return None

    def is_guest(self) -> bool:
        """Whether the bot was summoned into a chat that is not one of its own."""
        if self._kind == "guest_message":
            return True
        for source, read_source in self._sources:
            if read_source(source, "guest_query_id", None):
                return True
        return self._message is not None and self._is_below_guest_message()

    def _is_below_guest_message(self) -> bool:
        """Whether this is a button below a message that this bot was summoned to write."""
        if self._kind is None and self._read(self._event, "chat_instance", None) is None:
            return False
        message, read_message = self._sources[1]
        return (
            read_message(message, "guest_bot_caller_user", None) is not None
            or read_message(message, "guest_bot_caller_chat", None) is not None
        )


def _is(chat: Any, kind: str) -> bool:
    found = read(chat, "type")
    return bool(getattr(found, "value", found) == kind)


def _is_topic(thread: Any, source: Any, read_source: Reader) -> bool:
    # A draft has threads only where they are topics, and does not say so.
    marks = ("is_topic_message", "topic_message", "draft_id")
    if not any(read_source(source, name, None) for name in marks):
        return False
    # pyrofork gives the General topic of a forum a number, which is always 1.
    return thread != 1 or _is(read_source(source, "chat", None), "private")


def _direct_messages_topic(source: Any, read_source: Reader) -> Identifier | None:
    found = identifier(read(read_source(source, "direct_messages_topic", None), "topic_id"))
    if found is None:
        fields = read_source(source, "api_kwargs", None)  # of older python-telegram-bot
        found = identifier(read(read(fields, "direct_messages_topic"), "topic_id"))
    if found is None:  # as kurigram names it
        found = identifier(read_source(source, "direct_messages_topic_id", None))
    return found


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

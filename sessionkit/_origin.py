"""Where an update came from, read off anything shaped like the Bot API."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, TypeAlias, cast

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

_WITH_MESSAGE: Final = ("callback_query", None)


def read(holder: Any, name: str) -> Any:
    """Return the item or attribute *name* of *holder*, None if there is none."""
    if isinstance(holder, Mapping):
        return cast("Mapping[str, Any]", holder).get(name)
    return getattr(holder, name, None)


def identifier(value: object) -> Identifier | None:
    """Return *value* if it can name a chat or a user, otherwise None."""
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value)
    return value if isinstance(value, str) and value else None


def _id_of(holder: object) -> Identifier | None:
    return None if holder is None else identifier(read(holder, "id"))


def update_of(ctx: Any) -> Any:
    """Return the update that *ctx* is or carries, None if there is none."""
    if read(ctx, "update_id") is not None:
        return ctx
    carried = read(ctx, "update")
    return None if read(carried, "update_id") is None else carried


def _event_in(holder: Any) -> tuple[str | None, Any]:
    for kind in UPDATE_KINDS:
        event = read(holder, kind)
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
    update = update_of(ctx)
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


class Origin:
    """Chat, user, thread and business connection of one update; each looked up when asked for."""

    __slots__ = ("_event", "_holders", "_message")

    def __init__(self, ctx: Any) -> None:
        kind, event = event_of(ctx)
        self._event = event
        self._message = read(event, "message") if kind in _WITH_MESSAGE else None
        # An update says nothing itself, a context around it may.
        is_bare = ctx is event or read(ctx, "update_id") is not None
        self._holders = (event,) if is_bare else (event, ctx)

    def _sources(self) -> tuple[Any, ...]:
        if self._message is None:
            return self._holders
        return (self._event, self._message, *self._holders[1:])

    def chat(self) -> Identifier | None:
        """Return the chat's id; for a new business connection, the one with its owner."""
        for source in self._sources():
            found = _id_of(read(source, "chat"))
            if found is None:
                found = identifier(read(source, "chat_id"))
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
        if _is_channel(read(self._event, "chat")):
            return None
        for name in ("sender_chat", "actor_chat", "voter_chat"):
            found = _id_of(read(self._event, name))
            if found is not None:
                return found
        return None

    def _named_user(self) -> Identifier | None:
        for source in self._holders:
            for name in ("from_user", "from", "user"):
                found = _id_of(read(source, name))
                if found is not None:
                    return found
            for name in ("user_id", "sender_id"):
                found = identifier(read(source, name))
                if found is not None:
                    return found
        return self._booster()

    def _booster(self) -> Identifier | None:
        boost = read(self._event, "boost")
        source = read(self._event if boost is None else boost, "source")
        # Gift codes and giveaways name whom the boost was given to, who did nothing.
        return _id_of(read(source, "user")) if read(source, "source") == "premium" else None

    def thread(self) -> Identifier | None:
        """Return the topic's id; the thread of a plain reply is no topic."""
        for source in self._sources():
            found = identifier(read(source, "thread_id"))
            if found is None and _is_in_topic(source):
                found = identifier(read(source, "message_thread_id"))
            if found is not None:
                return found
        return None

    def business(self) -> str | None:
        """Return the id of the business connection that a message came through."""
        for source in self._sources():
            found = read(source, "business_connection_id")
            if isinstance(found, str) and found:
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
    here = _id_of(read(event, "chat"))
    to, origin = read(event, "migrate_to_chat_id"), read(event, "migrate_from_chat_id")
    if not isinstance(here, int):
        return None
    if isinstance(to, int):
        return here, to
    return (origin, here) if isinstance(origin, int) else None

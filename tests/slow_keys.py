"""The functions of ``keys`` as they read at first: slowly, by a rule for each name.

What is quicker has to give the same keys; see test_keys_reading.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, cast

from sessionkit._updates.update import ANONYMOUS_ADMIN, CHANNEL_SENDER, UPDATE_KINDS, Identifier

WITH_MESSAGE: Final = ("callback_query", None)


def read(holder: Any, name: str) -> Any:
    if isinstance(holder, Mapping):
        return cast("Mapping[str, Any]", holder).get(name)
    return getattr(holder, name, None)


def identifier(value: object) -> Identifier | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value)
    return value if isinstance(value, str) and value else None


def _id_of(holder: object) -> Identifier | None:
    return None if holder is None else identifier(read(holder, "id"))


def update_of(ctx: Any) -> Any:
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
    holders = [update, read(update, "api_kwargs"), read(update, "model_extra")]
    for holder in holders:
        if isinstance(holder, Mapping):
            for kind, event in cast("Mapping[str, object]", holder).items():
                if isinstance(event, Mapping):
                    return kind, cast("Any", event)
    return None, None


def event_of(ctx: Any) -> tuple[str | None, Any]:
    update = update_of(ctx)
    if update is not None:
        kind, event = _event_in(update)
        return (kind, event) if kind is not None else _unknown_event_in(update)
    kind, event = (None, None) if _is_event(ctx) else _event_in(ctx)
    return (None, ctx) if kind is None else (kind, event)


def _is_event(ctx: Any) -> bool:
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

    __slots__ = ("_event", "_holders", "_is_press", "_kind", "_message")

    def __init__(self, ctx: Any) -> None:
        kind, event = event_of(ctx)
        self._kind = kind
        self._is_press = kind == "callback_query" or (
            kind is None and read(event, "chat_instance") is not None
        )
        self._event = event
        self._message = read(event, "message") if kind in WITH_MESSAGE else None
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
        chat = read(self._event, "chat")
        if user is None and _is_of_type(chat, "private"):
            return None if self.business() or self.is_guest() else _id_of(chat)
        if user == ANONYMOUS_ADMIN:
            return self.chat()
        return None if user == CHANNEL_SENDER else user

    def _sender_chat(self) -> Identifier | None:
        if _is_of_type(read(self._event, "chat"), "channel"):
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

    def topic(self) -> str:
        """Return what ends the key of a topic; the thread of a plain reply is not a topic."""
        for source in self._sources():
            thread = identifier(read(source, "thread_id"))
            if thread is None and _is_in_topic(source):
                thread = identifier(read(source, "message_thread_id"))
            if thread is not None:
                return f"/t{_segment(thread)}"
            direct = [
                read(read(source, "direct_messages_topic"), "topic_id"),
                read(read(read(source, "api_kwargs"), "direct_messages_topic"), "topic_id"),
                read(source, "direct_messages_topic_id"),
            ]
            for found in map(identifier, direct):
                if found is not None:
                    return f"/d{_segment(found)}"
        return ""

    def business(self) -> str | None:
        """Return the id of the business connection that a message came through."""
        for source in self._sources():
            found = read(source, "business_connection_id")
            if isinstance(found, str) and found:
                return found
        return None

    def is_guest(self) -> bool:
        """Whether the bot is a guest in the chat, or this is a button that it wrote as one."""
        if self._kind == "guest_message":
            return True
        if any(read(source, "guest_query_id") for source in self._sources()):
            return True
        callers = ("guest_bot_caller_user", "guest_bot_caller_chat")
        return self._is_press and any(read(self._message, name) is not None for name in callers)


def _is_of_type(chat: Any, name: str) -> bool:
    kind = read(chat, "type")
    return bool(getattr(kind, "value", kind) == name)


def _is_in_topic(source: Any) -> bool:
    # A draft has threads only where they are topics, and does not say so.
    marks = ("is_topic_message", "topic_message", "draft_id")
    is_general = read(source, "message_thread_id") == 1
    if is_general and not _is_of_type(read(source, "chat"), "private"):
        return False
    return any(read(source, name) for name in marks)


def migration(ctx: Any) -> tuple[int, int] | None:
    _, event = event_of(ctx)
    here = _id_of(read(event, "chat"))
    to, origin = read(event, "migrate_to_chat_id"), read(event, "migrate_from_chat_id")
    if not isinstance(here, int):
        return None
    if isinstance(to, int):
        return here, to
    return (origin, here) if isinstance(origin, int) else None


def _segment(part: Identifier) -> str:
    return str(part).replace("%", "%25").replace("/", "%2F")


def _join(origin: Origin, *parts: Identifier, is_guest: bool = False) -> str:
    segments = [_segment(part) for part in parts]
    if is_guest:
        return "/".join(["g", *segments])
    business = origin.business()
    if business is not None:
        segments.insert(0, f"b{_segment(business)}")
    return "/".join(segments)


def chat(ctx: Any) -> str | None:
    # By attribute, even of a mapping.
    chat_id = getattr(ctx, "chat_id", None)
    others = ("update", "business_connection_id", "guest_query_id")
    if type(chat_id) is int and all(getattr(ctx, name, None) is None for name in others):
        return str(chat_id)
    return _chat(Origin(ctx))


def _chat(origin: Origin) -> str | None:
    chat_id = origin.chat()
    return None if chat_id is None else _join(origin, chat_id, is_guest=origin.is_guest())


def user(ctx: Any) -> str | None:
    return _user(Origin(ctx))


def _user(origin: Origin) -> str | None:
    user_id = origin.user()
    return None if user_id is None else _join(origin, user_id)


def user_in_chat(ctx: Any) -> str | None:
    return _user_in_chat(Origin(ctx))


def _user_in_chat(origin: Origin) -> str | None:
    chat_id, user_id = origin.chat(), origin.user()
    if chat_id is None or user_id is None:
        return None
    return _join(origin, user_id, chat_id, is_guest=origin.is_guest())


def topic(ctx: Any) -> str | None:
    origin = Origin(ctx)
    return _in_topic(origin, _chat(origin))


def user_in_topic(ctx: Any) -> str | None:
    origin = Origin(ctx)
    return _in_topic(origin, _user_in_chat(origin))


def _in_topic(origin: Origin, key: str | None) -> str | None:
    return None if key is None else key + origin.topic()


def chat_or_user(ctx: Any) -> str | None:
    origin = Origin(ctx)
    key = _chat(origin)
    return _user(origin) if key is None else key

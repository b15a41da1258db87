"""Updates of the Bot API as Telegram sends them to pyrogram: raw updates, their users and chats."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any, Final, TypeAlias

from tests.adapters.driver import Raw

NAME: Final = os.environ.get("SESSIONKIT_PYROGRAM", "pyrogram")
"""The package that the tests run on: forks have tests started with another."""

if NAME == "hydrogram":
    sys.modules["pyrogram"] = None  # type: ignore[assignment]  # as if it was not installed


async def _imported() -> Any:
    """Without a loop, the packages make one, and leave it open."""
    return import_module(NAME)


PACKAGE: Final[Any] = asyncio.run(_imported())
types: Final[Any] = PACKAGE.raw.types

Packet: TypeAlias = tuple[Any, dict[int, Any], dict[int, Any]]

_FIRST_CHANNEL: Final = -1_000_000_000_000


def packet_of(update: Raw) -> Packet:
    """Return what a dispatcher takes from its queue."""
    if "poll" in update:
        return _poll(update["poll"]), {}, {}
    if "inline_query" in update:
        query = update["inline_query"]
        raw = types.UpdateBotInlineQuery(
            query_id=int(query["id"]), user_id=query["from"]["id"], query=query["query"], offset=""
        )
        return raw, users_of(query), {}
    message = update["message"]
    return new_message(raw_message(message)), users_of(message), chats_of(message["chat"]["id"])


def new_message(message: Any) -> Any:
    in_channel = isinstance(message.peer_id, types.PeerChannel)
    kind = types.UpdateNewChannelMessage if in_channel else types.UpdateNewMessage
    return kind(message=message, pts=1, pts_count=1)


def raw_message(message: Raw, **more: Any) -> Any:
    common = {
        "id": message["message_id"],
        "peer_id": peer_of(message["chat"]["id"]),
        "from_id": types.PeerUser(user_id=message["from"]["id"]),
        "date": message["date"],
        **more,
    }
    for field, action in _ACTIONS.items():
        if field in message:
            return types.MessageService(action=action(message[field]), **common)
    return types.Message(
        message=message.get("text", ""), entities=[], restriction_reason=[], **common
    )


def peer_of(chat: int) -> Any:
    if chat > 0:
        return types.PeerUser(user_id=chat)
    if chat > _FIRST_CHANNEL:
        return types.PeerChat(chat_id=-chat)
    return types.PeerChannel(channel_id=_FIRST_CHANNEL - chat)


def users_of(event: Raw) -> dict[int, Any]:
    people = [event["from"]["id"]]
    if "chat" in event and event["chat"]["id"] > 0:
        people.append(event["chat"]["id"])
    return {
        each: types.User(id=each, first_name="Ann", restriction_reason=[], usernames=[])
        for each in people
    }


def chats_of(chat: int) -> dict[int, Any]:
    if chat > 0:
        return {}
    if chat > _FIRST_CHANNEL:
        group = types.Chat(
            id=-chat,
            title="Group",
            photo=types.ChatPhotoEmpty(),
            participants_count=2,
            date=0,
            version=1,
        )
        return {-chat: group}
    channel = types.Channel(
        id=_FIRST_CHANNEL - chat,
        title="Supergroup",
        photo=types.ChatPhotoEmpty(),
        date=0,
        megagroup=True,
        restriction_reason=[],
        usernames=[],
    )
    return {channel.id: channel}


def _poll(poll: Raw) -> Any:
    results = types.PollResults(results=[], total_voters=1, recent_voters=[], solution_entities=[])
    return types.UpdateMessagePoll(poll_id=int(poll["id"]), results=results)


_ACTIONS: Final[dict[str, Callable[[int], Any]]] = {
    "migrate_to_chat_id": lambda chat: types.MessageActionChatMigrateTo(
        channel_id=_FIRST_CHANNEL - chat
    ),
    "migrate_from_chat_id": lambda chat: types.MessageActionChannelMigrateFrom(
        title="Group", chat_id=-chat
    ),
}

"""An update of each kind that the Bot API has, by a name for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.grammy.wire import JSON

USER: Final = {"id": 3, "is_bot": False, "first_name": "Ann"}
OTHER: Final = {"id": 4, "is_bot": False, "first_name": "Bob"}
GROUP: Final = {"id": -100, "type": "supergroup", "title": "group"}
CHANNEL: Final = {"id": -200, "type": "channel", "title": "channel"}
CUSTOMER: Final = {"id": 7, "type": "private", "first_name": "Cid"}
GROUP_ADMIN: Final = {"id": 1087968824, "is_bot": True, "first_name": "Group"}
CHANNEL_BOT: Final = {"id": 136817688, "is_bot": True, "first_name": "Channel"}


def message(**fields: JSON) -> dict[str, JSON]:
    """Return a message of Ann's in the group, but for *fields*."""
    return {"message_id": 1, "date": 0, "chat": GROUP, "from": USER, **fields}


BUSINESS: Final = message(chat=CUSTOMER, business_connection_id="x")
POST: Final = {"message_id": 1, "date": 0, "chat": CHANNEL, "sender_chat": CHANNEL}
IN_GROUP: Final = {"chat": GROUP, "date": 0}
CHANGED: Final = {"old_chat_member": {"user": OTHER}, "new_chat_member": {"user": OTHER}}
CALLBACK: Final = {"id": "1", "from": USER, "chat_instance": "1"}
REACTED: Final[Mapping[str, JSON]] = {"message_id": 1, "old_reaction": [], "new_reaction": []}


def boost(source: str) -> dict[str, JSON]:
    """Return a boost for the group."""
    return {"chat": GROUP, "boost": {"boost_id": "1", "source": {"source": source, "user": USER}}}


UPDATES: Final[Mapping[str, Mapping[str, JSON]]] = {
    "message": {"message": message()},
    "message in private": {"message": message(chat=CUSTOMER)},
    "message in a topic": {"message": message(message_thread_id=12, is_topic_message=True)},
    "edited message": {"edited_message": message()},
    "channel post": {"channel_post": POST},
    "channel post, signed": {"channel_post": {**POST, "from": USER}},
    "edited channel post": {"edited_channel_post": POST},
    "reaction": {"message_reaction": {**IN_GROUP, **REACTED, "user": USER}},
    "reactions": {"message_reaction_count": {**IN_GROUP, "message_id": 1, "reactions": []}},
    "inline query": {"inline_query": {"id": "1", "from": USER, "query": "", "offset": ""}},
    "inline result": {"chosen_inline_result": {"result_id": "1", "from": USER, "query": ""}},
    "callback": {"callback_query": {**CALLBACK, "message": message(**{"from": OTHER})}},
    "callback of an inline message": {"callback_query": {**CALLBACK, "inline_message_id": "1"}},
    "shipping": {"shipping_query": {"id": "1", "from": USER, "invoice_payload": ""}},
    "checkout": {"pre_checkout_query": {"id": "1", "from": USER, "invoice_payload": ""}},
    "paid media": {"purchased_paid_media": {"from": USER, "paid_media_payload": ""}},
    "poll": {"poll": {"id": "1", "question": "?", "options": []}},
    "member": {"chat_member": {**IN_GROUP, **CHANGED, "from": USER}},
    "my membership": {"my_chat_member": {**IN_GROUP, **CHANGED, "from": USER}},
    "join request": {"chat_join_request": {**IN_GROUP, "from": USER, "user_chat_id": 3}},
    "boost": {"chat_boost": boost("premium")},
    "end of a boost": {"removed_chat_boost": {"chat": GROUP, **boost("premium")["boost"]}},
}
"""The updates whose keys are those of grammY."""

BUSINESS_UPDATES: Final[Mapping[str, Mapping[str, JSON]]] = {
    "message": {"business_message": BUSINESS},
    "edited message": {"edited_business_message": BUSINESS},
    "callback": {"callback_query": {**CALLBACK, "message": BUSINESS}},
    "deleted messages": {
        "deleted_business_messages": {
            "business_connection_id": "x",
            "chat": CUSTOMER,
            "message_ids": [1],
        }
    },
}

SUMMONED: Final[Mapping[str, JSON]] = {"guest_message": message(guest_query_id="q")}

AS_A_CHAT: Final[Mapping[str, Mapping[str, JSON]]] = {
    "anonymous admin": {"message": message(**{"from": GROUP_ADMIN}, sender_chat=GROUP)},
    "channel": {"message": message(**{"from": CHANNEL_BOT}, sender_chat=CHANNEL)},
    "reaction": {"message_reaction": {**IN_GROUP, **REACTED, "actor_chat": CHANNEL}},
}

CONNECTION: Final[Mapping[str, JSON]] = {
    "business_connection": {"id": "x", "user": USER, "user_chat_id": 3, "date": 0}
}
POLL_ANSWER: Final[Mapping[str, JSON]] = {
    "poll_answer": {"poll_id": "1", "user": USER, "option_ids": []}
}
GIFT: Final[Mapping[str, JSON]] = {"chat_boost": boost("gift_code")}

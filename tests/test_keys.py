"""Keys of every kind of update, as raw dicts, as objects and inside contexts."""

from __future__ import annotations

import asyncio
from collections import UserDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionkit import keys
from sessionkit._updates.update import UPDATE_KINDS
from sessionkit.errors import InvalidSessionKeyError

ANN = {"id": 3, "is_bot": False, "first_name": "Ann"}
BOB = {"id": 5, "is_bot": False, "first_name": "Bob"}
BOT = {"id": 99, "is_bot": True, "first_name": "Bot"}
ANONYMOUS = {
    "id": 1087968824,
    "is_bot": True,
    "first_name": "Group",
    "username": "GroupAnonymousBot",
}
CHANNEL_BOT = {"id": 136817688, "is_bot": True, "first_name": "Channel", "username": "Channel_Bot"}
GROUP: dict[str, Any] = {"id": -100, "type": "supergroup", "title": "Group", "is_forum": True}
PRIVATE = {"id": 3, "type": "private", "first_name": "Ann"}
BOBS_CHAT = {"id": 5, "type": "private", "first_name": "Bob"}
CHANNEL = {"id": -200, "type": "channel", "title": "Channel"}

TEXT: dict[str, Any] = {
    "message_id": 1,
    "date": 1700000000,
    "chat": GROUP,
    "from": ANN,
    "text": "hi",
}
IN_TOPIC = TEXT | {"message_thread_id": 12, "is_topic_message": True}
POST: dict[str, Any] = {
    "message_id": 1,
    "date": 1700000000,
    "chat": CHANNEL,
    "sender_chat": CHANNEL,
    "text": "hi",
}
BUSINESS = TEXT | {"chat": PRIVATE, "business_connection_id": "Bc-1_x"}
GUEST = TEXT | {"guest_query_id": "q1"}
TO_CHANNEL = TEXT | {
    "chat": {"id": -300, "type": "supergroup", "title": "Channel", "is_direct_messages": True},
    "direct_messages_topic": {"topic_id": 7000000000001, "user": ANN},
}
PRESS: dict[str, Any] = {"id": "1", "from": ANN, "chat_instance": "7", "data": "x"}
MEMBER: dict[str, Any] = {
    "chat": GROUP,
    "from": ANN,
    "date": 1700000000,
    "old_chat_member": {"status": "left", "user": BOT},
    "new_chat_member": {"status": "member", "user": BOT},
}
POLL: dict[str, Any] = {
    "id": "1",
    "question": "?",
    "options": [{"persistent_id": "o", "text": "a", "voter_count": 1}],
    "total_voter_count": 1,
    "is_closed": False,
    "is_anonymous": True,
    "type": "regular",
    "allows_multiple_answers": False,
    "allows_revoting": True,
    "members_only": False,
}
REACTION: dict[str, Any] = {
    "chat": GROUP,
    "message_id": 1,
    "date": 1700000000,
    "old_reaction": [],
    "new_reaction": [],
}
SHIPPING = {
    "country_code": "XX",
    "state": "",
    "city": "C",
    "street_line1": "1",
    "street_line2": "",
    "post_code": "1",
}
PREMIUM = {"source": "premium", "user": ANN}
GIFT_CODE = {"source": "gift_code", "user": ANN}
BOOST: dict[str, Any] = {
    "boost_id": "b",
    "add_date": 1700000000,
    "expiration_date": 1800000000,
    "source": PREMIUM,
}


@dataclass(frozen=True)
class Case:
    name: str
    kind: str
    event: dict[str, Any]
    chat: str | None
    user: str | None
    user_in_chat: str | None
    topic: str | None
    user_in_topic: str | None
    chat_or_user: str | None


def case(
    name: str,
    kind: str,
    event: dict[str, Any],
    chat: str | None = None,
    user: str | None = None,
    topic: str = "",
    *,
    business: str = "",
    guest: str = "",
) -> Case:
    """Spell a case out by rules that are not those of the code: plain concatenation."""
    of_chat = f"{guest}{chat}" if chat else None
    of_both = f"{guest}{user}/{chat}" if chat and user else None

    def led(key: str | None, tail: str = "") -> str | None:
        return business + key + tail if key else None

    return Case(
        name,
        kind,
        event,
        chat=led(of_chat),
        user=led(user),
        user_in_chat=led(of_both),
        topic=led(of_chat, topic),
        user_in_topic=led(of_both, topic),
        chat_or_user=led(of_chat or user),
    )


CASES = [
    case("message", "message", TEXT, "-100", "3"),
    case("message in private", "message", TEXT | {"chat": PRIVATE}, "3", "3"),
    case("message in topic", "message", IN_TOPIC, "-100", "3", "/t12"),
    case(
        "message in the thread of a reply", "message", TEXT | {"message_thread_id": 12}, "-100", "3"
    ),
    case(
        "message flagged as in a topic", "message", TEXT | {"is_topic_message": True}, "-100", "3"
    ),
    case(
        "message by an anonymous admin",
        "message",
        TEXT | {"from": ANONYMOUS, "sender_chat": GROUP},
        "-100",
        "-100",
    ),
    case(
        "message by a channel",
        "message",
        TEXT | {"from": CHANNEL_BOT, "sender_chat": CHANNEL},
        "-100",
        "-200",
    ),
    case("message by an unnamed channel", "message", TEXT | {"from": CHANNEL_BOT}, "-100"),
    case("message with a poll", "message", TEXT | {"poll": POLL}, "-100", "3"),
    case(
        "message in General, numbered", "message", IN_TOPIC | {"message_thread_id": 1}, "-100", "3"
    ),
    case(
        "message in a private topic",
        "message",
        IN_TOPIC | {"chat": PRIVATE, "message_thread_id": 1},
        "3",
        "3",
        "/t1",
    ),
    case(
        "ephemeral message",
        "message",
        IN_TOPIC | {"message_id": 0, "ephemeral_message_id": 6, "receiver_user": BOB},
        "-100",
        "3",
        "/t12",
    ),
    case("message to a channel", "message", TO_CHANNEL, "-300", "3", "/d7000000000001"),
    case(
        "message of the channel to who wrote to it",
        "message",
        TO_CHANNEL | {"from": CHANNEL_BOT, "sender_chat": CHANNEL},
        "-300",
        "-200",
        "/d7000000000001",
    ),
    case(
        "callback_query in a channel's direct messages",
        "callback_query",
        PRESS | {"message": TO_CHANNEL | {"from": BOT}},
        "-300",
        "3",
        "/d7000000000001",
    ),
    case("edited_message", "edited_message", IN_TOPIC, "-100", "3", "/t12"),
    case("channel_post", "channel_post", POST, "-200"),
    case("signed channel_post", "channel_post", POST | {"from": ANN}, "-200", "3"),
    case("edited_channel_post", "edited_channel_post", POST, "-200"),
    case(
        "business_connection",
        "business_connection",
        {"id": "Bc-1_x", "user": ANN, "user_chat_id": 33, "date": 1700000000, "is_enabled": True},
        "33",
        "3",
    ),
    case("business_message", "business_message", BUSINESS, "3", "3", business="bBc-1_x/"),
    case(
        "edited_business_message",
        "edited_business_message",
        BUSINESS,
        "3",
        "3",
        business="bBc-1_x/",
    ),
    case(
        "deleted_business_messages",
        "deleted_business_messages",
        {"business_connection_id": "Bc-1_x", "chat": PRIVATE, "message_ids": [1]},
        "3",
        business="bBc-1_x/",
    ),
    case("guest_message", "guest_message", GUEST, "-100", "3", guest="g/"),
    case(
        "guest_message in a private chat of others",
        "guest_message",
        GUEST | {"chat": BOBS_CHAT},
        "5",
        "3",
        guest="g/",
    ),
    case(
        "guest_message in topic", "guest_message", GUEST | IN_TOPIC, "-100", "3", "/t12", guest="g/"
    ),
    case("edited_message of a guest", "edited_message", GUEST, "-100", "3", guest="g/"),
    case(
        "callback_query on a guest's message",
        "callback_query",
        PRESS | {"message": TEXT | {"from": BOT, "guest_bot_caller_user": BOB}},
        "-100",
        "3",
        guest="g/",
    ),
    case(
        "callback_query on a message that summoned a guest",
        "callback_query",
        PRESS | {"message": GUEST | {"from": BOT}},
        "-100",
        "3",
        guest="g/",
    ),
    case(
        "message of another bot that is a guest",
        "message",
        TEXT | {"from": BOT, "guest_bot_caller_user": BOB},
        "-100",
        "99",
    ),
    case("message_reaction", "message_reaction", REACTION | {"user": ANN}, "-100", "3"),
    case(
        "anonymous message_reaction",
        "message_reaction",
        REACTION | {"actor_chat": CHANNEL},
        "-100",
        "-200",
    ),
    case(
        "message_reaction_count",
        "message_reaction_count",
        {"chat": GROUP, "message_id": 1, "date": 1700000000, "reactions": []},
        "-100",
    ),
    case(
        "inline_query",
        "inline_query",
        {"id": "1", "from": ANN, "query": "q", "offset": "", "chat_type": "sender"},
        None,
        "3",
    ),
    case(
        "chosen_inline_result",
        "chosen_inline_result",
        {"result_id": "1", "from": ANN, "query": "q", "inline_message_id": "i"},
        None,
        "3",
    ),
    case(
        "callback_query", "callback_query", PRESS | {"message": TEXT | {"from": BOT}}, "-100", "3"
    ),
    case(
        "callback_query in topic",
        "callback_query",
        PRESS | {"message": IN_TOPIC | {"from": BOT}},
        "-100",
        "3",
        "/t12",
    ),
    case(
        "callback_query on an anonymous admin's message",
        "callback_query",
        PRESS | {"message": TEXT | {"from": ANONYMOUS, "sender_chat": GROUP}},
        "-100",
        "3",
    ),
    case(
        "callback_query on a business message",
        "callback_query",
        PRESS | {"message": BUSINESS},
        "3",
        "3",
        business="bBc-1_x/",
    ),
    case(
        "callback_query on an inaccessible message",
        "callback_query",
        PRESS | {"message": {"chat": GROUP, "message_id": 1, "date": 0}},
        "-100",
        "3",
    ),
    case(
        "callback_query of an inline message",
        "callback_query",
        PRESS | {"inline_message_id": "i"},
        None,
        "3",
    ),
    case(
        "shipping_query",
        "shipping_query",
        {"id": "1", "from": ANN, "invoice_payload": "p", "shipping_address": SHIPPING},
        None,
        "3",
    ),
    case(
        "pre_checkout_query",
        "pre_checkout_query",
        {"id": "1", "from": ANN, "currency": "XTR", "total_amount": 1, "invoice_payload": "p"},
        None,
        "3",
    ),
    case(
        "purchased_paid_media",
        "purchased_paid_media",
        {"from": ANN, "paid_media_payload": "p"},
        None,
        "3",
    ),
    case("poll", "poll", POLL),
    case(
        "poll_answer",
        "poll_answer",
        {"poll_id": "1", "option_ids": [0], "option_persistent_ids": ["o"], "user": ANN},
        None,
        "3",
    ),
    case(
        "poll_answer of a chat",
        "poll_answer",
        {
            "poll_id": "1",
            "option_ids": [0],
            "option_persistent_ids": ["o"],
            "user": CHANNEL_BOT,
            "voter_chat": CHANNEL,
        },
        None,
        "-200",
    ),
    case("my_chat_member", "my_chat_member", MEMBER, "-100", "3"),
    case("chat_member", "chat_member", MEMBER, "-100", "3"),
    case(
        "chat_member by an anonymous admin",
        "chat_member",
        MEMBER | {"from": ANONYMOUS},
        "-100",
        "-100",
    ),
    case(
        "chat_join_request",
        "chat_join_request",
        {"chat": GROUP, "from": ANN, "user_chat_id": 33, "date": 1700000000},
        "-100",
        "3",
    ),
    case("chat_boost", "chat_boost", {"chat": GROUP, "boost": BOOST}, "-100", "3"),
    case(
        "chat_boost by gift code",
        "chat_boost",
        {"chat": GROUP, "boost": BOOST | {"source": GIFT_CODE}},
        "-100",
    ),
    case(
        "removed_chat_boost",
        "removed_chat_boost",
        {"chat": GROUP, "boost_id": "b", "remove_date": 1700000000, "source": PREMIUM},
        "-100",
        "3",
    ),
    case("managed_bot", "managed_bot", {"user": ANN, "bot": BOT}, None, "3"),
    case(
        "subscription",
        "subscription",
        {"user": ANN, "invoice_payload": "p", "state": "active"},
        None,
        "3",
    ),
    case(
        "stopped_message_generation",
        "stopped_message_generation",
        {"chat": PRIVATE, "draft_id": 1, "message_thread_id": 12},
        "3",
        "3",
        "/t12",
    ),
    case(
        "stopped_message_generation in a group",
        "stopped_message_generation",
        {"chat": GROUP, "draft_id": 1},
        "-100",
    ),
]

KEY_FUNCTIONS = ("chat", "user", "user_in_chat", "topic", "user_in_topic", "chat_or_user")


def as_object(plain: Any) -> Any:
    if isinstance(plain, dict):
        items = cast("dict[str, Any]", plain).items()
        names = {"from": "from_user"}
        return SimpleNamespace(**{names.get(name, name): as_object(item) for name, item in items})
    return plain


Form = Callable[[str, Any], Any]


class BotContext:
    def __init__(self, update: Any) -> None:
        self.update = update


def as_update(kind: str, event: Any) -> dict[str, Any]:
    return {"update_id": 1, kind: event}


def all_attributes(kind: str, event: Any) -> Any:
    update = SimpleNamespace(update_id=1, **dict.fromkeys(UPDATE_KINDS))
    setattr(update, kind, as_object(event))
    return update


FORMS: dict[str, Form] = {
    "object with every attribute": all_attributes,
    "dict": as_update,
    "object": lambda kind, event: as_object(as_update(kind, event)),
    "other mapping": lambda kind, event: UserDict(as_update(kind, event)),
    "context over dict": lambda kind, event: BotContext(as_update(kind, event)),
    "context over object": lambda kind, event: BotContext(as_object(as_update(kind, event))),
    "dict context": lambda kind, event: {"update": as_update(kind, event), "bot": object()},
    "holder without update_id": lambda kind, event: {kind: event},
    "bare dict": lambda kind, event: event,
    "bare object": lambda kind, event: as_object(event),
}


def keys_of(ctx: Any) -> dict[str, str | None]:
    return {name: getattr(keys, name)(ctx) for name in KEY_FUNCTIONS}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("expected", CASES, ids=lambda case: case.name)
def test_every_kind_of_update_has_its_keys_in_every_form(expected: Case, form: str) -> None:
    ctx = FORMS[form](expected.kind, expected.event)

    assert keys_of(ctx) == {name: getattr(expected, name) for name in KEY_FUNCTIONS}


def test_the_table_covers_all_kinds() -> None:
    assert {case.kind for case in CASES} == set(UPDATE_KINDS)
    assert len(UPDATE_KINDS) == 27


def test_a_kind_of_the_future_is_read_like_the_others() -> None:
    update = {"update_id": 1, "telepathy": {"chat": GROUP, "from": ANN}}

    assert keys.user_in_chat(update) == "3/-100"
    assert keys.describe(update) == "telepathy"


def test_an_update_without_any_event_has_no_keys() -> None:
    for update in ({"update_id": 1}, {"update_id": 1, "x": 2}, SimpleNamespace(update_id=1)):
        assert set(keys_of(update).values()) == {None}


class TestContexts:
    @pytest.mark.parametrize(
        "ctx",
        [
            {"chat_id": 5, "user_id": 3},
            {"chat": {"id": 5}, "from": {"id": 3}},
            {"chat": {"id": 5}, "from_user": {"id": 3}},
            {"chat": SimpleNamespace(id=5), "user": SimpleNamespace(id=3)},
            {"message": {"chat": {"id": 5}, "from": {"id": 3}}},
            SimpleNamespace(chat_id=5, user_id=3),
            SimpleNamespace(chat_id=5, sender_id=3),
            SimpleNamespace(chat=SimpleNamespace(id=5), from_user={"id": 3}),
            SimpleNamespace(chat_id=5, from_user=SimpleNamespace(id=3), message="hi"),
            SimpleNamespace(chat_id=5, user_id=3, update=None),
            SimpleNamespace(chat_id=5, user_id=3, update=print),
            SimpleNamespace(chat_id=5, user_id=3, update={"update_id": 1, "poll": POLL}),
        ],
        ids=repr,
    )
    def test_simple_contexts_name_chat_and_user_themselves(self, ctx: Any) -> None:
        assert keys.chat(ctx) == "5"
        assert keys.user(ctx) == "3"

    def test_a_context_names_its_topic_as_thread_id(self) -> None:
        assert keys.topic({"chat_id": 5, "thread_id": 7}) == "5/t7"
        assert keys.topic({"chat_id": 5, "message_thread_id": 7}) == "5"

    def test_other_platforms_may_use_strings(self) -> None:
        assert keys.user_in_chat(SimpleNamespace(chat_id="C1", user_id="U1")) == "U1/C1"

    def test_a_separator_within_an_id_cannot_be_confused_with_the_separator(self) -> None:
        one = keys.user_in_chat(SimpleNamespace(user_id="a/b", chat_id="c"))
        other = keys.user_in_chat(SimpleNamespace(user_id="a", chat_id="b/c"))
        third = keys.user_in_chat(SimpleNamespace(user_id="a%2Fb", chat_id="c"))

        assert len({one, other, third}) == 3

    @pytest.mark.parametrize("wrong", [None, True, "", 1.5, [], {}, object()], ids=type)
    def test_what_is_not_an_id_is_never_turned_into_a_key(self, wrong: object) -> None:
        for ctx in (
            {"chat_id": wrong, "user_id": wrong},
            SimpleNamespace(chat_id=wrong, user_id=wrong),
            {"chat": {"id": wrong}, "from": {"id": wrong}},
            {"chat": wrong, "from": wrong},
            wrong,
        ):
            assert set(keys_of(ctx).values()) == {None}

    def test_ids_that_are_enums_are_written_as_numbers(self) -> None:
        class Known(int, Enum):
            ADMINS = -100

        assert keys.chat(SimpleNamespace(chat_id=Known.ADMINS)) == "-100"

    def test_a_plain_chat_id_does_not_hide_the_business_connection(self) -> None:
        update = {"update_id": 1, "business_message": BUSINESS}

        assert keys.chat(SimpleNamespace(chat_id=3, update=update)) == "bBc-1_x/3"
        assert keys.chat(SimpleNamespace(chat_id=3, business_connection_id="x")) == "bx/3"
        assert keys.chat(SimpleNamespace(chat_id=3, business_connection_id=None)) == "3"

    def test_the_channel_type_may_be_an_enum(self) -> None:
        class ChatType(Enum):
            CHANNEL = "channel"

        channel = SimpleNamespace(id=-200, type=ChatType.CHANNEL)
        post = SimpleNamespace(chat=channel, sender_chat=channel, from_user=None)

        assert keys.user(post) is None
        assert keys.chat(post) == "-200"

    def test_errors_of_a_property_are_not_hidden(self) -> None:
        class Broken:
            @property
            def chat(self) -> None:
                raise RuntimeError("no network")

        with pytest.raises(RuntimeError, match="no network"):
            keys.chat(Broken())


class TestConstant:
    def test_gives_one_key_for_all_updates(self) -> None:
        everyone = keys.constant("global")

        assert everyone({"chat_id": 1}) == everyone(object()) == "global"

    def test_refuses_an_empty_name(self) -> None:
        with pytest.raises(ValueError, match=r"not empty: keys.constant\('global'\)"):
            keys.constant("")

    def test_refuses_what_is_not_a_string(self) -> None:
        with pytest.raises(TypeError, match="needs a str, not None"):
            keys.constant(None)  # type: ignore[arg-type]  # the error under test


class Bot:
    """As some frameworks know theirs: by the token alone, until the first request."""

    token = "42:T"

    @property
    def id(self) -> int:
        raise RuntimeError("not initialized")


def of_ptb(bot: Any) -> Any:
    from telegram import Update

    return Update.de_json(as_update("message", TEXT), bot)


def of_aiogram(bot: Any) -> Any:
    from aiogram.types import Update

    return Update.model_validate(as_update("message", TEXT), context={"bot": bot})


PYROGRAMS = SimpleNamespace(bot_token=None, me=SimpleNamespace(id=42, is_bot=True))
BOTS: dict[str, Any] = {
    "its id": {"chat_id": -100, "bot_id": 42},
    "a dict": {"chat_id": -100, "bot": {"id": 42}},
    "beside the update": {"update": as_update("message", TEXT), "bot": SimpleNamespace(id=42)},
    "by its token": SimpleNamespace(chat_id=-100, bot=Bot()),
    "pyrogram": SimpleNamespace(chat_id=-100, _client=PYROGRAMS),
    "aiogram": of_aiogram(Bot()),
    "aiogram, in a context": BotContext(of_aiogram(Bot())),
    "python-telegram-bot": of_ptb(Bot()),
}
NO_BOTS: dict[str, Any] = {
    "update": as_update("message", TEXT),
    "update about another bot": as_update("managed_bot", {"user": ANN, "bot": BOT}),
    "event about another bot": {"user": ANN, "bot": BOT},
    "no token, no id": {"chat_id": 5, "bot": {"token": "secret"}, "bot_id": "42"},
    "python-telegram-bot": of_ptb(None),
}


class TestPerBot:
    @pytest.mark.parametrize("ctx", BOTS.values(), ids=BOTS)
    def test_leads_with_the_bot_that_got_the_update(self, ctx: Any) -> None:
        assert keys.per_bot(keys.chat)(ctx) == "@42/-100"
        assert keys.per_bot(lambda _: 7)(ctx) == "@42/7"

    @pytest.mark.parametrize("ctx", NO_BOTS.values(), ids=NO_BOTS)
    def test_raises_where_nothing_names_the_bot(self, ctx: Any) -> None:
        with pytest.raises(TypeError, match=r"keys\.per_bot\(chat_or_user\) finds no bot in"):
            keys.per_bot(keys.chat_or_user)(ctx)

    @pytest.mark.parametrize("key", [None, "", True, 1.5], ids=repr)
    def test_leaves_what_is_not_a_key_as_it_is(self, key: Any) -> None:
        assert keys.per_bot(lambda _: key)({"bot_id": 42}) is key

    def test_awaits_an_async_function(self) -> None:
        async def game(ctx: Any) -> str:
            return "game"

        assert asyncio.run(keys.per_bot(game)({"bot_id": 42})) == "@42/game"

    def test_two_of_one_function_are_equal(self) -> None:
        assert keys.per_bot(keys.chat) == keys.per_bot(keys.chat) != keys.per_bot(keys.user)

    @pytest.mark.parametrize("wrong", [None, keys.per_bot(keys.chat)], ids=repr)
    def test_refuses_what_is_not_a_key_function_without_a_bot(self, wrong: Any) -> None:
        with pytest.raises(TypeError, match=r"takes a key function, keys\.per_bot\(keys\.chat\)"):
            keys.per_bot(wrong)

    def test_its_name_says_what_it_is_made_of(self) -> None:
        per_user = keys.per_bot(keys.user)

        assert repr(per_user) == "keys.per_bot(user)"
        assert "poll has no user, so keys.per_bot(user) gave no key" in keys.why_no_key(
            per_user, as_update("poll", POLL)
        )


STAND_INS = (ANONYMOUS["id"], CHANNEL_BOT["id"])
NUMBERS = st.integers(-(10**17), 10**17).filter(lambda number: number not in STAND_INS)
OTHER_CHATS: list[dict[str, st.SearchStrategy[Any]]] = [
    {},
    {"business": st.text(min_size=1)},
    {"guest": st.just(True)},
]
TOPICS: list[dict[str, st.SearchStrategy[Any]]] = [{}, {"thread": NUMBERS}, {"direct": NUMBERS}]
KEYS = st.one_of(
    [
        st.builds(
            keys.ParsedKey,
            chat=NUMBERS,
            user=st.none() | NUMBERS,
            bot=st.none() | st.integers(1, 10**17),
            **other,
            **topic,
        )
        for other in OTHER_CHATS
        for topic in TOPICS
    ]
)


class TestParse:
    @pytest.mark.parametrize(
        ("key", "parsed"),
        [
            ("-100", keys.ParsedKey(-100)),
            (-100, keys.ParsedKey(-100)),
            ("0", keys.ParsedKey(0)),
            ("3/-100", keys.ParsedKey(-100, 3)),
            ("-100/t12", keys.ParsedKey(-100, None, 12)),
            ("3/-100/t12", keys.ParsedKey(-100, 3, 12)),
            ("bBc-1_x/3", keys.ParsedKey(3, None, None, "Bc-1_x")),
            ("b1/3/-100/t12", keys.ParsedKey(-100, 3, 12, "1")),
            ("g/5", keys.ParsedKey(5, guest=True)),
            ("g/3/-100/t12", keys.ParsedKey(-100, 3, 12, guest=True)),
            ("3/-100/d7000000000001", keys.ParsedKey(-100, 3, direct=7000000000001)),
            ("@42/-100", keys.ParsedKey(-100, bot=42)),
            ("@42/bx/3/3/t1", keys.ParsedKey(3, 3, 1, "x", bot=42)),
            ("ba%252F%2F/3", keys.ParsedKey(3, None, None, "a%2F/")),
        ],
    )
    def test_takes_every_format_apart(self, key: Any, parsed: keys.ParsedKey) -> None:
        assert keys.parse(key) == parsed
        assert str(parsed) == str(key)

    @pytest.mark.parametrize(
        "key",
        ["", " 5", "5\n", "+5", "-0", "007", "1/2/3", "b/3", "b1", "3/t", "t3", "5/", "/5",
         "None", "user:5", "٣", "1" * 25, "1/2/t3/t4", "1/t2/d3", "bx/g/5",
         "g/bx/5", "g", "g/", "@/5", "@x/5", "g/@42/5", True],
    )  # fmt: skip
    def test_refuses_what_no_key_function_makes(self, key: Any) -> None:
        with pytest.raises(
            InvalidSessionKeyError, match=r"is not a key of sessionkit\.keys"
        ) as caught:
            keys.parse(key)

        assert caught.value.key == str(key)

    @given(KEYS)
    def test_is_the_inverse_of_str(self, parsed: keys.ParsedKey) -> None:
        assert keys.parse(str(parsed)) == parsed

    @given(KEYS)
    def test_undoes_the_key_functions(self, parsed: keys.ParsedKey) -> None:
        ctx = {
            "chat_id": parsed.chat,
            "user_id": parsed.user,
            "thread_id": parsed.thread,
            "business_connection_id": parsed.business,
            "guest_query_id": "q" if parsed.guest else None,
            "direct_messages_topic_id": parsed.direct,
            "bot_id": parsed.bot,
        }
        function = keys.topic if parsed.user is None else keys.user_in_topic
        key = function(ctx) if parsed.bot is None else keys.per_bot(function)(ctx)

        assert key == str(parsed)

    @pytest.mark.parametrize(
        "both", [{"thread": 1, "direct": 2}, {"business": "x", "guest": True}], ids=str
    )
    def test_no_key_has_both(self, both: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match="not both"):
            keys.ParsedKey(5, **both)

    def test_a_moved_chat_keeps_the_rest_of_its_key(self) -> None:
        assert str(replace(keys.parse("3/-100/t12"), chat=-200)) == "3/-200/t12"


class TestMigration:
    OLD = TEXT | {"chat": GROUP | {"id": -55}, "migrate_to_chat_id": -1000001}
    NEW = TEXT | {"chat": GROUP | {"id": -1000001}, "migrate_from_chat_id": -55}

    @pytest.mark.parametrize("form", FORMS)
    @pytest.mark.parametrize("event", [OLD, NEW], ids=["old", "new"])
    def test_both_service_messages_give_the_same_pair(
        self, event: dict[str, Any], form: str
    ) -> None:
        assert keys.migration(FORMS[form]("message", event)) == (-55, -1000001)

    def test_other_updates_give_none(self) -> None:
        for case in CASES:
            assert keys.migration(as_update(case.kind, case.event)) is None

    def test_half_a_service_message_gives_none(self) -> None:
        assert keys.migration({"migrate_to_chat_id": -1}) is None


class InlineQuery:
    def __init__(self) -> None:
        self.from_user = SimpleNamespace(id=3)


class MyContext:
    pass


class TestDescribe:
    @pytest.mark.parametrize("kind", UPDATE_KINDS)
    def test_names_the_kind_of_update(self, kind: str) -> None:
        event = next(case.event for case in CASES if case.kind == kind)
        update = as_update(kind, event)

        assert [keys.describe(ctx) for ctx in (update, as_object(update), BotContext(update))] == [
            kind
        ] * 3

    def test_names_the_kind_of_a_bare_event_by_its_class(self) -> None:
        assert keys.describe(InlineQuery()) == "inline_query"

    def test_names_other_things_by_their_type(self) -> None:
        assert keys.describe(MyContext()) == "MyContext"
        assert keys.describe({"chat_id": 5}) == "dict"


class TestWhyNoKey:
    @pytest.mark.parametrize(
        ("function", "kind", "sentence"),
        [
            (
                keys.chat,
                "inline_query",
                "inline_query has no chat, so keys.chat gave no key. "
                "Use keys.chat_or_user, or check sessions.of(ctx).has_key.",
            ),
            (
                keys.user_in_topic,
                "channel_post",
                "channel_post has no user, so keys.user_in_topic gave no key. "
                "Use keys.chat_or_user, or check sessions.of(ctx).has_key.",
            ),
            (
                keys.chat_or_user,
                "poll",
                "poll has no chat and no user, so keys.chat_or_user gave no key. "
                "Check sessions.of(ctx).has_key before you use the session.",
            ),
        ],
    )
    def test_says_what_is_missing_and_what_to_do(
        self, function: Callable[..., Any], kind: str, sentence: str
    ) -> None:
        event = next(case.event for case in CASES if case.kind == kind)

        assert keys.why_no_key(function, as_update(kind, event)) == sentence

    @pytest.mark.parametrize("name", KEY_FUNCTIONS)
    def test_knows_every_key_function(self, name: str) -> None:
        sentence = keys.why_no_key(getattr(keys, name), as_update("poll", POLL))

        assert f"so keys.{name} gave no key" in sentence

    def test_tells_what_may_be_given_instead_of_an_unknown_context(self) -> None:
        assert keys.why_no_key(keys.chat, MyContext()) == (
            "MyContext has no chat, so keys.chat gave no key. Give the update or one of its "
            "events, or your own get_session_key=lambda ctx: ..., or check "
            "sessions.of(ctx).has_key."
        )

    def test_names_a_key_function_of_the_users_own(self) -> None:
        def my_key(ctx: Any) -> str | None:
            return None

        assert keys.why_no_key(my_key, as_update("poll", POLL)) == (
            "the key function 'my_key' gave no key for this update (poll): let it return a "
            "str or int, or check sessions.of(ctx).has_key."
        )

    def test_a_callable_without_a_name_is_shown(self) -> None:
        assert "functools.partial" in keys.why_no_key(partial(print), MyContext())


def table() -> str:
    """All kinds of updates, and their keys, as docs/keys.md shows them."""
    head = f"| update | has | {' | '.join(f'`{name}`' for name in KEY_FUNCTIONS)} |"
    return "\n".join([head, "|---" * (2 + len(KEY_FUNCTIONS)) + "|", *map(row, CASES)])


def row(case: Case) -> str:
    kind = f"`{case.kind}`"
    name = kind if case.name == case.kind else case.name.replace(case.kind, kind)
    parts = {"chat": case.chat, "user": case.user, "topic": case.topic != case.chat}
    has = ", ".join(part for part, there in parts.items() if there) or "nothing"
    found = [getattr(case, name) for name in KEY_FUNCTIONS]
    return f"| {name} | {has} | {' | '.join(f'`{key}`' if key else '-' for key in found)} |"


def test_the_page_about_keys_has_this_table() -> None:
    page = Path(__file__).parents[1].joinpath("docs", "keys.md").read_text("utf-8")

    assert page.endswith(f"\n\n{table()}\n"), table()

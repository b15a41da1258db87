"""Keys of every kind of update, as raw dicts, as objects and inside contexts."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionkit import keys
from sessionkit._origin import UPDATE_KINDS
from sessionkit.errors import InvalidSessionKeyError

ANN = {"id": 3, "is_bot": False, "first_name": "Ann"}
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
    thread: int | None = None,
    business: str = "",
) -> Case:
    """Spell a case out by rules that are not those of the code: plain concatenation."""
    both = f"{user}/{chat}" if chat and user else None
    in_topic = f"/t{thread}" if thread else ""

    def led(key: str | None, tail: str = "") -> str | None:
        return business + key + tail if key else None

    return Case(
        name,
        kind,
        event,
        chat=led(chat),
        user=led(user),
        user_in_chat=led(both),
        topic=led(chat, in_topic),
        user_in_topic=led(both, in_topic),
        chat_or_user=led(chat or user),
    )


CASES = [
    case("message", "message", TEXT, "-100", "3"),
    case("message in private", "message", TEXT | {"chat": PRIVATE}, "3", "3"),
    case("message in topic", "message", IN_TOPIC, "-100", "3", 12),
    case("reply thread, no topic", "message", TEXT | {"message_thread_id": 12}, "-100", "3"),
    case("topic flag without thread", "message", TEXT | {"is_topic_message": True}, "-100", "3"),
    case(
        "anonymous admin",
        "message",
        TEXT | {"from": ANONYMOUS, "sender_chat": GROUP},
        "-100",
        "-100",
    ),
    case(
        "channel as sender",
        "message",
        TEXT | {"from": CHANNEL_BOT, "sender_chat": CHANNEL},
        "-100",
        "-200",
    ),
    case("channel as sender, unnamed", "message", TEXT | {"from": CHANNEL_BOT}, "-100"),
    case("message with a poll", "message", TEXT | {"poll": POLL}, "-100", "3"),
    case("edited_message", "edited_message", IN_TOPIC, "-100", "3", 12),
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
    case("guest_message", "guest_message", TEXT, "-100", "3"),
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
        12,
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
        None,
        12,
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

    @pytest.mark.parametrize("wrong", [None, True, "", 1.5, [], {}, object()], ids=repr)
    def test_what_is_no_id_is_never_turned_into_a_key(self, wrong: object) -> None:
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

    def test_refuses_what_is_no_string(self) -> None:
        with pytest.raises(TypeError, match="needs a str, not None"):
            keys.constant(None)  # type: ignore[arg-type]  # the error under test


STAND_INS = (ANONYMOUS["id"], CHANNEL_BOT["id"])
NUMBERS = st.integers(-(10**17), 10**17).filter(lambda number: number not in STAND_INS)
KEYS = st.builds(
    keys.ParsedKey,
    NUMBERS,
    st.none() | NUMBERS,
    st.none() | NUMBERS,
    st.none() | st.text(min_size=1),
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
            ("ba%252F%2F/3", keys.ParsedKey(3, None, None, "a%2F/")),
        ],
    )
    def test_takes_every_format_apart(self, key: Any, parsed: keys.ParsedKey) -> None:
        assert keys.parse(key) == parsed
        assert str(parsed) == str(key)

    @pytest.mark.parametrize(
        "key",
        ["", " 5", "5\n", "+5", "-0", "007", "1/2/3", "b/3", "b1", "3/t", "t3", "5/", "/5",
         "None", "user:5", "٣", "1" * 25, "1/2/t3/t4", True],
    )  # fmt: skip
    def test_refuses_what_no_key_function_makes(self, key: Any) -> None:
        with pytest.raises(
            InvalidSessionKeyError, match=r"is no key of sessionkit\.keys"
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
        }
        key = keys.topic(ctx) if parsed.user is None else keys.user_in_topic(ctx)

        assert key == str(parsed)

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

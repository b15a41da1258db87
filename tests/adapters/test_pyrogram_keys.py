"""Each kind of update that pyrogram and its forks hand to handlers: its key, or why it has none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from sessionkit import NoSessionKeyError, keys, session
from tests.adapters.driver import CHAT, GROUP, SUPERGROUP, USER, message
from tests.adapters.pyrogram_bot import Offline
from tests.adapters.pyrogram_raw import (
    PACKAGE,
    Packet,
    chats_of,
    packet_of,
    peer_of,
    types,
    users_of,
)

# isort: split
from sessionkit_pyrogram import RawUpdate, install

KEYS: dict[str, Callable[[Any], str | None]] = {
    "chat": keys.chat,
    "user": keys.user,
    "chat_or_user": keys.chat_or_user,
    "topic": keys.topic,
}


def around(event: Any, chat: int = GROUP) -> Packet:
    """A packet with everybody that *event* may name."""
    return event, users_of({"from": {"id": USER}, "chat": {"id": CHAT}}), chats_of(chat)


def edited() -> Packet:
    update, users, chats = packet_of(message("edited", chat=GROUP))
    return types.UpdateEditMessage(message=update.message, pts=1, pts_count=1), users, chats


def inline_button() -> Packet:
    where = types.InputBotInlineMessageID(dc_id=1, id=2, access_hash=3)
    query = types.UpdateInlineBotCallbackQuery(
        query_id=1, user_id=USER, msg_id=where, chat_instance=4, data=b"data"
    )
    return around(query)


def chosen() -> Packet:
    return around(types.UpdateBotInlineSend(user_id=USER, query="?", id="1"))


def deleted_in_channel() -> Packet:
    channel = peer_of(SUPERGROUP).channel_id
    update = types.UpdateDeleteChannelMessages(
        channel_id=channel, messages=[1, 2], pts=1, pts_count=2
    )
    return around(update, SUPERGROUP)


def deleted_elsewhere() -> Packet:
    return around(types.UpdateDeleteMessages(messages=[1, 2], pts=1, pts_count=2))


def member() -> Packet:
    update = types.UpdateChatParticipant(chat_id=-GROUP, date=0, actor_id=USER, user_id=USER, qts=1)
    return around(update)


def join_request() -> Packet:
    invite = types.ChatInviteExported(link="https://t.me/+x", admin_id=USER, date=0)
    update = types.UpdateBotChatInviteRequester(
        peer=peer_of(SUPERGROUP), date=0, user_id=USER, about="", invite=invite, qts=1
    )
    return around(update, SUPERGROUP)


def poll() -> Packet:
    results = types.PollResults(results=[], total_voters=1, recent_voters=[], solution_entities=[])
    return around(types.UpdateMessagePoll(poll_id=1, results=results))


def status() -> Packet:
    return around(types.UpdateUserStatus(user_id=USER, status=types.UserStatusRecently()))


def channel_post() -> Packet:
    """Nobody signs it."""
    update, _, chats = packet_of(message("post", chat=SUPERGROUP))
    update.message.from_id, update.message.post = None, True
    (channel,) = chats.values()
    channel.broadcast, channel.megagroup = True, False
    return update, {}, chats


IN_GROUP = ("-55", "11", "-55", "-55")
IN_SUPERGROUP = (str(SUPERGROUP), "11", str(SUPERGROUP), str(SUPERGROUP))
IN_CHANNEL = (str(SUPERGROUP), None, str(SUPERGROUP), str(SUPERGROUP))
OF_GUEST = (f"g/{SUPERGROUP}", "11", f"g/{SUPERGROUP}", f"g/{SUPERGROUP}")
OF_USER = (None, "11", "11", None)
OF_NOBODY = (None, None, None, None)

CASES: dict[str, tuple[str, Packet, tuple[str | None, ...]]] = {
    "private": ("Message", packet_of(message("hi")), ("11", "11", "11", "11")),
    "group": ("Message", packet_of(message("hi", chat=GROUP)), IN_GROUP),
    "supergroup": (
        "Message",
        packet_of(message("hi", chat=SUPERGROUP)),
        IN_SUPERGROUP,
    ),
    "channel post": (
        "Message",
        channel_post(),
        IN_CHANNEL,
    ),
    "edited": ("EditedMessage", edited(), IN_GROUP),
    "inline button": ("CallbackQuery", inline_button(), OF_USER),
    "chosen result": ("ChosenInlineResult", chosen(), OF_USER),
    "deleted in a channel": (
        "DeletedMessages",
        deleted_in_channel(),
        IN_CHANNEL,
    ),
    "deleted elsewhere": ("DeletedMessages", deleted_elsewhere(), OF_NOBODY),
    "member": ("ChatMemberUpdated", member(), IN_GROUP),
    "join request": (
        "ChatJoinRequest",
        join_request(),
        IN_SUPERGROUP,
    ),
    "poll": ("Poll", poll(), OF_NOBODY),
    "status": ("UserStatus", status(), OF_NOBODY),
    "raw": ("RawUpdate", member(), OF_NOBODY),
}


def keys_seen(kind: str, *packets: Packet) -> dict[str, str | None]:
    """What each key function makes of the last of *packets*, as a handler of *kind* sees it."""
    seen: dict[str, str | None] = {}

    async def note(
        client: Any, update: Any, *more: Any, chat: Any, user: Any, chat_or_user: Any, topic: Any
    ) -> None:
        for name, each in zip(KEYS, (chat, user, chat_or_user, topic), strict=True):
            seen[name] = each.key

    async def main() -> None:
        bot = Offline()
        by_name: dict[str, Any] = {
            name: session(int, get_session_key=key, prefix=name) for name, key in KEYS.items()
        }
        install(bot.app, **by_name)
        bot.app.add_handler(handler_of(kind)(note))
        async with bot:
            for packet in packets:
                await bot.feed_packets(packet)
        assert not bot.errors

    asyncio.run(main())
    return seen


def handler_of(kind: str) -> Any:
    return getattr(PACKAGE.handlers, f"{kind}Handler")


@pytest.mark.parametrize("case", CASES)
def test_each_kind_of_update_has_its_keys(case: str) -> None:
    kind, packet, expected = CASES[case]

    assert keys_seen(kind, packet) == dict(zip(KEYS, expected, strict=True))


def button_below(message: Any, chat: int) -> Packet:
    query = types.UpdateBotCallbackQuery(
        query_id=1, user_id=USER, peer=peer_of(chat), msg_id=message.id, chat_instance=4, data=b"x"
    )
    return around(query, chat)


def test_a_button_has_the_chat_of_its_message() -> None:
    first = packet_of(message("buttons", chat=GROUP))

    seen = keys_seen("CallbackQuery", first, button_below(first[0].message, GROUP))

    assert seen == {"chat": "-55", "user": "11", "chat_or_user": "-55", "topic": "-55"}


def in_topic(reply_to: Any, **thread: Any) -> Packet:
    """A message in a thread; what it replies to is known from before."""
    update, users, chats = packet_of(message("in a thread", chat=SUPERGROUP))
    update.message.reply_to = types.MessageReplyHeader(reply_to_msg_id=reply_to.id, **thread)
    return update, users, chats


def test_topics_have_keys_where_the_package_knows_them() -> None:
    first = packet_of(message("the topic begins", chat=SUPERGROUP))
    knows_topics = hasattr(PACKAGE.types.Message(id=1), "message_thread_id")

    seen = keys_seen(
        "Message", first, in_topic(first[0].message, reply_to_top_id=7, forum_topic=True)
    )

    assert seen["topic"] == (f"{SUPERGROUP}/t7" if knows_topics else str(SUPERGROUP))


def test_the_general_topic_of_a_forum_is_the_chat_itself() -> None:
    update, users, chats = packet_of(message("in General", chat=SUPERGROUP))
    (forum,) = chats.values()
    forum.forum = True

    assert keys_seen("Message", (update, users, chats))["topic"] == str(SUPERGROUP)


def test_a_plain_reply_is_in_no_topic() -> None:
    first = packet_of(message("hi", chat=SUPERGROUP))

    seen = keys_seen("Message", first, in_topic(first[0].message))

    assert seen["topic"] == str(SUPERGROUP)


def test_an_anonymous_admin_is_the_chat() -> None:
    update, users, chats = packet_of(message("hi", chat=SUPERGROUP))
    update.message.from_id = peer_of(SUPERGROUP)

    assert keys_seen("Message", (update, users, chats))["user"] == str(SUPERGROUP)


# --- what only some of the forks have -----------------------------------------------------


def reaction() -> Packet:
    update = types.UpdateBotMessageReaction(
        peer=peer_of(SUPERGROUP),  # of a plain group, pyrofork tells another id
        msg_id=1,
        date=0,
        actor=types.PeerUser(user_id=USER),
        old_reactions=[],
        new_reactions=[types.ReactionEmoji(emoticon="👍")],
        qts=1,
    )
    return around(update, SUPERGROUP)


def checkout() -> Packet:
    update = types.UpdateBotPrecheckoutQuery(
        query_id=1, user_id=USER, payload=b"x", currency="XTR", total_amount=1
    )
    return around(update)


def business_message() -> Packet:
    told, users, chats = packet_of(message("hi"))
    update = types.UpdateBotNewBusinessMessage(connection_id="abc", message=told.message, qts=1)
    return update, users, chats


def guest_message() -> Packet:
    told, users, chats = packet_of(message("@bot hi", chat=SUPERGROUP))
    update = types.UpdateBotGuestChatQuery(
        query_id=1, message=told.message, qts=1, reference_messages=[]
    )
    return update, users, chats


def stopped() -> Packet:
    action = types.SendMessageStopDraftAction(random_id=4)
    return around(types.UpdateUserTyping(user_id=USER, action=action))


@pytest.mark.parametrize(
    ("kinds", "make", "expected"),
    [
        (("MessageReaction", "MessageReactionUpdated"), reaction, IN_SUPERGROUP),
        (("PreCheckoutQuery",), checkout, OF_USER),
        (("BusinessMessage", "BotBusinessMessage"), business_message, ("babc/11",) * 4),
        (("GuestMessage",), guest_message, OF_GUEST),
        (("StoppedMessageGeneration",), stopped, ("11",) * 4),
    ],
    ids=["reaction", "checkout", "business", "guest", "stopped"],
)
def test_kinds_that_only_some_forks_know(
    kinds: tuple[str, ...], make: Callable[[], Packet], expected: tuple[str | None, ...]
) -> None:
    known = [kind for kind in kinds if hasattr(PACKAGE.handlers, f"{kind}Handler")]
    if not known:
        pytest.skip(f"{PACKAGE.__name__} {PACKAGE.__version__} has no {kinds[0]}Handler")

    assert keys_seen(known[0], make()) == dict(zip(KEYS, expected, strict=True))


def test_who_writes_to_a_channel_has_a_topic_where_the_package_knows_it() -> None:
    update, users, chats = packet_of(message("hi", chat=SUPERGROUP))
    if "monoforum" not in types.Channel.__slots__:
        pytest.skip(
            f"{PACKAGE.__name__} {PACKAGE.__version__} knows no direct messages of channels"
        )
    (inbox,) = chats.values()
    inbox.monoforum, inbox.linked_monoforum_id = True, 2
    chats |= {2: types.Channel(id=2, title="Channel", photo=types.ChatPhotoEmpty(), date=0)}
    update.message.saved_peer_id = types.PeerUser(user_id=USER)
    told = PACKAGE.types.Message(id=1)
    names = ("direct_messages_topic", "direct_messages_topic_id")
    is_told = any(hasattr(told, name) for name in names)

    seen = keys_seen("Message", (update, users, chats))

    assert seen["topic"] == (f"{SUPERGROUP}/d{USER}" if is_told else str(SUPERGROUP))


# --- no key -------------------------------------------------------------------------------


def touch(kind: str, packet: Packet) -> list[BaseException]:
    async def handler(client: Any, update: Any, *more: Any, session: Any) -> None:
        session.data += 1

    async def main() -> list[BaseException]:
        bot = Offline()
        install(bot.app, session(int))
        bot.app.add_handler(handler_of(kind)(handler))
        async with bot:
            await bot.feed_packets(packet)
        return bot.errors

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("case", "said"),
    [
        (
            "inline button",
            "callback_query has no chat, so keys.chat gave no key. Use keys.chat_or_user",
        ),
        ("poll", "poll has no chat, so keys.chat gave no key."),
        ("raw", "RawUpdate has no chat, so keys.chat gave no key."),
    ],
)
def test_touching_a_session_without_a_key_says_why(case: str, said: str) -> None:
    kind, packet, _ = CASES[case]

    (error,) = touch(kind, packet)

    assert isinstance(error, NoSessionKeyError)
    assert said in str(error)


def test_a_raw_update_may_have_a_key_of_the_user_s_own() -> None:
    chats = session(int, get_session_key=lambda ctx: f"raw {ctx.update.chat_id} {len(ctx.chats)}")
    seen: list[Any] = []

    async def handler(client: Any, update: Any, users: Any, chats: Any, session: Any) -> None:
        session.data += 1
        seen.append((type(update).__name__, sorted(users), session.key))

    async def main() -> None:
        bot = Offline()
        install(bot.app, chats)
        bot.app.add_handler(PACKAGE.handlers.RawUpdateHandler(handler))
        async with bot:
            await bot.feed_packets(member())
        assert not bot.errors

    asyncio.run(main())
    assert seen == [("UpdateChatParticipant", [USER], "raw 55 1")]
    assert RawUpdate(1, {}, {}) != RawUpdate(1, {}, {})


def test_deleted_messages_have_one_session_for_all() -> None:
    counters = session(int)

    async def handler(client: Any, messages: Any, session: Any) -> None:
        session.data += len(messages)

    async def main() -> int:
        bot = Offline()
        install(bot.app, counters)
        bot.app.add_handler(PACKAGE.handlers.DeletedMessagesHandler(handler))
        async with bot:
            await bot.feed_packets(deleted_in_channel())
        assert not bot.errors
        return await counters.get(SUPERGROUP)

    assert asyncio.run(main()) == 2

"""However quick, ``keys`` read what they always read: compared with the slow way."""

from __future__ import annotations

import weakref
from collections import UserDict
from collections.abc import Callable, Mapping
from enum import Enum
from types import MappingProxyType, SimpleNamespace
from typing import Any, ClassVar
from unittest.mock import MagicMock, Mock

import pydantic
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sessionkit import keys
from sessionkit._updates import attributes as _reading
from sessionkit._updates.update import ANONYMOUS_ADMIN, CHANNEL_SENDER, UPDATE_KINDS
from tests import slow_keys
from tests.test_keys import CASES, FORMS, KEY_FUNCTIONS, Case, as_object, as_update, keys_of

FUNCTIONS = (
    "chat",
    "user",
    "user_in_chat",
    "topic",
    "user_in_topic",
    "chat_or_user",
    "migration",
    "describe",
)


def assert_same(ctx: Any) -> None:
    for name in FUNCTIONS:
        assert getattr(keys, name)(ctx) == getattr(slow_keys, name)(ctx), name


# What libraries make of updates


def of_aiogram(raw: dict[str, Any]) -> Any:
    from aiogram.types import Update

    return Update.model_validate(raw)


def of_ptb(raw: dict[str, Any]) -> Any:
    from telegram import Update

    return Update.de_json(raw, None)


def of_older_ptb(raw: dict[str, Any]) -> Any:
    """As a release makes it that is older than the kind of update, and than topics of channels."""
    from telegram import Message, Update

    kind, event = list(raw.items())[1]
    if kind != "message":
        return Update(1, api_kwargs={kind: event})
    message = Message.de_json(event, None)
    with message._unfrozen():
        topic = event.get("direct_messages_topic")
        message.direct_messages_topic = None
        message.api_kwargs = MappingProxyType({"direct_messages_topic": topic} if topic else {})
    return Update(1, message=message)


def of_telebot(raw: dict[str, Any]) -> Any:
    from telebot.types import Update

    kind, event = list(raw.items())[1]
    if kind == "purchased_paid_media":  # read by a name that Telegram does not send
        event = event | {"from_user": event["from"]}
    read_update: Any = Update  # telebot is not typed
    return read_update.de_json({"update_id": 1, kind: event})


LIBRARIES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "aiogram": of_aiogram,
    "python-telegram-bot": of_ptb,
    "an older python-telegram-bot": of_older_ptb,
    "pyTelegramBotAPI": of_telebot,
    "dicts": lambda raw: raw,
    "SimpleNamespace": as_object,
}


@pytest.mark.parametrize("library", LIBRARIES)
def test_every_kind_of_update_of_every_library(library: str) -> None:
    for case in CASES:
        check_update(case, library)


def check_update(case: Case, library: str) -> None:
    raw = as_update(case.kind, case.event)
    update = LIBRARIES[library](raw)
    assert keys_of(update) == {name: getattr(case, name) for name in KEY_FUNCTIONS}
    event = raw[case.kind] if library == "dicts" else getattr(update, case.kind, None)

    for ctx in (
        update,
        event,
        getattr(event, "message", None),
        SimpleNamespace(update=update),
        SimpleNamespace(update=update, chat_id=7),
        SimpleNamespace(update=update, chat_id=7, business_connection_id="x"),
        {"update": update},
        {case.kind: event},
    ):
        assert_same(ctx)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_the_other_tests(form: str) -> None:
    for case in CASES:
        assert_same(FORMS[form](case.kind, case.event))


def test_fields_that_are_younger_than_the_library() -> None:
    raw = as_update("message", {**CASES[0].event, "actor_chat": {"id": -7}, "user_id": 4})
    update = of_aiogram({**raw, "telepathy": {"chat": {"id": 5}}})
    kind = of_aiogram({"update_id": 1, "telepathy": {"chat": {"id": 5}}})
    event = of_aiogram({"update_id": 1, "message": {**CASES[0].event, "chat_id": 9}}).message

    for ctx in (update, update.message, kind, event):
        assert_same(ctx)
    assert keys.user(update) == "-7"
    assert keys.chat(event) == "9"


# Odd ones


class Proxy:
    """Says that it is of another class."""

    @property  # type: ignore[misc]  # to write it is not needed
    def __class__(self) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride] (the same)
        inner: Any = self.__dict__["inner"]
        return inner.__class__

    def __init__(self, inner: Any) -> None:
        self.__dict__["inner"] = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["inner"], name)


class Secretive:
    """Says so, too, and declares nothing."""

    def __init__(self, inner: Any) -> None:
        object.__setattr__(self, "inner", inner)

    def __getattribute__(self, name: str) -> Any:
        return getattr(object.__getattribute__(self, "inner"), name)


class Answering:
    """Has whatever it is asked for, as long as that is something."""

    def __init__(self, inner: Mapping[str, Any]) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        found = self._inner.get(name)
        if found is None:
            raise AttributeError(name)
        return found


class Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")

    chat: Any = None
    message: Any = None
    update: Any = None
    from_user: Any = None
    id: Any = None
    business_connection_id: Any = None
    _private: int = 1

    @property
    def user_id(self) -> Any:
        return self.id


class Closed(pydantic.BaseModel):
    update_id: Any = None
    message: Any = None
    chat: Any = None
    id: Any = None


class Shadowed(Model):
    """Has properties and attributes of the class, too, that no field tells of."""

    sender_id: ClassVar[int] = 8

    @property
    def thread_id(self) -> Any:
        return self.id

    @property
    def migrate_to_chat_id(self) -> Any:
        raise AttributeError("none here")


class Intercepting(Model):
    def __getattribute__(self, name: str) -> Any:
        return 8 if name in ("chat_id", "sender_id") else super().__getattribute__(name)


class OfItsOwn(Model):
    def __getattr__(self, name: str) -> Any:
        if name in ("from", "update_id"):
            return 4
        raise AttributeError(name)


class MyDict(dict[str, Any]):
    chat_id = 6


class MyUserDict(UserDict[str, Any]):
    chat_id = 6


def constructed(values: dict[str, Any]) -> Any:
    return Closed.model_construct(**values)


def with_fields_by_hand(values: dict[str, Any]) -> Any:
    model = Closed()
    for name, value in values.items():
        object.__setattr__(model, name, value)
    return model


alive: list[Any] = []
"""What weak proxies lead to."""


def weak_proxy(values: dict[str, Any]) -> Any:
    alive.append(UserDict(values))
    return weakref.proxy(alive[-1])


class Slotted:
    __slots__ = ("__weakref__", "business_connection_id", "chat", "from_user", "id", "message")


def slotted(values: dict[str, Any]) -> Any:
    made = Slotted()
    for name in {"business_connection_id", "chat", "from_user", "id", "message"} & set(values):
        setattr(made, name, values[name])
    return made


HOLDERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "dict": dict,
    "UserDict": UserDict,
    "MyDict": MyDict,
    "MyUserDict": MyUserDict,
    "SimpleNamespace": lambda values: SimpleNamespace(**values),
    "slotted": slotted,
    "pydantic": lambda values: Model(**values),
    "pydantic, closed": lambda values: Closed(**values),
    "pydantic, constructed": constructed,
    "pydantic, set by hand": with_fields_by_hand,
    "pydantic, shadowed": lambda values: Shadowed(**values),
    "pydantic, intercepting": lambda values: Intercepting(**values),
    "pydantic, with more than that": lambda values: OfItsOwn(**values),
    "answering": Answering,
    "proxy of a dict": lambda values: Proxy(dict(values)),
    "proxy of an object": lambda values: Proxy(SimpleNamespace(**values)),
    "secretive proxy of a dict": lambda values: Secretive(dict(values)),
    "secretive proxy of an object": lambda values: Secretive(SimpleNamespace(**values)),
    "weak proxy": weak_proxy,
    "class": lambda values: type("Anything", (), values),
}


class Number(int, Enum):
    ONE = 1


class ChatType(Enum):
    CHANNEL = "channel"


REAL_IDS = (1, 2, -100, ANONYMOUS_ADMIN, CHANNEL_SENDER, "C1", "a/b%", Number.ONE)
IDS: st.SearchStrategy[Any] = st.sampled_from([*REAL_IDS, None, True, "", 1.5, [], {}])

ID_NAMES = (
    "id",
    "chat_id",
    "user_id",
    "sender_id",
    "user_chat_id",
    "update_id",
    "business_connection_id",
    "thread_id",
    "message_thread_id",
    "is_topic_message",
    "topic_id",
    "direct_messages_topic_id",
    "guest_query_id",
    "chat_instance",
    "migrate_to_chat_id",
    "migrate_from_chat_id",
)
NAMES_OF_HOLDERS = (
    "chat",
    "from_user",
    "from",
    "user",
    "sender_chat",
    "actor_chat",
    "voter_chat",
    "message",
    "update",
    "boost",
    "source",
    "direct_messages_topic",
    "guest_bot_caller_user",
    "guest_message",
    "api_kwargs",
    "callback_query",
    "poll",
    "chat_boost",
    "telepathy",
)
TYPES = st.sampled_from(["channel", "private", ChatType.CHANNEL, None])


def holder_of(make: str, *parts: dict[str, Any]) -> Any:
    return HOLDERS[make]({name: value for part in parts for name, value in part.items()})


def held(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Holders of these values, of all sorts."""
    contents = st.dictionaries(st.sampled_from(NAMES_OF_HOLDERS), values, max_size=5)
    ids = st.dictionaries(st.sampled_from(ID_NAMES), IDS, max_size=3)
    types = st.fixed_dictionaries({}, optional={"type": TYPES, "source": st.just("premium")})
    return st.builds(holder_of, st.sampled_from(list(HOLDERS)), types, ids, contents)


CONTEXTS = st.recursive(held(IDS), held, max_leaves=12)


@given(CONTEXTS)
@example({"chat_id": 1, "direct_messages_topic": 1, "direct_messages_topic_id": 1})
@example(
    {
        "chat_id": 1,
        "direct_messages_topic": {},
        "api_kwargs": {"direct_messages_topic": {"topic_id": 1}},
    }
)
def test_whatever_is_given(ctx: Any) -> None:
    assert_same(ctx)


@given(CONTEXTS, st.sampled_from(UPDATE_KINDS), CONTEXTS, st.sampled_from(list(HOLDERS)))
def test_whatever_an_update_brings(event: Any, kind: str, message: Any, holder: str) -> None:
    if kind == "callback_query":
        event = SimpleNamespace(message=message, from_user=event)
    update = HOLDERS[holder]({"update_id": 1, kind: event})

    for ctx in (update, SimpleNamespace(update=update), {"update": update, "chat_id": 4}):
        assert_same(ctx)


@pytest.mark.parametrize("of_message", HOLDERS)
def test_a_message_in_whatever_it_comes(of_message: str) -> None:
    ids = {"chat": HOLDERS[of_message]({"id": -100}), "from_user": HOLDERS[of_message]({"id": 3})}
    message = HOLDERS[of_message](ids)

    assert_same(message)
    for hold in HOLDERS.values():
        update = hold({"update_id": 1, "message": message})
        assert_same(update)
        assert_same(hold({"update": update}))


HERE: dict[str, Any] = {"chat": {"id": 5}, "from": {"id": 3}}
ELSEWHERE: dict[str, Any] = {"chat": {"id": -9}, "from": {"id": 9}}


@pytest.mark.parametrize(
    ("raw", "key"),
    [
        (HERE, "3/5"),
        ({"message": HERE}, "3/5"),
        ({**HERE, "poll": ELSEWHERE}, "3/5"),
        ({**HERE, "chat_id": 7}, "3/5"),
        ({"message": HERE, "chat_id": 7}, None),
        ({**HERE, "chat": {"id": "a/b"}}, "3/a%2Fb"),
        ({**HERE, "message": {**ELSEWHERE, "business_connection_id": "x"}}, "bx/3/5"),
        ({**HERE, "update": {"message": ELSEWHERE}}, "3/5"),
        ({**HERE, "update": {"update_id": 1, "message": ELSEWHERE}}, "9/-9"),
        ({"update": {"message": ELSEWHERE}}, None),
        ({"callback_query": HERE}, "3/5"),
        ({"callback_query": {**HERE, "message": ELSEWHERE}}, "3/5"),
        ({"callback_query": {"from": {"id": 3}, "message": ELSEWHERE}}, "3/-9"),
        ({"from": {"id": 3}, "message": ELSEWHERE}, "3/-9"),
        ({"user_id": 3, "poll": HERE}, None),
    ],
    ids=str,
)
def test_what_counts_where_there_is_a_choice(raw: dict[str, Any], key: str | None) -> None:
    for ctx in (raw, as_object(raw)):
        assert_same(ctx)
        assert keys.user_in_chat(ctx) == key


@pytest.mark.parametrize("make", [Mock, MagicMock, lambda: Mock(spec=dict)])
def test_mocks_have_everything(make: Callable[[], Any]) -> None:
    assert_same(make())


def test_a_mock_of_an_update_has_what_it_was_given() -> None:
    update = Mock(spec=["update_id", "message"])
    update.message = Mock(spec=["chat", "from_user"])
    update.message.chat.id, update.message.from_user.id = -100, 3

    assert_same(update)
    assert keys.user_in_chat(update) == "3/-100"


# What raises


class NoNetworkError(Exception):
    pass


def raising(name: str, values: dict[str, Any], error: type[Exception]) -> Any:
    def fetch(_: object) -> None:
        raise error

    return type("Raising", (SimpleNamespace,), {name: property(fetch)})(**values)


@pytest.mark.parametrize("name", [*ID_NAMES, *NAMES_OF_HOLDERS, "type", "inline_query"])
def test_no_more_is_asked_for(name: str) -> None:
    """What cannot be had raises only where it always did; what is not there is no error."""
    chat, ann = SimpleNamespace(id=-100, type="group"), SimpleNamespace(id=3)
    message = {"chat": chat, "from_user": ann}
    parts: dict[str, Any] = {
        "update": {"update_id": 1, "message": SimpleNamespace(**message)},
        "context": {"update": SimpleNamespace(update_id=1, message=SimpleNamespace(**message))},
        "message": message,
        "chat": {"id": -100},
    }
    for part, values in parts.items():
        others = {other: value for other, value in values.items() if other != name}
        for error in (NoNetworkError, AttributeError):
            ctx = raising(name, others, error)
            if part == "chat":
                ctx = {"update_id": 1, "message": {"chat": ctx, "from": ctx, "sender_chat": ctx}}
            for function in FUNCTIONS:
                try:
                    expected = getattr(slow_keys, function)(ctx)
                except NoNetworkError:
                    continue
                assert getattr(keys, function)(ctx) == expected, function


# What is remembered


def test_classes_made_without_end_are_not_kept_without_end() -> None:
    for _ in range(3000):
        kind = type("Endless", (), {"chat_id": None, "chat": SimpleNamespace(id=5)})
        assert keys.chat(kind()) == "5"

    for readers in (_reading.READERS, _reading.LIKELY, _reading.ATTRIBUTES):
        assert len(readers) <= 1024

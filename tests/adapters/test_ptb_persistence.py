"""PTB's persistence over any storage: what it keeps, for how long, and what it refuses."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from telegram import Bot, InlineKeyboardButton, InlineKeyboardMarkup, Message
from telegram.ext import (
    Application,
    BasePersistence,
    CallbackQueryHandler,
    CommandHandler,
    ContextTypes,
    PersistenceInput,
    TypeHandler,
)

from sessionkit import (
    MemorySessionStorage,
    SessionClosedError,
    SessionEncodeError,
    SQLiteSessionStorage,
    session,
)
from sessionkit.codecs import PickleCodec
from sessionkit_ptb import SessionPersistence, install
from tests.adapters.driver import BOT_ID, TOKEN, message, update
from tests.adapters.ptb_bot import Offline, bare, feed, update_of
from tests.adapters.ptb_talk import application
from tests.contexts import Spy
from tests.core import make_storage, until

ROOT = Path(__file__).parents[2]


async def handle(storage: Any, callback: Any, *updates: Any, **options: Any) -> Any:
    """Start an application on *storage*, handle updates, shut it down; return it."""
    app = bare().persistence(SessionPersistence(storage, **options)).build()
    app.add_handler(TypeHandler(object, callback))
    async with app:
        await feed(app, *(updates or [message()]))
    return app


async def count(update: object, context: Any) -> None:
    for data in (context.chat_data, context.user_data, context.bot_data):
        data["n"] = data.get("n", 0) + 1


async def look(update: object, context: Any) -> None:
    """Touch no data."""


# --- a restart ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["memory", "file", "sqlite"])
def test_data_of_chats_users_and_the_bot_survives_a_restart(kind: str, tmp_path: Path) -> None:
    storage = make_storage(kind, tmp_path)
    try:
        for times in (1, 2):
            app = asyncio.run(handle(storage, count, message(chat=7, user=8)))
            assert app.chat_data == {7: {"n": times}}
            assert app.user_data == {8: {"n": times}}
            assert app.bot_data == {"n": times}
    finally:
        storage.sync.close()


def test_keys_begin_with_the_prefix_and_the_id_of_the_bot() -> None:
    storage = Spy()
    asyncio.run(handle(storage, count, message(chat=7, user=8), prefix="mine/"))

    keys = {f"mine/{BOT_ID}/{rest}" for rest in ("chat/7", "user/8", "bot/data")}
    assert set(storage.data) == keys


class Talk:
    """The bot of ``ptb_talk`` in a process of its own."""

    def __init__(self, database: Path) -> None:
        command = [sys.executable, "-m", "tests.adapters.ptb_talk", f"sqlite:///{database}"]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def say(self, text: str) -> str:
        """Say it, wait until all is written, return what the bot answered."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(text, file=self._process.stdin, flush=True)
        answers = list(iter(self._read, "saved"))
        return "\n".join(answers)

    def _read(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the bot has died"
        return line.strip()

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


def test_a_conversation_goes_on_after_the_bot_was_killed(tmp_path: Path) -> None:
    answers: list[str] = []
    for text in ("/start", "Ann", "30", "/who"):
        bot = Talk(tmp_path / "talk.db")
        try:
            answers.append(bot.say(text))
        finally:
            bot.kill()

    assert answers == [
        "What is your name?",
        "How old are you?",
        "Ann is 30, known after 3 steps",
        "['Ann']",
    ]


def test_conversations_of_many_chats_changed_at_once_are_all_kept(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'talk.db'}"
    users = range(1, 101)

    async def start() -> None:
        async with application(url) as app:
            for user in users:
                await feed(app, message("/start", chat=user, user=user))

    async def states() -> Any:
        async with application(url) as app:
            return await app.persistence.get_conversations("talk")

    asyncio.run(start())
    assert asyncio.run(states()) == {(user, user): "name" for user in users}


def test_a_conversation_that_ended_is_forgotten() -> None:
    storage = Spy()

    async def main() -> None:
        async with application(storage) as app:
            await feed(app, message("/start"))
            await app.update_persistence()
            assert storage.data[f"ptb:{BOT_ID}/conversation/talk"] == {"[11, 11]": "name"}
            await feed(app, message("Ann"), message("30"))
        assert storage.data[f"ptb:{BOT_ID}/conversation/talk"] == {}

    asyncio.run(main())


# --- loaded when first used ---------------------------------------------------------------


def test_a_chat_is_read_once_and_only_if_a_handler_matches() -> None:
    storage = Spy(**{f"ptb:{BOT_ID}/chat/7": {"n": 5}})
    key = f"R ptb:{BOT_ID}/chat/7"

    async def main() -> None:
        app = bare().persistence(SessionPersistence(storage)).build()
        app.add_handler(CommandHandler("look", look))
        async with app:
            await feed(app, message(chat=7))
            assert key not in storage.log
            for _ in range(2):
                await feed(app, message("/look", chat=7))
            assert storage.log.count(key) == 1
            assert app.chat_data[7] == {"n": 5}

    asyncio.run(main())


def test_what_did_not_change_is_not_written() -> None:
    stored = {f"ptb:{BOT_ID}/{place}": {"n": 5} for place in ("chat/11", "user/11", "bot/data")}
    storage = Spy(**stored)

    asyncio.run(handle(storage, look))

    assert storage.counts.endswith("W0 D0")
    assert storage.data == stored


def test_what_a_handler_removes_is_removed() -> None:
    storage = Spy(**{f"ptb:{BOT_ID}/chat/11": {"name": "Ann", "n": 5}})

    async def remove(update: object, context: Any) -> None:
        del context.chat_data["name"]

    asyncio.run(handle(storage, remove))

    assert storage.data[f"ptb:{BOT_ID}/chat/11"] == {"n": 5}


def test_data_written_before_it_was_ever_loaded_goes_beside_what_is_stored() -> None:
    storage = Spy(**{f"ptb:{BOT_ID}/chat/7": {"name": "Ann", "n": 5}})

    async def touch_another(update: object, context: Any) -> None:
        context.application.chat_data[7]["n"] = 6
        context.application.mark_data_for_update_persistence(chat_ids=7)

    asyncio.run(handle(storage, touch_another))

    assert storage.data[f"ptb:{BOT_ID}/chat/7"] == {"name": "Ann", "n": 6}


def test_what_is_in_memory_already_wins_over_what_is_stored() -> None:
    storage = Spy(**{f"ptb:{BOT_ID}/chat/7": {"name": "Ann", "n": 5}})

    async def main() -> None:
        app = bare().persistence(SessionPersistence(storage)).build()
        app.add_handler(TypeHandler(object, look))
        async with app:
            app.chat_data[7]["n"] = 6
            await feed(app, message(chat=7))
            assert app.chat_data[7] == {"name": "Ann", "n": 6}

    asyncio.run(main())


class OneByOne(Spy):
    """Each read waits until the test lets it through."""

    def __init__(self, **stored: Any) -> None:
        super().__init__(**stored)
        self.is_open = False
        self.gates: list[asyncio.Event] = []

    async def read(self, key: str, /) -> Any:
        if self.is_open:
            return super().read(key)
        self.gates.append(asyncio.Event())
        await self.gates[-1].wait()
        return super().read(key)


def test_a_chat_that_two_updates_load_at_once_is_taken_over_once() -> None:
    storage = OneByOne(**{f"ptb:{BOT_ID}/chat/7": {"n": 5}})

    async def main() -> None:
        persistence = SessionPersistence(storage)
        persistence.set_bot(await running_bot())
        data: dict[str, int] = {}
        loading = [
            asyncio.create_task(persistence.refresh_chat_data(chat_id=7, chat_data=data))
            for _ in range(2)
        ]
        await until(lambda: len(storage.gates) == 2)
        storage.gates[0].set()
        await loading[0]
        assert data.pop("n") == 5
        storage.gates[1].set()
        await loading[1]
        assert data == {}

    asyncio.run(main())


class Listed(Spy):
    """One that can list."""

    def iter_items(self, prefix: str = "", /) -> Iterator[tuple[str, Any]]:
        yield from [(key, data) for key, data in self.data.items() if key.startswith(prefix)]


async def running_bot() -> Any:
    bot: Any = bare().build().bot
    await bot.initialize()
    return bot


def test_a_read_that_fails_is_reported_and_nothing_is_overwritten() -> None:
    key = f"ptb:{BOT_ID}/chat/11"
    storage = Spy(**{key: {"name": "Ann"}})
    errors: list[str] = []

    async def note(update: object, context: Any) -> None:
        errors.append(str(context.error))

    async def main() -> None:
        app = bare().persistence(SessionPersistence(storage)).build()
        for group in range(2):  # PTB goes on with the next group
            app.add_handler(TypeHandler(object, count), group)
        app.add_error_handler(note)
        async with app:
            storage.broken.add(f"R {key}")
            await feed(app, message())
            storage.broken.clear()

    asyncio.run(main())
    assert errors == [f"R {key} failed"]
    assert storage.data[key] == {"name": "Ann", "n": 1}


@pytest.mark.parametrize("kind", ["memory", "file", "sqlite"])
def test_preload_has_all_chats_and_users_at_start(kind: str, tmp_path: Path) -> None:
    storage = make_storage(kind, tmp_path)
    try:
        updates = [message(chat=chat, user=5) for chat in (-7, 8)]
        asyncio.run(handle(storage, count, *updates))

        app = asyncio.run(handle(storage, count, updates[0], preload=True))
    finally:
        storage.sync.close()

    assert app.chat_data == {-7: {"n": 2}, 8: {"n": 1}}
    assert app.user_data == {5: {"n": 3}}


def test_with_preload_nothing_is_read_later() -> None:
    storage = MemorySessionStorage()

    async def main() -> None:
        persistence = SessionPersistence(storage, preload=True)
        persistence.set_bot(await running_bot())
        assert await persistence.get_chat_data() == {}
        storage.write(f"ptb:{BOT_ID}/chat/7", {"n": 5})
        data: dict[str, int] = {}
        await persistence.refresh_chat_data(7, data)
        assert data == {}

    asyncio.run(main())


def test_preload_needs_a_storage_that_can_list() -> None:
    with pytest.raises(TypeError, match="iter_items"):
        asyncio.run(handle(Spy(), look, preload=True))


def test_another_application_on_the_same_persistence_loads_for_itself() -> None:
    persistence = SessionPersistence(MemorySessionStorage())

    async def once() -> Any:
        app = bare().persistence(persistence).build()
        app.add_handler(TypeHandler(object, count))
        async with app:
            await feed(app, message())
        return app

    asyncio.run(once())
    assert asyncio.run(once()).chat_data == {11: {"n": 2}}


# --- dropping -----------------------------------------------------------------------------


def test_what_is_dropped_is_deleted_and_stays_so() -> None:
    storage = MemorySessionStorage()

    async def drop(update: object, context: Any) -> None:
        context.application.drop_chat_data(11)
        context.application.drop_user_data(11)

    async def main() -> None:
        await handle(storage, count)
        app = bare().persistence(SessionPersistence(storage)).build()
        app.add_handler(TypeHandler(object, drop))
        async with app:
            await feed(app, message())
            await app.update_persistence()
            assert storage.read(f"ptb:{BOT_ID}/chat/11") is None
            assert storage.read(f"ptb:{BOT_ID}/user/11") is None
        app = await handle(storage, look)
        assert (dict(app.chat_data), dict(app.user_data)) == ({11: {}}, {11: {}})

    asyncio.run(main())


def test_after_a_drop_nothing_is_read_again() -> None:
    async def main() -> None:
        storage = Spy()
        persistence = SessionPersistence(storage)
        persistence.set_bot(await running_bot())
        await persistence.drop_chat_data(7)
        storage.data[f"ptb:{BOT_ID}/chat/7"] = {"n": 1}
        data: dict[str, int] = {}
        await persistence.refresh_chat_data(7, data)
        assert data == {}

    asyncio.run(main())


@pytest.mark.parametrize("preload", [False, True])
@pytest.mark.parametrize("kind", ["chat", "user"])
def test_what_is_dropped_before_it_was_ever_used_is_not_loaded(kind: str, preload: bool) -> None:
    storage = MemorySessionStorage()
    key = f"ptb:{BOT_ID}/{kind}/11"

    async def main() -> None:
        await handle(storage, count)
        persistence = SessionPersistence(storage, preload=preload)
        app = bare().persistence(persistence).build()
        app.add_handler(TypeHandler(object, count))
        async with app:
            getattr(app, f"drop_{kind}_data")(11)
            await feed(app, message())
            assert getattr(app, f"{kind}_data")[11] == {"n": 1}
            await app.update_persistence()
            assert storage.read(key) == {"n": 1}  # what came after the drop
            getattr(app, f"drop_{kind}_data")(11)
        assert storage.read(key) is None

    asyncio.run(main())


def test_what_is_dropped_while_it_is_loaded_does_not_come_back() -> None:
    storage = OneByOne(**{f"ptb:{BOT_ID}/chat/11": {"n": 5}})

    async def main() -> None:
        app = bare().persistence(SessionPersistence(storage)).build()
        app.add_handler(TypeHandler(object, count))
        storage.is_open = True
        async with app:
            storage.is_open = False
            handling = asyncio.create_task(feed(app, message()))
            await until(lambda: len(storage.gates) == 1)
            app.drop_chat_data(11)
            storage.is_open = True
            storage.gates[0].set()
            await handling
            assert app.chat_data[11] == {"n": 1}

    asyncio.run(main())


class OwnApplication(Application[Any, Any, Any, Any, Any, Any]):
    """An application class of a user's own."""

    __slots__ = ("dropped",)

    def drop_chat_data(self, chat_id: int) -> None:
        self.dropped = chat_id
        super().drop_chat_data(chat_id)


def test_drops_of_an_application_of_the_users_own_are_noticed() -> None:
    async def main() -> None:
        storage = MemorySessionStorage()
        await handle(storage, count)
        builder = bare().application_class(OwnApplication).persistence(SessionPersistence(storage))
        app = builder.build()
        app.add_handler(TypeHandler(object, look))
        async with app:
            app.drop_chat_data(11)
            await feed(app, message())
        assert (app.dropped, app.chat_data[11]) == (11, {})
        assert isinstance(app, OwnApplication)
        assert type(app).__qualname__ == "OwnApplication"

    asyncio.run(main())


# --- what cannot be written ---------------------------------------------------------------


@pytest.mark.parametrize("preload", [False, True])
def test_what_could_not_be_written_is_written_by_the_next_run(preload: bool) -> None:
    storage = Listed()
    options = {"preload": preload}

    async def main() -> None:
        async with application(storage, **options) as app:
            await feed(app, message("/start"), message("Ann"))
            storage.broken.add("W")
            await app.update_persistence()
            assert storage.data == {}
            storage.broken.clear()
        async with application(storage, **options) as app:
            await feed(app, message("30"))
            assert (app.chat_data[11], app.user_data[11]) == ({"steps": 3}, {"name": "Ann"})
            assert app.bot_data == {"known": ["Ann"]}

    asyncio.run(main())


@pytest.mark.parametrize("preload", [False, True])
@pytest.mark.parametrize("kind", ["chat", "user"])
@pytest.mark.parametrize("used", [False, True])
def test_what_could_not_be_deleted_is_deleted_by_the_next_run(
    kind: str, preload: bool, used: bool
) -> None:
    storage = Listed()

    async def main() -> None:
        await handle(storage, count)
        app = bare().persistence(SessionPersistence(storage, preload=preload)).build()
        app.add_handler(TypeHandler(object, count))
        async with app:
            getattr(app, f"drop_{kind}_data")(11)
            storage.broken |= {"D", "W"}
            await app.update_persistence()
            if used:
                await feed(app, message())
            storage.broken.clear()
        assert storage.data.get(f"ptb:{BOT_ID}/{kind}/11") == ({"n": 1} if used else None)

    asyncio.run(main())


WRITES: list[tuple[str, tuple[Any, ...]]] = [
    ("update_chat_data", (7, {"n": 1})),
    ("drop_user_data", (7,)),
    ("update_bot_data", ({"n": 1},)),
    ("update_callback_data", (([], {"query": "keyboard"}),)),
    ("update_conversation", ("talk", (1, 2), "name")),
]


@pytest.mark.parametrize(("method", "arguments"), WRITES, ids=[name for name, _ in WRITES])
def test_called_by_hand_it_raises_what_the_storage_raises(method: str, arguments: Any) -> None:
    storage = Spy(**{f"ptb:{BOT_ID}/user/7": {"n": 1}})

    async def main() -> None:
        persistence = SessionPersistence(storage)
        persistence.set_bot(await running_bot())
        storage.broken |= {"W", "D"}
        with pytest.raises(OSError, match="failed"):
            await getattr(persistence, method)(*arguments)

    asyncio.run(main())


def test_what_can_never_be_stored_is_reported_once_for_each_use() -> None:
    errors: list[str] = []

    async def put(update: object, context: Any) -> None:
        for data in (context.chat_data, context.user_data):
            data["votes"] = {3: "yes"}

    async def note(update: object, context: Any) -> None:
        errors.append(str(context.error))

    async def main() -> None:
        app = bare().persistence(SessionPersistence(Spy())).build()
        app.add_handler(TypeHandler(object, put))
        app.add_error_handler(note)
        async with app:
            await feed(app, message())
            for _ in range(3):
                await app.update_persistence()

    asyncio.run(main())
    assert len(errors) == 2
    for kind, error in zip(("chat", "user"), sorted(errors), strict=True):
        assert f"{kind}_data[11]['votes']" in error
        assert "session.data" not in error


# --- what can be stored -------------------------------------------------------------------


def test_a_storage_that_takes_any_value_takes_any_data(tmp_path: Path) -> None:
    async def put(update: object, context: Any) -> None:
        context.chat_data["votes"] = {3: ("yes", 1)}

    async def main() -> None:
        async with SQLiteSessionStorage(tmp_path / "bot.db", codec=PickleCodec()) as storage:
            await handle(storage, put)
            app = await handle(storage, look)
            assert app.chat_data == {11: {"votes": {3: ("yes", 1)}}}

    asyncio.run(main())


class Chat:
    """Data that is not a dict."""


@pytest.mark.parametrize("kind", ["chat_data", "user_data"])
def test_chats_and_users_of_the_bots_own_classes_are_refused_at_the_start(kind: str) -> None:
    async def main() -> None:
        builder = bare().persistence(SessionPersistence(Spy()))
        types: Any = {kind: Chat}
        with pytest.raises(TypeError, match=rf"keeps dicts, and {kind} is a Chat: .* in a session"):
            await builder.context_types(ContextTypes(**types)).build().initialize()

    asyncio.run(main())


class Votes(dict[str, int]):
    """A dict of the bot's own."""


@dataclass
class Known:
    """Data of the bot that becomes plain values."""

    names: list[str] = field(default_factory=list[str])


class Whole:
    """Data of the bot that a storage for any value takes."""

    def __init__(self) -> None:
        self.names: list[str] = []


KINDS = [(Known, "sqlite"), (Votes, "sqlite"), (int, "file"), (Whole, "memory"), (Known, "memory")]


@pytest.mark.parametrize(("kind", "storage"), KINDS)
def test_the_bots_data_may_be_of_its_own_type(kind: Any, storage: str, tmp_path: Path) -> None:
    kept = make_storage(storage, tmp_path)

    async def use() -> Any:
        builder = bare().persistence(SessionPersistence(kept))
        async with builder.context_types(ContextTypes(bot_data=kind)).build() as app:
            before = app.bot_data
            if kind is int:
                app.bot_data = before + 1
            elif kind is Votes:
                before["yes"] = before.get("yes", 0) + 1
            else:
                before.names.append("Ann")
            assert type(before) is kind
            return app.bot_data

    try:
        asyncio.run(use())
        after = asyncio.run(use())
    finally:
        kept.sync.close()
    assert after in (2, {"yes": 2}) or after.names == ["Ann", "Ann"]


def test_a_type_of_the_bot_that_becomes_no_plain_values_is_refused_at_the_start() -> None:
    async def main() -> None:
        builder = bare().persistence(SessionPersistence(Spy()))
        app = builder.context_types(ContextTypes(bot_data=Whole)).build()
        with pytest.raises(
            TypeError, match=r"bot_data is of type Whole, .*PickleCodec.*Whole cannot"
        ):
            await app.initialize()

    asyncio.run(main())


@pytest.mark.parametrize("preload", [False, True])
def test_dicts_of_the_bots_own_come_back_as_such(preload: bool) -> None:
    storage = MemorySessionStorage()

    async def use() -> Any:
        persistence = SessionPersistence(storage, preload=preload)
        types: Any = {"chat_data": Votes, "user_data": Votes}
        app = bare().persistence(persistence).context_types(ContextTypes(**types)).build()
        app.add_handler(TypeHandler(object, count))
        async with app:
            await feed(app, message())
        return app

    asyncio.run(use())
    app = asyncio.run(use())
    assert type(app.chat_data[11]) is Votes
    assert dict(app.chat_data) == dict(app.user_data) == {11: {"n": 2}}


@dataclass
class Order:
    """A class of the bot's own with an object of Telegram's in it."""

    message: Message


@pytest.mark.parametrize("preload", [False, True])
def test_objects_of_telegram_know_their_bot_after_a_restart(preload: bool, tmp_path: Path) -> None:
    storages = [SQLiteSessionStorage(tmp_path / "bot.db", codec=PickleCodec()) for _ in range(2)]

    async def keep(update: Any, context: Any) -> None:
        for data in (context.chat_data, context.user_data, context.bot_data):
            data["orders"] = [Order(update.message)]

    async def main() -> None:
        app = await handle(storages[0], keep)
        persistence = SessionPersistence(storages[1], preload=preload)
        app = bare().persistence(persistence).build()
        app.add_handler(TypeHandler(object, look))
        async with app:
            await feed(app, message())
            for data in (app.chat_data[11], app.user_data[11], app.bot_data):
                (order,) = data["orders"]
                assert order.message.get_bot() is order.message.chat.get_bot() is app.bot
            await persistence.update_conversation("talk", (1, 2), Order(order.message))
            states: Any = await persistence.get_conversations("talk")
            assert states[1, 2].message.get_bot() is app.bot

    asyncio.run(main())
    for storage in storages:
        storage.sync.close()


def test_callback_data_comes_back_as_ptb_gave_it(tmp_path: Path) -> None:
    given = ([("keyboard", 1700000000.5, {"button": {"pizza": [1, 2]}})], {"query": "keyboard"})

    async def main() -> None:
        for write in (True, False):
            persistence = SessionPersistence(f"sqlite:///{tmp_path / 'bot.db'}")
            persistence.set_bot(await running_bot())
            if write:
                await persistence.update_callback_data(given)
            assert await persistence.get_callback_data() == given
            await persistence.flush()

    asyncio.run(main())


def test_buttons_with_arbitrary_data_work_after_a_restart(tmp_path: Path) -> None:
    pytest.importorskip("cachetools", reason="python-telegram-bot[callback-data] is not installed")
    url = f"sqlite:///{tmp_path / 'bot.db'}"
    pressed: list[Any] = []

    async def press(update: Any, context: Any) -> None:
        pressed.append(update.callback_query.data)

    def started() -> Any:
        builder = bare().arbitrary_callback_data(True)
        app = builder.persistence(SessionPersistence(url)).build()
        app.add_handler(CallbackQueryHandler(press))
        return app

    async def send() -> str:
        async with started() as app:
            button = InlineKeyboardButton("Pizza", callback_data={"pizza": 1})
            markup = app.bot.callback_data_cache.process_keyboard(InlineKeyboardMarkup([[button]]))
            return str(markup.inline_keyboard[0][0].callback_data)

    async def receive(data: str) -> None:
        async with started() as app:
            query = update("callback_query", id="1", from_=USER, chat_instance="1", data=data)
            received = update_of(query, app)
            app.bot.insert_callback_data(received)  # as it does with what Telegram sends
            await app.process_update(received)

    asyncio.run(receive(asyncio.run(send())))
    assert pressed == [{"pizza": 1}]


def test_a_button_that_cannot_be_stored_leaves_the_others_valid(tmp_path: Path) -> None:
    errors: list[Exception] = []
    good: dict[str, Any] = {"a": {"a": 1}, "b": "text", "c": None, "d": [1, 2]}
    cached = [
        ("one", 1.5, {**good, "bad": ("vote", 5)}),
        ("two", 2.5, {"x": {3: 4}}),
    ]

    async def note(update: object, context: Any) -> None:
        errors.append(context.error)

    async def main() -> None:
        persistence = SessionPersistence(f"sqlite:///{tmp_path / 'bot.db'}")
        builder = bare().persistence(persistence).arbitrary_callback_data(True)
        async with builder.build() as app:
            app.add_error_handler(note)
            app.bot.callback_data_cache.load_persistence_data((cached, {"query": "one"}))
            for _ in range(2):
                await app.update_persistence()
            stored = ([("one", 1.5, good)], {"query": "one"})
            assert await persistence.get_callback_data() == stored

    asyncio.run(main())
    (error,) = errors
    assert isinstance(error, SessionEncodeError)
    assert "2 inline button(s) will not be valid after a restart" in str(error)
    assert "callback_data is a tuple" in str(error)
    assert "callback_data has a key that is an int" in str(error)


USER = {"id": 11, "is_bot": False, "first_name": "Ann"}


def test_without_buttons_there_is_no_callback_data() -> None:
    async def main() -> None:
        persistence = SessionPersistence(Spy())
        persistence.set_bot(await running_bot())
        assert await persistence.get_callback_data() is None

    asyncio.run(main())


# --- what PTB expects ---------------------------------------------------------------------


def test_only_what_is_wanted_is_stored() -> None:
    storage = Spy()
    wanted = PersistenceInput(bot_data=False, user_data=False, callback_data=False)

    asyncio.run(handle(storage, count, store_data=wanted, update_interval=5))

    assert set(storage.data) == {f"ptb:{BOT_ID}/chat/11"}


def test_it_is_a_persistence_as_ptb_expects_it() -> None:
    persistence = SessionPersistence(Spy(), update_interval=5)

    assert isinstance(persistence, BasePersistence)
    assert persistence.update_interval == 5
    assert persistence.store_data == PersistenceInput()
    with pytest.raises(TypeError, match="ExtBot"):
        persistence.set_bot(Bot(TOKEN, request=Offline(), get_updates_request=Offline()))


def test_it_can_share_a_storage_with_sessions() -> None:
    storage = MemorySessionStorage()
    sessions = session(initial=lambda: {"n": 100}, storage=storage)

    async def main() -> None:
        await handle(storage, count)
        await sessions.update(11, lambda data: {"n": data["n"] + 1})
        app = await handle(storage, count)
        assert app.chat_data == {11: {"n": 2}}
        assert await sessions.get(11) == {"n": 101}

    asyncio.run(main())


def test_it_goes_with_sessions_in_one_application() -> None:
    storage = MemorySessionStorage()
    sessions = session(initial=lambda: {"n": 0}, storage=storage)

    async def both(update: object, context: Any) -> None:
        await count(update, context)
        context.session["n"] += 1

    async def main() -> None:
        for times in (1, 2):
            builder: Any = install(bare().persistence(SessionPersistence(storage)), sessions)
            app = builder.build()
            app.add_handler(TypeHandler(object, both))
            async with app:
                await feed(app, message())
            assert app.chat_data == {11: {"n": times}}
            assert await sessions.get(11) == {"n": times}

    asyncio.run(main())


def test_chat_data_follows_when_the_bot_migrates_it() -> None:
    storage = MemorySessionStorage()

    async def follow(update: Any, context: Any) -> None:
        if update.message.migrate_to_chat_id:
            context.application.migrate_chat_data(message=update.message)
        else:
            await count(update, context)

    async def main() -> None:
        await handle(storage, follow, message(chat=-5))
        app = await handle(storage, follow, message(chat=-5, migrate_to_chat_id=-1005))
        assert app.chat_data[-1005] == {"n": 1}
        assert storage.read(f"ptb:{BOT_ID}/chat/-5") is None
        assert storage.read(f"ptb:{BOT_ID}/chat/-1005") == {"n": 1}

    asyncio.run(main())


def test_chat_data_that_was_not_loaded_is_not_migrated() -> None:
    storage = MemorySessionStorage()
    old, new = f"ptb:{BOT_ID}/chat/-5", f"ptb:{BOT_ID}/chat/-1005"

    async def main() -> None:
        await handle(storage, count, message(chat=-5))
        app = bare().persistence(SessionPersistence(storage)).build()
        async with app:
            with pytest.raises(RuntimeError, match=r"of chat -5 was not loaded.* preload=True"):
                app.migrate_chat_data(old_chat_id=-5, new_chat_id=-1005)
        assert (storage.read(old), storage.read(new)) == ({"n": 1}, None)

    asyncio.run(main())


@pytest.mark.parametrize("preload", [False, True])
def test_chat_data_is_migrated_once_though_two_messages_tell_of_it(preload: bool) -> None:
    storage = MemorySessionStorage()

    async def follow(update: Any, context: Any) -> None:
        if update.message.migrate_to_chat_id or update.message.migrate_from_chat_id:
            context.application.migrate_chat_data(update.message)
        else:
            await count(update, context)

    async def main() -> None:
        await handle(storage, count, message(chat=-5))
        await handle(storage, count, message(chat=-1005))
        told = [
            message(chat=-5, migrate_to_chat_id=-1005),
            message(chat=-1005, migrate_from_chat_id=-5),
        ]
        await handle(storage, follow, *told, message(chat=-1005), preload=preload)
        assert storage.read(f"ptb:{BOT_ID}/chat/-5") is None
        assert storage.read(f"ptb:{BOT_ID}/chat/-1005") == {"n": 2}

    asyncio.run(main())


@pytest.mark.parametrize("given", [{}, {"old_chat_id": 1}, {"message": 1, "new_chat_id": 2}])
def test_what_ptb_refuses_to_migrate_it_still_refuses(given: dict[str, Any]) -> None:
    async def main() -> None:
        app = bare().persistence(SessionPersistence(Spy())).build()
        if "message" in given:
            given["message"] = update_of(message(), app).message
        async with app:
            with pytest.raises(ValueError, match="chat"):
                app.migrate_chat_data(**given)
            with pytest.raises(ValueError, match="migrate_from_chat_id"):
                app.migrate_chat_data(update_of(message(), app).message)

    asyncio.run(main())


# --- storages -----------------------------------------------------------------------------


def test_a_storage_from_a_url_is_closed_at_the_end_and_opened_again(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'bot.db'}"

    async def main() -> None:
        app = bare().persistence(SessionPersistence(url)).build()
        app.add_handler(TypeHandler(object, count))
        for times in (1, 2):
            async with app:
                await feed(app, message())
                opened = app.persistence._root.storage
            assert app.chat_data == {11: {"n": times}}
            with pytest.raises(SessionClosedError):
                await opened.read("key")
        await app.persistence.flush()

    asyncio.run(main())


def test_a_storage_of_the_users_own_is_left_open() -> None:
    storage = MemorySessionStorage()
    asyncio.run(handle(storage, count))

    assert storage.read(f"ptb:{BOT_ID}/chat/11") == {"n": 1}


REFUSED: list[tuple[Any, type[Exception], str]] = [
    (None, TypeError, "needs a storage"),
    (object(), TypeError, "read"),
    ("bot.db", ValueError, "sqlite:///bot.db"),
]


@pytest.mark.parametrize(("storage", "error", "text"), REFUSED)
def test_what_is_not_a_storage_is_refused_at_once(
    storage: Any, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        SessionPersistence(storage)


def test_a_write_that_fails_is_reported_and_the_others_are_written() -> None:
    storage = Spy()
    storage.broken.add(f"W ptb:{BOT_ID}/user/11")
    errors: list[str] = []

    async def note(update: object, context: Any) -> None:
        errors.append(str(context.error))

    async def main() -> None:
        app = bare().persistence(SessionPersistence(storage)).build()
        app.add_handler(TypeHandler(object, count))
        app.add_error_handler(note)
        async with app:
            await feed(app, message())

    asyncio.run(main())
    assert errors == [f"W ptb:{BOT_ID}/user/11 failed"]
    assert set(storage.data) == {f"ptb:{BOT_ID}/chat/11", f"ptb:{BOT_ID}/bot/data"}

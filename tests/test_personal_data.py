"""A user's data out and away: whose a session is, what is shared, and what is left alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from sessionkit import (
    FileSessionStorage,
    InvalidSessionKeyError,
    MemorySessionStorage,
    MultiSession,
    SQLiteSessionStorage,
    keys,
    lazy_session,
    multi_session,
    session,
)
from sessionkit.adapters import PersonalSource
from sessionkit.personal_data import Erased, export_user, forget_user
from sessionkit.types import Entry
from tests.cli.conftest import Shell, shell

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["shell"]

OF_USER_5 = [
    "5",
    "@42/5",
    "5/t1",
    "5/5",
    "5/-100",
    "5/-100/t12",
    "5/-300/d7",
    "bBc/5",
    "bBc/5/5",
    "bBc/9/5",
    "9/5",
    "g/5/-100",
    "g/5/5",
]
OTHERS = [
    "55",
    "-5",
    "9",
    "9/-100",
    "-100/t5",
    "-300/d5",
    "g/5",
    "g/9/5",
    "-100/-100",
    "@5/9",
    "b5/9",
    "5x",
]
SHARED = {"-5", "-100/-100", "-100/t5", "-300/d5", "g/5", "5x"}


def run(course: Any) -> Any:
    return asyncio.run(course)


async def stored(sessions: Any) -> list[str]:
    return sorted([key async for key, _ in sessions.items()])


async def storage_write(storage: Any, key: str, value: Any) -> None:
    answer = storage.write(key, value)
    if answer is not None:
        await answer


async def exported(kept: Any, user: int) -> dict[str, Any]:
    return {key: data async for key, data in export_user(kept, user)}


@pytest.fixture(params=["memory", "sqlite", "file"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    made: dict[str, Callable[[], Any]] = {
        "memory": MemorySessionStorage,
        "sqlite": lambda: SQLiteSessionStorage(tmp_path / "bot.db"),
        "file": lambda: FileSessionStorage(tmp_path / "files"),
    }
    opened = made[request.param]()
    yield opened
    opened.sync.close()


def test_sessions_of_a_user_are_exported_and_forgotten(storage: Any) -> None:
    async def story() -> None:
        sessions = session(dict[str, Any], storage=storage, prefix="p:")
        for key in OF_USER_5 + OTHERS:
            await storage_write(storage, f"p:{key}", {"was": key})

        assert await exported(sessions, 5) == {f"p:{key}": {"was": key} for key in OF_USER_5}

        dry = await forget_user(sessions, 5, dry_run=True)
        assert (dry.deleted, dry.edited, dry.shared) == (len(OF_USER_5), 0, len(SHARED))
        assert await stored(sessions) == sorted(OF_USER_5 + OTHERS)

        assert await forget_user(sessions, 5) == dry
        assert await stored(sessions) == sorted(OTHERS)
        assert (await forget_user(sessions, 5)).deleted == 0

    run(story())


def test_what_a_group_shares_is_edited_by_a_function_of_the_program(storage: Any) -> None:
    async def story() -> None:
        sessions = session(dict[str, Any], storage=storage, get_session_key=keys.chat)
        await sessions.update(-100, lambda _: {"members": [3, 5]})
        await sessions.update(-200, lambda _: {"members": [3]})
        await sessions.update(9, lambda _: {"members": [5]})  # another's own
        seen: list[str] = []

        def erase(key: str, data: dict[str, Any], user: int) -> dict[str, Any]:
            seen.append(key)
            data["members"] = [each for each in data["members"] if each != user]
            return data

        dry = await forget_user(sessions, 5, erase=erase, dry_run=True)
        assert (dry.deleted, dry.edited, dry.shared) == (0, 1, 0)
        assert (await sessions.get(-100))["members"] == [3, 5]

        async def erase_later(key: str, data: dict[str, Any], user: int) -> dict[str, Any]:
            return erase(key, data, user)

        assert await forget_user(sessions, 5, erase=erase_later) == dry
        assert (await sessions.get(-100))["members"] == [3]
        assert (await sessions.get(9))["members"] == [5]
        assert set(seen) == {"-100", "-200"}

    run(story())


def test_a_function_that_forgets_to_return_changes_nothing() -> None:
    async def story() -> None:
        sessions = session(dict[str, Any], storage=MemorySessionStorage())
        await sessions.update(-100, lambda _: {"members": [5]})
        with pytest.raises(TypeError, match="returned None"):
            await forget_user(sessions, 5, erase=lambda key, data, user: data.clear())
        assert await sessions.get(-100) == {"members": [5]}

    run(story())


def test_all_fragments_and_lists_are_gone_through() -> None:
    storage = MemorySessionStorage()

    class Shop(MultiSession):
        cart = session(list[str], storage=storage, prefix="cart:", get_session_key=keys.user)
        prefs = lazy_session(dict[str, str], storage=storage, prefix="prefs:")

    async def story() -> None:
        shop = multi_session(Shop)
        own = session(int, storage=storage)
        await Shop.cart.update(5, lambda _: ["tea"])
        await Shop.prefs.update(5, lambda _: {"a": "b"})
        await own.update(5, lambda _: 7)

        kept = [shop, (own,)]
        assert await exported(kept, 5) == {"cart:5": ["tea"], "prefs:5": {"a": "b"}, "5": 7}
        assert (await forget_user(kept, 5)).deleted == 3
        assert await exported(kept, 5) == {}

    run(story())


def test_what_has_expired_is_removed_as_well(tmp_path: Path) -> None:
    async def story() -> None:
        async with SQLiteSessionStorage(tmp_path / "bot.db") as storage:
            await storage.write_entries([Entry("5", {}, 1000.0)])
            await forget_user(session(dict, storage=storage), 5)
            assert await storage.purge_expired() == 0

    run(story())


def test_what_cannot_be_erased_is_counted_and_does_not_stop_the_rest(tmp_path: Path) -> None:
    async def story() -> None:
        async with FileSessionStorage(tmp_path) as storage:
            sessions = session(dict[str, Any], storage=storage)
            for key in ("-100", "5"):
                await storage.write(key, {})
            tmp_path.joinpath("00", "-100.json").write_text("{")

            done = await forget_user(sessions, 5, erase=lambda key, data, user: data)

            assert (done.deleted, done.failed, len(done.errors)) == (1, 1, 1)
            assert "-100" not in repr(done)
            assert "backups" in done.remains

    run(story())


def test_the_record_names_nobody() -> None:
    assert "errors" not in repr(Erased(deleted=3))


def test_only_sessions_can_be_searched() -> None:
    with pytest.raises(TypeError, match="expected Sessions"):
        run(forget_user([MemorySessionStorage()], 5))


def test_keys_of_a_program_s_own_are_parsed_by_its_own_function() -> None:
    def parse(key: str) -> keys.ParsedKey:
        if not key.startswith("u"):
            msg = "of nobody"
            raise InvalidSessionKeyError(msg)
        return keys.ParsedKey(int(key[1:]))

    async def story() -> None:
        sessions = session(int, storage=MemorySessionStorage())
        for key in ("u5", "u6", "5"):
            await sessions.update(key, lambda _: 1)
        done = await forget_user(PersonalSource(sessions, parse), 5)
        assert (done.deleted, done.shared) == (1, 1)
        assert await stored(sessions) == ["5", "u6"]

    run(story())


# --- the states of frameworks -------------------------------------------------------------


def test_the_states_of_aiogram() -> None:
    pytest.importorskip("aiogram")
    from aiogram.fsm.storage.base import StorageKey

    from sessionkit_aiogram import FSMStorage

    async def story() -> None:
        fsm = FSMStorage(MemorySessionStorage())
        here = StorageKey(bot_id=42, chat_id=-100, user_id=5)
        for key in (
            here,
            StorageKey(42, 5, 5, thread_id=3, destiny="x/y"),
            StorageKey(42, 5, 5, business_connection_id="B/c"),
            StorageKey(5, -100, 6),
            StorageKey(42, -100, -100),
        ):
            await fsm.set_state(key, "waiting")
            await fsm.set_data(key, {"a": 1})

        assert len(await exported(fsm, 5)) == 6
        done = await forget_user(fsm, 5)
        assert (done.deleted, done.shared) == (6, 2)
        assert await fsm.get_state(here) is None
        assert await fsm.get_state(StorageKey(5, -100, 6)) == "waiting"

    run(story())


def test_the_states_of_telebot() -> None:
    pytest.importorskip("telebot")
    from sessionkit_telebot import AsyncStateStorage

    async def story() -> None:
        states = AsyncStateStorage(MemorySessionStorage())
        await states.set_state(-100, 5, "waiting")
        await states.set_state(-100, 5, "waiting", bot_id=42)
        await states.set_state(5, 5, "waiting", business_connection_id="Bc", bot_id=42)
        await states.set_state(-100, 6, "waiting", bot_id=5)
        await states.set_data(-100, 5, "a", 1)

        assert (await forget_user(states, 5)).deleted == 4
        assert await states.get_state(-100, 6, bot_id=5) == "waiting"

    run(story())


def test_the_persistence_of_python_telegram_bot() -> None:
    pytest.importorskip("telegram")
    from telegram import User
    from telegram.ext import ExtBot

    from sessionkit_ptb import SessionPersistence

    async def story() -> None:
        storage = MemorySessionStorage(plain=True)
        persistence = SessionPersistence(storage)
        bot = ExtBot("42:token")
        bot._bot_user = User(42, "bot", is_bot=True)  # which the Bot API would say
        persistence.set_bot(bot)
        await persistence.update_user_data(5, {"a": 1})
        await persistence.update_user_data(6, {"a": 1})
        await persistence.update_chat_data(5, {"a": 1})
        await persistence.update_chat_data(-100, {"members": [5]})
        await persistence.update_bot_data({"admins": [5]})
        for key in ((-100, 5), (5, 5), (-100, 6), (-100, 6, 5)):
            await persistence.update_conversation("order", key, 1)

        assert list(await exported(persistence, 5)) == ["ptb:42/user/5", "ptb:42/chat/5"]
        done = await forget_user(persistence, 5)
        assert (done.deleted, done.edited, done.shared) == (2, 1, 2)
        assert await persistence.get_conversations("order") == {(-100, 6): 1, (-100, 6, 5): 1}

        def erase(key: str, data: dict[str, Any], user: int) -> dict[str, Any]:
            return {name: [each for each in ids if each != user] for name, ids in data.items()}

        assert (await forget_user(persistence, 5, erase=erase)).edited == 2
        stores = session(dict[str, Any], storage=storage, prefix="ptb:42/", shared_prefix=True)
        assert await stores.get("chat/-100") == {"members": []}
        assert await stores.get("bot/data") == {"admins": []}

    run(story())


# --- from the command line ----------------------------------------------------------------

PROGRAM = """
from sessionkit import session, keys, storage_from_url
storage = storage_from_url("sqlite:///bot.db")
carts = session(dict, storage=storage, prefix="cart:", get_session_key=keys.user)
groups = session(dict, storage=storage, prefix="group:")
everything = [carts, groups]
def erase(key, data, user):
    return {name: value for name, value in data.items() if name != str(user)}
nothing = 5
"""


@pytest.fixture
def bot(shell: Shell) -> Shell:
    shell.program(PROGRAM)
    shell.sqlite(
        Entry("cart:5", {"tea": 1}),
        Entry("cart:6", {"tea": 1}),
        Entry("group:-100", {"5": "Ann", "6": "Bob"}),
        Entry("group:g/5", {}),
        Entry("other:15", {}),
    )
    return shell


def test_forget_in_all_sessions_of_a_program(bot: Shell) -> None:
    dry = bot("forget", "bot:everything", "--user", 5, "--dry-run")
    assert (dry.code, dry.out) == (0, "would be deleted: 1, would be edited: 0\n")
    assert "shared by several users, and not looked at: 2" in dry.err
    assert "backups" in dry.err

    done = bot("forget", "bot:carts", "bot:groups", "--user", 5, "--erase", "bot:erase", "--json")
    assert {name: done.json[name] for name in ("deleted", "edited", "failed", "shared")} == {
        "deleted": 1,
        "edited": 1,
        "failed": 0,
        "shared": 0,
    }
    assert sorted(bot("ls", "bot:everything").lines) == ["cart:6", "group:-100", "group:g/5"]
    assert bot("get", "bot:groups", "group:-100").json == {"6": "Bob"}


def test_export_of_a_user(bot: Shell) -> None:
    done = bot("export", "bot:everything", "--user", 5)
    assert done.out == '{"key":"cart:5","value":{"tea":1}}\n'


def test_from_a_url_alone_candidates_are_listed_and_nothing_is_deleted(bot: Shell) -> None:
    done = bot("forget", "sqlite:///bot.db", "--user", 5)
    assert (done.code, sorted(done.lines)) == (2, ["cart:5", "group:g/5"])
    assert "nothing was deleted" in done.err
    assert bot("count", "sqlite:///bot.db").out == "5\n"
    assert bot("forget", "bot:storage", "--user", 5).code == 2


def test_forget_says_what_failed(bot: Shell) -> None:
    bot.program(PROGRAM.replace("{name: value", "{name: {value}"))
    done = bot("forget", "bot:everything", "--user", 5, "--erase", "bot:erase")
    assert done.code == 1
    assert "1 could not be read or written (SessionEncodeError): see doctor" in done.err


def test_the_hook_must_be_a_function(bot: Shell) -> None:
    done = bot("forget", "bot:carts", "--user", 5, "--erase", "bot:nothing")
    assert (done.code, "is not a function" in done.err) == (2, True)

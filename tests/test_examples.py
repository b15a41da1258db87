"""Each example of grammY's page on sessions has a counterpart, and that does what it says."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from sessionkit import MemorySessionStorage, Sessions, enhance_storage
from tests.clocks import FakeTimeLoop

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"

# Every section of the page; those without code that could be run say why they have no example.
SECTIONS: dict[str, str | tuple[str, ...]] = {
    "Why Must We Think About Storage?": "prose",
    "What Are Sessions?": ("pizza",),
    "When to Use Sessions": "prose",
    "Example Usage": ("pizza",),
    "Initial Session Data": ("initial_data",),
    "Sharing Objects": ("initial_data",),
    "Session Keys": ("session_keys",),
    "Session Keys and Webhooks": ("session_keys",),
    "Chat Migrations": ("chat_migration",),
    "Storing Your Data": ("storages", "custom_storage"),
    "Known Storage Adapters": ("storages",),
    "RAM (default)": ("storages",),
    "Free Storage": ("message_count",),
    "External Storage Solutions": ("storages", "custom_storage"),
    "Multi Sessions": ("multi_sessions",),
    "Lazy Sessions": ("lazy_sessions",),
    "Plugins That Need Sessions": ("plugin",),
    "Storage Enhancements": ("timeouts", "migrations"),
    "Timeouts": ("timeouts",),
    "Migrations": ("migrations",),
    "Types for Storage Enhancements": ("typed_timeout",),
    "Plugin Summary": "prose",
}
BEYOND = {
    "How does `/stop` get through to a slow handler?": ("llm_bot",),
    "How does a bot run as several processes?": ("worker_bot",),
}

# Lines of what each prints, in this order, among others.
PRINTED = {
    "pizza": [
        "bot: Your hunger level is 2!",
        "bot: Your hunger level is 1!",
        "stored: {'424242': SessionData(pizza_count=2), '987654': SessionData(pizza_count=1)}",
    ],
    "initial_data": [
        *["bot: 1 so far", "bot: 2 so far", "bot: 1 so far"] * 3,
        "what the chats began with is as it was: {'pizza_count': 0}",
        "a dataclass begins with its defaults: SessionData(pizza_count=0, toppings=[])",
        "without initial data: nothing is stored under '424242' and there is no initial: ",
    ],
    "session_keys": [
        "per chat: {'-100': 3, '3': 1}",
        "per user: {'3': 3, '4': 1}",
        "per user in chat: {'3/-100': 2, '4/-100': 1, '3/3': 1}",
        "per user, with a prefix: {'user-424242': 1}",
        "bot: No session here.",
        "MyContext has no chat, so keys.chat gave no key.",
    ],
    "chat_migration": [
        "as hoped: {'-1001234567890': SessionData(pizza_count=3)}",
        "supergroup first: {'-1001234567890': SessionData(pizza_count=3)}",
        "a straggler: {'-1001234567890': SessionData(pizza_count=3)}",
    ],
    "storages": [
        "RAM, the default",
        *["bot: 1 so far"] * 4,
        "an SQLite file",
        "bot: 1 so far",
        "bot: 2 so far",
        "a folder of JSON files",
        "bot: 1 so far",
        "bot: 2 so far",
        "in sessions/42/424242.json: {'pizza_count': 2}",
    ],
    "custom_storage": [
        """in the database: {'424242': '{"pizza_count": 2}'}""",
        "in the database: {}",
    ],
    "message_count": ["bot: Message count: 1", "bot: Message count: 2"],
    "multi_sessions": [
        "bot: data.foo='three' data.bar=Bar(prop=1) data.baz=Baz(width=0.5, height=None) "
        "data.visits=2",
        "{'-100': 'two', '3': 'three'}",
        "{'-100': Bar(prop=2), '3': Bar(prop=1)}",
        "{'-100': Baz(width=1.0, height=None), '3': Baz(width=0.5, height=None)}",
        "{'3': 2, '4': 1}",
    ],
    "lazy_sessions": [
        "strict: read; {}",
        "lazy: nothing to do; {}",
        "strict: read, write; {'424242': {'counter': 1}}",
        "lazy: read, write; {'424242': {'counter': 1}}",
        "strict: read; {'424242': {'counter': 1}}",
        "lazy: read, write; {'424242': {'counter': 0}}",
        "strict: read; {'424242': {'counter': 1}}",
        "lazy: write; {'424242': {'counter': 0}}",
    ],
    "plugin": ["Sessions: {'commands': 2}", "LazySessions: {'commands': 2}"],
    "timeouts": [
        "bot: pizza",
        "bot: pizza, more pizza",
        "bot: Nothing yet.",
        "expired and removed: 1",
    ],
    "migrations": [
        "stored: {'v': 1, '__d': {'pets': [{'name': 'Rex'}, {'name': 'Tom'}, {'name': 'Fido'}]}}",
        "stored: {'v': 11, '__d': {'pets': [{'name': 'Rex'}, {'name': 'Tom'}, {'name': 'Fido'}], "
        "'settings': {'language': 'en', 'remind': True}}}",
        "stored: {'v': 11, '__d': {'pets': [{'name': 'Rex'}, {'name': 'Tom'}], "
        "'settings': {'language': 'en', 'remind': True}}}",
    ],
    "typed_timeout": [
        "bot: Chat count is 0",
        "bot: Chat count is 1",
        "stored: {'__d': {'count': 2}, 'e': ",
    ],
    "worker_bot": [
        "4 workers handled 400 updates of 25 chats; ",
        "messages counted: 400; each chat as delivered: True",
    ],
    "llm_bot": ["bot: I stop.", "... (stopped)", "SessionData(generating=False, history=["],
}

Load = Callable[[str], Any]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Return what imports an example, each time in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(EXAMPLES), *sys.path])

    def imported(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
        return module

    return imported


async def say(bot: Any, *texts: str, **where: int | None) -> list[str]:
    """Return the replies to *texts*."""
    return [reply for text in texts for reply in await bot.receive(text, **where)]


async def stored(sessions: Sessions[Any]) -> dict[str, Any]:
    return {key: data async for key, data in sessions.items()}


# --- all of them --------------------------------------------------------------------------


def test_every_section_has_an_example_and_every_example_a_section() -> None:
    named = [name for names in SECTIONS.values() if names != "prose" for name in names]
    named += [name for names in BEYOND.values() for name in names]

    files = {
        file.stem
        for file in EXAMPLES.glob("*.py")
        if not file.stem.startswith("_") and not file.stem.endswith("_pizza")
    }
    assert set(named) == files == set(PRINTED)


def test_the_page_of_examples_says_the_same() -> None:
    page = ROOT.joinpath("docs", "examples.md").read_text("utf-8")
    rows = re.findall(r"^\| (?P<section>.+?) \| (?P<links>\[.+?) \|", page, re.MULTILINE)

    told = {section: tuple(re.findall(r"\[(\w+)\.py\]", links)) for section, links in rows}
    assert told == {k: v for k, v in SECTIONS.items() if v != "prose"} | BEYOND


@pytest.mark.parametrize("name", sorted(PRINTED.keys() - {"llm_bot", "worker_bot"}))
def test_the_docstring_says_which_section_an_example_answers(name: str) -> None:
    said = " ".join(EXAMPLES.joinpath(f"{name}.py").read_text("utf-8").split('"""')[1].split())

    sections = [section for section, names in SECTIONS.items() if name in names]
    assert any(f'"{section}"' in said for section in sections)


@pytest.mark.parametrize("name", PRINTED)
def test_an_example_runs_by_itself_and_prints_what_happens(name: str, tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", str(EXAMPLES / f"{name}.py")]
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8"}

    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, check=False, timeout=60
    )

    assert (done.returncode, done.stderr.decode()) == (0, "")
    assert re.search(".*".join(map(re.escape, PRINTED[name])), done.stdout.decode(), re.DOTALL), (
        done.stdout.decode()
    )


# --- one by one ---------------------------------------------------------------------------


def test_pizza_counts_messages_with_a_pizza_in_each_chat(load: Load) -> None:
    pizza = load("pizza")

    async def main() -> None:
        assert await say(pizza.bot, "/hunger") == ["Your hunger level is 0!"]
        assert await stored(pizza.sessions) == {}
        assert await say(pizza.bot, "🍕", "a 🍕🍕", "/hungry 🍕", "pizza") == []
        assert await say(pizza.bot, "🍕", chat=987654) == []
        assert await say(pizza.bot, "/hunger now") == ["Your hunger level is 3!"]
        assert await stored(pizza.sessions) == {
            "424242": pizza.SessionData(3),
            "987654": pizza.SessionData(1),
        }

    asyncio.run(main())


def test_initial_data_is_made_for_each_chat_in_every_form(load: Load) -> None:
    example = load("initial_data")

    async def main() -> None:
        for sessions in (example.spelled_out, example.short, example.shared):
            bot = example.bot_with(sessions)
            assert await say(bot, "🍕", "🍕") == ["1 so far", "2 so far"]
            assert await say(bot, "🍕", chat=987654) == ["1 so far"]
            assert await stored(sessions) == {
                "424242": {"pizza_count": 2},
                "987654": {"pizza_count": 1},
            }
        assert example.initial_data == {"pizza_count": 0}
        one, other = await example.typed.get(1), await example.typed.get(2)
        assert one == other and one.toppings is not other.toppings

    asyncio.run(main())


@pytest.mark.parametrize("own", ["per_chat", "per_user", "per_user_in_chat"])
def test_the_key_functions_spelled_out_are_those_of_sessionkit(load: Load, own: str) -> None:
    example = load("session_keys")
    ready = {
        "per_chat": example.keys.chat,
        "per_user": example.keys.user,
        "per_user_in_chat": example.keys.user_in_chat,
    }[own]

    for chat, user in ((-100, 3), (3, 3), (None, 3), (-100, None), (None, None)):
        ctx = example.MyContext("hello", chat, user)
        spelled_out = getattr(example, own)(ctx)
        assert ready(ctx) == (None if spelled_out is None else str(spelled_out))


def test_no_update_is_lost_whatever_the_key(load: Load) -> None:
    example = load("session_keys")

    async def main() -> None:
        sessions = example.sessions_by(example.per_user, prefix="user-")
        bot = example.bot_with(sessions)
        await asyncio.gather(*(bot.receive("hello", chat=chat, user=7) for chat in range(50)))
        assert await example.stored(sessions) == {"user-7": 50}
        assert await say(bot, "hello", user=None) == ["No session here."]

    asyncio.run(main())


def test_a_session_follows_its_group_and_arrives_once(load: Load) -> None:
    example = load("chat_migration")
    old, new = example.GROUP, example.SUPERGROUP

    async def main() -> None:
        for update in (
            example.text(old, "🍕🍕"),
            example.FAREWELL,
            example.FAREWELL,
            example.text(new, "🍕"),
            example.text(old, "🍕🍕🍕🍕"),
            example.WELCOME,
            example.WELCOME,
        ):
            await example.handle(update)
        assert await stored(example.sessions) == {str(new): example.SessionData(7)}

    asyncio.run(main())


def test_a_storage_of_three_methods_holds_what_a_chat_needs(load: Load) -> None:
    example = load("custom_storage")

    async def main() -> None:
        await say(example.bot, "🍕", "no", "🍕")
        await say(example.bot, "🍕", chat=7)
        assert example.database.rows == {"424242": '{"pizza_count": 2}', "7": '{"pizza_count": 1}'}
        await say(example.bot, "/reset")
        assert example.database.rows == {"7": '{"pizza_count": 1}'}

    asyncio.run(main())


def test_restarts_are_survived_by_what_is_on_disk(load: Load) -> None:
    example = load("storages")

    async def main() -> None:
        for url, replies in (
            ("memory:", ["1 so far", "1 so far"]),
            ("sqlite:///some.db", ["1 so far", "2 so far"]),
            ("file:some", ["1 so far", "2 so far"]),
        ):
            assert await example.restart_between_messages(url, url) == replies

    asyncio.run(main())
    assert Path("some/42/424242.json").read_text("utf-8") == '{"pizza_count":2}'


def test_the_message_count_goes_on_after_a_restart(load: Load) -> None:
    async def main() -> list[str]:
        example = load("message_count")
        async with example.sessions:
            return await say(example.bot, "Hello!", "Anybody there?")

    assert asyncio.run(main()) == ["Message count: 1", "Message count: 2"]
    assert asyncio.run(main()) == ["Message count: 3", "Message count: 4"]


def test_a_message_is_counted_although_its_answer_fails(
    load: Load, caplog: pytest.LogCaptureFixture
) -> None:
    example = load("message_count")

    class Broken(example.MyContext):  # type: ignore[name-defined, misc]  # loaded at run time
        async def reply(self, text: str) -> None:
            raise ConnectionError(text)

    async def main() -> None:
        async with example.sessions:
            await say(example.bot, "Hello!")
            example.bot.context = Broken
            await say(example.bot, "lost")
            example.bot.context = example.MyContext
            assert await say(example.bot, "again") == ["Message count: 3"]

    asyncio.run(main())
    assert [str(record.exc_info[1]) for record in caplog.records if record.exc_info] == [
        "Message count: 2"
    ]


def test_each_fragment_is_stored_in_its_own_place(load: Load) -> None:
    example = load("multi_sessions")
    fragments = example.SessionData

    async def main() -> None:
        async with fragments.bar:
            assert await fragments.foo.get(-100) is None
            await say(example.bot, "one", chat=-100, user=3)
            await say(example.bot, "two", chat=3, user=3)
            assert await stored(fragments.foo) == {"-100": "one", "3": "two"}
            assert await stored(fragments.baz) == {
                "-100": example.Baz(width=0.5),
                "3": example.Baz(width=0.5),
            }
            assert await stored(fragments.visits) == {"3": 2}

    asyncio.run(main())
    database = sqlite3.connect("multi_sessions.db")
    rows = database.execute("SELECT key FROM sessions ORDER BY key").fetchall()
    database.close()
    assert rows == [("-100",), ("3",)]


def test_lazy_sessions_do_only_what_is_needed(load: Load) -> None:
    example = load("lazy_sessions")

    async def asked(bot: Any, storage: Any, text: str) -> list[str]:
        storage.log.clear()
        await say(bot, text)
        return list(storage.log)

    async def main() -> None:
        strict, lazy = (
            (example.strict_bot, example.strict_storage),
            (example.lazy_bot, example.lazy_storage),
        )
        assert await asked(*strict, "talk") == ["read"]
        assert await asked(*lazy, "talk") == []
        assert await asked(*strict, "/settings") == ["read", "write"]
        assert await asked(*lazy, "/settings") == ["read", "write"]
        assert example.lazy_storage.values == {"424242": {"counter": 1}}
        assert await asked(*lazy, "/reset") == ["read", "write"]
        assert await asked(*lazy, "/reset") == ["read"]
        assert example.lazy_storage.values == {"424242": {"counter": 0}}
        assert await asked(*lazy, "/start_over") == ["write"]

    asyncio.run(main())


def test_the_plugin_counts_commands_in_both_kinds_of_sessions(load: Load) -> None:
    example = load("plugin")

    async def main() -> None:
        for made in (example.session, example.lazy_session):
            sessions = made(initial=lambda: {"language": "en"})
            await say(example.bot_with(sessions), "/start", "talk", "/help")
            assert await sessions.get(424242) == {"language": "en", "commands": 2}

    asyncio.run(main())


def test_data_lives_for_half_an_hour_after_its_last_change(load: Load) -> None:
    example = load("timeouts")
    example.clock.now = 1_000_000

    async def main() -> None:
        await say(example.bot, "pizza")
        assert example.storage.read("424242") == {
            "__d": {"order": ["pizza"]},
            "e": 1_001_800_000,
        }
        example.clock.now += 1799
        assert await say(example.bot, "/order") == ["pizza"]
        example.clock.now += 1
        assert await say(example.bot, "/order") == ["Nothing yet."]
        assert await example.sessions.purge_expired() == 1
        assert example.storage.read("424242") is None

    asyncio.run(main())


def test_a_typed_timeout_needs_no_types_of_its_own(load: Load) -> None:
    example = load("typed_timeout")

    async def main() -> None:
        assert await say(example.bot, "a", "b") == ["Chat count is 0", "Chat count is 1"]

    asyncio.run(main())
    assert example.storage.read("424242").keys() == {"__d", "e"}


REX = {"name": "Rex"}
EN = {"language": "en"}


@pytest.mark.parametrize(
    ("version", "data"),
    [
        (1, {"pets": [REX]}),
        (2, {"pets": [{**REX, "isFavorite": False}]}),
        (3, {"pets": [{**REX, "isFavorite": False}], "settings": EN}),
        (10, {"pets": [{**REX, "isFavorite": False}], "settings": {**EN, "remind": "yes"}}),
        (10.1, {"pets": [{**REX, "isFavorite": False}], "settings": {**EN, "remind": True}}),
        (11, {"pets": [REX], "settings": {**EN, "remind": True}}),
    ],
)
def test_pets_are_migrated_from_every_version_to_the_next_and_the_newest(
    load: Load, version: float, data: dict[str, Any]
) -> None:
    example = load("migrations")
    # The functions by version, as the example gives them
    functions = {
        1: example.add_birthday_to_pets,
        2: example.add_is_favorite_flag_to_pets,
        3: example.add_user_settings,
        10: example.extend_user_settings,
        10.1: example.fix_user_settings,
        11: example.compress_data,
    }
    up_to_here = {number: make for number, make in functions.items() if number <= version}
    storage = MemorySessionStorage()
    storage.write("424242", {"petNames": ["Rex"]})

    assert enhance_storage(storage, migrations=up_to_here).read("424242") == data

    example.storage.write("424242", {"v": version, "__d": data})
    newest = {"pets": [REX], "settings": {**EN, "remind": True}}
    assert example.today.read("424242") == newest


def test_a_migrated_session_is_stored_in_its_newest_version(load: Load) -> None:
    example = load("migrations")
    example.storage.write("424242", {"petNames": ["Rex"]})

    async def main() -> None:
        await say(example.bot_with(example.first_release), "/add Tom")
        assert example.storage.read("424242") == {
            "__d": {"pets": [REX, {"name": "Tom"}]},
            "v": 1,
        }
        await say(example.bot_with(example.today), "/pets")
        assert example.storage.read("424242")["v"] == 11

    asyncio.run(main())


def test_stop_gets_through_to_an_endless_answer(load: Load) -> None:
    example = load("llm_bot")

    async def main() -> None:
        answer = asyncio.create_task(example.bot.receive("/ask why"))
        await asyncio.sleep(1)
        assert (await example.sessions.get(424242)).generating
        assert not answer.done()
        assert await say(example.bot, "/stop") == ["I stop."]
        assert await answer == ["Well, ... (stopped)"]
        assert (await example.sessions.get(424242)).history == [
            "why",
            "/stop",
            "Well, ... (stopped)",
        ]

    with asyncio.Runner(loop_factory=FakeTimeLoop) as runner:
        runner.run(main())

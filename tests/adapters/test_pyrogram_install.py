"""``install`` on clients of pyrogram and its forks: which handlers get sessions, and when."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from sessionkit import MemorySessionStorage, Sessions, session
from tests.adapters.driver import CHAT, GROUP, SUPERGROUP, message, migrate_to
from tests.adapters.pyrogram_bot import Offline, in_loop
from tests.adapters.pyrogram_raw import PACKAGE, packet_of
from tests.contexts import Spy

# isort: split
from sessionkit_pyrogram import install

if TYPE_CHECKING:
    from pathlib import Path

handlers: Any = PACKAGE.handlers


def counters(storage: Any = None) -> Sessions[int]:
    return session(int) if storage is None else session(int, storage=storage)


async def count(client: Any, message: Any, session: Any) -> None:
    session.data += 1


async def no_session(client: Any, message: Any) -> None:
    pass


def callback_of(handler: Any) -> Any:
    return getattr(handler, "original_callback", handler.callback)


# --- which handlers -----------------------------------------------------------------------


@in_loop
async def test_handlers_that_were_added_before_get_their_session() -> None:
    bot, numbers = Offline(), counters()
    bot.app.add_handler(handlers.MessageHandler(count), 0)
    await asyncio.sleep(0)
    bot.app.add_handler(handlers.MessageHandler(count), 1)  # still on its way

    install(bot.app, numbers)
    bot.app.add_handler(handlers.MessageHandler(count), 2)

    async with bot:
        await bot.feed(message())
    assert not bot.errors
    assert await numbers.get(CHAT) == 3


@in_loop
async def test_the_first_update_after_install_finds_its_session() -> None:
    bot, numbers = Offline(), counters()
    bot.app.add_handler(handlers.MessageHandler(count))

    async with bot:
        await asyncio.sleep(0)  # the workers wait for updates
        bot.app.dispatcher.updates_queue.put_nowait(packet_of(message()))
        install(bot.app, numbers)
        await bot.feed()

    assert not bot.errors
    assert await numbers.get(CHAT) == 1


@in_loop
async def test_decorated_handlers_get_their_session_and_stay_as_they_are() -> None:
    bot, numbers = Offline(), counters()
    install(bot.app, numbers)

    assert bot.app.on_message()(count) is count

    async with bot:
        await bot.feed(message())
    assert await numbers.get(CHAT) == 1


@in_loop
async def test_handlers_that_ask_for_no_session_are_left_alone() -> None:
    bot = Offline()
    early, late = handlers.MessageHandler(no_session), handlers.PollHandler(no_session)
    bot.app.add_handler(early)
    await asyncio.sleep(0)

    install(bot.app, counters())
    bot.app.add_handler(late)

    assert callback_of(early) is callback_of(late) is no_session
    await asyncio.sleep(0)


@in_loop
async def test_a_handler_can_be_removed_as_it_was_added() -> None:
    bot, numbers = Offline(), counters()
    install(bot.app, numbers)
    added = bot.app.add_handler(handlers.MessageHandler(count), 3)

    async with bot:
        await bot.feed(message())
        bot.app.remove_handler(*added)
        await asyncio.sleep(0)
        await bot.feed(message())

    assert not bot.errors
    assert await numbers.get(CHAT) == 1


@in_loop
async def test_a_handler_in_two_groups_counts_once_in_each() -> None:
    bot, numbers = Offline(), counters()
    install(bot.app, numbers)
    handler = handlers.MessageHandler(count)
    for group in (0, 1):
        bot.app.add_handler(handler, group)

    async with bot:
        await bot.feed(message())

    assert not bot.errors
    assert await numbers.get(CHAT) == 2


@in_loop
async def test_handlers_of_connections_keep_what_they_are_called_with() -> None:
    async def connected(client: Any, session: Any) -> None:
        """kurigram gives a connection as the second argument."""

    bot = Offline()
    install(bot.app, counters())

    bot.app.add_handler(handlers.DisconnectHandler(connected))

    assert bot.app.disconnect_handler is connected


# --- plugins ------------------------------------------------------------------------------

PLUGIN = f"""\
from {PACKAGE.__name__} import Client

@Client.on_message()
async def count(client, message, session):
    session.data += 1
"""


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], dict[str, str]]:
    """Return what writes a plugin, and names it as a client wants it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    (tmp_path / "parts").mkdir()

    def write(text: str) -> dict[str, str]:
        (tmp_path / "parts" / "part.py").write_text(text, "utf-8")
        for name in ("parts", "parts.part"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        return {"root": "parts"}

    return write


def test_plugins_get_their_session(plugins: Callable[[str], dict[str, str]]) -> None:
    async def main() -> int:
        bot, numbers = Offline(), counters()
        bot.app.plugins = plugins(PLUGIN)
        install(bot.app, numbers)
        bot.app.load_plugins()
        async with bot:
            await bot.feed(message())
        assert not bot.errors
        return await numbers.get(CHAT)

    assert asyncio.run(main()) == 1


def test_clients_that_share_a_plugin_have_sessions_of_their_own(
    plugins: Callable[[str], dict[str, str]],
) -> None:
    async def main() -> list[int]:
        root = plugins(PLUGIN)
        bots = [(Offline(), counters()) for _ in range(2)]
        for bot, numbers in bots:
            bot.app.plugins = root
            install(bot.app, numbers)
            bot.app.load_plugins()
        for times, (bot, _) in enumerate(bots, 1):
            async with bot:
                await bot.feed(*[message()] * times)
            assert not bot.errors
        return [await numbers.get(CHAT) for _, numbers in bots]

    assert asyncio.run(main()) == [1, 2]


def test_a_client_without_sessions_calls_a_shared_plugin_as_it_is(
    plugins: Callable[[str], dict[str, str]],
) -> None:
    async def main() -> list[BaseException]:
        with_sessions, without = Offline(), Offline()
        for bot in (with_sessions, without):
            bot.app.plugins = plugins(PLUGIN) if bot is with_sessions else {"root": "parts"}
        install(with_sessions.app, counters())
        for bot in (with_sessions, without):
            bot.app.load_plugins()
        async with without:
            await without.feed(message())
        return without.errors

    (error,) = asyncio.run(main())
    assert "missing 1 required positional argument: 'session'" in str(error)


def test_a_plugin_that_is_wrong_is_logged_though_its_error_is_suppressed(
    plugins: Callable[[str], dict[str, str]], caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        bot = Offline()
        bot.app.plugins = plugins(PLUGIN.replace("message, session", "session"))
        install(bot.app, counters())
        with suppress(TypeError):  # kurigram lets it through
            bot.app.load_plugins()

    asyncio.run(main())

    assert "count() takes 'session' where it is called with client and update" in caplog.text


# --- errors at set-up ---------------------------------------------------------------------


@in_loop
async def test_a_session_in_the_place_of_the_update_is_refused() -> None:
    async def wrong(client: Any, session: Any) -> None:
        """Forgot the message."""

    bot = Offline()
    install(bot.app, counters())

    with pytest.raises(TypeError, match=r"let it be .*wrong\(client, update, session\)$"):
        bot.app.on_message()(wrong)


@pytest.mark.parametrize("kind", ["Disconnect", "Error", "Start"])
def test_a_handler_that_gets_no_update_is_refused(kind: str) -> None:
    if not hasattr(handlers, f"{kind}Handler"):
        pytest.skip(f"{PACKAGE.__name__} {PACKAGE.__version__} has no {kind}Handler")

    async def asks(client: Any, what: Any, session: Any) -> None:
        """Take a session."""

    async def main() -> None:
        bot = Offline()
        install(bot.app, counters())
        bot.app.add_handler(getattr(handlers, f"{kind}Handler")(asks))

    with pytest.raises(TypeError, match=rf"asks\(\) asks for a session, but a {kind}Handler has"):
        asyncio.run(main())


@pytest.mark.parametrize("target", [None, object(), PACKAGE.Client])
def test_what_is_not_a_client_is_refused(target: Any) -> None:
    said = rf"install\(\) takes the client, a {PACKAGE.__name__}\.Client, not "
    with pytest.raises(TypeError, match=said):
        install(target, counters())


@in_loop
async def test_a_name_is_given_to_one_only() -> None:
    bot = Offline()
    install(bot.app, counters())

    with pytest.raises(ValueError, match="the name 'session' is taken by sessions installed"):
        install(bot.app, counters())


@in_loop
async def test_two_installs_must_not_share_storage_and_prefix() -> None:
    bot, storage = Offline(), MemorySessionStorage()
    install(bot.app, counters(storage))

    with pytest.raises(ValueError, match="'other' and 'session', installed before, share storage"):
        install(bot.app, other=counters(storage))


@in_loop
async def test_sessions_can_be_added_under_another_name() -> None:
    async def both(client: Any, message: Any, session: Any, memory: Any) -> None:
        session.data += 1
        memory.data += 10

    bot, numbers, memories = Offline(), counters(), counters()
    bot.app.add_handler(handlers.MessageHandler(both), 0)
    install(bot.app, numbers)
    install(bot.app, memories, name="memory")
    bot.app.add_handler(handlers.MessageHandler(both), 1)

    async with bot:
        await bot.feed(message())
    assert not bot.errors
    assert [await numbers.get(CHAT), await memories.get(CHAT)] == [2, 20]


# --- groups that become supergroups -------------------------------------------------------


@in_loop
async def test_sessions_follow_a_group_though_no_handler_takes_the_message() -> None:
    bot, numbers = Offline(), counters()
    await numbers.update(GROUP, lambda n: n + 5)
    install(bot.app, numbers)

    async with bot:
        await bot.feed(migrate_to())

    assert await numbers.get(SUPERGROUP) == 5


@in_loop
async def test_all_installed_sessions_follow() -> None:
    bot, numbers, others = Offline(), counters(), counters()
    install(bot.app, numbers)
    install(bot.app, others, name="other", migrate_chats=max)
    for each in (numbers, others):
        await each.update(GROUP, lambda n: n + 5)

    async with bot:
        await bot.feed(migrate_to())

    assert [await each.get(SUPERGROUP) for each in (numbers, others)] == [5, 5]


def test_sessions_follow_after_a_restart_which_forgets_all_handlers(
    plugins: Callable[[str], dict[str, str]],
) -> None:
    async def main() -> int:
        bot, numbers = Offline(), counters()
        bot.app.plugins = plugins(PLUGIN.replace("on_message", "on_inline_query"))
        install(bot.app, numbers)
        await numbers.update(GROUP, lambda n: n + 5)
        async with bot:
            await bot.feed(message())
        bot.app.load_plugins()
        async with bot:
            await bot.feed(migrate_to())
        return await numbers.get(SUPERGROUP)

    assert asyncio.run(main()) == 5


@in_loop
async def test_a_move_that_fails_is_reported_and_handlers_go_on() -> None:
    spy = Spy()
    spy.data["-55"], spy.broken = 5, {"R"}
    bot, seen = Offline(), list[int]()
    install(bot.app, counters(storage=spy))

    async def note(client: Any, message: Any) -> None:
        seen.append(message.chat.id)

    bot.app.on_message()(note)
    async with bot:
        await bot.feed(migrate_to())

    assert [str(error)[-6:] for error in bot.errors] == ["failed"]
    assert seen == [GROUP]
    assert spy.data == {"-55": 5}

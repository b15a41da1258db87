"""What every adapter must do, one short scenario each; ``test_scenarios`` runs them on all drivers.

A scenario gets a ``Stage``, on which it makes sessions and the bot that has them installed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import permutations
from typing import Any, Final, TypeAlias

import pytest

from sessionkit import (
    NoSessionKeyError,
    SessionClosedError,
    Sessions,
    keys,
    lazy_session,
    session,
)
from tests.adapters.driver import (
    AT_ONCE,
    BOT_ID,
    CHAT,
    GROUP,
    SUPERGROUP,
    Driver,
    Gate,
    Meeting,
    Raw,
    Turn,
    inline_query,
    message,
    migrate_from,
    migrate_to,
)
from tests.contexts import Spy
from tests.core import Oops, total, zero

OLD, NEW = str(GROUP), str(SUPERGROUP)


@dataclass
class Stage:
    """Where one scenario is played: a framework and a storage."""

    framework: Callable[..., Driver]
    storage: Any
    sessions: list[Any] = field(default_factory=list[Any])
    """All that were made, to see in the end that none holds a key."""

    @property
    def spy(self) -> Spy:
        """The storage, where it is one that keeps a log."""
        assert isinstance(self.storage, Spy)
        return self.storage

    def counters(self, **options: Any) -> Sessions[Any]:
        """Sessions that begin with ``{"n": 0}``."""
        made: Sessions[Any] = session(initial=zero, storage=self.storage, **options)
        self.sessions.append(made)
        return made

    def lazy_counters(self, **options: Any) -> Any:
        """The same, lazy."""
        made = lazy_session(initial=zero, storage=self.storage, **options)
        self.sessions.append(made)
        return made

    def bot(self, sessions: Any = None, /, **options: Any) -> Driver:
        """A bot that has *sessions*, or several by name, and counts what begins with "count"."""
        bot = self.framework(sessions, **options)
        bot.on("count", count)
        return bot

    def counters_once(self, **options: Any) -> Sessions[Any]:
        """Counters that know updates which come again."""
        return self.counters(once=self.framework.once, **options)  # type: ignore[attr-defined]


Play: TypeAlias = Callable[[Stage], Awaitable[None]]


@dataclass(frozen=True)
class Scenario:
    """One row of the table.

    Attributes:
        name: What it shows.
        play: Plays it.
        storages: Where; "spy" keeps a log of what it is asked for.
        needs: What a driver must have for it: one of its ``has_...``.
    """

    name: str
    play: Play
    storages: tuple[str, ...]
    needs: str | None


SCENARIOS: Final[list[Scenario]] = []


def scenario(*storages: str, needs: str | None = None) -> Callable[[Play], Play]:
    """Add a function to the table."""

    def add(play: Play) -> Play:
        name: str = getattr(play, "__name__", "")
        SCENARIOS.append(Scenario(name, play, storages or ("spy",), needs))
        return play

    return add


# --- handlers -----------------------------------------------------------------------------


async def count(turn: Turn) -> None:
    """Count one more in each session; others may go on between read and write."""
    for name in turn.sessions:
        n = (await turn.read(name))["n"]
        await turn.pause()
        (await turn.read(name))["n"] = n + 1


async def count_and_fail(turn: Turn) -> None:
    await count(turn)
    raise Oops(turn.text)


async def look(turn: Turn) -> None:
    """Read each session, change nothing."""
    for name in turn.sessions:
        await turn.read(name)


async def do_nothing(turn: Turn) -> None:
    """Take the update, and leave the sessions alone."""


# --- load, save ---------------------------------------------------------------------------


@scenario()
async def data_is_read_before_the_handler_and_written_after_it(stage: Stage) -> None:
    async with stage.bot(stage.counters()) as bot:
        await bot.feed(message("count"))
        assert stage.spy.log == ["R 11", "W 11"]
        await bot.feed(message("count"))

    assert stage.spy.data == {"11": {"n": 2}}
    assert not bot.errors


@scenario()
async def a_key_per_bot_begins_with_the_bot_that_got_the_update(stage: Stage) -> None:
    async with stage.bot(stage.counters(get_session_key=keys.per_bot(keys.chat))) as bot:
        await bot.feed(message("count"))

    assert stage.spy.data == {f"@{BOT_ID}/11": {"n": 1}}
    assert not bot.errors


@scenario()
async def what_did_not_change_is_not_written(stage: Stage) -> None:
    bot = stage.bot(stage.counters())
    bot.on("look", look)
    async with bot:
        await bot.feed(message("look"))

    assert stage.spy.log == ["R 11"]


@scenario()
async def a_handler_that_asks_for_no_session_writes_nothing(stage: Stage) -> None:
    bot = stage.bot(stage.counters())
    seen: list[str] = []

    async def note(turn: Turn) -> None:
        seen.append(turn.text)

    bot.on_quiet("quiet", note)
    async with bot:
        await bot.feed(message("quiet"))

    assert seen == ["quiet"]
    assert stage.spy.counts.endswith("W0 D0")


@scenario()
async def an_update_that_no_handler_takes_costs_nothing_if_the_framework_allows_it(
    stage: Stage,
) -> None:
    async with stage.bot(stage.counters()) as bot:
        await bot.feed(message("nobody wants this"))

    assert stage.spy.counts == ("R1 W0 D0" if bot.io_when_unmatched else "R0 W0 D0")


@scenario()
async def data_can_be_replaced(stage: Stage) -> None:
    bot = stage.bot(stage.counters())

    async def replace_all(turn: Turn) -> None:
        turn.data = {"n": 7}

    bot.on("replace", replace_all)
    async with bot:
        await bot.feed(message("replace"))

    assert stage.spy.data == {"11": {"n": 7}}


@scenario()
async def data_can_be_deleted(stage: Stage) -> None:
    stage.spy.data["11"] = {"n": 5}
    bot = stage.bot(stage.counters())

    async def forget(turn: Turn) -> None:
        del turn.data

    bot.on("forget", forget)
    async with bot:
        await bot.feed(message("forget"))
        assert stage.spy.log == ["R 11", "D 11"]
        await bot.feed(message("count"))

    assert stage.spy.data == {"11": {"n": 1}}


@scenario("sqlite")
async def data_survives_a_restart(stage: Stage) -> None:
    for _ in range(2):
        async with stage.bot(stage.counters()) as bot:
            await bot.feed(message("count"))

    assert await stage.counters().get(CHAT) == {"n": 2}


@scenario()
async def each_chat_has_a_key_and_it_is_the_same_in_every_framework(stage: Stage) -> None:
    async with stage.bot(stage.counters()) as bot:
        for chat in (CHAT, GROUP, SUPERGROUP):
            await bot.feed(message("count", chat=chat))

    assert set(stage.spy.data) == {"11", "-55", "-1001000000077"}


@scenario()
async def users_have_keys_of_their_own(stage: Stage) -> None:
    async with stage.bot(stage.counters(get_session_key=keys.user_in_chat)) as bot:
        for user in (1, 2):
            await bot.feed(message("count", chat=GROUP, user=user))

    assert set(stage.spy.data) == {"1/-55", "2/-55"}


@scenario()
async def a_helper_that_gets_what_the_handler_got_joins_its_session(stage: Stage) -> None:
    counters = stage.counters()
    bot = stage.bot(counters)
    given: list[object] = []

    async def pass_on(turn: Turn) -> None:
        for each in turn.given:
            given.append(each)
            if turn.blocking:
                with counters.open(each) as joined:
                    joined.data["n"] += 1
                assert counters.sync.of(each).key == turn.session.key
            else:
                async with counters.open(each) as joined:
                    joined.data["n"] += 1
                assert counters.of(each) is turn.session

    bot.on("pass on", pass_on)
    async with bot:
        await bot.feed(message("pass on"))

    assert not bot.errors
    assert stage.spy.log == ["R 11", "W 11"]
    assert stage.spy.data == {"11": {"n": len(given)}}
    for each in given:
        with pytest.raises(SessionClosedError):
            counters.of(each)


# --- errors, signals ----------------------------------------------------------------------


@scenario("memory", "sqlite")
async def a_handler_that_fails_changes_nothing(stage: Stage) -> None:
    counters = stage.counters()
    bot = stage.bot(counters)
    bot.on("fail", count_and_fail)
    async with bot:
        await bot.feed(message("count"))
        await bot.feed(message("fail"))
        assert [type(error) for error in bot.errors] == [Oops]
        await bot.feed(message("count"))

    assert await counters.get(CHAT) == {"n": 2}


@scenario(needs="has_error_handlers")
async def an_error_that_is_handled_is_not_saved_either(stage: Stage) -> None:
    handled: list[BaseException] = []
    bot = stage.bot(stage.counters())
    bot.on("fail", count_and_fail)
    bot.on_error(handled.append)
    async with bot:
        await bot.feed(message("fail"))

    assert [str(error) for error in handled] == ["fail"]
    assert stage.spy.counts == "R1 W0 D0"


@scenario(needs="has_stop")
async def a_handler_that_stops_the_update_is_saved(stage: Stage) -> None:
    bot = stage.bot(stage.counters())

    async def count_and_stop(turn: Turn) -> Any:
        await count(turn)
        return bot.stop()

    bot.on("stop", count_and_stop, 0)
    bot.on("stop", count_and_fail, 1)
    async with bot:
        await bot.feed(message("stop"))

    assert stage.spy.data == {"11": {"n": 1}}
    assert not bot.errors


@scenario(needs="has_go_on")
async def a_handler_that_lets_the_next_one_go_on_is_saved_and_so_is_the_next(stage: Stage) -> None:
    bot = stage.bot(stage.counters())

    async def count_and_go_on(turn: Turn) -> Any:
        await count(turn)
        return bot.go_on()

    bot.on("go", count_and_go_on, 0)
    bot.on("go", count, 1)
    async with bot:
        await bot.feed(message("go"))

    assert stage.spy.data == {"11": {"n": 2}}
    assert not bot.errors


# --- at once ------------------------------------------------------------------------------


@scenario("memory", "sqlite")
async def two_updates_of_a_chat_at_once_both_count(stage: Stage) -> None:
    await _count_at_once(stage, [CHAT] * 2)


@scenario("memory", "sqlite")
async def two_hundred_updates_of_a_chat_at_once_all_count(stage: Stage) -> None:
    await _count_at_once(stage, [CHAT] * 200)


@scenario("memory", "sqlite")
async def two_hundred_updates_of_many_chats_at_once_all_count(stage: Stage) -> None:
    await _count_at_once(stage, list(range(1, 21)) * 10)


async def _count_at_once(stage: Stage, chats: list[int]) -> None:
    counters = stage.counters()
    async with stage.bot(counters) as bot:
        await bot.feed(*(message("count", chat=chat) for chat in chats))

    assert not bot.errors
    for chat in set(chats):
        assert await counters.get(chat) == {"n": chats.count(chat)}


@scenario("memory", "sqlite")
async def many_chats_are_served_at_the_same_time(stage: Stage) -> None:
    counters = stage.counters()
    bot = stage.bot(counters)
    meeting = Meeting(AT_ONCE)

    async def meet(turn: Turn) -> None:
        await count(turn)
        await meeting.arrive(turn)

    bot.on("meet", meet)
    chats = range(1, AT_ONCE + 1)
    async with bot:
        await bot.feed(*(message("meet", chat=chat) for chat in chats))

    assert not bot.errors
    assert [await counters.get(chat) for chat in chats] == [{"n": 1}] * AT_ONCE


# --- no chat ------------------------------------------------------------------------------


@scenario()
async def an_update_without_a_chat_passes_if_its_session_is_left_alone(stage: Stage) -> None:
    has_key: list[bool] = []
    bot = stage.bot(stage.counters())

    async def ask(turn: Turn) -> None:
        has_key.append(turn.session.has_key)

    bot.on_inline(ask)
    async with bot:
        await bot.feed(inline_query())

    assert has_key == [False]
    assert not bot.errors
    assert stage.spy.log == []


@scenario()
async def an_update_without_a_chat_says_so_if_its_session_is_touched(stage: Stage) -> None:
    bot = stage.bot(stage.counters())
    bot.on_inline(count)
    async with bot:
        await bot.feed(inline_query())

    (error,) = bot.errors
    assert isinstance(error, NoSessionKeyError)
    assert "inline_query has no chat" in str(error)
    assert stage.spy.log == []


# --- groups that become supergroups -------------------------------------------------------


@scenario("memory", "sqlite")
async def a_group_keeps_its_session_in_any_order_of_service_messages(stage: Stage) -> None:
    for number, service in enumerate([(migrate_to, migrate_from), (migrate_from, migrate_to)]):
        counters = stage.counters(prefix=f"order {number}:")
        await counters.update(OLD, five)
        async with stage.bot(counters) as bot:
            for tell in service:
                await bot.feed(tell())
                await bot.feed(message("count", chat=SUPERGROUP))

        assert not bot.errors
        assert await stored(counters) == {NEW: {"n": 7}}


@scenario("memory", "sqlite")
async def a_merge_function_decides_where_both_chats_have_data(stage: Stage) -> None:
    arrivals: list[Callable[[], Raw]] = [
        migrate_to,
        migrate_from,
        lambda: message("count", chat=SUPERGROUP),
    ]
    for number, order in enumerate(permutations(arrivals)):
        counters = stage.counters(prefix=f"order {number}:")
        await counters.update(OLD, five)
        async with stage.bot(counters, migrate_chats=total) as bot:
            for arrival in order:
                await bot.feed(arrival())

        assert not bot.errors
        assert await stored(counters) == {NEW: {"n": 6}}


@scenario("memory")
async def without_a_merge_function_both_chats_keep_what_they_have(stage: Stage) -> None:
    counters = stage.counters()
    await counters.update(OLD, five)
    async with stage.bot(counters) as bot:
        await bot.feed(message("count", chat=SUPERGROUP))
        await bot.feed(migrate_to())
        await bot.feed(migrate_from())

    assert await stored(counters) == {OLD: {"n": 5}, NEW: {"n": 1}}


@scenario("memory", "sqlite")
async def a_late_update_of_the_old_chat_gets_the_session_of_the_new_one(stage: Stage) -> None:
    counters = stage.counters()
    async with stage.bot(counters) as bot:
        await bot.feed(message("count", chat=GROUP))
        await bot.feed(migrate_to())
        await bot.feed(message("count", chat=GROUP))

    assert not bot.errors
    assert await stored(counters) == {NEW: {"n": 2}}


@scenario("memory", "sqlite")
async def an_update_of_the_old_chat_in_flight_moves_along(stage: Stage) -> None:
    counters = stage.counters()
    gate = Gate()
    bot = stage.bot(counters)

    async def count_slowly(turn: Turn) -> None:
        await count(turn)
        await gate.pass_through(turn)

    bot.on("slow", count_slowly)
    async with bot, asyncio.TaskGroup() as tasks:
        tasks.create_task(bot.feed(message("slow", chat=GROUP)))
        await gate.reached()
        tasks.create_task(bot.feed(migrate_to(), message("count", chat=GROUP)))
        await asyncio.sleep(0)
        gate.open()

    assert not bot.errors
    assert await stored(counters) == {NEW: {"n": 2}}


@scenario("memory", "sqlite")
async def no_update_is_lost_when_all_of_it_comes_at_once(stage: Stage) -> None:
    counters = stage.counters()
    await counters.update(OLD, five)
    updates = [message("count", chat=chat) for chat in (GROUP, SUPERGROUP) * 10]
    updates[10:10] = [migrate_from(), migrate_to()]
    async with stage.bot(counters, migrate_chats=total) as bot:
        await bot.feed(*updates)

    assert not bot.errors
    assert await stored(counters) == {NEW: {"n": 25}}


@scenario("memory")
async def sessions_stay_where_they_are_if_that_is_wanted(stage: Stage) -> None:
    counters = stage.counters()
    async with stage.bot(counters, migrate_chats=False) as bot:
        for update in (message("count", chat=GROUP), migrate_to(), migrate_from()):
            await bot.feed(update)

    assert await stored(counters) == {OLD: {"n": 1}}


@scenario("memory")
async def several_and_lazy_sessions_follow_their_group(stage: Stage) -> None:
    carts, prefs = stage.counters(prefix="cart:"), stage.lazy_counters(prefix="prefs:")
    merges = {"cart": total, "prefs": total}
    async with stage.bot(cart=carts, prefs=prefs, migrate_chats=merges) as bot:
        for update in (
            message("count", chat=GROUP),
            message("count", chat=SUPERGROUP),
            migrate_to(),
        ):
            await bot.feed(update)

    assert not bot.errors
    for sessions in (carts, prefs):
        assert await stored(sessions) == {NEW: {"n": 2}}


def five(data: Any) -> Any:
    return {"n": data["n"] + 5}


async def stored(sessions: Any) -> dict[str, Any]:
    return {key: data async for key, data in sessions.items()}


# --- a storage that fails -----------------------------------------------------------------


@scenario()
async def if_the_data_cannot_be_read_the_handler_is_not_called(stage: Stage) -> None:
    stage.spy.data["11"] = {"n": 5}
    called: list[str] = []
    bot = stage.bot(stage.counters())

    async def note(turn: Turn) -> None:
        called.append(turn.text)
        await look(turn)

    bot.on("note", note)
    stage.spy.broken = {"R"}
    async with bot:
        await bot.feed(message("note"))
        assert [str(error) for error in bot.errors] == ["R 11 failed"]
        assert called == []

        stage.spy.broken = set()
        await bot.feed(message("count"))

    assert stage.spy.data == {"11": {"n": 6}}


@scenario()
async def if_the_data_cannot_be_written_the_old_is_kept(stage: Stage) -> None:
    stage.spy.data["11"] = {"n": 5}
    stage.spy.broken = {"W"}
    async with stage.bot(stage.counters()) as bot:
        await bot.feed(message("count"))
        assert [str(error) for error in bot.errors] == ["W 11 failed"]
        assert stage.spy.data == {"11": {"n": 5}}

        stage.spy.broken = set()
        await bot.feed(message("count"))

    assert stage.spy.data == {"11": {"n": 6}}


@scenario(needs="has_error_handlers")
async def error_handlers_see_what_the_storage_raised(stage: Stage) -> None:
    for broken in ("R", "W"):
        stage.spy.broken = {broken}
        handled: list[BaseException] = []
        bot = stage.bot(stage.counters())
        bot.on_error(handled.append)
        async with bot:
            await bot.feed(message("count"))

        assert [str(error) for error in handled] == [f"{broken} 11 failed"]


# --- several, lazy ------------------------------------------------------------------------


def cart_and_prefs(stage: Stage) -> dict[str, Any]:
    return {
        "cart": stage.counters(prefix="cart:"),
        "prefs": stage.lazy_counters(get_session_key=keys.user, prefix="prefs:"),
    }


@scenario()
async def several_sessions_are_there_by_name(stage: Stage) -> None:
    async with stage.bot(**cart_and_prefs(stage)) as bot:
        await bot.feed(message("count", chat=GROUP, user=3))

    assert not bot.errors
    assert stage.spy.data == {"cart:-55": {"n": 1}, "prefs:3": {"n": 1}}


@scenario()
async def of_several_sessions_none_is_written_if_the_handler_fails(stage: Stage) -> None:
    bot = stage.bot(**cart_and_prefs(stage))
    bot.on("fail", count_and_fail)
    async with bot:
        await bot.feed(message("fail"))

    assert [type(error) for error in bot.errors] == [Oops]
    assert stage.spy.data == {}


@scenario("memory", "sqlite")
async def several_sessions_count_all_updates_at_once(stage: Stage) -> None:
    sessions = cart_and_prefs(stage)
    async with stage.bot(**sessions) as bot:
        await bot.feed(*(message("count", chat=-1 - n % 5, user=1 + n % 3) for n in range(60)))

    assert not bot.errors
    assert [await sessions["cart"].get(-1 - n) for n in range(5)] == [{"n": 12}] * 5
    assert [await sessions["prefs"].get(1 + n) for n in range(3)] == [{"n": 20}] * 3


@scenario()
async def a_lazy_session_costs_nothing_until_it_is_read(stage: Stage) -> None:
    bot = stage.bot(stage.lazy_counters())
    bot.on("nothing", do_nothing)
    async with bot:
        await bot.feed(message("nothing"))
        await bot.feed(message("nobody wants this"))
        assert stage.spy.log == []
        await bot.feed(message("count"))

    assert stage.spy.log == ["R 11", "W 11"]


@scenario("memory", "sqlite")
async def lazy_sessions_count_all_updates_at_once(stage: Stage) -> None:
    counters = stage.lazy_counters()
    async with stage.bot(counters) as bot:
        await bot.feed(*(message("count") for _ in range(50)))

    assert not bot.errors
    assert await counters.get(CHAT) == {"n": 50}


@scenario()
async def a_lazy_session_is_assigned_without_being_read(stage: Stage) -> None:
    bot = stage.bot(stage.lazy_counters())

    async def assign(turn: Turn) -> None:
        turn.data = {"n": 9}

    bot.on("assign", assign)
    async with bot:
        await bot.feed(message("assign"))

    assert stage.spy.log == ["W 11"]


@scenario()
async def a_lazy_session_without_a_chat_says_so_if_it_is_touched(stage: Stage) -> None:
    bot = stage.bot(stage.lazy_counters())
    bot.on_inline(count)
    async with bot:
        await bot.feed(inline_query())

    assert [type(error) for error in bot.errors] == [NoSessionKeyError]


# Updates that come again


@scenario("memory", "sqlite")
async def an_update_that_comes_again_counts_once(stage: Stage) -> None:
    sessions = stage.counters_once()
    bot = stage.bot(sessions)
    updates = [message("count"), message("count", chat=CHAT + 1)]
    async with bot:
        for _ in range(3):
            await bot.feed(*updates)
        await bot.feed(message("count"), *updates)
    assert [await sessions.get(CHAT), await sessions.get(CHAT + 1)] == [{"n": 2}, {"n": 1}]
    assert bot.errors == []


@scenario("memory")
async def repeats_of_an_update_at_the_same_time_count_once(stage: Stage) -> None:
    sessions = stage.counters_once()
    bot = stage.bot(sessions)
    update = message("count")
    async with bot:
        await bot.feed(update, *[update] * 3)
    assert await sessions.get(CHAT) == {"n": 1}
    assert bot.errors == []


@scenario("memory")
async def an_update_that_failed_runs_again(stage: Stage) -> None:
    async def fail_at_first(turn: Turn) -> None:
        turn.data["n"] += 1
        runs.append(turn.text)
        if len(runs) == 1:
            raise Oops

    runs: list[str] = []
    sessions = stage.counters_once()
    bot = stage.bot(sessions)
    bot.on("fail", fail_at_first)
    update = message("fail")
    async with bot:
        for _ in range(3):
            await bot.feed(update)
    assert len(runs) == 2
    assert await sessions.get(CHAT) == {"n": 1}
    assert [type(error) for error in bot.errors] == [Oops]


@scenario("memory", needs="has_go_on")
async def all_handlers_of_an_update_run_and_none_of_a_repeat(stage: Stage) -> None:
    async def first(turn: Turn) -> Any:
        turn.data["n"] += 1
        return bot.go_on()

    async def second(turn: Turn) -> None:
        turn.data["n"] += 10

    sessions = stage.counters_once()
    bot = stage.bot(sessions)
    bot.on("both", first)
    bot.on("both", second, group=1)
    update = message("both")
    async with bot:
        for _ in range(3):
            await bot.feed(update)
    assert await sessions.get(CHAT) == {"n": 11}
    assert bot.errors == []


@scenario("memory")
async def of_several_sessions_the_first_carries_the_id(stage: Stage) -> None:
    async def both(turn: Turn) -> None:
        turn.get("cart")["n"] += 1
        turn.get("prefs")["n"] += 1

    cart, prefs = stage.counters_once(prefix="c:"), stage.counters_once(prefix="p:")
    bot = stage.framework(prefs=prefs, cart=cart)
    bot.on("both", both)
    update = message("both")
    async with bot:
        for _ in range(3):
            await bot.feed(update)
    assert await cart.get(CHAT) == await prefs.get(CHAT) == {"n": 1}
    assert "__u" in stage.storage.read(f"p:{CHAT}")
    assert "__u" not in stage.storage.read(f"c:{CHAT}")

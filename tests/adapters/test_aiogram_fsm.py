"""aiogram's FSM in the storages of sessionkit: what aiogram's own tests expect, and more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pytest
from aiogram import Dispatcher, F
from aiogram.exceptions import DataNotDictLikeError
from aiogram.fsm.scene import Scene, SceneRegistry, on
from aiogram.fsm.state import State, StatesGroup
from aiogram.fsm.storage.base import StorageKey
from aiogram.fsm.strategy import FSMStrategy
from hypothesis import given
from hypothesis import strategies as st

from sessionkit import (
    MemorySessionStorage,
    SessionEncodeError,
    SessionLockTimeoutError,
    SessionReentrancyError,
    SQLiteSessionStorage,
    enhance_storage,
    keys,
    session,
)
from sessionkit_aiogram import EventIsolation, FSMStorage, install
from sessionkit_aiogram._fsm import fsm_key
from tests.adapters.aiogram_bot import feed
from tests.adapters.driver import BOT_ID, CHAT, GROUP, Raw, message
from tests.contexts import Spy
from tests.core import Clocked, Lock, Remote, counters, listed, run

if TYPE_CHECKING:
    from pathlib import Path

    from aiogram.fsm.context import FSMContext
    from aiogram.types import Message

KEY = StorageKey(bot_id=BOT_ID, chat_id=GROUP, user_id=3)


def held_by(isolation: EventIsolation) -> Any:
    """Return the keys that are held, and those that somebody waits for."""
    locks = isolation._locks._settings.locks
    return (*locks.held, *locks.waiting)


# --- what aiogram expects of a storage ----------------------------------------------------


def on_each(storage: Any, course: Callable[[FSMStorage], Awaitable[None]]) -> None:
    async def main() -> None:
        fsm = FSMStorage(storage)
        await course(fsm)
        await fsm.close()

    asyncio.run(main())


def test_a_state_is_set_read_and_removed(storage: Any) -> None:
    class Order(StatesGroup):
        size = State()

    async def course(fsm: FSMStorage) -> None:
        assert await fsm.get_state(KEY) is None
        await fsm.set_state(KEY, "state")
        assert await fsm.get_state(KEY) == "state"
        await fsm.set_state(KEY, Order.size)
        assert await fsm.get_state(KEY) == "Order:size"
        await fsm.set_state(KEY, None)
        assert await fsm.get_state(KEY) is None
        assert list(storage.sync.iter_keys("")) == []

    on_each(storage, course)


def test_data_is_set_read_and_removed(storage: Any) -> None:
    async def course(fsm: FSMStorage) -> None:
        assert await fsm.get_data(KEY) == {}
        assert await fsm.get_value(KEY, "foo") is None
        assert await fsm.get_value(KEY, "foo", "default") == "default"
        await fsm.set_data(KEY, {"foo": "bar"})
        assert await fsm.get_data(KEY) == {"foo": "bar"}
        assert await fsm.get_value(KEY, "foo", "default") == "bar"
        await fsm.set_data(KEY, MappingProxyType({"baz": [1, {"deep": None}]}))
        assert await fsm.get_data(KEY) == {"baz": [1, {"deep": None}]}
        await fsm.set_data(KEY, {})
        assert await fsm.get_data(KEY) == {}
        assert list(storage.sync.iter_keys("")) == []

    on_each(storage, course)


def test_data_is_updated(storage: Any) -> None:
    async def course(fsm: FSMStorage) -> None:
        assert await fsm.update_data(KEY, {}) == {}
        assert await fsm.update_data(KEY, {"foo": "bar"}) == {"foo": "bar"}
        assert await fsm.update_data(KEY, {}) == {"foo": "bar"}
        assert await fsm.update_data(KEY, {"baz": "spam"}) == {"foo": "bar", "baz": "spam"}
        assert await fsm.update_data(KEY, {"baz": "test"}) == {"foo": "bar", "baz": "test"}
        assert await fsm.get_data(KEY) == {"foo": "bar", "baz": "test"}

    on_each(storage, course)


def test_a_dot_in_a_key_means_nothing(storage: Any) -> None:
    """In ``PyMongoStorage`` of aiogram 3.31 it leads into a dict or list of that name."""

    async def course(fsm: FSMStorage) -> None:
        await fsm.set_data(KEY, {"top": ["a", "b"], "ann@example.org": 1})
        await fsm.update_data(KEY, {"top.1": "new", "ann@example.org": 2})
        assert await fsm.get_data(KEY) == {"top": ["a", "b"], "top.1": "new", "ann@example.org": 2}

    on_each(storage, course)


@pytest.mark.parametrize("data", [(), [("a", 1)], None, "text"])
def test_what_is_not_a_mapping_is_refused(data: Any) -> None:
    async def course(fsm: FSMStorage) -> None:
        for method in (fsm.set_data, fsm.update_data):
            with pytest.raises(DataNotDictLikeError, match=type(data).__name__):
                await method(KEY, data)

    on_each(MemorySessionStorage(), course)


# --- what it gets beyond that -------------------------------------------------------------


def test_what_a_handler_got_is_its_own_copy(storage: Any) -> None:
    async def course(fsm: FSMStorage) -> None:
        given: dict[str, Any] = {"list": [1]}
        await fsm.set_data(KEY, given)
        given["list"].append(2)
        (await fsm.get_data(KEY))["list"].append(3)
        (await fsm.update_data(KEY, {}))["list"].append(4)
        assert await fsm.get_data(KEY) == {"list": [1]}

    on_each(storage, course)


@pytest.mark.parametrize("method", ["set_data", "update_data"])
def test_data_that_would_not_come_back_equal_is_refused(method: str, tmp_path: Path) -> None:
    async def main() -> None:
        fsm = FSMStorage(f"file:{tmp_path}")
        with pytest.raises(SessionEncodeError, match=r"\['at'\]"):
            await getattr(fsm, method)(KEY, {"at": datetime.now(UTC)})
        assert await fsm.get_data(KEY) == {}
        await fsm.close()

    asyncio.run(main())


def test_in_memory_any_python_value_may_be_kept() -> None:
    async def course(fsm: FSMStorage) -> None:
        now = datetime.now(UTC)
        await fsm.set_data(KEY, {"at": now})
        assert await fsm.update_data(KEY, {"set": {1}}) == {"at": now, "set": {1}}

    on_each(MemorySessionStorage(), course)


def test_no_update_of_the_data_is_lost(storage: Any) -> None:
    async def course(fsm: FSMStorage) -> None:
        await asyncio.gather(*(fsm.update_data(KEY, {f"f{n}": n}) for n in range(20)))
        assert len(await fsm.get_data(KEY)) == 20

    on_each(storage, course)


def test_no_update_of_another_process_is_lost() -> None:
    async def main() -> None:
        remote = Remote()
        fsm = FSMStorage(remote)
        await fsm.set_data(KEY, {"ours": 1})
        remote.gates["write"] = asyncio.Event()
        update = asyncio.create_task(fsm.update_data(KEY, {"ours": 2}))
        await remote.begun.wait()
        remote.put("fsm/data/42/3/-55", {"ours": 1, "theirs": 1})
        remote.gates["write"].set()
        assert await update == {"ours": 2, "theirs": 1}

    asyncio.run(main())


def test_setting_reads_nothing() -> None:
    async def main() -> None:
        spy = Spy()
        fsm = FSMStorage(spy)
        await fsm.set_state(KEY, "state")
        await fsm.set_data(KEY, {"a": 1})
        assert spy.log == ["W fsm/state/42/3/-55", "W fsm/data/42/3/-55"]

    asyncio.run(main())


def test_states_and_data_time_out() -> None:
    async def main() -> None:
        clock = Clocked()
        memory = MemorySessionStorage()
        fsm = FSMStorage(enhance_storage(memory, ttl=timedelta(hours=1), clock=clock))
        await fsm.set_state(KEY, "state")
        await fsm.set_data(KEY, {"a": 1})
        clock.now += 3599
        assert (await fsm.get_state(KEY), await fsm.get_data(KEY)) == ("state", {"a": 1})
        clock.now += 1
        assert (await fsm.get_state(KEY), await fsm.get_data(KEY)) == (None, {})

    asyncio.run(main())


def test_it_shares_a_storage_with_sessions() -> None:
    async def main() -> None:
        memory = MemorySessionStorage()
        sessions = session(dict[str, int], storage=memory, get_session_key=keys.chat)
        first, second = FSMStorage(memory), FSMStorage(memory, prefix="other/")
        async with sessions.open(GROUP) as opened:
            opened.data = {"a": 1}
        await first.set_state(KEY, "first")
        await second.set_state(KEY, "second")
        assert await first.get_state(KEY) == "first"
        assert await listed(sessions.keys()) == [str(GROUP)]

    asyncio.run(main())


def test_closing_closes_what_was_opened_from_a_url_only(tmp_path: Path) -> None:
    async def main() -> None:
        opened = FSMStorage(f"sqlite:///{tmp_path}/bot.db")
        await opened.set_state(KEY, "state")
        await opened.close()
        with pytest.raises(Exception, match="closed"):
            await opened.get_state(KEY)

        with SQLiteSessionStorage(tmp_path / "bot.db") as own:
            given = FSMStorage(own)
            await given.close()
            assert await given.get_state(KEY) == "state"

    asyncio.run(main())


def test_a_storage_that_is_none_is_refused() -> None:
    with pytest.raises(TypeError):
        FSMStorage(object())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no storage for nowhere"):
        FSMStorage("nowhere://")


# --- keys ---------------------------------------------------------------------------------


def test_keys_tell_everything_apart() -> None:
    all_of_it = replace(KEY, thread_id=12, business_connection_id="a/b", destiny="x/y")

    assert fsm_key(KEY) == "42/3/-55"
    assert fsm_key(replace(KEY, thread_id=0, business_connection_id="")) == "42/b/3/-55/t0"
    assert fsm_key(all_of_it) == "42/ba%2Fb/3/-55/t12/@x%2Fy"


ids = st.integers(min_value=-3, max_value=3)
texts = st.none() | st.text("ab/@%t1", max_size=4)
storage_keys = st.builds(
    StorageKey,
    bot_id=ids,
    chat_id=ids,
    user_id=ids,
    thread_id=st.none() | ids,
    business_connection_id=texts,
    destiny=st.just("default") | st.text("default/@%t1", max_size=4),
)


@given(storage_keys, storage_keys)
def test_two_keys_are_equal_if_all_parts_are(one: StorageKey, other: StorageKey) -> None:
    assert (fsm_key(one) == fsm_key(other)) == (one == other)


async def note(message: Message, state: FSMContext) -> None:
    await state.set_state("here")


@pytest.mark.parametrize(
    ("strategy", "key"),
    [
        (FSMStrategy.USER_IN_CHAT, "3/-55"),
        (FSMStrategy.CHAT, "-55/-55"),
        (FSMStrategy.GLOBAL_USER, "3/3"),
        (FSMStrategy.USER_IN_TOPIC, "3/-55/t12"),
        (FSMStrategy.CHAT_TOPIC, "-55/-55/t12"),
    ],
)
def test_each_strategy_has_its_keys(strategy: FSMStrategy, key: str) -> None:
    memory = MemorySessionStorage()
    dp = Dispatcher(storage=FSMStorage(memory), fsm_strategy=strategy)
    dp.message.register(note)
    in_topic = message("x", chat=GROUP, user=3, message_thread_id=12, is_topic_message=True)

    asyncio.run(feed(dp, in_topic))

    assert list(memory.iter_keys("")) == [f"fsm/state/42/{key}"]


def test_a_customers_chat_with_the_business_is_not_the_one_with_the_bot() -> None:
    memory = MemorySessionStorage()
    dp = Dispatcher(storage=FSMStorage(memory))
    dp.message.register(note)
    dp.business_message.register(note)
    private = message("x")
    business: Raw = {
        "update_id": 1,
        "business_message": {**private["message"], "business_connection_id": "c"},
    }

    asyncio.run(feed(dp, private, business))

    assert set(memory.iter_keys("")) == {"fsm/state/42/11/11", "fsm/state/42/bc/11/11"}


# --- scenes -------------------------------------------------------------------------------


def test_scenes_go_there_and_back(storage: Any) -> None:
    answers: list[Any] = []

    class Size(Scene, state="size"):
        @on.message.enter()
        async def ask(self, message: Message) -> None:
            answers.append("size?")

        @on.message(F.text == "back")
        async def back(self, message: Message) -> None:
            await self.wizard.back()

        @on.message()
        async def answer(self, message: Message) -> None:
            await self.wizard.update_data(size=message.text)
            await self.wizard.goto(Topping)

    class Topping(Scene, state="topping"):
        @on.message.enter()
        async def ask(self, message: Message) -> None:
            answers.append("topping?")

        @on.message(F.text == "back")
        async def back(self, message: Message) -> None:
            await self.wizard.back()

        @on.message()
        async def answer(self, message: Message) -> None:
            answers.append(await self.wizard.update_data(topping=message.text))
            await self.wizard.exit()

    dp = Dispatcher(storage=FSMStorage(storage))
    SceneRegistry(dp).add(Size, Topping)
    dp.message.register(Size.as_handler(), F.text == "order")

    asyncio.run(feed(dp, *map(message, ("order", "big", "back", "small", "cheese"))))

    assert answers[:4] == ["size?", "topping?", "size?", "topping?"]
    assert answers[4:] == [{"size": "small", "topping": "cheese"}]
    assert storage.sync.read("fsm/state/42/11/11") is None


# --- isolation ----------------------------------------------------------------------------


@asynccontextmanager
async def counting_in(isolation: EventIsolation, inside: list[int]) -> AsyncGenerator[None]:
    async with isolation.lock(KEY):
        inside.append(len(inside))
        yield
        inside.pop()


def test_one_at_a_time_has_a_key_and_nothing_is_left() -> None:
    async def main() -> None:
        isolation = EventIsolation()
        inside: list[int] = []

        async def enter() -> None:
            async with counting_in(isolation, inside):
                await asyncio.sleep(0)
                assert inside == [0]

        await asyncio.gather(*(enter() for _ in range(50)))
        assert held_by(isolation) == ()
        await isolation.close()

    asyncio.run(main())


def test_other_keys_do_not_wait() -> None:
    async def main() -> None:
        isolation = EventIsolation()
        async with isolation.lock(KEY), isolation.lock(replace(KEY, user_id=4)):
            assert len(held_by(isolation)) == 2

    asyncio.run(main())


def test_isolations_of_one_storage_keep_each_other_out() -> None:
    async def main() -> None:
        fsm = FSMStorage(MemorySessionStorage())
        one, other = fsm.create_isolation(), EventIsolation(fsm.wrapped, lock_timeout=5)
        apart = EventIsolation(lock_timeout=1)
        async with one.lock(KEY):

            async def enter(isolation: EventIsolation) -> None:
                async with isolation.lock(KEY):
                    pass

            await asyncio.create_task(enter(apart))
            for isolation, timeout in ((other, 5), (fsm.create_isolation(lock_timeout=7), 7)):
                with pytest.raises(SessionLockTimeoutError) as caught:
                    await asyncio.create_task(enter(isolation))
                assert caught.value.timeout == timeout

    run(main())


def test_taking_a_key_twice_in_a_handler_raises_instead_of_waiting_forever() -> None:
    async def main() -> None:
        isolation = EventIsolation()
        async with isolation.lock(KEY):
            with pytest.raises(SessionReentrancyError):
                async with isolation.lock(replace(KEY)):
                    pass
        assert held_by(isolation) == ()

    asyncio.run(main())


def test_a_handler_that_fails_or_is_cancelled_leaves_no_lock() -> None:
    async def main() -> None:
        isolation = EventIsolation()

        async def hold(begun: asyncio.Event) -> None:
            async with isolation.lock(KEY):
                begun.set()
                await asyncio.Event().wait()

        begun = asyncio.Event()
        holder = asyncio.create_task(hold(begun))
        await begun.wait()
        waiter = asyncio.create_task(hold(asyncio.Event()))
        await asyncio.sleep(0)
        for task in (waiter, holder):
            task.cancel()
        await asyncio.gather(holder, waiter, return_exceptions=True)
        with pytest.raises(ZeroDivisionError):
            async with isolation.lock(KEY):
                _ = 1 / 0
        assert held_by(isolation) == ()

    asyncio.run(main())


def test_a_pause_lets_go_of_the_isolation_and_takes_it_again_before_the_session() -> None:
    async def main() -> None:
        storage = MemorySessionStorage()
        isolation, sessions = FSMStorage(storage).create_isolation(), counters(storage)
        held = asyncio.Event()

        async def next_update() -> None:
            async with isolation.lock(KEY):
                held.set()
                await asyncio.sleep(1)  # the pause ends meanwhile
                await sessions.update(1, lambda data: {"n": data["n"] + 1})

        async with isolation.lock(KEY), sessions.open(1) as opened:
            async with opened.paused():
                task = asyncio.create_task(next_update())
                await held.wait()
            assert opened.data == {"n": 1}
            assert len(held_by(isolation)) == 2
        await task
        assert held_by(isolation) == ()

    run(main())


def test_a_lock_between_processes_is_taken_as_well() -> None:
    async def main() -> None:
        lock = Lock()
        fsm = FSMStorage(MemorySessionStorage(), prefix="orders/")
        async with fsm.create_isolation(lock=lock).lock(KEY):
            assert lock.log == [("acquire", "orders/lock/42/3/-55")]
        assert lock.log[1:] == [("release", "orders/lock/42/3/-55")]

    asyncio.run(main())


def test_isolated_handlers_of_one_chat_lose_nothing() -> None:
    async def count(message: Message, state: FSMContext) -> None:
        n: int = (await state.get_data()).get("n", 0)
        await asyncio.sleep(0)
        await state.set_data({"n": n + 1})

    async def main() -> None:
        fsm = FSMStorage(MemorySessionStorage())
        dp = Dispatcher(storage=fsm, events_isolation=fsm.create_isolation())
        dp.message.register(count)
        await asyncio.gather(*(feed(dp, message("count")) for _ in range(100)))
        assert await fsm.get_data(StorageKey(BOT_ID, CHAT, CHAT)) == {"n": 100}

    asyncio.run(main())


def test_sessions_and_isolation_work_together() -> None:
    async def count(message: Message, session: Any, state: FSMContext) -> None:
        session.data["n"] += 1
        await state.update_data(n=session.data["n"])

    async def main() -> None:
        memory = MemorySessionStorage()
        sessions = counters(memory, get_session_key=keys.chat)
        fsm = FSMStorage(memory)
        dp = Dispatcher(storage=fsm, events_isolation=fsm.create_isolation())
        install(dp, sessions)
        dp.message.register(count)
        updates = [message("count", chat=GROUP, user=1 + n % 3) for n in range(30)]
        await asyncio.gather(*(feed(dp, update) for update in updates))
        assert await sessions.get(GROUP) == {"n": 30}

    asyncio.run(main())


def test_data_of_a_mapping_type_is_stored_as_a_dict() -> None:
    async def course(fsm: FSMStorage) -> None:
        data: Mapping[str, Any] = MappingProxyType({"a": 1})
        await fsm.update_data(KEY, data)
        assert await fsm.get_data(KEY) == {"a": 1}

    on_each(MemorySessionStorage(), course)

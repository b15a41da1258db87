"""The suite for sessions: the storages of the core pass, each mistake is caught by name."""

from __future__ import annotations

import asyncio
import copy
import unittest
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from sessionkit import (
    FileSessionStorage,
    MemorySessionStorage,
    SQLiteSessionStorage,
    enhance_storage,
)
from sessionkit._session.record import Record
from sessionkit.protocols import ANY
from sessionkit.testing import BrokenPromise, Limits, SessionSuite
from sessionkit.testing._history import History
from sessionkit.testing._promises import Promise
from sessionkit.testing._sessions.data import data
from sessionkit.testing._sessions.failures import failures
from sessionkit.testing._sessions.noted import NotedStorage
from sessionkit.testing._sessions.together import together
from tests.testing.reference import Disk, Reference
from tests.testing.variants import BareTimed

if TYPE_CHECKING:
    from sessionkit.protocols import Expected

PROMISES = {promise.name: promise for promise in (*data, *failures, *together)}
IN_MEMORY = Limits(shared=False, durable=False)


# Storages that are right


class DictStorage:
    """Five lines, as a user writes them."""

    def __init__(self) -> None:
        self.rows: dict[str, Any] = {}

    def read(self, key: str) -> Any:
        return self.rows.get(key)

    def write(self, key: str, value: Any) -> Any:
        self.rows[key] = value

    def delete(self, key: str) -> Any:
        self.rows.pop(key, None)


class AsyncDictStorage:
    def __init__(self) -> None:
        self.rows: dict[str, Any] = {}

    async def read(self, key: str) -> Any:
        await asyncio.sleep(0)
        return self.rows.get(key)

    async def write(self, key: str, value: Any) -> None:
        await asyncio.sleep(0)
        self.rows[key] = value

    async def delete(self, key: str) -> None:
        await asyncio.sleep(0)
        self.rows.pop(key, None)


class TestSessionsInADict(SessionSuite):
    limits = IN_MEMORY

    def open(self, namespace: str) -> Any:
        return DictStorage()


class TestSessionsInAnAsyncDict(SessionSuite):
    limits = IN_MEMORY

    async def open(self, namespace: str) -> Any:
        return AsyncDictStorage()


class TestSessionsInMemory(SessionSuite):
    limits = Limits(shared=False, durable=False, ttl=600)

    def open(self, namespace: str) -> Any:
        return MemorySessionStorage(clock=self.clock, ttl=600, max_entries=10)


class TestSessionsInFiles(SessionSuite):
    limits = Limits(ttl=600)

    def open(self, namespace: str) -> Any:
        return FileSessionStorage(self.folder / namespace, clock=self.clock, ttl=600)

    def damage(self, namespace: str, key: str) -> None:
        (stored,) = (self.folder / namespace).rglob(f"{key}.json")
        stored.write_text('{"n":')


class TestSessionsInSQLite(SessionSuite):
    limits = Limits(ttl=600)

    def open(self, namespace: str) -> Any:
        path = self.folder / namespace
        return SQLiteSessionStorage(path, clock=self.clock, ttl=600, durable=False)


class TestSessionsInEnhancedFiles(TestSessionsInFiles):
    def open(self, namespace: str) -> Any:
        options: Any = {"ttl": 600, "sliding": True, "clock": self.clock}
        return enhance_storage(super().open(namespace), **options)


# Storages that are wrong


class Opened(SessionSuite):
    """Opens storages of one class, with a disk for each namespace."""

    kind: Callable[..., Any]

    def open(self, namespace: str) -> Any:
        disks: dict[str, Disk] = self.__dict__.setdefault("disks", {})
        return self.kind(disks.setdefault(namespace, Disk()), self.clock)

    def damage(self, namespace: str, key: str) -> None:
        self.__dict__["disks"][namespace].rows.clear()


class Default(Reference):
    def read_with_revision(self, key: str) -> Any:
        value, revision = super().read_with_revision(key)
        return ({} if value is None else value), revision


class InsertOnly(Reference):
    def write_if(self, key: str, value: Any, expected: Expected, **options: Any) -> Any:
        if value is not None and self.live(key):
            return self.live(key)
        return super().write_if(key, value, expected, **options)


class Forgetful(Reference):
    def close(self) -> None:
        self.disk.rows.clear()
        super().close()


class Falsy(Reference):
    def read_with_revision(self, key: str) -> Any:
        value, revision = super().read_with_revision(key)
        return value or None, revision


class NeverDeleting(Reference):
    def drop(self, key: str) -> None:
        pass


class ComparesAny(Reference):
    def compare(self, key: str, expected: Expected) -> None:
        super().compare(key, None if expected is ANY else expected)

    def write(self, key: str, value: Any) -> Any:
        super().write_if(key, value, None)


class Squeezing(Reference):
    def place(self, key: str) -> str:
        return key.replace("11", "1")


class Numeric(Reference):
    def decode(self, raw: Any) -> Any:
        return numbers_in(super().decode(raw))


def numbers_in(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: numbers_in(each) for name, each in value.items()}  # pyright: ignore[reportUnknownVariableType]  # of anything
    return "7.51" if value == "7.50" else value


class Unwrapping(Reference):
    def decode(self, raw: Any) -> Any:
        found = super().decode(raw)
        return found.get("__d", found)


class UnwrappingTimes(Unwrapping):
    supports_expiry = False


class Live(DictStorage):
    isolated = True

    def __init__(self, disk: Disk, clock: Any) -> None:
        super().__init__()


class Hiding(Reference):
    """Takes what is damaged for missing: the suite damages by removing."""


class Late(AsyncDictStorage):
    """Says that it settles, and writes in a task of its own."""

    settles = True

    def __init__(self, disk: Disk, clock: Any) -> None:
        super().__init__()

    async def write(self, key: str, value: Any) -> None:
        await asyncio.shield(asyncio.ensure_future(self.later(key, value)))

    async def later(self, key: str, value: Any) -> None:
        await asyncio.sleep(0.005)
        self.rows[key] = value


class Torn(Late):
    """Empties the place of a value before it writes there."""

    async def write(self, key: str, value: Any) -> None:
        self.rows[key] = {}
        await asyncio.sleep(0)
        self.rows[key] = value


class Behind(DictStorage):
    """Has a value in place only when the next one comes."""

    def __init__(self, disk: Disk, clock: Any) -> None:
        super().__init__()
        self.pending: dict[str, Any] = {}

    def write(self, key: str, value: Any) -> Any:
        super().write(key, self.pending.get(key, value))
        self.pending[key] = value


class NeverComparing(Reference):
    def compare(self, key: str, expected: Expected) -> None:
        pass


class ComparesWhatIsThere(Reference):
    def compare(self, key: str, expected: Expected) -> None:
        if self.live(key) is not None:
            super().compare(key, expected)


class Remembering(Reference):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.known: dict[str, Any] = {}

    def read_with_revision(self, key: str) -> Any:
        return self.known.setdefault(key, super().read_with_revision(key))


class Forgetting(Reference):
    """Refuses what was read before it expired, and was purged."""

    def purge_expired(self) -> Any:
        self.disk.expiries.clear()
        return super().purge_expired()


class Evicting(Reference):
    """Has room for ten values."""

    def store(self, key: str, raw: Any, expires: float | None) -> int:
        revision = super().store(key, raw, expires)
        if len(self.disk.rows) > 10:
            del self.disk.rows[next(iter(self.disk.rows))]
        return revision


class Constant(Reference):
    """Gives all values one revision."""

    def new_revision(self, key: str) -> int:
        return 1


BROKEN: tuple[tuple[str, Any], ...] = (
    ("new_chat_begins_with_initial", Default),
    ("changes_are_stored", InsertOnly),
    ("changes_outlive_closing", Forgetful),
    ("falsy_data_is_kept", Falsy),
    ("none_deletes", NeverDeleting),
    ("lazy_assignment_reads_nothing", ComparesAny),
    ("prefixes_are_apart", Squeezing),
    ("declared_types_come_back", Numeric),
    ("migrations_run_once", Unwrapping),
    ("timeouts_are_kept", UnwrappingTimes),
    ("failed_handler_changes_nothing", Live),
    ("damaged_data_is_not_written_over", Hiding),
    ("cancelled_update_has_no_late_effect", Late),
    ("cancelled_update_has_no_late_effect", Torn),
    ("expired_meanwhile_is_stored", Forgetting),
    ("open_session_stays_stored", Evicting),
    ("no_update_is_lost_among_tasks", Behind),
    ("no_update_is_lost_among_threads", Behind),
    ("paused_session_goes_on_with_what_others_wrote", Behind),
    ("clash_is_noticed", NeverComparing),
    ("clash_is_noticed", Constant),
    ("clash_with_a_delete_is_noticed", ComparesWhatIsThere),
    ("changes_of_two_processes_are_merged", NeverComparing),
    ("changes_of_two_processes_are_merged", Remembering),
    ("update_tries_again", NeverComparing),
    ("update_tries_again", Remembering),
)


def begin_with_nothing(self: Record[Any], slots: Any = None) -> Any:
    settings = self._settings

    def fetch(key: str) -> Any:
        try:
            return settings.fetch(key)
        except ConnectionError:
            return None, None

    self._settings = copy.copy(settings)
    self._settings.fetch = fetch
    return begin(self, slots)


begin: Any = Record[Any]._begin


def write_nothing(self: Record[Any], change: Any, *, settles: bool = True) -> None:
    self._written(change, self._revision)


def keep(self: Record[Any]) -> None:
    self._held = False


change_of: Any = Record[Any]._change_of


def always(self: Record[Any], data: Any, *, force: bool = False) -> Any:
    return change_of(self, data, force=True)


LAYERS: tuple[tuple[str, str, Any, str], ...] = (
    ("unchanged_data_is_not_written", "_change_of", always, "write_if('1', {'n': 0}, None)"),
    ("failed_read_leads_to_no_write", "_begin", begin_with_nothing, "SessionConflictError"),
    ("failed_write_keeps_the_old_data", "_write", write_nothing, "0 of 1 calls came"),
    ("key_is_free_afterwards", "_let_go", keep, "SessionLockTimeoutError"),
)
"""What no storage can break: the session layer, with something in it replaced."""


def suite_of(kind: Any, **attributes: Any) -> SessionSuite:
    suite: SessionSuite = type("Suite", (Opened,), {"kind": kind, **attributes})()
    return suite


def test_each_promise_has_a_test_and_is_broken() -> None:
    assert {name for name, *_ in (*BROKEN, *LAYERS)} == PROMISES.keys()
    for promise in PROMISES.values():
        assert getattr(SessionSuite, f"test_{promise.name}").__doc__ == promise.sentence


@pytest.mark.parametrize("promise", PROMISES.values(), ids=PROMISES)
def test_the_reference_keeps_all_but_what_it_is_not_asked_for(promise: Promise) -> None:
    if promise.name != "damaged_data_is_not_written_over":
        suite_of(Reference).ask(promise)


@pytest.mark.parametrize(("name", "kind"), BROKEN)
def test_a_storage_that_breaks_a_promise_is_caught(name: str, kind: Any) -> None:
    with pytest.raises(BrokenPromise) as caught:
        suite_of(kind).ask(PROMISES[name])

    assert caught.value.promise is PROMISES[name]
    assert 1 <= len(caught.value.history) <= 39


@pytest.mark.parametrize(("name", "method", "replaced", "got"), LAYERS)
def test_a_session_layer_that_breaks_a_promise_is_caught(
    name: str, method: str, replaced: Any, got: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Record, method, replaced)

    with pytest.raises(BrokenPromise) as caught:
        suite_of(Reference).ask(PROMISES[name])

    assert caught.value.promise is PROMISES[name]
    assert got in caught.value.got


def test_a_break_shows_what_sessions_asked_of_the_storage() -> None:
    with pytest.raises(BrokenPromise) as caught:
        suite_of(NeverComparing).ask(PROMISES["clash_with_a_delete_is_noticed"])

    assert str(caught.value) == (
        "If another process deleted in between, the update fails, and nothing is stored.\n"
        "\n"
        "    storage = open('n1')\n"
        "    second = open('n1')\n"
        "    storage.write('1', {'n': 1})\n"
        "    sessions = session(initial=lambda: {'n': 0}, storage=storage, lock=False)\n"
        "    others = session(initial=lambda: {'n': 0}, storage=second, lock=False)\n"
        "    #   storage.read_with_revision('1')  # -> ({'n': 1}, r1)\n"
        "    #   second.write_if('1', None, ANY)  # -> None\n"
        "    #   storage.write_if('1', {'n': 2}, r1)  # -> r2\n"
        "\n"
        "expected: SessionConflictError\n"
        "got:      the update went through\n"
        "\n"
        "Usual cause: write_if() takes a value that is gone for one that was never there, or does "
        "not\n"
        "compare.\n"
        "(promise clash_with_a_delete_is_noticed)"
    )


def test_what_the_storage_cannot_do_is_left_out() -> None:
    for suite, name, reason in (
        (TestSessionsInADict, "clash_is_noticed", r"Limits\(shared=False\)"),
        (TestSessionsInADict, "damaged_data_is_not_written_over", "no damage"),
        (TestSessionsInAnAsyncDict, "no_update_is_lost_among_threads", "threads cannot use"),
        (TestSessionsInEnhancedFiles, "migrations_run_once", "is enhanced already"),
    ):
        with pytest.raises(unittest.SkipTest, match=reason):
            suite().ask(PROMISES[name])

    lagging = suite_of(Reference, limits=Limits(eventually_consistent=0.001))
    with pytest.raises(unittest.SkipTest, match="others see writes only later"):
        lagging.ask(PROMISES["clash_is_noticed"])


def test_a_timeout_of_the_storage_itself_breaks_nothing() -> None:
    class ForAMinute(BareTimed):
        def __init__(self, disk: Disk, clock: Any) -> None:
            super().__init__(disk, clock, 60)

    suite_of(ForAMinute, limits=Limits(ttl=60)).ask(PROMISES["timeouts_are_kept"])


def test_a_thorough_run_does_more() -> None:
    written: list[Any] = []

    class Counting(Reference):
        def store(self, key: str, raw: Any, expires: float | None) -> int:
            written.append(key)
            return super().store(key, raw, expires)

    for name in ("no_update_is_lost_among_tasks", "no_update_is_lost_among_threads"):
        suite_of(Counting).ask(PROMISES[name])
        usual = len(written)
        suite_of(Counting, profile="thorough").ask(PROMISES[name])
        assert len(written) == 21 * usual
        written.clear()


def test_an_error_of_the_storage_is_reported_by_itself() -> None:
    class Failing(Reference):
        def write_if(self, *arguments: Any, **options: Any) -> Any:
            raise OSError("the disk is full")

    for name in ("no_update_is_lost_among_tasks", "no_update_is_lost_among_threads"):
        with pytest.raises(BrokenPromise) as caught:
            suite_of(Failing).ask(PROMISES[name])
        assert caught.value.got == "OSError: the disk is full"


def test_a_suite_without_open_says_what_to_write() -> None:
    with pytest.raises(BrokenPromise, match=r"has no open\(\): write def open\(self, namespace\)"):
        SessionSuite().ask(PROMISES["changes_are_stored"])


# What is reported


class Faltering(AsyncDictStorage):
    async def read(self, key: str) -> Any:
        raise OSError("gone")


def test_calls_are_reported_with_their_outcome() -> None:
    history = History()
    storage: Any = NotedStorage(Reference(Disk(), float), history)

    revision = storage.write_if("1", {"n": 1}, None, expires=5)
    storage.write("2", 2)
    storage.renew("1", revision)
    storage.has("1")
    storage.read_with_revision("1")
    with storage.fail("read"), pytest.raises(ConnectionError):
        storage.read("1")

    assert history.lines == (
        "#   storage.write_if('1', {'n': 1}, None, expires=5)  # -> r1",
        "#   storage.write('2', 2)",
        "#   storage.renew('1', r1)  # -> None",
        "#   storage.has('1')  # -> True",
        "#   storage.read_with_revision('1')  # -> ({'n': 1}, r1)",
        "#   storage.read('1')  # raised ConnectionError('read failed, as this test asked for')",
    )


def test_async_calls_are_reported_when_they_end() -> None:
    history = History()
    storage = NotedStorage(Faltering(), history)

    async def main() -> None:
        writing = storage.write("1", 1)
        assert history.lines == ("#   storage.write('1', 1)  # did not end",)
        await writing
        with pytest.raises(OSError, match="gone"):
            await storage.read("1")

    asyncio.run(main())

    assert history.lines == (
        "#   storage.write('1', 1)",
        "#   storage.read('1')  # raised OSError('gone')",
    )

"""One opened storage, sync or async, and what is written down of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping
from types import MappingProxyType
from typing import Any

import pytest

from sessionkit.protocols import ANY
from sessionkit.testing import BrokenPromise, FakeClock
from sessionkit.testing._capabilities import capabilities_of
from sessionkit.testing._client import Client
from sessionkit.testing._history import History
from tests.testing.reference import Disk, Reference
from tests.testing.variants import Bare


class AsyncStorage:
    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    async def read(self, key: str) -> Any:
        return self.values.get(key)

    async def write(self, key: str, value: Any) -> None:
        self.values[key] = value

    async def delete(self, key: str) -> None:
        self.values.pop(key, None)

    async def iter_keys(self, prefix: str = "") -> AsyncIterator[str]:
        for key in list(self.values):
            if key.startswith(prefix):
                yield key

    async def read_with_revision(self, key: str) -> Any:
        return self.values.get(key)

    async def write_if(self, key: str, value: Any, expected: Any) -> Any:
        raise OSError("no connection")


class Failing(AsyncStorage):
    async def iter_keys(self, prefix: str = "") -> AsyncIterator[str]:
        yield "1"
        raise OSError("gone")


def client_of(storage: Any) -> Client:
    return Client(storage, History())


def reference() -> Reference:
    return Reference(Disk(), FakeClock())


def run(course: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(course)


def test_capabilities_are_found_by_name() -> None:
    assert capabilities_of(Bare(Disk(), FakeClock())) == frozenset()
    assert capabilities_of(reference()) == {
        *("has", "iter_keys", "iter_items", "read_many", "write_many", "read_with_revision"),
        *("write_if", "touch", "renew", "purge_expired", "close", "sync", "identity"),
        *("isolated", "settles", "supports_expiry"),
    }


def test_every_call_is_a_line() -> None:
    async def main() -> None:
        storage = client_of(reference())
        await storage.write("1", {"n": 1})
        await storage.read("1")
        await storage.has("1")
        await storage.read_many(["1", "2"])
        await storage.write_many({"2": 2})
        value, revision = await storage.read_with_revision("1")
        assert value == {"n": 1}
        await storage.write_if("1", {}, revision, expires=5.0)
        await storage.write_if("1", None, ANY)
        await storage.renew("2", revision)
        await storage.touch("2")
        await storage.purge_expired()
        await storage.keys("2")
        await storage.items(None)
        await storage.delete("2")
        await storage.close()

        assert storage.history.lines == (
            "storage.write('1', {'n': 1})",
            "storage.read('1')  # -> {'n': 1}",
            "storage.has('1')  # -> True",
            "storage.read_many(['1', '2'])  # -> {'1': {'n': 1}}",
            "storage.write_many({'2': 2})",
            "storage.read_with_revision('1')  # -> ({'n': 1}, r1)",
            "storage.write_if('1', {}, r1, expires=5.0)  # -> r2",
            "storage.write_if('1', None, ANY)  # -> None",
            "storage.renew('2', r1)  # -> None",
            "storage.touch('2')  # -> True",
            "storage.purge_expired()  # -> 0",
            "list(storage.iter_keys('2'))  # -> ['2']",
            "list(storage.iter_items())  # -> [('2', 2)]",
            "storage.delete('2')",
            "storage.close()",
        )

    run(main())


def test_async_calls_are_awaited_and_shown_so() -> None:
    async def main() -> None:
        storage = client_of(AsyncStorage())
        await storage.write("1", 1)
        assert await storage.keys() == ["1"]
        assert [key async for key in storage.iterate("iter_keys", "1")] == ["1"]

        assert storage.history.lines == (
            "await storage.write('1', 1)",
            "[each async for each in storage.iter_keys('')]  # -> ['1']",
            "storage.iter_keys('1')",
            "# the listing gave '1'",
        )

    run(main())


def test_errors_are_shown_and_raised_on() -> None:
    async def main() -> None:
        storage = client_of(Failing())
        with pytest.raises(OSError, match="no connection"):
            await storage.write_if("1", 1, None)
        with pytest.raises(OSError, match="gone"):
            await storage.keys()

        assert storage.history.lines == (
            "await storage.write_if('1', 1, None)  # raised OSError('no connection')",
            "[each async for each in storage.iter_keys('')]  # raised OSError('gone')",
        )

    run(main())


def test_a_pair_of_value_and_revision_is_insisted_on() -> None:
    async def main() -> None:
        storage = client_of(AsyncStorage())
        with pytest.raises(BrokenPromise) as caught:
            await storage.read_with_revision("1")

        assert caught.value.expected == "a tuple of value and revision"
        assert caught.value.got == "None"

    run(main())


def test_any_mapping_will_do_for_a_batch() -> None:
    class Proxied(Reference):
        def read_many(self, keys: Any) -> Mapping[str, Any]:
            return MappingProxyType({"1": 1})

    class Odd(Reference):
        def read_many(self, keys: Any) -> Any:
            return None

    assert run(client_of(Proxied(Disk(), FakeClock())).read_many(["1"])) == {"1": 1}
    assert run(client_of(Odd(Disk(), FakeClock())).read_many(["1"])) is None


def test_what_is_expected_and_so_passes_silently() -> None:
    async def main() -> None:
        storage = client_of(reference())
        await storage.expect_read("1", None)
        await storage.write("1", 1)
        await storage.expect_conflict("1", 2, None)

    run(main())


@pytest.mark.parametrize(
    ("storage", "got"),
    [
        (reference(), "the write went through and gave r1"),
        (AsyncStorage(), "OSError('no connection')"),
    ],
)
def test_a_conflict_is_insisted_on(storage: Any, got: str) -> None:
    with pytest.raises(BrokenPromise) as caught:
        run(client_of(storage).expect_conflict("1", 2, None))

    assert caught.value.expected == "SessionConflictError"
    assert caught.value.got == got


def test_a_sync_view_is_used_on_another_thread() -> None:
    class Looking(Reference):
        def read(self, key: str) -> Any:
            with pytest.raises(RuntimeError):
                asyncio.get_running_loop()
            return super().read(key)

    async def main() -> None:
        view = client_of(Looking(Disk(), FakeClock())).sync_view()
        await view.write("1", 1)
        assert await view.read("1") == 1
        assert await view.keys() == ["1"]
        assert view.history.lines[-1] == "list(storage.sync.iter_keys(''))  # -> ['1']"

    run(main())


@pytest.mark.parametrize("call", ["read", "keys"])
def test_a_sync_view_that_does_not_block_is_refused(call: str) -> None:
    class Wrong(Reference):
        @property
        def sync(self) -> Any:
            return AsyncStorage()

    async def main() -> None:
        view = client_of(Wrong(Disk(), FakeClock())).sync_view()
        with pytest.raises(TypeError, match="must block"):
            await getattr(view, call)("1")

    run(main())

"""Promises: kept, broken, left out, hanging."""

from __future__ import annotations

import asyncio
import importlib
import traceback
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from sessionkit.testing import BrokenPromise
from sessionkit.testing import _asking as asking
from sessionkit.testing import _promises as module
from sessionkit.testing._factory import FactoryError
from sessionkit.testing._needs import LeftOut
from sessionkit.testing._promises import Promise, promise, promises
from sessionkit.testing._subject import Subject
from tests.clocks import FakeTimeLoop
from tests.testing.reference import Reference, promise_named, subject_of

MISSING_IS_NONE = promise_named("missing_is_none")


@pytest.fixture(autouse=True)
def _registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(module, "_registry", {})
    yield


def declared(check: Any, **options: Any) -> Promise:
    check.__name__ = "a_check"
    promise("A sentence.", hint="a hint.", **options)(check)
    return module._registry["a_check"]


def ask(one: Promise, subject: Subject | None = None) -> None:
    with asyncio.Runner(loop_factory=FakeTimeLoop) as runner:
        runner.run(asking.ask_for(one, subject or subject_of(Reference)))


async def passing(subject: Subject) -> None:
    async with subject.client() as storage:
        await storage.expect_read("1", None)


def test_a_promise_that_is_kept_raises_nothing() -> None:
    ask(declared(passing))


def test_a_broken_promise_says_everything() -> None:
    async def check(subject: Subject) -> None:
        async with subject.client() as storage:
            await storage.expect_read("1", {})

    with pytest.raises(BrokenPromise) as caught:
        ask(declared(check))

    assert str(caught.value) == (
        "A sentence.\n"
        "\n"
        "    storage = open('n1')\n"
        "    storage.read('1')  # -> None\n"
        "\n"
        "expected: {}\n"
        "got:      None\n"
        "\n"
        "Usual cause: a hint.\n"
        "(promise a_check)"
    )


def test_a_break_may_name_another_promise() -> None:
    other = declared(passing)
    module._registry.clear()

    async def check(subject: Subject) -> None:
        error = BrokenPromise((), expected="", got="")
        error.promise = other
        raise error

    with pytest.raises(BrokenPromise) as caught:
        ask(declared(check))

    assert caught.value.promise is other


def test_an_error_of_the_storage_is_the_cause_and_shows_only_its_own_lines() -> None:
    class Failing(Reference):
        def read(self, key: str) -> Any:
            raise KeyError(key)

    with pytest.raises(BrokenPromise) as caught:
        ask(MISSING_IS_NONE, subject_of(Failing))

    assert caught.value.expected == "no error"
    assert caught.value.got == "KeyError: '1'"
    assert caught.value.history[-1] == "storage.read('1')  # raised KeyError('1')"
    cause = caught.value.__cause__
    assert cause is not None
    assert [frame.name for frame in traceback.extract_tb(cause.__traceback__)] == ["read"]


def test_an_error_of_the_kit_itself_has_no_lines_of_the_user() -> None:
    assert asking._outside(None) is None


def test_an_error_behind_a_broken_promise_is_its_cause() -> None:
    class Failing(Reference):
        def write_if(self, *arguments: Any, **options: Any) -> Any:
            raise OSError("gone")

    async def check(subject: Subject) -> None:
        async with subject.client() as storage:
            await storage.expect_conflict("1", 1, None)

    with pytest.raises(BrokenPromise) as caught:
        ask(declared(check), subject_of(Failing))

    assert caught.value.got == "OSError('gone')"
    assert isinstance(caught.value.__cause__, OSError)


def test_a_storage_that_hangs_is_reported() -> None:
    class Hanging(Reference):
        async def read(self, key: str) -> Any:
            await asyncio.sleep(3600)

    with pytest.raises(BrokenPromise) as caught:
        ask(declared(passing, timeout=30.0), subject_of(Hanging))

    assert caught.value.expected == "an answer within 30.0 seconds"
    assert caught.value.got == "none"
    assert "storage.read('1')" in caught.value.history[-1]


def test_a_storage_that_is_slow_is_not_taken_for_one_that_hangs() -> None:
    class Slow(Reference):
        async def read(self, key: str) -> Any:
            await asyncio.sleep(20)
            return super().read(key)

    async def check(subject: Subject) -> None:
        async with subject.client() as storage:
            for _ in range(10):
                await storage.expect_read("1", None)

    ask(declared(check, timeout=30.0), subject_of(Slow))


def test_a_timeout_of_the_storage_itself_is_an_error_like_any_other() -> None:
    class Late(Reference):
        def read(self, key: str) -> Any:
            raise TimeoutError("the server did not answer")

    with pytest.raises(BrokenPromise) as caught:
        ask(declared(passing), subject_of(Late))

    assert caught.value.got == "TimeoutError: the server did not answer"


@pytest.mark.parametrize("error", [LeftOut("why"), FactoryError("none")])
def test_what_says_nothing_of_the_storage_is_raised_on(error: Exception) -> None:
    async def check(subject: Subject) -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        ask(declared(check))

    assert caught.value is error


def test_what_needs_more_than_there_is_is_left_out() -> None:
    with pytest.raises(LeftOut, match="no_such_module is not installed"):
        ask(replace(declared(passing), modules=("json", "no_such_module")))

    module._registry.clear()
    bare = subject_of(BareReference)
    with pytest.raises(LeftOut, match="has no has"):
        ask(declared(passing, needs=("has",)), bare)


class BareReference(Reference):
    has: Any = None


def test_names_and_needs_are_checked_when_declared() -> None:
    declared(passing)
    with pytest.raises(ValueError, match="two promises of the name 'a_check'"):
        declared(passing)
    with pytest.raises(ValueError, match="no such needs: had"):
        declared(passing, needs=("had", "has"))


def test_layers_that_are_not_there_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    imported: list[str] = []
    monkeypatch.setattr(importlib, "import_module", imported.append)
    packages = {"table": "sessionkit.testing._table", "machine": "sessionkit.testing._not_there"}
    monkeypatch.setattr(module, "_PACKAGES", packages)
    declared(passing)

    assert [each.name for each in promises()] == ["a_check"]
    assert imported == ["sessionkit.testing._table"]

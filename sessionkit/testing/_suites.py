"""What suites have in common: under pytest a test per promise, without plugins."""

from __future__ import annotations

import asyncio
import unittest
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from sessionkit.testing._asking import ask_for
from sessionkit.testing._broken import BrokenPromise
from sessionkit.testing._factory import FactoryError
from sessionkit.testing._limits import Limits
from sessionkit.testing._needs import LeftOut
from sessionkit.testing._promises import Promise
from sessionkit.testing._subject import Profile, Subject
from sessionkit.testing.clock import FakeClock

if TYPE_CHECKING:
    from pathlib import Path

    from sessionkit.testing._promises import Check

S = TypeVar("S", bound=Subject)


class Collection(Generic[S]):
    """The promises of one suite, in the order in which they are written."""

    def __init__(self) -> None:
        self._promises: dict[str, Promise] = {}

    def __iter__(self) -> Iterator[Promise]:
        return iter(self._promises.values())

    def promise(
        self,
        sentence: str,
        *,
        hint: str,
        needs: tuple[str, ...] = (),
        modules: tuple[str, ...] = (),
    ) -> Callable[[Callable[[S], Awaitable[None]]], Callable[[S], Awaitable[None]]]:
        """Add the decorated check as that of a promise, under the function's name."""

        def add(check: Callable[[S], Awaitable[None]]) -> Callable[[S], Awaitable[None]]:
            name = check.__name__
            self._promises[name] = Promise(
                name, sentence, hint, "table", needs, modules, 60.0, cast("Check", check)
            )
            return check

        return add

    def add_tests(self, suite: type[Any]) -> None:
        """Give *suite* a test method for each promise; its ``ask`` runs them."""
        for promise in self:
            add_test(suite, promise)


class OpeningSuite:
    """A suite over storages that ``open`` gives.

    Attributes:
        limits: What the storage cannot do.
        profile: "thorough" takes about 20 times longer than "default".
        seed: The same seed gives the same run.
    """

    limits: Limits = Limits()
    profile: Profile = "default"
    seed: int = 0

    _subject: Subject

    def open(self, namespace: str) -> Any:  # noqa: ARG002 (those who derive need it)
        """Return the storage of *namespace*, or a context manager that gives it.

        May be ``async def``.  The same namespace gives the same data, a new one none.
        A storage with ``close`` is closed, one that is a context manager is entered.
        """
        msg = (
            f"{type(self).__name__} has no open(): write def open(self, namespace), "
            "which returns your storage"
        )
        raise TypeError(msg)

    def damage(self, namespace: str, key: str) -> Any:  # noqa: ARG002 (those who derive need it)
        """Spoil what is stored under *key*, past the storage; optional, may be ``async def``.

        With it, more is asked for: that a spoiled value is not taken for missing.
        """
        msg = "the suite has no damage(namespace, key), which spoils a stored value"
        raise LeftOut(msg)

    def lose(self, namespace: str) -> Any:  # noqa: ARG002 (those who derive need it)
        """Take away all that is stored, as ``rm`` does; optional, may be ``async def``.

        With it, more is asked for: that no write is acknowledged that is lost.
        """
        msg = "the suite has no lose(namespace), which takes away all that is stored"
        raise LeftOut(msg)

    @property
    def clock(self) -> FakeClock:
        """The time, for storages that take a ``clock``: the kit moves it."""
        self._subject.uses_clock = True
        return self._subject.clock

    @property
    def folder(self) -> Path:
        """A folder for the files of this test, removed after it."""
        return self._subject.folder

    def ask(self, promise: Promise) -> None:
        """Let the storage keep *promise*, or raise ``BrokenPromise``."""
        __tracebackhide__ = True
        options: Any = {"limits": self.limits, "profile": self.profile, "seed": self.seed}
        with Subject(self.open, damage=self.damage, lose=self.lose, **options) as self._subject:
            run(lambda: ask_for(promise, self._subject))


def run(asking: Callable[[], Awaitable[None]]) -> None:
    """Run *asking*; what is left out is skipped, what is broken shows no lines of the kit."""
    __tracebackhide__ = True

    async def main() -> None:
        await asking()

    try:
        asyncio.run(main())
    except LeftOut as reason:
        raise unittest.SkipTest(str(reason)) from None
    except (BrokenPromise, FactoryError) as error:
        raise error.with_traceback(None) from error.__cause__


def add_test(suite: type[Any], promise: Promise) -> None:
    """Give *suite* a test method for *promise*; its ``ask`` runs it."""

    def test(self: Any) -> None:
        __tracebackhide__ = True
        self.ask(promise)

    test.__name__ = f"test_{promise.name}"
    test.__doc__ = promise.sentence
    setattr(suite, test.__name__, test)

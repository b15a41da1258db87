"""The kit under pytest: a test per promise, without plugins."""

from __future__ import annotations

import asyncio
import unittest
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sessionkit.testing._broken import BrokenPromise
from sessionkit.testing._factory import FactoryError
from sessionkit.testing._limits import Limits
from sessionkit.testing._needs import LeftOut
from sessionkit.testing._promises import Promise, promises
from sessionkit.testing._subject import Profile, Subject
from sessionkit.testing.clock import FakeClock

if TYPE_CHECKING:
    from pathlib import Path


class StorageSuite:
    """Tests of a storage: derive a class whose name begins with ``Test``, and give ``open``.

        class TestMyStorage(StorageSuite):
            def open(self, namespace):
                return MyStorage(self.folder / namespace)

    Each promise that a storage must keep is a test of its own; what the storage does
    not offer is skipped, with the reason.

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

        With it, one promise more is asked for: that a spoiled value is not taken for missing.
        """
        msg = "the suite has no damage(namespace, key), which spoils a stored value"
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
        options: Any = {
            "limits": self.limits,
            "profile": self.profile,
            "seed": self.seed,
            "damage": self.damage,
        }
        with Subject(self.open, **options) as self._subject:
            try:
                asyncio.run(promise.ask(self._subject))
            except LeftOut as reason:
                raise unittest.SkipTest(str(reason)) from None
            except (BrokenPromise, FactoryError) as error:
                raise error.with_traceback(None) from error.__cause__


def _test_of(promise: Promise) -> Callable[[StorageSuite], None]:
    def test(self: StorageSuite) -> None:
        __tracebackhide__ = True
        self.ask(promise)

    test.__name__ = f"test_{promise.name}"
    test.__doc__ = promise.sentence
    return test


for _promise in promises():
    setattr(StorageSuite, f"test_{_promise.name}", _test_of(_promise))

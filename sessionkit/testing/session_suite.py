"""The kit for the session layer over a storage, under pytest: a test per promise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sessionkit.testing._limits import Limits
from sessionkit.testing._needs import LeftOut
from sessionkit.testing._promises import Promise
from sessionkit.testing._sessions.data import data
from sessionkit.testing._sessions.failures import failures
from sessionkit.testing._sessions.together import together
from sessionkit.testing._subject import Profile, Subject
from sessionkit.testing._suites import run
from sessionkit.testing.clock import FakeClock

if TYPE_CHECKING:
    from pathlib import Path


class SessionSuite:
    """Tests of sessions over a storage: derive a class named ``Test...``, and give ``open``.

        class TestSessionsInMyStorage(SessionSuite):
            def open(self, namespace):
                return MyStorage(self.folder / namespace)

    It takes what ``StorageSuite`` takes, and shows what the storage means for a bot: no
    update is lost, a failure changes nothing, clashes are noticed.

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
        """Return the storage of *namespace*, as for ``StorageSuite``."""
        msg = (
            f"{type(self).__name__} has no open(): write def open(self, namespace), "
            "which returns your storage"
        )
        raise TypeError(msg)

    def damage(self, namespace: str, key: str) -> Any:  # noqa: ARG002 (those who derive need it)
        """Spoil what is stored under *key*, past the storage; optional, may be ``async def``."""
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
        """Let sessions over the storage keep *promise*, or raise ``BrokenPromise``."""
        __tracebackhide__ = True
        options: Any = {"limits": self.limits, "profile": self.profile, "seed": self.seed}
        with Subject(self.open, damage=self.damage, **options) as self._subject:
            run(lambda: promise.ask(self._subject))


for _collection in (data, failures, together):
    _collection.add_tests(SessionSuite)

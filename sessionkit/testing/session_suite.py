"""The kit for the session layer over a storage, under pytest: a test per promise."""

from __future__ import annotations

from sessionkit.testing._sessions.data import data
from sessionkit.testing._sessions.failures import failures
from sessionkit.testing._sessions.together import together
from sessionkit.testing._suites import OpeningSuite


class SessionSuite(OpeningSuite):
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


for _collection in (data, failures, together):
    _collection.add_tests(SessionSuite)

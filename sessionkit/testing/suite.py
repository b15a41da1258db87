"""The kit under pytest: a test per promise, without plugins."""

from __future__ import annotations

from sessionkit.testing._promises import promises
from sessionkit.testing._suites import OpeningSuite, add_test


class StorageSuite(OpeningSuite):
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


for _promise in promises():
    add_test(StorageSuite, _promise)

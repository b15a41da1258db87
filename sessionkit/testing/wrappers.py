"""The kit for wrappers around storages, under pytest: a test per promise, without plugins."""

from __future__ import annotations

from typing import Any

from sessionkit.testing._needs import LeftOut
from sessionkit.testing._promises import Promise
from sessionkit.testing._suites import run
from sessionkit.testing._wrappers.errors import errors
from sessionkit.testing._wrappers.honest import honest
from sessionkit.testing._wrappers.inside import (
    ALL,
    KINDS,
    Kind,
    Variant,
    all_variants,
    usual_variants,
)
from sessionkit.testing._wrappers.subject import WrapperSubject
from sessionkit.testing.suite import StorageSuite

_OWN = frozenset(promise.name for promise in (*honest, *errors))


class WrapperSuite(StorageSuite):
    """Tests of a wrapper around storages: derive a class named ``Test...``, and give ``wrap``.

        class TestMyWrapper(WrapperSuite):
            def wrap(self, storage):
                return MyWrapper(storage)

    The kit hands it storages in memory: sync and async ones, with and without each of the
    optional methods and declarations.  What comes back must keep every promise of a
    storage, and those of a wrapper.  A wrapper that looks at the time takes ``self.clock``.

    Attributes:
        kinds: Which storages the wrapper takes: ``("sync", "async")``, or one of them.
        limits: What the wrapped storage cannot do.
        profile: "thorough" takes about 20 times longer than "default".
        seed: The same seed gives the same run.
    """

    kinds: tuple[Kind, ...] = KINDS

    def wrap(self, storage: Any) -> Any:  # noqa: ARG002 (those who derive need it)
        """Return *storage*, wrapped, or a context manager that gives it; may be ``async def``."""
        msg = (
            f"{type(self).__name__} has no wrap(): write def wrap(self, storage), "
            "which returns your wrapper around it"
        )
        raise TypeError(msg)

    def offers(self, inside: frozenset[str]) -> frozenset[str]:
        """Return the names of what the wrapped storage offers, of what the one inside does.

        By default just the same.  Derive it if the wrapper leaves something out or adds
        something, such as a timeout with ``touch``: ``return inside - {"touch"}``.
        Beside the names in ``Report.capabilities`` there is ``read_tracked``, which
        together with ``renew`` makes timeouts slide.
        """
        return inside

    def ask(self, promise: Promise) -> None:
        """Let the wrapper keep *promise*, or raise ``BrokenPromise``."""
        __tracebackhide__ = True
        run(lambda: self._ask(promise))

    async def _ask(self, promise: Promise) -> None:
        reasons: list[LeftOut] = []
        variants = self._variants_for(promise)
        for variant in variants:
            options: Any = {"limits": self.limits, "profile": self.profile, "seed": self.seed}
            with WrapperSubject(self.wrap, variant, offers=self.offers, **options) as subject:
                self._subject = subject
                try:
                    await subject.ask(promise)
                except LeftOut as reason:
                    reasons.append(reason)
        if len(reasons) == len(variants):
            raise reasons[0]

    def _variants_for(self, promise: Promise) -> list[Variant]:
        if promise.name in _OWN:
            return all_variants(self.kinds)
        if promise.layer == "table":
            return usual_variants(self.kinds)
        # Among tasks it matters where the storage inside waits; elsewhere waiting costs time
        return [Variant(self.kinds[-1 if promise.layer == "concurrency" else 0], ALL)]


honest.add_tests(WrapperSuite)
errors.add_tests(WrapperSuite)

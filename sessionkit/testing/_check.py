"""The kit without pytest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sessionkit.testing._asking import ask_for
from sessionkit.testing._broken import BrokenPromise
from sessionkit.testing._factory import Factory
from sessionkit.testing._limits import Limits
from sessionkit.testing._needs import LeftOut
from sessionkit.testing._promises import Promise, promises
from sessionkit.testing._report import Outcome, Report
from sessionkit.testing._subject import Profile, Subject


async def check_storage(
    factory: Factory,
    *,
    limits: Limits | None = None,
    profile: Profile = "default",
    seed: int = 0,
    damage: Callable[[str, str], Any] | None = None,
    lose: Callable[[str], Any] | None = None,
) -> Report:
    """Ask a storage for every promise that a storage must keep, and report.

    A broken storage raises nothing here: ask ``report.ok``, and print the report.

    Args:
        factory: Opens the storage of a namespace: ``factory(namespace)``, or
            ``factory(namespace, clock)`` to give the storage the kit's clock.  The same
            namespace gives the same data, a new one none.  One more parameter, called
            ``folder``, gets a ``Path`` for files, which is removed at the end.  Sync or
            async; returns the storage or a context manager, sync or async, that gives
            it.  A storage with ``close`` is closed, one that is a context manager is
            entered.
        limits: What the storage cannot do; by default nothing is beyond it.
        profile: "thorough" takes about 20 times longer than "default".
        seed: The same seed gives the same run.
        damage: Spoils what is stored under a key, past the storage:
            ``damage(namespace, key)``, sync or async.  Without it, what is promised of
            spoiled values is left out.
        lose: Takes away all that is stored while the storage is open, as ``rm`` does:
            ``lose(namespace)``, sync or async.  Without it one promise is left out: that
            no write is acknowledged that is lost.

    Raises:
        TypeError: The factory cannot work at all, so nothing can be said.
        ValueError: There is no such profile.
    """
    options: Any = {"limits": limits, "profile": profile, "seed": seed}
    options |= {"damage": damage, "lose": lose}
    with Subject(factory, **options) as subject:
        capabilities = await subject.capabilities()
        outcomes = [await _outcome(promise, subject) for promise in promises()]
        return Report(
            subject.storage_name, capabilities, tuple(outcomes), profile, seed, subject.limits
        )


async def _outcome(promise: Promise, subject: Subject) -> Outcome:
    try:
        await ask_for(promise, subject)
    except LeftOut as reason:
        return Outcome(promise, "left out", reason=str(reason))
    except BrokenPromise as error:
        return Outcome(promise, "broken", broken=error)
    return Outcome(promise, "kept")

"""What a promise needs before a storage can be asked for it."""

from __future__ import annotations

from typing import Final, NamedTuple

from sessionkit.testing._capabilities import FLAGS, METHODS, VALUES
from sessionkit.testing._limits import Limits

PATIENCE: Final = 5.0
"""Seconds that a thorough run waits for an expiry, where time cannot be skipped."""

CIRCUMSTANCES: Final = ("shared", "threads", "durable", "ttl", "clock", "time")
NEEDS: Final = frozenset({*METHODS, *FLAGS, *VALUES, *CIRCUMSTANCES})


class LeftOut(Exception):  # noqa: N818 (no error: the promise cannot be asked for)
    """Raised if a promise cannot be asked for; the text says why."""


class Circumstances(NamedTuple):
    """What a storage offers, and how it is tested."""

    capabilities: frozenset[str]
    limits: Limits
    uses_clock: bool
    thorough: bool


def reason_against(need: str, given: Circumstances) -> str | None:
    """Return why *need* is not met, None if it is."""
    if need in METHODS:
        return None if need in given.capabilities else f"the storage has no {need}()"
    if need in FLAGS:
        declared = need in given.capabilities
        return None if declared else f"the storage does not declare {need} = True"
    if need in VALUES:
        return None if need in given.capabilities else f"the storage has no {need}"
    return _reason_of_circumstances(need, given)


def _reason_of_circumstances(need: str, given: Circumstances) -> str | None:
    limits = given.limits
    reasons = {
        "shared": None if limits.shared else "declared by Limits(shared=False)",
        "threads": None if limits.threads else "declared by Limits(threads=False)",
        "durable": None if limits.durable else "declared by Limits(durable=False)",
        "ttl": "no timeout is declared by Limits(ttl=...)" if limits.ttl is None else None,
        "clock": None if given.uses_clock else "open() does not use the clock of the kit",
        "time": _reason_against_waiting(given),
    }
    return reasons[need]


def _reason_against_waiting(given: Circumstances) -> str | None:
    if given.uses_clock:
        return None
    if not given.thorough:
        return (
            "open() does not use the clock of the kit, so time cannot be skipped, "
            "and only a thorough run waits"
        )
    if given.limits.ttl is not None and given.limits.ttl > PATIENCE:
        return f"a timeout of {given.limits.ttl:g} seconds would have to be waited for"
    return None

"""Storages of the kit for wrappers to wrap, with more or fewer capabilities."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from sessionkit.errors import SessionClosedError
from sessionkit.testing._capabilities import FLAGS, capabilities_of
from sessionkit.testing._wrappers.rows import Rows

Kind: TypeAlias = Literal["sync", "async"]

KINDS: Final[tuple[Kind, ...]] = ("sync", "async")
LISTINGS: Final = ("iter_keys", "iter_items")
REVISIONS: Final = ("read_with_revision", "write_if")
GROUPS: Final[tuple[tuple[str, ...], ...]] = (
    ("has",),
    LISTINGS,
    ("read_many",),
    ("write_many",),
    REVISIONS,
    (*REVISIONS, "supports_expiry"),
    (*REVISIONS, *LISTINGS),
    (*REVISIONS, "renew"),
    ("read_tracked", "renew"),
    ("touch",),
    ("purge_expired",),
    ("close",),
    ("sync",),
    ("identity",),
    ("isolated",),
    ("settles",),
    ("any_value",),
)
"""What storages offer together, beside the three methods."""

ALL: Final = frozenset(name for group in GROUPS for name in group)
_ALWAYS: Final = ("read", "write", "delete")


class Variant(NamedTuple):
    """What a storage of the kit offers, and whether it is async."""

    kind: Kind
    offers: frozenset[str]

    def __str__(self) -> str:
        missing = ALL - self.offers
        offers = ", ".join(sorted(self.offers)) or "nothing"
        if len(missing) < len(self.offers):
            offers = f"everything but {', '.join(sorted(missing))}" if missing else "everything"
        return f"is {self.kind}, and beside read, write and delete it offers {offers}"


class _Opening:
    """What a storage and its view for threads have in common."""

    is_closed = False


class Inside:
    """A storage of the kit: it has the methods and declarations that are asked for.

    Args:
        rows: The data.
        variant: What it offers.
    """

    def __init__(self, rows: Rows, variant: Variant, opening: _Opening | None = None) -> None:
        self._opening = _Opening() if opening is None else opening
        offers = variant.offers
        for name in (*_ALWAYS, *sorted(offers)):
            if name in FLAGS:
                setattr(self, name, True)
            elif hasattr(rows, name):
                setattr(self, name, self._method(rows, name, variant.kind))
        if "supports_expiry" in offers:
            self.clock = rows.clock
        if "identity" in offers:
            self.identity = ("kit", id(rows))
        if "close" in offers:
            self.close = self._close if variant.kind == "sync" else self._close_async
        if "sync" in offers:
            view = Variant("sync", offers)
            self.sync = self if variant == view else Inside(rows, view, self._opening)

    def __repr__(self) -> str:
        return "<storage of the kit>"

    def _check_open(self) -> None:
        if self._opening.is_closed:
            msg = "this storage is closed"
            raise SessionClosedError(msg)

    def _close(self) -> None:
        self._opening.is_closed = True

    async def _close_async(self) -> None:
        self._close()

    def _method(self, rows: Rows, name: str, kind: Kind) -> Callable[..., Any]:
        method: Callable[..., Any] = getattr(rows, name)

        def enter() -> None:
            self._check_open()
            if name not in LISTINGS:
                rows.fail(name)

        def call(*args: Any, **options: Any) -> Any:
            enter()
            return method(*args, **options)

        async def call_async(*args: Any, **options: Any) -> Any:
            await asyncio.sleep(0)
            return call(*args, **options)

        async def list_async(*args: Any) -> AsyncIterator[Any]:
            enter()
            for entry in method(*args):
                await asyncio.sleep(0)
                yield entry

        if kind == "sync":
            return call
        return list_async if name in LISTINGS else call_async


def usual_variants(kinds: tuple[Kind, ...]) -> list[Variant]:
    """Return what a wrapper must work on: all, nothing, and each group alone."""
    ends = [Variant(kind, offers) for offers in (ALL, frozenset[str]()) for kind in kinds]
    return ends + [Variant(kinds[-1], frozenset(group)) for group in GROUPS]


def all_variants(kinds: tuple[Kind, ...]) -> list[Variant]:
    """Return all that a wrapper may meet: each group alone and each missing, too."""
    offers = [ALL, frozenset[str](), *map(frozenset, GROUPS), *(ALL - {*each} for each in GROUPS)]
    return [Variant(kind, each) for each in offers for kind in kinds]


def offered_by(storage: object) -> frozenset[str]:
    """Return the names of what *storage* offers, those of enhanced storages included."""
    tracked = {"read_tracked"} if callable(getattr(storage, "read_tracked", None)) else set[str]()
    return capabilities_of(storage) | tracked

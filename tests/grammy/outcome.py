"""What an update did, as the driver tells it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from tests.grammy.process import JSError
from tests.grammy.wire import JSON, UNDEFINED

if TYPE_CHECKING:
    from collections.abc import Mapping

Op: TypeAlias = Literal["R", "W", "D"]


@dataclass(frozen=True)
class Call:
    """A read, write or delete of a storage, below ``enhanceStorage``.

    *value* is what was read or written, UNDEFINED for missing and for deletes.
    *began* and *ended* are ticks of one counter, so that calls can be ordered;
    like *storage*, the ``id`` of its storage, they do not count when calls are compared.
    """

    op: Op
    key: str
    value: JSON = UNDEFINED
    error: JSError | None = None
    storage: int = field(default=0, compare=False)
    began: int = field(default=0, compare=False)
    ended: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Outcome:
    """What an update did.

    Attributes:
        saw: What each step that sees something saw, in order.
        caught: What the handler caught.
        error: What ``handleUpdate`` failed with (taken out of its ``BotError``).
        hang: Whether the update can never come to its end.
        calls: The calls of storages, in the order in which they began.
        initials: How often an ``initial`` function was called.
        unhandled: Rejections nobody handled; each of them ends a node process by default.
    """

    saw: list[JSON]
    caught: list[JSError]
    error: JSError | None
    hang: bool
    calls: list[Call]
    initials: int
    unhandled: list[JSError]

    @property
    def ops(self) -> str:
        """The calls in short: ``RW`` is a read, then a write."""
        return "".join(call.op for call in self.calls)

    def of(self, storage_id: int) -> list[Call]:
        """Return the calls of one storage."""
        return [call for call in self.calls if call.storage == storage_id]


def make_outcome(told: Mapping[str, JSON]) -> Outcome:
    """Return the outcome that the driver reported."""
    return Outcome(
        saw=[seen.get("value", UNDEFINED) for seen in told["saw"]],
        caught=make_errors(told["caught"]),
        error=_error(told.get("error")),
        hang=told["hang"],
        calls=[_call(call) for call in told["calls"]],
        initials=told["initials"],
        unhandled=make_errors(told["unhandled"]),
    )


def make_errors(told: list[Mapping[str, str]]) -> list[JSError]:
    """Return the errors that the driver reported."""
    return [JSError(**error) for error in told]


def _call(told: Mapping[str, JSON]) -> Call:
    values: dict[str, JSON] = {**told, "error": _error(told.get("error"))}
    return Call(**values)


def _error(told: Mapping[str, str] | None) -> JSError | None:
    return None if told is None else JSError(**told)

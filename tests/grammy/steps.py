"""What a handler does, said so that both sides can run it.

A handler is a list of steps.  Each works on ``ctx.session``, or on the fragment
*at* of a multi session.  With lazy sessions a step that needs the data awaits it.
The driver has one function per step, and so has any other implementation that
plays the same program.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.grammy.wire import JSON


@dataclass(frozen=True)
class Step:
    """One thing a handler does."""

    at: str = field(default="", kw_only=True)


@dataclass(frozen=True)
class Read(Step):
    """See the data, awaited if it is a promise."""


@dataclass(frozen=True)
class Touch(Step):
    """Access the session without awaiting it; keep what comes for ``ReadTouched``."""


@dataclass(frozen=True)
class ReadTouched(Step):
    """See what the last ``Touch`` got, awaited now."""


@dataclass(frozen=True)
class IsPromise(Step):
    """See whether accessing the session gives a promise."""


@dataclass(frozen=True)
class Fragments(Step):
    """See the names of the fragments of a multi session; no fragment is accessed."""


@dataclass(frozen=True)
class Assign(Step):
    """Assign the session: None is ``null``, UNDEFINED is ``undefined``."""

    value: JSON


@dataclass(frozen=True)
class AssignPromise(Step):
    """Assign a promise that gives *value* a turn of the event loop later."""

    value: JSON


@dataclass(frozen=True)
class AssignRejection(Step):
    """Assign a promise that fails with *message* a turn of the event loop later."""

    message: str


@dataclass(frozen=True)
class AssignDerived(Step):
    """``ctx.session = ctx.session.then(...)``: grammY's documented idiom.

    The callback sets a field, and returns the data only if *returns* is true.
    """

    name: str
    value: JSON
    returns: bool = True


@dataclass(frozen=True)
class SetField(Step):
    """Set a field of the data in place."""

    name: str
    value: JSON


@dataclass(frozen=True)
class Increment(Step):
    """Add to a field of the data in place."""

    name: str
    by: float = 1


@dataclass(frozen=True)
class AppendTo(Step):
    """Append to a list in the data, in place."""

    name: str
    value: JSON


@dataclass(frozen=True)
class DeleteField(Step):
    """Delete a field of the data in place; a no-op if it is not there."""

    name: str


@dataclass(frozen=True)
class Turn(Step):
    """Let the event loop go round once."""


@dataclass(frozen=True)
class Raise(Step):
    """Throw an ``Error``."""

    message: str


@dataclass(frozen=True)
class Guard(Step):
    """Run *steps*; what they throw is noted as caught, and the handler goes on."""

    steps: Sequence[Step]

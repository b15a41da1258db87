"""Sessions on their contexts: which is open where, and what was there before."""

from __future__ import annotations

from typing import Any, Final, Protocol
from weakref import WeakSet

from sessionkit._life.seats import (
    MISSING,
    Seat,
    cannot_attach,
    class_of,
    own_attributes,
    property_seat,
    seat_for,
)
from sessionkit.errors import SessionError

MARK: Final = "_sessionkit_untouched"
"""The attribute by which a plain context knows its lazy session while nobody looked for it.

It costs a third of what the registry costs, in which the session is from then on.
"""


class Seating(Protocol):
    """Under which name the sessions of one ``Sessions`` show, and on which contexts they do."""

    attribute: str
    seated: dict[int, Any]
    """The open sessions, by ``id`` of their contexts."""

    def __hash__(self) -> int: ...


class Attached:
    """A session while it shows on a context; base of all kinds of sessions."""

    __slots__ = ("_before", "_ctx", "_seat")

    _ctx: Any
    _seat: Seat | None
    """Set where the context holds the data itself, so that it is looked up there."""
    _before: Any

    def _attach(self, ctx: Any, seating: Seating, first: Any, *, show: bool) -> None:
        """Register on *ctx*; with *show*, *first* is what is seen there for now.

        A ``SessionProperty`` of the context's class shows the session in any case.

        Raises:
            TypeError: The context cannot show it.
            SessionError: Another session shows there.
        """
        attribute = seating.attribute
        seat = seat_for(ctx, attribute) if show else property_seat(class_of(ctx), attribute)
        self._ctx = ctx
        if seat is not None:
            self._take(seat, seating, first)
        seating.seated[id(ctx)] = self

    def _register_marked(self, seated: dict[int, Any]) -> None:
        """Be found by the registry, no longer by the mark on the context."""
        seated[id(self._ctx)] = self
        own_attributes(self._ctx).pop(MARK, None)

    def _take(self, seat: Seat, seating: Seating, first: Any) -> None:
        ctx, attribute = self._ctx, seating.attribute
        before = seat.look(ctx)
        if before is not MISSING and is_taken(ctx, seating):
            msg = (
                f"{attribute!r} of this {type(ctx).__name__} shows another session already: "
                "give one of them attribute='another_name'"
            )
            raise SessionError(msg)
        if not seat.holds_data:
            seat.put(ctx, self)
            return
        try:
            seat.put(ctx, first)
        except (AttributeError, TypeError, ValueError) as error:
            raise cannot_attach(class_of(ctx), attribute) from error
        self._seat, self._before = seat, before

    def _detach(self, seated: dict[int, Any]) -> None:
        """Put back what was on the context before."""
        if seated.get(id(self._ctx)) is self:
            del seated[id(self._ctx)]
        if self._seat is not None:
            self._seat.put(self._ctx, self._before)
            self._seat = None


_seatings: WeakSet[Seating] = WeakSet()


def register(seating: Seating) -> None:
    """Let other ``Sessions`` see on which contexts these show."""
    _seatings.add(seating)


def open_on(ctx: Any, seating: Seating) -> Any:
    """The session of these ``Sessions`` that is open on *ctx*, None if there is none."""
    marked = own_attributes(ctx).get(MARK)
    if marked is not None:
        marked._unfold()
    return seating.seated.get(id(ctx))


def is_taken(ctx: Any, seating: Seating) -> bool:
    """Whether sessions of another ``Sessions`` are open on this attribute of *ctx*."""
    return any(
        other.attribute == seating.attribute
        and other.seated is not seating.seated
        and id(ctx) in other.seated
        for other in list(_seatings)
    )

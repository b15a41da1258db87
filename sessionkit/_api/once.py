"""Multi sessions of which one fragment carries the id of the update: see ``once=``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sessionkit._api.fragments import AnyKind, MultiRecord
from sessionkit._session.context import Slots
from sessionkit._session.group import end_with_last
from sessionkit._session.once import carries, carries_no_more
from sessionkit._session.once_record import OnceRecord, let_end, quietly
from sessionkit._session.record import Record
from sessionkit._session.stored import Rest, wait_for


class OnceMultiRecord(MultiRecord):
    """Looks at the id before anything is opened, and writes it when all else is written."""

    __slots__ = ("_carrying",)

    _carrying: AnyKind
    """The fragment that carries the id: the first with ``once=``."""

    def _carrier(self) -> Any:
        return self._fragments[self._carrying]

    def _open_on(self) -> object:
        return self._carrying._settings.open_on

    def _begin(self, slots: Slots) -> Rest:
        carrier = self._carrier()
        carries(self._ctx, self._open_on())
        if not _is_strict(carrier) or carrier.key is None:
            return super()._begin(slots)
        return self._begin_claimed(carrier, slots)

    async def _begin_claimed(self, carrier: Any, slots: Slots) -> None:
        try:
            await wait_for(carrier._claim())
            await wait_for(super()._begin(slots))
        except BaseException:
            carrier._unclaim()
            carries_no_more(self._ctx, self._open_on())
            raise

    def _leave(self) -> None:
        carries_no_more(self._ctx, self._open_on())
        super()._leave()

    def _end(self, error: BaseException | None = None) -> Rest:
        rest = super()._end(error)
        return None if rest is None else quietly(rest)

    def _end_records(
        self, records: Sequence[Record[Any]], error: BaseException | None, names: Sequence[str]
    ) -> Rest:
        let_end(records, error)
        carrier = self._carrier()
        record = carrier if _is_strict(carrier) else carrier._record
        if record is None:  # lazy, and nobody has touched it
            return super()._end_records(records, error, names)
        return end_with_last(records, error, names, record)


def _is_strict(carrier: object) -> bool:
    return isinstance(carrier, OnceRecord)


def carrying(carrier: AnyKind) -> Callable[..., MultiRecord]:
    """Return what makes multi sessions in which the fragment of *carrier* carries the id."""

    def make(*args: Any) -> MultiRecord:
        made = OnceMultiRecord(*args)
        made._carrying = carrier
        return made

    return make

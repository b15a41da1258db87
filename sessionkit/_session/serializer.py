"""Session data in its three forms: as handlers have it, as plain values, as a snapshot."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from marshal import dumps
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

from sessionkit._data.plain import check_plain, freeze_plain, holds_no_extremes
from sessionkit._data.snapshots import MARSHAL_VERSION, freeze, freeze_loaded, is_simple, thaw
from sessionkit._storage.sync_or_async import discard, is_awaitable
from sessionkit.errors import SessionEncodeError

Dumped: TypeAlias = tuple[bytes, Any, bool]
"""A snapshot, the same as plain values, and whether these are simple: then little is to check."""


class Conversion(Protocol):
    """A converter that keeps aside what it does not know."""

    def open(self, plain: Any, /) -> tuple[Any, Any]:
        """Return data, and the unknown fields to give to ``close``.

        None, if ``close`` would give *plain* back just as it is.
        """
        ...

    def close(self, data: Any, unknown: Any, /) -> Any:
        """Return plain values, the unknown fields among them."""
        ...

    def freeze(self, data: Any, unknown: Any, /) -> Dumped:
        """Return a snapshot of what ``close`` returns, that, and if it is simple."""
        ...

    def check(self, data: Any, plain: Any, snapshot: bytes, simple: bool, /) -> None:  # noqa: FBT001
        """Make sure that what ``freeze`` returned would come back equal."""
        ...


class _Missing(Enum):
    MISSING = "MISSING"


MISSING: Final = _Missing.MISSING
"""Nothing is there, not even None."""


class Loaded(NamedTuple):
    """Data as a handler gets it, its snapshot, and the stored fields its type lacks."""

    data: Any
    snapshot: bytes | None
    unknown: Any


NOTHING: Final = Loaded(MISSING, None, None)
"""Nothing is stored, and there is no ``initial``."""
GONE: Final = Loaded(None, None, None)
"""Nothing is stored, or what was is deleted."""


class Serializer:
    """Turns data of one declared type into plain values and snapshots, and back.

    Attributes:
        dump: Called with data and its unknown fields.
        dump_new: The same for what is not stored yet, quicker if it is what ``initial`` gave.
        load: Called with plain values; returns data and its unknown fields.  None
            where data is plain as it is.
        check: Called with data and what ``dump`` gave; raises ``SessionEncodeError`` if that
            would not come back equal from a durable storage.  None if that is not asked for.
        snapshot_of: Returns the snapshot of a value that a storage gave.
    """

    __slots__ = (
        "_conversion",
        "_initial",
        "_last_initial",
        "any_value",
        "check",
        "dump",
        "dump_new",
        "load",
        "snapshot_of",
    )

    def __init__(
        self,
        conversion: Conversion | None,
        initial: Callable[[], Any] | None,
        *,
        any_value: bool,
    ) -> None:
        self._conversion = conversion
        self._initial = initial
        self._last_initial: tuple[bytes, Any] = b"", MISSING
        self.any_value: bool = any_value
        self.snapshot_of: Callable[[Any], bytes] = freeze if any_value else freeze_loaded
        self.load: Callable[[Any], tuple[Any, Any]] | None
        self.dump: Callable[[Any, Any], Dumped]
        self.dump_new: Callable[[Any, Any], Dumped]
        self.check: Callable[[Any, Any, bytes, bool], None] | None
        if conversion is None:
            self.load = None
            self.dump = _dump_any if any_value else _dump_plain
            self.dump_new = self._dump_new
            self.check = None if any_value else _check_plain
        else:
            self.load = conversion.open
            self.dump = self.dump_new = conversion.freeze
            self.check = conversion.check

    def over(self, *, any_value: bool) -> Serializer:
        """The same for a storage that takes any Python value, or only plain ones."""
        return Serializer(self._conversion, self._initial, any_value=any_value)

    def open(self, plain: Any, snapshot: bytes) -> Loaded:
        """Return what a handler gets for a stored value.

        Raises:
            SessionDecodeError: It does not fit the declared type.
        """
        if self.load is None:
            return Loaded(plain, snapshot, None)
        data, unknown = self.load(plain)
        return Loaded(data, snapshot, unknown)

    def restore(self, snapshot: bytes) -> Loaded:
        """Return what a handler got when this snapshot was taken."""
        return self.open(thaw(snapshot), snapshot)

    def initial(self) -> Loaded:
        """Return the data of a chat that has nothing stored.

        Raises:
            SessionEncodeError: It could not be stored.
            TypeError: ``initial`` returned an awaitable.
        """
        if self._initial is None:
            return NOTHING
        made = self._initial()
        if made is None:
            return GONE
        if is_awaitable(made):
            discard(made)
            msg = "initial must return data, and it returned an awaitable: it cannot be async"
            raise TypeError(msg)
        snapshot, plain, simple = self.dump_new(made, None)
        last, example = self._last_initial
        if snapshot != last:  # it makes the same each time, as a rule
            if self.check is not None:
                self.check(made, plain, snapshot, simple)
            self._last_initial = snapshot, MISSING
        elif example is MISSING and simple:
            self._last_initial = snapshot, thaw(snapshot)
        return self.restore(snapshot)

    def _dump_new(self, data: Any, unknown: Any) -> Dumped:
        """Dump data without looking at all types in it, if it is what ``initial`` gave.

        What equals an example of that has its size, so that marshal comes to an end, and has
        its types, too, if it has the same snapshot.
        """
        snapshot, example = self._last_initial
        try:
            if data == example and dumps(data, MARSHAL_VERSION) == snapshot:
                return snapshot, data, True
        except Exception:  # noqa: BLE001, S110 (of what is not plain: dump says what is wrong)
            pass
        return self.dump(data, unknown)

    def is_equivalent(self, snapshot: bytes, stored: bytes) -> bool:
        """Whether this program would write *stored* as *snapshot*, had nothing changed.

        A stored value may lack new fields, or write the same in another form.
        """
        conversion = self._conversion
        assert conversion is not None  # without one, no fields are unknown
        return snapshot == freeze(conversion.close(*conversion.open(thaw(stored))))


def _dump_plain(data: Any, _: Any) -> Dumped:
    if is_simple(data):
        return dumps(data, MARSHAL_VERSION), data, True
    return freeze_plain(data)


def _check_plain(_: Any, plain: Any, snapshot: bytes, simple: bool) -> None:  # noqa: FBT001
    if not (simple and holds_no_extremes(plain, snapshot)):
        check_plain(plain)


def _dump_any(data: Any, _: Any) -> Dumped:
    if is_simple(data):
        return dumps(data, MARSHAL_VERSION), data, True
    return freeze(data), data, False


def forgotten_await(data: object, key: str | None) -> SessionEncodeError | None:
    """What to raise for data that is an awaitable; None for any other."""
    if not is_awaitable(data):
        return None
    discard(data)
    msg = f"session.data is a {type(data).__name__}: forgot await? The stored value was kept."
    return SessionEncodeError(msg, key=key)

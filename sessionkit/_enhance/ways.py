"""The ways through an enhanced storage: short for what is up to date, where no answer is awaited.

Everything else goes the long way, through the coroutines of ``Enhancer``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, Protocol, TypeVar

from sessionkit._data.envelope import DATA, EXPIRES, VERSION
from sessionkit._data.snapshots import freeze, freeze_fields
from sessionkit._enhance.envelope import EnhancedRevision
from sessionkit._storage.backend import keeps_snapshots
from sessionkit._storage.sync_or_async import finish, follow, is_awaitable
from sessionkit.errors import SessionConflictError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from sessionkit._data.envelope import Kept, Number
    from sessionkit._enhance.enhancer import Enhancer, Options
    from sessionkit.protocols import Expected, MaybeAwaitable, Revision

    Found = tuple[Any, EnhancedRevision | None]
    FoundFrozen = tuple[bytes | None, Any, EnhancedRevision | None]
    Opening = Callable[[Any], Any]
    Sealing = Callable[[Any, Kept | None], dict[str, Any]]


P = ParamSpec("P")
R = TypeVar("R")


class Run(Protocol):
    """Runs a coroutine of the enhancer: at once, or when it is awaited."""

    def __call__(self, course: Coroutine[Any, Any, R], /) -> MaybeAwaitable[R]: ...


class Ways(NamedTuple):
    """How to do each of these, decided at set-up."""

    run: Run
    read: Callable[[str], Any]
    read_with_revision: Callable[[str], MaybeAwaitable[Found]]
    read_tracked: Callable[[str], MaybeAwaitable[Found]]
    write: Callable[[str, Any], MaybeAwaitable[object]]
    write_if: Callable[[str, Any, Expected], MaybeAwaitable[EnhancedRevision | None]]
    delete: Callable[[str], MaybeAwaitable[object]]
    renew: Callable[[str, Revision | None], MaybeAwaitable[EnhancedRevision | None]]
    frozen: Any = None
    """``FrozenEnvelopes``, if the storage inside is sync and keeps snapshots."""


def ways_through(storage: Any, enhancer: Enhancer) -> Ways:
    """Return how to go through an enhanced *storage*."""
    if enhancer.is_async:
        return Ways(
            run=finish,
            read=_later(enhancer.read),
            read_with_revision=_later(enhancer.read_with_revision),
            read_tracked=_later(enhancer.read_tracked),
            write=_later(enhancer.write),
            write_if=_later(enhancer.write_if),
            delete=_later(enhancer.delete),
            renew=_later(enhancer.renew),
        )
    data_of, seal = _opening(enhancer.options), _sealing(enhancer.options)
    frozen = FrozenEnvelopes(storage, enhancer) if keeps_snapshots(storage) else None
    return Ways(
        run=follow,
        read=_reading(storage, enhancer, data_of),
        read_with_revision=_reading_with(storage, enhancer, data_of, enhancer.read_with_revision),
        read_tracked=_reading_with(storage, enhancer, data_of, enhancer.read_tracked),
        write=_writing(storage, enhancer, seal),
        write_if=_writing_if(storage, enhancer, seal),
        delete=storage.delete,
        renew=_renewing(enhancer),
        frozen=frozen,
    )


def _later(method: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, Coroutine[Any, Any, R]]:
    def later(*args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
        return finish(method(*args, **kwargs))

    return later


def _opening(options: Options) -> Opening:
    """Return what gives the data of a live envelope as this program writes it; of others, None."""
    clock, latest = options.clock, options.migrations.latest
    kind = type(latest)
    fields = 1 if latest is None else 2

    def data_of(stored: Any) -> Any:
        if stored.__class__ is not dict:
            return None
        version = stored.get(VERSION)
        if version != latest or type(version) is not kind:
            return None
        expires = stored.get(EXPIRES)
        if expires is None:
            return stored.get(DATA) if len(stored) == fields else None
        is_ours = type(expires) is int and len(stored) == fields + 1
        # Within a millisecond, it is a matter of rounding.
        return stored.get(DATA) if is_ours and clock() * 1000 < expires - 1 else None

    return data_of


def _sealing(options: Options) -> Sealing:
    """Return what puts data into an envelope."""
    clock, latest, ttl = options.clock, options.migrations.latest, options.ttl

    def seal(value: Any, kept: Kept | None) -> dict[str, Any]:
        envelope: dict[str, Any] = {} if latest is None else {VERSION: latest}
        envelope[DATA] = value
        if ttl is not None:
            envelope[EXPIRES] = round(clock() * 1000) + ttl
        if kept is not None:
            envelope.update(kept)
        return envelope

    return seal


def _reading(storage: Any, enhancer: Enhancer, data_of: Opening) -> Callable[[str], Any]:
    read_inside = storage.read

    def read(key: str) -> Any:
        stored = read_inside(key)
        data = data_of(stored)
        return follow(enhancer.read(key, stored)) if data is None else data

    return read


def _reading_with(
    storage: Any,
    enhancer: Enhancer,
    data_of: Opening,
    otherwise: Callable[[str, Any], Coroutine[Any, Any, Found]],
) -> Callable[[str], MaybeAwaitable[Found]]:
    if not enhancer.has_revisions:
        read_inside = storage.read

        def read(key: str) -> MaybeAwaitable[Found]:
            stored = read_inside(key)
            data = data_of(stored)
            if data is None:
                return follow(otherwise(key, stored))
            return data, EnhancedRevision(None, stored.get(EXPIRES))

        return read

    read_pair_inside = storage.read_with_revision

    def read_pair(key: str) -> MaybeAwaitable[Found]:
        answer: Any = read_pair_inside(key)
        if answer.__class__ is tuple:
            stored, inner = answer
            data = data_of(stored)
            if data is not None:
                return data, EnhancedRevision(inner, stored.get(EXPIRES))
        return follow(otherwise(key, answer))

    return read_pair


def _writing(
    storage: Any, enhancer: Enhancer, seal: Sealing
) -> Callable[[str, Any], MaybeAwaitable[object]]:
    write_inside: Callable[[str, Any], MaybeAwaitable[object]] = storage.write

    def write(key: str, value: Any) -> MaybeAwaitable[object]:
        if value is None or enhancer.met_kept or enhancer.tells_expiry:
            return follow(enhancer.write(key, value))
        return write_inside(key, seal(value, None))

    return write


def _writing_if(
    storage: Any, enhancer: Enhancer, seal: Sealing
) -> Callable[[str, Any, Expected], MaybeAwaitable[EnhancedRevision | None]]:
    write_inside = getattr(storage, "write_if", None)
    tells_expiry = enhancer.tells_expiry and enhancer.options.ttl is not None

    def write_if(
        key: str, value: Any, expected: Expected
    ) -> MaybeAwaitable[EnhancedRevision | None]:
        if value is None or write_inside is None or type(expected) is not EnhancedRevision:
            return follow(enhancer.write_if(key, value, expected))
        envelope = seal(value, expected.kept)
        expires = envelope.get(EXPIRES)
        try:
            if tells_expiry and expires is not None:
                answer = write_inside(key, envelope, expected.inner, expires=expires / 1000)
            else:
                answer = write_inside(key, envelope, expected.inner)
        except SessionConflictError:
            if not enhancer.has_passed(expected):
                raise
            return follow(enhancer.write_if(key, value, None))
        if is_awaitable(answer):
            return follow(enhancer.written(answer, key, value, expected))
        return EnhancedRevision(answer, expires, expected.kept)

    return write_if


class FrozenEnvelopes:
    """The way through a sync storage that keeps snapshots: envelopes are frozen around their data.

    So what is frozen already is not frozen again, nor copied.
    """

    def __init__(self, storage: Any, enhancer: Enhancer) -> None:
        options = enhancer.options
        latest = options.migrations.latest
        self._read_inside: Callable[[str], Any] = storage.read_snapshot
        self._write_inside: Callable[..., Any] = storage.write_snapshot
        self._enhancer = enhancer
        self._data_of, self._seal = _opening(options), _sealing(options)
        version = {} if latest is None else {VERSION: latest}
        self._begin = b"{%b%b" % (freeze_fields(version), freeze(DATA))
        self._tells_expiry = enhancer.tells_expiry and options.ttl is not None

    def read(self, key: str) -> FoundFrozen:
        """Return the snapshot of the data, the data, and its revision."""
        frozen, stored, inner = self._read_inside(key)
        data = self._data_of(stored)
        if data is None:
            found: Any = follow(self._enhancer.read_with_revision(key, (stored, inner)))
            data, revision = found
            return None if data is None else freeze(data), data, revision
        expires, begin = stored.get(EXPIRES), self._begin
        end = _end(expires)
        if type(frozen) is bytes and frozen.startswith(begin) and frozen.endswith(end):
            snapshot = frozen[len(begin) : -len(end)]
        else:  # pickled, or its fields are in another order
            snapshot = freeze(data)
        return snapshot, data, EnhancedRevision(inner, expires)

    def write(
        self, key: str, snapshot: bytes | None, value: Any, expected: Expected
    ) -> MaybeAwaitable[EnhancedRevision | None]:
        """Do what ``write_if`` does, given the snapshot of the data, too."""
        if type(expected) is not EnhancedRevision or expected.kept or type(snapshot) is not bytes:
            return follow(self._enhancer.write_if(key, value, expected))
        envelope = self._seal(value, None)
        expires = envelope.get(EXPIRES)
        frozen = self._begin + snapshot + _end(expires)
        native = (expires / 1000,) if self._tells_expiry and expires is not None else ()
        try:
            inner = self._write_inside(key, frozen, envelope, expected.inner, *native)
        except SessionConflictError:
            if not self._enhancer.has_passed(expected):
                raise
            return follow(self._enhancer.write_if(key, value, None))
        return EnhancedRevision(inner, expires)


def _end(expires: Number | None) -> bytes:
    """What comes after the data in a frozen envelope."""
    return b"0" if expires is None else freeze_fields({EXPIRES: expires}) + b"0"


def _renewing(
    enhancer: Enhancer,
) -> Callable[[str, Revision | None], MaybeAwaitable[EnhancedRevision | None]]:
    def renew(key: str, revision: Revision | None) -> MaybeAwaitable[EnhancedRevision | None]:
        if isinstance(revision, EnhancedRevision) and enhancer.is_due(revision.expires):
            return follow(enhancer.renew(key, revision))
        return None

    return renew

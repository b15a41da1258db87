"""Functions that lead stored data from one schema version to the next."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from copy import deepcopy
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from sessionkit._data.envelope import unknown_version
from sessionkit._storage.sync_or_async import ask, discard, is_awaitable
from sessionkit.errors import NewerVersionError, SessionMigrationError

if TYPE_CHECKING:
    from sessionkit._data.envelope import Number
    from sessionkit._enhance.envelope import Envelope

Migration: TypeAlias = Callable[[Any], Any]
"""Takes data of the version before; returns it, or an awaitable of it, in the new one."""


class _Step(NamedTuple):
    version: Decimal
    migrate: Migration
    is_async: bool

    async def take(self, key: str, data: Any) -> Any:
        try:
            migrated = self.migrate(data)
            if self.is_async:
                migrated = await ask(migrated)
        except Exception as error:
            raise self._failure(key, f"failed: {error!r}.") from error
        if is_awaitable(migrated):
            discard(migrated)
            raise self._failure(key, "returned an awaitable: declare it with 'async def'.")
        if migrated is None:
            raise self._failure(key, "returned None: forgot return?")
        return migrated

    def _failure(self, key: str, what: str) -> SessionMigrationError:
        version = as_number(self.version)
        msg = (
            f"the migration of {key!r} to version {version} {what} The stored value was "
            "kept, and will be migrated again when it is read next: correct the function."
        )
        return SessionMigrationError(msg, key=key, version=version)


class Migrations:
    """All migrations of one program, in order.

    Attributes:
        latest: The newest version, as it is stored; None if there are no migrations.
        is_async: Whether a function is declared with ``async def``.
    """

    def __init__(self, functions: Mapping[Any, Migration]) -> None:
        self._steps = sorted(_steps(functions), key=lambda step: step.version)
        self.latest: Number | None = as_number(self._steps[-1].version) if self._steps else None
        self.is_async: bool = any(step.is_async for step in self._steps)

    async def run(self, key: str, envelope: Envelope) -> tuple[Any, bool]:
        """Return the data in the newest version, and whether it had to be migrated.

        The functions get a deep copy: what a storage returned may be what it holds.

        Raises:
            SessionMigrationError: A function failed, or returned None.
            NewerVersionError: The data is newer than the newest migration.
        """
        pending = self._pending(key, envelope.version)
        if not pending:
            return envelope.data, False
        data = deepcopy(envelope.data)
        for step in pending:
            data = await step.take(key, data)
        return data, True

    def _pending(self, key: str, version: Number | None) -> list[_Step]:
        if version is None:
            return self._steps
        if not self._steps:
            raise unknown_version(key, version)
        stored = Decimal(str(version))
        if stored > self._steps[-1].version:
            raise self._too_new(key, version)
        return [step for step in self._steps if step.version > stored]

    def _too_new(self, key: str, version: Number) -> NewerVersionError:
        msg = (
            f"what is stored under {key!r} has version {version}, this program knows versions up "
            f"to {self.latest}: a newer release wrote it (a rolling deploy under way, or this "
            "program was rolled back). Run the newer release, or give this one the missing "
            "migrations. The stored value was kept."
        )
        return NewerVersionError(msg, key=key, version=version, latest=self.latest)


def as_number(version: Decimal) -> Number:
    """Return *version* as JSON has it: an ``int`` if it is integral."""
    is_integral = version == version.to_integral_value()
    return int(version) if is_integral else float(version)


def _steps(functions: Mapping[Any, Migration]) -> list[_Step]:
    if not isinstance(functions, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]  # callers may be untyped
        msg = f"migrations must map versions to functions, as in {{1: add_age}}, not {functions!r}"
        raise TypeError(msg)
    _refuse_equal_versions(functions)
    return [_step(version, migrate) for version, migrate in functions.items()]


def _refuse_equal_versions(functions: Mapping[Any, Migration]) -> None:
    seen: dict[Decimal, object] = {}
    for given in functions:
        version = _parse(given)
        if version in seen:
            msg = f"the versions {seen[version]!r} and {given!r} are the same number: keep one"
            raise ValueError(msg)
        seen[version] = given


def _step(version: Any, migrate: Migration) -> _Step:
    if not callable(migrate):
        msg = f"the migration to version {version!r} must be a function, not {migrate!r}"
        raise TypeError(msg)
    return _Step(_parse(version), migrate, _is_declared_async(migrate))


def _parse(given: object) -> Decimal:
    if isinstance(given, bool) or not isinstance(given, int | float | str | Decimal):
        msg = f"a version must be a number such as 1 or 10.1, not {given!r}"
        raise TypeError(msg)
    # By way of str, because the float 10.1 is a little less than the decimal 10.1.
    try:
        version = Decimal(str(given))
    except (InvalidOperation, ValueError) as error:
        msg = f"a version must be a number such as 1 or 10.1, not {given!r}"
        raise ValueError(msg) from error
    return _checked(given, version)


def _checked(given: object, version: Decimal) -> Decimal:
    if version.is_finite() and Decimal(str(float(version))) == version:
        return version
    msg = f"the version {given!r} is not a number that JSON can store exactly: use a shorter one"
    raise ValueError(msg)


def _is_declared_async(function: Migration) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004 (an object may have an async __call__)
    )

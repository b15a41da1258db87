"""What a migration does, said so that both sides can run it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tests.grammy.wire import JSON


V = TypeVar("V")


class ChangeFailedError(Exception):
    """Raised by the change ``Fail``."""


@dataclass(frozen=True)
class Change(ABC):
    """One thing a migration does to the data, which is left as it was."""

    @abstractmethod
    def apply(self, data: JSON) -> JSON:
        """Return *data* changed."""


@dataclass(frozen=True)
class Put(Change):
    """Set a field."""

    name: str
    value: JSON

    def apply(self, data: JSON) -> JSON:
        """Return *data* with the field set."""
        return {**data, self.name: self.value}


@dataclass(frozen=True)
class Drop(Change):
    """Remove a field; a no-op if it is not there."""

    name: str

    def apply(self, data: JSON) -> JSON:
        """Return *data* without the field."""
        return _without(data, self.name)


@dataclass(frozen=True)
class Rename(Change):
    """Give a field another name; a no-op if it is not there."""

    old: str
    new: str

    def apply(self, data: JSON) -> JSON:
        """Return *data* with the field under its new name."""
        return {**_without(data, self.old), self.new: data[self.old]} if self.old in data else data


@dataclass(frozen=True)
class Append(Change):
    """Append to a list, begun if it is not there."""

    name: str
    value: JSON

    def apply(self, data: JSON) -> JSON:
        """Return *data* with the longer list."""
        return {**data, self.name: [*data.get(self.name, []), self.value]}


@dataclass(frozen=True)
class Add(Change):
    """Add to a number, which is 0 if it is not there."""

    name: str
    by: float

    def apply(self, data: JSON) -> JSON:
        """Return *data* with the sum."""
        return {**data, self.name: data.get(self.name, 0) + self.by}


@dataclass(frozen=True)
class Wrap(Change):
    """Put the whole data into a field of a new object."""

    name: str

    def apply(self, data: JSON) -> JSON:
        """Return the object around *data*."""
        return {self.name: data}


@dataclass(frozen=True)
class Fail(Change):
    """Throw."""

    message: str

    def apply(self, data: JSON) -> JSON:
        """Raise ``ChangeFailedError``."""
        raise ChangeFailedError(self.message)


def migrate(data: JSON, changes: Iterable[Change]) -> JSON:
    """Return *data* after all *changes*, as the driver would."""
    for change in changes:
        data = change.apply(data)
    return data


def functions(table: Mapping[V, Iterable[Change]]) -> dict[V, Callable[[JSON], JSON]]:
    """Return the migrations of *table* as ``enhance_storage`` takes them."""
    return {version: partial(migrate, changes=changes) for version, changes in table.items()}


def _without(data: Mapping[str, JSON], name: str) -> dict[str, JSON]:
    return {other: value for other, value in data.items() if other != name}

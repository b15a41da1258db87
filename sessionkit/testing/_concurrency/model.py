"""What calls give that come one after the other."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from sessionkit.testing._concurrency.ops import SEEN, STORED, Kind, Op

Told: TypeAlias = tuple[Kind, Any]

CONFLICT: Final[Told] = ("conflict", None)


class Model:
    """The simplest storage: for each key a value, and a token in the place of a revision."""

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}
        self._tokens: dict[str, int] = {}
        self._counter = itertools.count()
        self._seen: dict[tuple[int, str], int | None] = {}

    def do(self, who: int, op: Op) -> Told:
        """Return what comes of *op*, done by side number *who*."""
        if op.method == "write_if":
            return self._write_if(who, *op.args)
        if op.method == "read_with_revision":
            key = op.args[0]
            self._seen[who, key] = self._tokens.get(key)
        method: Callable[..., Any] = getattr(self, f"_{op.method}")
        return "answer", method(*op.args)

    def _read(self, key: str) -> Any:
        return self._values.get(key)

    _read_with_revision = _read

    def _has(self, key: str) -> bool:
        return key in self._values

    _touch = _has

    def _read_many(self, keys: Sequence[str]) -> dict[str, Any]:
        return {key: self._values[key] for key in keys if key in self._values}

    def _iter_keys(self) -> list[str]:
        return sorted(self._values)

    def _iter_items(self) -> dict[str, Any]:
        return dict(self._values)

    def _purge_expired(self) -> None:
        """Nothing here expires."""

    def _write(self, key: str, value: Any) -> None:
        self._values[key] = value
        self._tokens[key] = next(self._counter)

    def _write_many(self, values: Mapping[str, Any]) -> None:
        for key, value in values.items():
            self._write(key, value)

    def _delete(self, key: str) -> None:
        self._values.pop(key, None)
        self._tokens.pop(key, None)

    def _write_if(self, who: int, key: str, value: Any, expected: Any) -> Told:
        if (self._seen.get((who, key)) if expected is SEEN else None) != self._tokens.get(key):
            return CONFLICT
        if value is None:
            self._delete(key)
        else:
            self._write(key, value)
        return "answer", STORED

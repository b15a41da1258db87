"""Parts of an update, such as its message: where what is open on the update is found, too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class Shown:
    """While this lasts, ``of`` and ``open`` find on *parts* what is open on *ctx*.

    A part on which something is open keeps it.

    Args:
        registries: By ``id`` of a context, what is open on it: one for each ``Sessions``.
        ctx: The context; a no-op where nothing is open on it.
        parts: Handlers have one of these rather than the context.
    """

    __slots__ = ("_added", "_ctx", "_parts", "_registries")

    def __init__(
        self, registries: Sequence[dict[int, Any]], ctx: object, parts: tuple[object, ...]
    ) -> None:
        self._registries = registries
        self._ctx = ctx
        self._parts = parts

    def __enter__(self) -> None:
        number = id(self._ctx)
        self._added: list[tuple[dict[int, Any], int]] = []
        for registry in self._registries:
            if number in registry:
                session = registry[number]
                for part in map(id, self._parts):
                    if part not in registry:
                        registry[part] = session
                        self._added.append((registry, part))

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        for registry, part in self._added:
            registry.pop(part, None)

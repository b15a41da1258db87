"""What a storage must keep to: promises as data, each with its check."""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, Final, Literal, TypeAlias, TypeVar

from sessionkit.testing._needs import NEEDS

Layer: TypeAlias = Literal["table", "machine", "concurrency"]
Check: TypeAlias = Callable[[Any], Awaitable[None]]
"""Gets the subject: the storage, wrapper or codec under test."""

C = TypeVar("C", bound=Check)

LAYERS: Final[tuple[Layer, ...]] = ("table", "machine", "concurrency")
TIMEOUTS: Final[dict[Layer, float | None]] = {
    "table": 30.0,
    "machine": None,  # each history has its own
    "concurrency": 1800.0,  # each call has its own
}
"""Seconds without a new step after which a check counts as hanging."""

_MODULES: Final[dict[Layer, tuple[str, ...]]] = {"machine": ("hypothesis",)}
_PACKAGES: Final = {layer: f"sessionkit.testing._{layer}" for layer in LAYERS}
_registry: Final[dict[str, Promise]] = {}


@dataclass(frozen=True)
class Promise:
    """One thing that a storage must keep to.

    Attributes:
        name: Its permanent name, that of the check function.
        sentence: What a storage must keep to, one sentence for people.
        hint: What usually breaks it.
        layer: The layer of the kit that it belongs to.
        needs: What a storage must offer to be asked; names of methods and
            declarations, "shared", "durable", "ttl", "clock" (the kit's), "time".
        modules: Importable modules without which the check is left out.
        timeout: Seconds without a new step after which the check counts as hanging;
            None for never.
        check: Raises ``BrokenPromise``, or whatever the storage raised.
    """

    name: str
    sentence: str
    hint: str
    layer: Layer
    needs: tuple[str, ...]
    modules: tuple[str, ...]
    timeout: float | None
    check: Check = field(repr=False)


def promise(
    sentence: str,
    *,
    hint: str,
    layer: Layer = "table",
    needs: tuple[str, ...] = (),
    timeout: float | None = None,
) -> Callable[[C], C]:
    """Register the decorated check as that of a promise, under the function's name.

    Without *timeout* the usual one of the layer counts, see ``TIMEOUTS``.

    Raises:
        ValueError: There is a promise of that name, or no such need.
    """

    def add(check: C) -> C:
        limit = TIMEOUTS[layer] if timeout is None else timeout
        modules = _MODULES.get(layer, ())
        register(Promise(check.__name__, sentence, hint, layer, needs, modules, limit, check))
        return check

    return add


def register(made: Promise) -> None:
    """Add a promise to those of storages.

    Raises:
        ValueError: There is a promise of that name, or no such need.
    """
    if not NEEDS.issuperset(made.needs):
        msg = f"there are no such needs: {', '.join(set(made.needs) - NEEDS)}"
        raise ValueError(msg)
    if made.name in _registry:
        msg = f"there are two promises of the name {made.name!r}"
        raise ValueError(msg)
    _registry[made.name] = made


def promises() -> tuple[Promise, ...]:
    """Return all promises, layer by layer, in the order in which they are written."""
    for package in _PACKAGES.values():
        if find_spec(package) is not None:
            importlib.import_module(package)
    return tuple(sorted(_registry.values(), key=lambda each: LAYERS.index(each.layer)))

"""Classes derived from those that a user chose, which look the same."""

from __future__ import annotations

from typing import Any


def derived(base: type, mixin: type, members: dict[str, Any]) -> type:
    """Return *base* with *mixin*, which may be in it already, and *members*."""
    bases = (base,) if issubclass(base, mixin) else (mixin, base)
    return type(base.__name__, bases, {**members, **naming(base)})


def naming(base: type) -> dict[str, Any]:
    """Return what lets a derived class go by the name of its *base*."""
    names = ("__module__", "__qualname__", "__doc__")
    return {name: getattr(base, name) for name in names}

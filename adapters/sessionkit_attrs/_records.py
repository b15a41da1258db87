"""What attrs says of a class, in the words of sessionkit."""

from __future__ import annotations

from typing import Any

from attrs import NOTHING, fields

from sessionkit.converters import RecordField, RecordType


def record_for(data_type: Any) -> RecordType:
    """Return how instances of an attrs class are stored.

    What a converter made of a value is stored as it is, and comes back as it was: the
    converter runs once more, and its result is replaced.

    Raises:
        TypeError: A field has no type.
    """
    kind: Any = getattr(data_type, "__origin__", data_type)
    attributes: tuple[Any, ...] = fields(kind)
    return RecordType(
        kind=kind,
        fields=tuple(_field(kind, attribute) for attribute in attributes),
        frozen=kind.__setattr__.__name__ == "_frozen_setattrs",
        runs_code=_runs_code(kind, attributes),
    )


def _field(kind: Any, attribute: Any) -> RecordField:
    if attribute.type is None:
        msg = (
            f"{kind.__name__}.{attribute.name} has no type: annotate it, or give "
            "field(type=...); Any holds plain values"
        )
        raise TypeError(msg)
    return RecordField(
        name=attribute.name,
        annotation=attribute.type,
        argument=attribute.alias if attribute.init else None,
        required=attribute.init and attribute.default is NOTHING,
        set_again=attribute.converter is not None,
    )


def _runs_code(kind: Any, attributes: tuple[Any, ...]) -> bool:
    hooks = ("__attrs_post_init__", "__attrs_pre_init__")
    return any(hasattr(kind, hook) for hook in hooks) or any(
        attribute.converter is not None or attribute.validator is not None
        for attribute in attributes
    )

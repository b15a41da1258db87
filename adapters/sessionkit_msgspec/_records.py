"""What msgspec says of a Struct, in the words of sessionkit."""

from __future__ import annotations

from functools import partial
from typing import Any

from msgspec import NODEFAULT, convert

from sessionkit.converters import RecordField, RecordType


def record_for(data_type: Any) -> RecordType:
    """Return how instances of a Struct are stored: as ``msgspec.to_builtins`` would write them.

    Defaults are stored too, whatever ``omit_defaults`` says: a later release may have
    others.

    Raises:
        TypeError: It is stored as an array, in which fields have no names.
    """
    kind: Any = getattr(data_type, "__origin__", data_type)
    config = kind.__struct_config__
    if config.array_like:
        msg = (
            f"{kind.__name__} is array_like: fields without names cannot be kept apart from "
            "those of another release. Leave it out, or give "
            "converter=sessionkit_msgspec.MsgspecConverter(...)"
        )
        raise TypeError(msg)
    names, keys, defaults = kind.__struct_fields__, kind.__struct_encode_fields__, _defaults(kind)
    return RecordType(
        kind=kind,
        fields=tuple(
            RecordField(name=name, stored_as=key, required=default is NODEFAULT)
            for name, key, default in zip(names, keys, defaults, strict=True)
        ),
        frozen=config.frozen,
        runs_code=hasattr(kind, "__post_init__"),
        tag=None if config.tag is None else (config.tag_field, config.tag),
        closed=config.forbid_unknown_fields,
        decode=partial(convert, type=data_type),
    )


def _defaults(kind: Any) -> list[Any]:
    """Return the default of each field; msgspec leaves out those before the first."""
    given = kind.__struct_defaults__
    return [NODEFAULT] * (len(kind.__struct_fields__) - len(given)) + list(given)

"""How values travel between Python and the driver: JSON, and what JSON cannot say."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

JSON: TypeAlias = Any
"""A JSON value as Python has it.  Node's numbers are doubles: keep ints below 2**53."""


class _Undefined(Enum):
    UNDEFINED = "UNDEFINED"

    def __repr__(self) -> str:
        return self.name


UNDEFINED: Final = _Undefined.UNDEFINED
"""JavaScript's other None: a value that is not there.  On the wire, an absent field."""


def encode(request: Mapping[str, JSON]) -> bytes:
    """Return *request* as one line; the dataclasses in it become objects that say what they are.

    The line is ASCII, so that lone surrogates and odd line ends travel unharmed.
    """
    return json.dumps(defined(request), default=_object, allow_nan=False).encode() + b"\n"


def defined(values: Mapping[str, JSON]) -> dict[str, JSON]:
    """Return *values* without those that are UNDEFINED."""
    return {name: value for name, value in values.items() if value is not UNDEFINED}


def _object(part: object) -> dict[str, JSON]:
    if not is_dataclass(part) or isinstance(part, type):
        msg = f"{part!r} cannot travel to the driver: it is not a JSON value"
        raise TypeError(msg)
    values = {each.name: getattr(part, each.name) for each in fields(part)}
    return {"is": type(part).__name__, **defined(values)}

"""Any type that msgspec converts."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import msgspec

from sessionkit.converters import Misfit

S = TypeVar("S")


class MsgspecConverter(Generic[S]):
    """Converts as msgspec does, strictly; stored fields that a type does not know are lost.

    Args:
        data_type: What msgspec calls a supported type: ``list[Cat | Dog]``, a ``NamedTuple``.
        enc_hook: As for ``msgspec.to_builtins``: makes types of others such as it knows.
        dec_hook: As for ``msgspec.convert``: the way back.
    """

    def __init__(
        self,
        data_type: type[S],
        *,
        enc_hook: Callable[[Any], Any] | None = None,
        dec_hook: Callable[[type, Any], Any] | None = None,
    ) -> None:
        self._data_type = data_type
        self._enc_hook = enc_hook
        self._dec_hook = dec_hook

    def encode(self, data: S, /) -> Any:
        """Return plain values.

        Raises:
            Misfit: They would not be read again.
        """
        try:
            plain = msgspec.json.decode(msgspec.json.encode(data, enc_hook=self._enc_hook))
        except TypeError as error:
            reason = "holds a type that msgspec does not know: give enc_hook=..."
            raise Misfit(reason) from error
        self.decode(plain)  # a Struct takes values of any type
        return plain

    def decode(self, plain: Any, /) -> S:
        """Return data made of *plain*.

        Raises:
            Misfit: It does not fit the type.
        """
        try:
            return msgspec.convert(
                plain, self._data_type, strict=True, str_keys=True, dec_hook=self._dec_hook
            )
        except msgspec.ValidationError as error:
            raise _misfit(error) from None  # its text may show data


_PLACE = re.compile(r" - at `\$(?P<path>.*)`$")
_TYPES = re.compile(r"Expected `[^`]*`(, got `[^`]*`)?")


def _misfit(error: msgspec.ValidationError) -> Misfit:
    text = str(error)
    place = _PLACE.search(text)
    types = _TYPES.match(text)
    reason = (
        types[0].replace("Expected", "is not what msgspec expected:")
        if types
        else ("is not what msgspec expected")
    )
    return Misfit(reason.replace("`", ""), place["path"] if place else "")

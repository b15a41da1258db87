"""Data of pydantic's own types, stored as pydantic writes and reads JSON."""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Iterator
from typing import Any, Final, Generic, TypeVar

from pydantic import RootModel, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, to_jsonable_python

from sessionkit.converters import Misfit, StoredObject
from sessionkit_pydantic._refusals import computed_of, fields_of, key_of, refuse_losses

S = TypeVar("S")
_NAME: Final = re.compile(r"[A-Za-z_]{1,40}[0-9]{0,2}")
_OF_THE_USER: Final = ("value_error", "assertion_error")
"""Errors whose text a validator wrote, which may show data."""


class PydanticConverter(Generic[S]):
    """Converts as pydantic does for JSON, and strictly: ``"3"`` is not an int.

    Args:
        data_type: A model, a pydantic dataclass, or what ``TypeAdapter`` takes.
        coerce: Whether stored values may be of other types than declared, if pydantic
            can make the right ones of them.

    Raises:
        TypeError: Data of this type would not come back as it was; the text says why.
    """

    def __init__(self, data_type: type[S], *, coerce: bool = False) -> None:
        refuse_losses(data_type)
        adapter: TypeAdapter[S] = TypeAdapter(data_type)
        self._validator: Any = adapter.validator  # what the adapter's methods call, slower
        self._serializer: Any = adapter.serializer
        self._coerce = coerce

    def encode(self, data: S, /) -> Any:
        """Return plain values.

        Raises:
            Misfit: Something of it cannot be serialized.
        """
        try:
            return self._serializer.to_python(data, mode="json", by_alias=True, warnings=False)
        except PydanticSerializationError as error:
            reason = "holds a type that pydantic cannot serialize"
            raise Misfit(reason) from error

    def decode(self, plain: Any, /) -> S:
        """Return data made of *plain*.

        Raises:
            Misfit: It does not fit the type.
        """
        return self.read(plain)[0]

    def read(self, plain: Any, /) -> tuple[S, bool]:
        """Return data made of *plain*, and whether ``encode`` would give just that.

        Raises:
            Misfit: It does not fit the type.
        """
        try:
            data = self._validator.validate_python(plain)
        except ValidationError as error:
            if not self._coerce:
                return self._strictly(plain), False
            raise _misfit(error) from None
        if self.encode(data) == plain:
            return data, True
        return data if self._coerce else self._strictly(plain), False

    def verify(self, data: S, plain: Any, /) -> None:
        """Make sure that *plain*, which is stored for *data*, comes back as that.

        Raises:
            Misfit: It does not.
        """
        try:
            back = self._validator.validate_python(plain)
        except ValidationError:
            back = self._strictly(plain)
        if back != data and self._strictly(plain) != data:
            reason = "is changed by a validator, a serializer or a type"
            raise Misfit(reason)

    def _strictly(self, plain: Any) -> S:
        try:  # in the mode for JSON, where text is what a datetime is expected to be
            return self._validator.validate_json(json.dumps(plain), strict=True)  # type: ignore[no-any-return]
        except ValidationError as error:
            raise _misfit(error) from None  # its text shows the input

    def objects(self, data: S, /) -> Iterator[StoredObject]:
        """Yield the objects in *data* that have fields, and where ``encode`` puts them."""
        return _objects((), data)


def converter_for(data_type: Any) -> PydanticConverter[Any]:
    """Return the converter of a model or of a pydantic dataclass.

    Raises:
        TypeError: Its data would not come back as it was; the text says why.
    """
    return PydanticConverter(data_type)


def _objects(path: tuple[str | int, ...], value: Any) -> Iterator[StoredObject]:
    parts: dict[Any, Any]
    if _is(value, RootModel):
        yield from _objects(path, value.root)
        return
    if _is(value, dict):
        parts = {_key(name): item for name, item in value.items()}
    elif _is(value, list, tuple, deque):
        parts = dict(enumerate([*value]))
    else:
        fields = fields_of(type(value))
        if fields is None:
            return
        parts = {key_of(name, field): getattr(value, name) for name, field in fields.items()}
        extra: dict[str, Any] = getattr(value, "__pydantic_extra__", None) or {}
        yield StoredObject(path, value, {*parts, *computed_of(type(value)), *extra})
    for step, part in parts.items():
        yield from _objects((*path, step), part)


def _is(value: object, *kinds: type[Any]) -> bool:
    return isinstance(value, kinds)


def _key(key: object) -> str:
    """Return the key of a dict as pydantic writes it."""
    return key if type(key) is str else next(iter(to_jsonable_python({key: None})))


def _misfit(error: ValidationError) -> Misfit:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    kind, text = first["type"], first["msg"]
    reason = f"{kind} was raised by a validator" if kind in _OF_THE_USER else f"({text})"
    return Misfit(f"does not fit {error.title}: {reason}", "".join(map(_step, first["loc"])))


def _step(step: str | int) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    return f".{step}" if _NAME.fullmatch(step) else f"[<{type(step).__name__}>]"

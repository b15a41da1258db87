"""What of a pydantic type would be lost when it is stored: refused at set-up, by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, MutableSet
from collections.abc import Set as AbstractSet
from typing import Any, get_args, get_origin, get_type_hints

from pydantic import (
    AliasChoices,
    BaseModel,
    PlainSerializer,
    Secret,
    SecretBytes,
    SecretStr,
    WrapSerializer,
)

_SECRETS: tuple[Any, ...] = (SecretStr, SecretBytes, Secret)
_SERIALIZERS: tuple[Any, ...] = (PlainSerializer, WrapSerializer)
_SETS: tuple[Any, ...] = (set, frozenset, AbstractSet, MutableSet)


def fields_of(kind: Any) -> Mapping[str, Any] | None:
    """Return pydantic's description of the fields of a class, None if it is not pydantic's."""
    for name in ("__pydantic_fields__", "model_fields"):  # pydantic 2.9 has the latter only
        if name in dir(kind):
            return getattr(kind, name)  # type: ignore[no-any-return]
    if dataclasses.is_dataclass(kind):
        return {field.name: field for field in dataclasses.fields(kind)}
    return None


def key_of(name: str, field: Any) -> str:
    """Return the key under which a field is stored."""
    for alias in ("serialization_alias", "alias"):
        if getattr(field, alias, None):
            return str(getattr(field, alias))
    return name


def computed_of(kind: Any) -> Mapping[str, Any]:
    """Return the computed fields of a class, by the keys under which they are stored."""
    decorators = getattr(kind, "__pydantic_decorators__", None)
    if decorators is None:
        return {}
    return {found.info.alias or name: found for name, found in decorators.computed_fields.items()}


def refuse_losses(data_type: Any) -> None:
    """Make sure that all of the data is stored, and read again.

    Raises:
        TypeError: Something would be lost; the text names it, and says what to do.
    """
    for annotation in _annotations_in(data_type, {}):
        if isinstance(annotation, type):
            _refuse_model_class(annotation)
        if get_origin(annotation) in _SETS:
            _refuse_unordered(annotation)


def _refuse_model_class(kind: Any) -> None:
    if issubclass(kind, _SECRETS):
        _refuse(kind.__name__, "is stored as stars only: use str or bytes, which are stored")
    if hasattr(kind, "__required_keys__") and _config_of(kind).get("extra") != "allow":
        _refuse(
            kind.__name__,
            "is a TypedDict, in which pydantic drops what it does not know: use a model, or "
            "give it __pydantic_config__ = ConfigDict(extra='allow')",
        )
    _refuse_model(kind)


def _refuse_unordered(annotation: Any) -> None:
    """Refuse objects in a set: unknown fields go by the place of their object, which it has not."""
    for kind in _annotations_in(annotation, {}):
        if _has_fields(kind) and _config_of(kind).get("extra") in (None, "ignore"):
            _refuse(
                kind.__name__,
                "is in a set, where fields that it does not know could not be kept: use a list, "
                "or extra='allow'",
            )


def _has_fields(annotation: Any) -> bool:
    return isinstance(annotation, type) and fields_of(annotation) is not None


def _config_of(kind: Any) -> Any:
    return getattr(kind, "model_config", getattr(kind, "__pydantic_config__", {}))


def _refuse_model(kind: Any) -> None:
    config = _config_of(kind)
    for name in getattr(kind, "__private_attributes__", {}):
        _refuse(f"{kind.__name__}.{name}", "is private, so it is not stored: make it a field")
    decorators = getattr(kind, "__pydantic_decorators__", None)
    if decorators is not None and decorators.model_serializers:
        _refuse(
            kind.__name__,
            "has a model_serializer, so what it stores cannot be distinguished from what it does "
            "not know: use field_serializer",
        )
    for name in computed_of(kind):
        if config.get("extra") in ("allow", "forbid"):
            _refuse(
                f"{kind.__name__}.{name}",
                f"is computed and stored, and extra={config['extra']!r} would take it for input: "
                "use extra='ignore' (unknown fields are kept all the same), or a property",
            )
    serialized = set(_serialized_by_functions(kind, decorators))
    for name, field in (fields_of(kind) or {}).items():
        where = f"{kind.__name__}.{name}"
        _refuse_field(where, name, field, config)
        if name in serialized and any(map(_has_fields, _annotations_in(field.annotation, {}))):
            _refuse(where, "holds objects and has a serializer: give that to the fields in them")


def _serialized_by_functions(kind: Any, decorators: Any) -> Iterator[str]:
    """Yield the names of the fields that are not written as pydantic itself would."""
    for found in decorators.field_serializers.values() if decorators is not None else ():
        yield from fields_of(kind) or () if "*" in found.info.fields else found.info.fields
    for name, field in (fields_of(kind) or {}).items():
        if any(isinstance(item, _SERIALIZERS) for item in getattr(field, "metadata", ())):
            yield name


def _refuse_field(where: str, name: str, field: Any, config: Any) -> None:
    if getattr(field, "exclude", None) or getattr(field, "exclude_if", None):
        _refuse(where, "has exclude=..., so it is not stored: leave that out")
    if getattr(field, "init", None) is False or getattr(field, "init_var", None):
        _refuse(where, "is not taken by __init__ as it is stored: make it a plain field")
    stored, read = key_of(name, field), getattr(field, "validation_alias", None)
    names = {str(name) for name in _read_under(read or getattr(field, "alias", None) or name)}
    if config.get("validate_by_alias") is False:
        names.clear()
    if config.get("populate_by_name") or config.get("validate_by_name"):
        names.add(name)
    if stored not in names:
        _refuse(
            where,
            f"is written as {stored!r}, which is not a name under which it is read: give one "
            "alias=..., or AliasChoices with that name",
        )


def _read_under(alias: Any) -> list[Any]:
    """Return the names under which a field is read; a path into other values is not a name."""
    choices = alias.choices if isinstance(alias, AliasChoices) else [alias]
    return [choice for choice in choices if isinstance(choice, str)]


def _refuse(where: str, reason: str) -> None:
    msg = f"{where} {reason}, or give converter=..."
    raise TypeError(msg)


def _annotations_in(annotation: Any, seen: dict[int, Any]) -> Iterator[Any]:
    """Yield an annotation, those that it is made of, and those of the fields of classes."""
    if id(annotation) in seen:
        return
    seen[id(annotation)] = annotation  # kept, so that no other gets its id
    yield annotation
    for part in _parts_of(annotation):
        yield from _annotations_in(part, seen)


def _parts_of(annotation: Any) -> Iterator[Any]:
    yield from get_args(annotation)
    for name in ("__value__", "__supertype__"):  # of an alias made by ``type``, of a NewType
        if hasattr(annotation, name):
            yield getattr(annotation, name)
    if isinstance(annotation, type):
        yield from _annotations_of(annotation)


def _annotations_of(kind: Any) -> Iterator[Any]:
    """Yield the annotations of the fields of a class."""
    if issubclass(kind, BaseModel):
        kind.model_rebuild()
        yield from (field.annotation for field in (fields_of(kind) or {}).values())
    elif dataclasses.is_dataclass(kind) or _is_tuple_or_dict_with_fields(kind):
        yield from get_type_hints(kind).values()


def _is_tuple_or_dict_with_fields(kind: Any) -> bool:
    return hasattr(kind, "_fields") or hasattr(kind, "__required_keys__")

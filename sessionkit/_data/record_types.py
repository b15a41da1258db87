"""What is known of a class whose instances are stored field by field."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from typing import Any, Final, TypeAlias

from sessionkit._data.annotations import refuse_undecorated

UNKNOWN_TYPE: Final[Any] = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordField:
    """One field of a record type.

    Attributes:
        name: The attribute of an instance.
        annotation: Its type, as it was declared: text, names and type variables are
            resolved where the class was defined.  By default what the class says.
        stored_as: The key under which it is stored; by default its name.
        argument: The parameter of ``__init__`` that takes it, by default of its name;
            None if none does: then it is set on the instance, once that is made.
        required: Whether stored data must have it to be readable.
        set_again: Whether to set it on the instance even so, since making that changes it.
    """

    name: str
    annotation: Any = UNKNOWN_TYPE
    stored_as: str = ""
    argument: str | None = ""
    required: bool = False
    set_again: bool = False

    @property
    def key(self) -> str:
        """The key under which it is stored."""
        return self.stored_as or self.name

    @property
    def parameter(self) -> str | None:
        """The parameter of ``__init__``, if there is one."""
        return self.name if self.argument == "" else self.argument


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordType:
    """How the instances of one class are stored: as an object with a key for each field.

    Attributes:
        kind: The class.
        fields: Its fields, in the order in which they are stored.
        frozen: Whether instances are changed by putting others in their place.
        runs_code: Whether code of the user's runs when an instance is made, which may
            refuse or change values.
        tag: Key and value that distinguish stored instances from those of other classes.
        closed: Whether stored fields that the class does not know are refused.
        decode: For libraries that are faster than field by field.  Called with a dict that
            has exactly the keys of the fields, in their order, and floats where these are
            annotated; makes the instance, with all that is in it.  It raises something for
            a value that its annotation does not allow, such as a bool for an int; then
            fields are decoded one by one.  Not called where ``runs_code``.
    """

    kind: type[Any]
    fields: tuple[RecordField, ...]
    frozen: bool = False
    runs_code: bool = False
    tag: tuple[str, str | int] | None = None
    closed: bool = False
    decode: Callable[[Any], Any] | None = None


RecordTypes: TypeAlias = dict[type[Any], RecordType]


def dataclass_record(kind: Any) -> RecordType:
    """Return what is known of a dataclass.

    Raises:
        TypeError: It only derives from one, and has annotations of its own.
    """
    if "__dataclass_fields__" not in vars(kind):
        refuse_undecorated(kind, {field.name for field in fields(kind)})
    return RecordType(
        kind=kind,
        fields=tuple(
            RecordField(
                name=field.name,
                annotation=field.type,
                argument=field.name if field.init else None,
                required=is_required(field),
            )
            for field in fields(kind)
        ),
        frozen=kind.__dataclass_params__.frozen,
        runs_code=_runs_code(kind),
    )


def is_required(field: Field[Any]) -> bool:
    """Return whether *field* has to be given to make an instance."""
    return field.init and field.default is MISSING and field.default_factory is MISSING


def _runs_code(kind: type[Any]) -> bool:
    if hasattr(kind, "__post_init__"):
        return True
    owner = next(cls for cls in kind.__mro__ if "__init__" in vars(cls))
    return not is_dataclass(owner) or owner.__init__.__code__.co_filename != "<string>"


def field_names(value: object) -> tuple[str, ...] | None:
    """Return the names of the fields of an instance; None if its class has none.

    Of a dataclass, an attrs class, a msgspec Struct, or a pydantic model.
    """
    kind: Any = type(value)
    for find in _FIELD_NAMES:
        names = find(kind)
        if names is not None:
            return tuple(names)
    return None


def with_fields(value: Any, changes: Mapping[str, Any]) -> Any:
    """Return a copy of a record with other values in its fields; frozen ones, too."""
    changed = copy(value)
    for name, item in changes.items():
        if getattr(changed, name, UNKNOWN_TYPE) is not item:
            try:
                object.__setattr__(changed, name, item)
            except TypeError:  # msgspec lets nobody pass by a frozen Struct
                return type(value)(**changes)
    return changed


def _names_in(attribute: str) -> Callable[[Any], Any]:
    def find(kind: Any) -> Any:
        return getattr(kind, attribute, None)

    return find


def _attrs_names(kind: Any) -> Any:
    attributes = getattr(kind, "__attrs_attrs__", None)
    return attributes and [attribute.name for attribute in attributes]


_FIELD_NAMES: Final = (
    _names_in("__dataclass_fields__"),
    _names_in("__struct_fields__"),
    _attrs_names,
    _names_in("__pydantic_fields__"),
    _names_in("model_fields"),  # of pydantic 2.9
)

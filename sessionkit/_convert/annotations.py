"""What annotations say, once names, aliases and type variables are resolved."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import Field, fields
from inspect import Parameter, get_annotations, signature
from typing import (
    Annotated,
    Any,
    Final,
    NewType,
    NotRequired,
    Required,
    TypeAlias,
    TypeVar,
    get_args,
    get_origin,
    get_type_hints,
)

Bindings: TypeAlias = Mapping[Any, Any]

_TRANSPARENT: Final[tuple[Any, ...]] = (Annotated, Final, Required, NotRequired)
_OPEN_ENDED: Final = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)


def bare(annotation: Any) -> Any:
    """Return *annotation* without what does not change the values: ``Final``, aliases, ..."""
    while (inner := _inner(annotation)) is not annotation:
        annotation = inner
    return annotation


def _inner(annotation: Any) -> Any:
    if annotation is Final or isinstance(annotation, TypeVar):
        return Any
    if isinstance(annotation, NewType):
        return annotation.__supertype__
    origin = get_origin(annotation)
    if origin in _TRANSPARENT:
        return get_args(annotation)[0]
    alias = annotation if origin is None else origin
    if hasattr(alias, "__value__") and not isinstance(alias, type):  # type X = ...
        return substitute(alias.__value__, bindings_of(alias, get_args(annotation)))
    return annotation


def bindings_of(generic: Any, args: tuple[Any, ...]) -> Bindings:
    """Return what the type variables of *generic* stand for."""
    variables = getattr(generic, "__parameters__", ()) or getattr(generic, "__type_params__", ())
    return dict(zip(variables, args, strict=False))


def substitute(annotation: Any, bindings: Bindings) -> Any:
    """Return *annotation* with its type variables replaced, unknown ones by ``Any``."""
    if isinstance(annotation, TypeVar):
        return bindings.get(annotation, Any)
    variables = getattr(annotation, "__parameters__", ())
    if not variables or get_origin(annotation) is None:
        return annotation
    return annotation[tuple(bindings.get(variable, Any) for variable in variables)]


def _bindings_by_class(kind: Any, args: tuple[Any, ...]) -> dict[Any, Bindings]:
    """A base class's variables are bound by whom derives from it: ``class Ints(Box[int])``."""
    own = bindings_of(kind, args)
    found: dict[Any, Bindings] = {kind: own}
    bases: tuple[Any, ...] = kind.__dict__.get("__orig_bases__", kind.__bases__)
    for base in bases:
        origin = get_origin(base) or base
        base_args = tuple(substitute(arg, own) for arg in get_args(base))
        for owner, bindings in _bindings_by_class(origin, base_args).items():
            found.setdefault(owner, bindings)
    return found


def field_annotations(kind: Any, args: tuple[Any, ...]) -> Iterator[tuple[Field[Any], Any]]:
    """Yield the fields of a dataclass with their annotations, resolved.

    Raises:
        TypeError: An annotation names something that cannot be found.
    """
    bindings = _bindings_by_class(kind, args)
    for field in fields(kind):
        owner = next((c for c in kind.__mro__ if field.name in get_annotations(c)), kind)
        where = f"{kind.__name__}.{field.name}"
        annotation = _resolved(field.type, owner, kind, where)
        yield field, substitute(annotation, bindings.get(owner, {}))


def item_annotations(kind: Any, args: tuple[Any, ...]) -> Mapping[str, Any]:
    """Return the annotations of a ``TypedDict``, resolved.

    Raises:
        TypeError: An annotation names something that cannot be found.
    """
    try:
        hints = get_type_hints(kind, localns={kind.__name__: kind})
    except Exception as error:
        raise _unresolved(kind.__name__, error) from error
    bindings = bindings_of(kind, args)
    return {name: substitute(hint, bindings) for name, hint in hints.items()}


def _resolved(annotation: Any, owner: Any, kind: Any, where: str) -> Any:
    """Resolve one annotation by itself, so that others may name what is not there."""
    known = {cls.__name__: cls for cls in (kind, owner)}
    known |= {variable.__name__: variable for variable in getattr(owner, "__type_params__", ())}
    names = vars(sys.modules.get(owner.__module__, object))
    holder = type("_", (), {"__annotations__": {"it": annotation}})
    try:
        return get_type_hints(holder, globalns=dict(names), localns=known)["it"]
    except Exception as error:
        raise _unresolved(where, error) from error


def _unresolved(where: str, error: Exception) -> TypeError:
    return TypeError(
        f"{where}: its annotation cannot be resolved ({error}): define or import what it "
        "names at the top of the module, not in a function and not under TYPE_CHECKING"
    )


def refuse_unmakeable(kind: Any) -> None:
    """Make sure that instances of a dataclass can be made again from their fields alone.

    Raises:
        TypeError: They cannot.
    """
    known = {field.name for field in fields(kind)}
    if "__dataclass_fields__" not in vars(kind):
        own = [name for name, hint in get_annotations(kind).items() if "ClassVar" not in str(hint)]
        _refuse(kind, set(own) - known, "is no field, it would not be stored: decorate the class")
    parameters = signature(kind).parameters.values()
    taken = {parameter.name for parameter in parameters if parameter.kind not in _OPEN_ENDED}
    _refuse(kind, taken - known, "is not stored, and needed to make one: make it a field")
    if not any(parameter.kind is Parameter.VAR_KEYWORD for parameter in parameters):
        given = {field.name for field in fields(kind) if field.init}
        _refuse(kind, given - taken, "is a field that __init__ does not take: let it")


def _refuse(kind: Any, names: set[str], reason: str) -> None:
    for name in sorted(names):
        msg = f"{kind.__name__}.{name} {reason}, or give converter=..."
        raise TypeError(msg)

"""What annotations say, once names, aliases and type variables are resolved."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from inspect import Parameter, Signature, get_annotations, signature
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

if sys.version_info >= (3, 14):
    from inspect import Format

    _UNEVALUATED: Final[dict[str, Any]] = {"format": Format.FORWARDREF}
    _UNEVALUATED_SIGNATURE: Final[dict[str, Any]] = {"annotation_format": Format.FORWARDREF}
else:
    _UNEVALUATED: Final[dict[str, Any]] = {}
    _UNEVALUATED_SIGNATURE: Final[dict[str, Any]] = {}

Bindings: TypeAlias = Mapping[Any, Any]

_TRANSPARENT: Final[tuple[Any, ...]] = (Annotated, Final, Required, NotRequired)
_OPEN_ENDED: Final = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)


def own_annotations(kind: Any) -> Mapping[str, Any]:
    """Return the annotations in the body of a class; of what is not defined, only the name."""
    return get_annotations(kind, **_UNEVALUATED)


def signature_of(kind: Any) -> Signature:
    """Return how instances are made, whether or not its annotations can be evaluated."""
    return signature(kind, **_UNEVALUATED_SIGNATURE)


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
    """Return the values of the type variables of *generic*."""
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


class Annotations:
    """Resolves the annotations of the fields of one class, with its type arguments.

    Each is resolved by itself, in the module of the class that declares it.
    """

    def __init__(self, kind: Any, args: tuple[Any, ...]) -> None:
        self._kind = kind
        self._bindings = _bindings_by_class(kind, args)

    def of(self, name: str, *given: Any) -> Any:
        """Return the annotation of a field: *given*, or what the class says.

        Raises:
            TypeError: It names something that cannot be found.
        """
        owner: Any = self._kind
        annotation: Any = given[0] if given else Any
        for cls in self._kind.__mro__:
            own = own_annotations(cls)
            if name in own:
                owner, annotation = cls, given[0] if given else own[name]
                break
        resolved = _resolved(annotation, owner, self._kind, f"{self._kind.__name__}.{name}")
        return substitute(resolved, self._bindings.get(owner, {}))


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


def refuse_undecorated(kind: Any, known: set[str]) -> None:
    """Make sure that a class adds no annotations to those of which its base made fields.

    Raises:
        TypeError: It does.
    """
    own = [name for name, hint in own_annotations(kind).items() if "ClassVar" not in str(hint)]
    _refuse(kind, set(own) - known, "is not a field, it would not be stored: decorate the class")


def refuse_unmakeable(kind: Any, arguments: set[str]) -> None:
    """Make sure that instances can be made of just these arguments, which are fields.

    Raises:
        TypeError: They cannot.
    """
    parameters = signature_of(kind).parameters.values()
    taken = {parameter.name for parameter in parameters if parameter.kind not in _OPEN_ENDED}
    _refuse(kind, taken - arguments, "is not stored, and needed to make one: make it a field")
    if not any(parameter.kind is Parameter.VAR_KEYWORD for parameter in parameters):
        _refuse(kind, arguments - taken, "is a field that __init__ does not take: let it")


def _refuse(kind: Any, names: set[str], reason: str) -> None:
    for name in sorted(names):
        msg = f"{kind.__name__}.{name} {reason}, or give converter=..."
        raise TypeError(msg)

"""From a declared type to its converter, built once, at set-up.

Everything is stored as people would write it in JSON: a dataclass and a
``TypedDict`` as an object; ``list``, ``tuple``, ``set`` as an array; an ``Enum``
by its value; dates and times as ISO 8601 text, a ``ZoneInfo`` after it in
brackets; ``Decimal``, ``UUID`` as text, ``bytes`` in Base64.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import (
    Callable,
    Hashable,
    Iterable,
    Mapping,
    MutableMapping,
    MutableSequence,
    Sequence,
)
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from enum import Enum
from types import UnionType
from typing import Any, Final, Generic, Literal, TypeVar, Union, get_args, get_origin

from sessionkit._convert.annotations import (
    bare,
    field_annotations,
    item_annotations,
    refuse_unmakeable,
)
from sessionkit._convert.containers import (
    TypedDictCodec,
    collection_node,
    dict_node,
    key_node,
    tuple_node,
    union_node,
)
from sessionkit._convert.dataclasses import DataclassCodec, Residue, is_required
from sessionkit._convert.plain import TOO_DEEP, Misfit, encode_error
from sessionkit._convert.scalars import SCALARS, Found, Node, enum_node, literal_node
from sessionkit.errors import SessionDecodeError

S = TypeVar("S")

_COLLECTIONS: Final = (list, set, frozenset)
_INSTEAD: Final[tuple[tuple[Any, str], ...]] = (
    ((defaultdict, OrderedDict, Counter, Mapping, MutableMapping), "dict[...]"),
    ((deque, Sequence, MutableSequence, Iterable), "list[...]"),
    ((AbstractSet,), "set[...]"),
    ((bytearray, memoryview), "bytes"),
)


class DataConverter(Generic[S]):
    """Turns data of one type into plain values and back.

    A ``sessionkit._types.Converter``.  With ``open`` and ``close`` in place of
    ``decode`` and ``encode``, stored fields that the type does not know (a newer
    program wrote them, or an older one) are kept aside and written back.
    """

    def __init__(self, node: Node) -> None:
        self._node = node

    def encode(self, data: S, /) -> Any:
        """Return plain values that share nothing mutable with *data*.

        Raises:
            SessionEncodeError: Some of it is not what its annotation says.
        """
        return self.close(data, None)

    def decode(self, plain: Any, /) -> S:
        """Return data made of *plain*, parts of which it may hold; new fields take their defaults.

        Raises:
            SessionDecodeError: *plain* does not fit the type.
        """
        return self.open(plain)[0]

    def open(self, plain: Any, /) -> tuple[S, Residue | None]:
        """Return data as ``decode`` does, and what to hand to ``close`` with it.

        The residue is None if there was nothing that the type does not know.

        Raises:
            SessionDecodeError: *plain* does not fit the type.
        """
        found: Found = []
        try:
            data = self._node.decode(plain, found)
        except Misfit as misfit:
            raise _decode_error(misfit) from misfit.__cause__
        except RecursionError as error:
            raise _decode_error(Misfit(TOO_DEEP)) from error
        return data, Residue(data, found) if found else None

    def close(self, data: S, residue: Residue | None, /) -> Any:
        """Return plain values as ``encode`` does, with what *residue* kept of *data*.

        Raises:
            SessionEncodeError: Some of *data* is not what its annotation says.
        """
        try:
            return self._node.encode(data, residue.kept_for(data) if residue else None)
        except Misfit as misfit:
            raise encode_error(misfit) from misfit.__cause__
        except RecursionError as error:
            raise encode_error(Misfit(TOO_DEEP)) from error


def _decode_error(misfit: Misfit) -> SessionDecodeError:
    msg = (
        f"the stored session.data{misfit.path} {misfit.reason}. It was left as it is: change it "
        "with a migration, or repair it by hand."
    )
    return SessionDecodeError(msg)


def converter_for(data_type: Any) -> DataConverter[Any] | None:
    """Return the converter of *data_type*, None if its data is plain as it is.

    Plain are ``dict``, ``list``, ``str``, ``int``, ``float``, ``bool``, None, ``Any``,
    and ``TypedDict`` and generics of nothing but these.

    Raises:
        TypeError: Some annotation has no converter; the text says which.
    """
    try:
        node = _Builder().node(data_type, "")
    except RecursionError as error:
        msg = f"{_shown(data_type)} is a recursive alias: annotate with Any, or use a dataclass"
        raise TypeError(msg) from error
    return None if node.is_plain else DataConverter(node)


class _Builder:
    """Makes nodes; remembers those of classes, which may refer to themselves."""

    def __init__(self) -> None:
        self._known: dict[Any, Node] = {}

    def node(self, annotation: Any, where: str) -> Node:
        """Return the node of *annotation*, found at the field *where*."""
        annotation = bare(annotation)
        origin, args = get_origin(annotation), get_args(annotation)
        kind = annotation if origin is None else origin
        node = SCALARS.get(kind) if isinstance(kind, Hashable) else None
        if node is None:
            node = self._special(kind, args, where) or self._class(kind, args)
        if node is None:
            raise _refusal(annotation, kind, where)
        return node

    def _special(self, kind: Any, args: tuple[Any, ...], where: str) -> Node | None:
        if kind is Union or kind is UnionType:
            return self._union(args, where)
        if kind is Literal:
            return literal_node(args)
        if kind is tuple:
            return self._tuple(args, where)
        if kind is dict:
            return self._dict(args or (str, Any), where)
        if kind in _COLLECTIONS:
            return collection_node(kind, self.node(args[0] if args else Any, where))
        return None

    def _class(self, kind: Any, args: tuple[Any, ...]) -> Node | None:
        if isinstance(kind, type) and issubclass(kind, Enum):
            return enum_node(kind)
        if not (_is_dataclass(kind) or _is_typed_dict(kind)):
            return None
        if (kind, args) not in self._known:
            build = self._dataclass if _is_dataclass(kind) else self._typed_dict
            self._known[kind, args] = build(kind, args)
        return self._known[kind, args]

    def _union(self, args: tuple[Any, ...], where: str) -> Node:
        node = union_node([self.node(arg, where) for arg in args])
        if node is None:
            names = " | ".join(map(_shown, args))
            msg = (
                f"{_at(where)}{names} cannot be converted, as some of these look alike when "
                "stored: put them into one dataclass with a field for each, or give "
                "converter=... (tagged unions: the extras 'msgspec' and 'pydantic')"
            )
            raise TypeError(msg)
        return node

    def _tuple(self, args: tuple[Any, ...], where: str) -> Node:
        if not args:
            args = (Any, ...)
        if len(args) == 2 and args[1] is ...:
            return collection_node(tuple, self.node(args[0], where))
        return tuple_node([self.node(arg, where) for arg in args if arg != ()])

    def _dict(self, args: tuple[Any, ...], where: str) -> Node:
        key, item = args
        keys = key_node(self.node(str if key is Any else key, where))
        if keys is None:
            msg = (
                f"{_at(where)}dict keys of the type {_shown(key)} cannot be converted, as JSON "
                "has str keys only: use str, int, Enum, UUID or date keys"
            )
            raise TypeError(msg)
        return dict_node(keys, self.node(item, where))

    def _dataclass(self, kind: Any, args: tuple[Any, ...]) -> Node:
        refuse_unmakeable(kind)
        codec = DataclassCodec(kind, kind.__name__)
        self._known[kind, args] = codec.node()
        for field, annotation in field_annotations(kind, args):
            codec.add(field, self.node(annotation, f"{kind.__name__}.{field.name}"))
        return codec.node()

    def _typed_dict(self, kind: Any, args: tuple[Any, ...]) -> Node:
        codec = TypedDictCodec(kind.__name__)
        self._known[kind, args] = codec.node()
        for name, annotation in item_annotations(kind, args).items():
            codec.items[name] = self.node(annotation, f"{kind.__name__}[{name!r}]")
        return codec.node()


def _is_dataclass(kind: Any) -> bool:
    return isinstance(kind, type) and is_dataclass(kind)


def _is_typed_dict(kind: Any) -> bool:
    return isinstance(kind, type) and hasattr(
        kind, "__required_keys__"
    )  # typing's and typing_extensions' alike


def _at(where: str) -> str:
    return f"{where}: " if where else ""


def _shown(annotation: Any) -> str:
    if not isinstance(annotation, type) or get_args(annotation):
        return str(annotation).replace("typing.", "")
    if annotation.__module__ == "builtins":
        return annotation.__qualname__
    return f"{annotation.__module__}.{annotation.__qualname__}"


def _refusal(annotation: Any, kind: Any, where: str) -> TypeError:
    instead = next((use for kinds, use in _INSTEAD if kind in kinds), "str, a dataclass, ...")
    return TypeError(
        f"{_at(where)}{_shown(annotation)} cannot be converted: use {instead}, or give "
        "converter=... (msgspec and pydantic models: the extras 'msgspec' and 'pydantic')"
    )


_EMPTY: Final = (dict, list, set, frozenset, tuple, str, int, float, bool)


def initial_for(data_type: Any) -> Callable[[], Any]:
    """Return the function that makes the data a chat of this type begins with.

    A dataclass whose fields all have defaults makes itself, so do ``dict``,
    ``list``, ``str``, ``int``, ``float``, ``bool`` and collections; a
    ``TypedDict`` without required keys begins empty; what may be None is None.

    Raises:
        TypeError: The type does not say what to begin with.
    """
    annotation = bare(data_type)
    kind = get_origin(annotation) or annotation
    if annotation is None or type(None) in (annotation, *get_args(annotation)):
        return _nothing
    if kind in _EMPTY and not (kind is tuple and _has_length(annotation)):
        return kind  # type: ignore[no-any-return]  # a class is a function of its instances
    if _is_dataclass(kind):
        return _dataclass_initial(kind)
    if _is_typed_dict(kind):
        return _typed_dict_initial(kind)
    msg = f"{_shown(annotation)} does not say what a chat begins with: give initial=lambda: ..."
    raise TypeError(msg)


def _nothing() -> None:
    return None


def _has_length(annotation: Any) -> bool:
    args = get_args(annotation)
    return bool(args) and args[-1] is not ...


def _dataclass_initial(kind: Any) -> Callable[[], Any]:
    required = [repr(field.name) for field in fields(kind) if is_required(field)]
    if required:
        msg = (
            f"{kind.__name__} has required fields {', '.join(required)}: give "
            f"initial=lambda: {kind.__name__}(...), or give them defaults"
        )
        raise TypeError(msg)
    return kind  # type: ignore[no-any-return]


def _typed_dict_initial(kind: Any) -> Callable[[], Any]:
    required = [repr(name) for name in sorted(kind.__required_keys__)]
    if required:
        msg = (
            f"{kind.__name__} has required keys {', '.join(required)}: give "
            "initial=lambda: ..., or declare it total=False"
        )
        raise TypeError(msg)
    return dict

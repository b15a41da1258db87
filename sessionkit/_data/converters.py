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
from functools import cache
from marshal import dumps
from types import UnionType
from typing import Any, Final, Generic, Literal, TypeVar, Union, get_args, get_origin

from sessionkit._data.annotations import (
    Annotations,
    bare,
    item_annotations,
    refuse_unmakeable,
    signature_of,
)
from sessionkit._data.containers import (
    TypedDictCodec,
    collection_node,
    dict_node,
    key_node,
    tuple_node,
    union_node,
)
from sessionkit._data.given import GivenCodec, described, plug_in_for
from sessionkit._data.plain import (
    TOO_DEEP,
    Misfit,
    check_plain,
    encode_error,
    freeze_plain,
    holds_no_extremes,
    refuse_tangled,
)
from sessionkit._data.record_types import (
    UNKNOWN_TYPE,
    RecordType,
    RecordTypes,
    dataclass_record,
    is_required,
)
from sessionkit._data.records import RecordCodec
from sessionkit._data.scalars import SCALARS, Found, Node, enum_node, literal_node
from sessionkit._data.snapshots import MARSHAL_VERSION, is_simple, thaw
from sessionkit._data.unknown import UnknownFields, places_of
from sessionkit.errors import SessionDecodeError, SessionEncodeError
from sessionkit.protocols import Converter

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

    A ``sessionkit.protocols.Converter``, and what sessions use instead, since it
    is several times faster and keeps stored fields that the type does not know
    (a newer program wrote them, or an older one)::

        data, unknown = converter.open(plain)
        ...
        frozen, plain, simple = converter.freeze(data, unknown)     # each time: what to compare
        if frozen != base:                                          # else nothing has changed
            converter.check(data, plain, frozen, simple)            # then write

    If *unknown* is not None, *base* may say the same in another form; it is a
    change if ``converter.freeze(*converter.open(thaw(base)))[0]`` differs as well.
    """

    def __init__(
        self,
        node: Node,
        exact: Callable[[], Node],
        records: RecordTypes,
        *,
        checked: bool,
        verified: bool = False,
    ) -> None:
        self._node = node
        self._encode, self._decode, self._verify = node.encode, node.decode, node.verify
        self._exact = exact
        self._places = places_of(records)
        self._runs_code = any(record.runs_code for record in records.values())
        self._checked = checked
        self._verified = verified

    def encode(self, data: S, /) -> Any:
        """Return plain values that share nothing mutable with *data*.

        Raises:
            SessionEncodeError: Some of it is not what its annotation says, or would not
                come back equal.
        """
        try:
            return self._exact().encode(data, None)
        except (Misfit, RecursionError) as error:
            raise _encode_error(error) from error.__cause__

    def decode(self, plain: Any, /) -> S:
        """Return data made of *plain*, parts of which it may hold; new fields take their defaults.

        Raises:
            SessionDecodeError: *plain* does not fit the type.
        """
        return self.open(plain)[0]

    def open(self, plain: Any, /) -> tuple[S, UnknownFields | None]:
        """Return data as ``decode`` does, and the *unknown* fields to hand to ``close``.

        *unknown* is None if *plain* is just what ``close`` makes of this data: there is
        nothing that the type does not know, and nothing that it writes in another form.

        Raises:
            SessionDecodeError: *plain* does not fit the type.
        """
        found: Found = []
        try:
            data = self._decode(plain, found)
        except Misfit as misfit:
            raise _decode_error(misfit) from misfit.__cause__
        except RecursionError as error:
            raise _decode_error(Misfit(TOO_DEEP)) from error
        return data, UnknownFields(data, found, self._places) if found else None

    def close(self, data: S, unknown: UnknownFields | None, /) -> Any:
        """Return plain values, with what *unknown* kept of *data*.

        They may share parts with *data*, and are of the right types; what ``check``
        refuses may be among them.

        Raises:
            SessionEncodeError: Some of *data* is not what its annotation says.
        """
        try:
            return self._encode(data, unknown.kept_for(data) if unknown else None)
        except (Misfit, RecursionError) as error:
            self.encode(data)  # raises the same, or what comes before it
            raise _encode_error(error) from error.__cause__

    def freeze(self, data: S, unknown: UnknownFields | None, /) -> tuple[bytes, Any, bool]:
        """Return a frozen copy of what ``close`` returns, that, and if it is simple.

        Raises:
            SessionEncodeError: As ``close``, or it cannot be copied.
        """
        plain = self.close(data, unknown)
        simple = not self._checked or is_simple(plain)
        if not simple:  # parts of it are as the handler made them
            refuse_tangled(plain)
        try:
            return dumps(plain, MARSHAL_VERSION), plain, simple
        except ValueError:
            self.encode(data)
            return freeze_plain(plain)

    def check(self, data: S, plain: Any, frozen: bytes, simple: bool, /) -> None:  # noqa: FBT001
        """Make sure that what ``freeze`` returned for *data* would come back equal.

        Raises:
            SessionEncodeError: It would not.
        """
        if self._verify is not None:
            try:
                self._verify(data, thaw(frozen))
            except (Misfit, RecursionError) as error:
                raise _encode_error(error) from error.__cause__
        elif self._verified:
            self.encode(data)
        if not (simple and holds_no_extremes(plain, frozen)):
            try:
                check_plain(plain)
            except SessionEncodeError:
                self.encode(data)  # raises the same, and knows the fields
                raise
        if self._runs_code:
            self._refuse_unreadable(frozen)

    def _refuse_unreadable(self, frozen: bytes) -> None:
        try:
            self._decode(thaw(frozen), [])
        except Misfit as misfit:
            reason = f"could not be read again: it {misfit.reason}"
            raise encode_error(Misfit(reason, misfit.path)) from misfit.__cause__


def _encode_error(error: Misfit | RecursionError) -> SessionEncodeError:
    return encode_error(error if isinstance(error, Misfit) else Misfit(TOO_DEEP))


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
    builder = _Builder()
    try:
        node = builder.node(data_type, "")
    except RecursionError as error:
        msg = f"{_shown(data_type)} is a recursive alias: annotate with Any, or use a dataclass"
        raise TypeError(msg) from error
    if node.is_plain:
        return None
    return DataConverter(
        node,
        cache(lambda: _Builder(exact=True).node(data_type, "")),
        builder.records,
        checked=builder.holds_any or builder.is_recursive,
        verified=builder.holds_given,
    )


def given_converter(converter: Converter[Any]) -> DataConverter[Any]:
    """Return a user's converter in the form that sessions use; it keeps nothing aside."""
    node = GivenCodec(converter).node()
    return DataConverter(node, lambda: node, {}, checked=True)


class _Builder:
    """Makes nodes; remembers those of classes, which may refer to themselves.

    With *exact*, each value is looked at by itself: slower, and errors know the place.
    """

    def __init__(self, *, exact: bool = False) -> None:
        self._known: dict[Any, Node] = {}
        self._exact = exact
        self.holds_any = False
        self.is_recursive = False
        self.records: RecordTypes = {}
        self.holds_given = False
        self._unfinished: set[Any] = set()

    def node(self, annotation: Any, where: str) -> Node:
        """Return the node of *annotation*, found at the field *where*."""
        annotation = bare(annotation)
        origin, args = get_origin(annotation), get_args(annotation)
        kind = annotation if origin is None else origin
        node = SCALARS.get(kind) if isinstance(kind, Hashable) else None
        if node is None:
            node = self._special(kind, args, where) or self._class(annotation, kind, args)
        if node is None:
            raise _refusal(annotation, kind, where)
        self.holds_any |= node.is_anything
        return node.called_always() if self._exact else node

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

    def _class(self, annotation: Any, kind: Any, args: tuple[Any, ...]) -> Node | None:
        if not isinstance(kind, type):
            return None
        if issubclass(kind, Enum):
            return enum_node(kind)
        if not (_is_dataclass(kind) or _is_typed_dict(kind) or plug_in_for(kind)):
            return None
        key: Any = (kind, args)
        if key in self._unfinished:
            self.is_recursive = True
        elif key not in self._known:
            self._unfinished.add(key)
            node = self._made(annotation, kind, args)
            if node is None:
                return None
            self._known[key] = node
            self._unfinished.remove(key)
        return self._known[key]

    def _made(self, annotation: Any, kind: Any, args: tuple[Any, ...]) -> Node | None:
        if _is_typed_dict(kind):
            return self._typed_dict(kind, args)
        found = described(annotation, kind)
        if found is None and _is_dataclass(kind):
            found = dataclass_record(kind)
        if found is None:
            return None
        if isinstance(found, RecordType):
            return self._record(found, args)
        self.holds_any = self.holds_given = True
        return GivenCodec(found, kind, exact=self._exact).node()

    def _union(self, args: tuple[Any, ...], where: str) -> Node:
        node = union_node([self.node(arg, where) for arg in args])
        if node is None:
            names = " | ".join(map(_shown, args))
            msg = (
                f"{_at(where)}{names} cannot be converted, as some of these look alike when "
                "stored: put them into one dataclass with a field for each, or give "
                "converter=... (msgspec Structs with a tag can be distinguished)"
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

    def _record(self, record: RecordType, args: tuple[Any, ...]) -> Node:
        kind = record.kind
        parameters = [field.parameter for field in record.fields]
        refuse_unmakeable(kind, {name for name in parameters if name is not None})
        codec = RecordCodec(record)
        self.records[kind] = record
        self._known[kind, args] = codec.node()
        annotations = Annotations(kind, args)
        for field in record.fields:
            given = () if field.annotation is UNKNOWN_TYPE else (field.annotation,)
            annotation = annotations.of(field.name, *given)
            codec.add(field, self.node(annotation, f"{kind.__name__}.{field.name}"))
        return codec.compile()

    def _typed_dict(self, kind: Any, args: tuple[Any, ...]) -> Node:
        codec = TypedDictCodec(kind.__name__, checked=self._exact)
        self.holds_any = True
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
        "converter=..., see docs/types.md"
    )


def may_share_prefix(one: Any, other: Any) -> bool:
    """Whether sessions of two data types may use the same stored values.

    ``dict``, ``TypedDict`` and other plain types are views of what is stored, None is
    a session without a type.  Two classes may if one derives from the other, or they
    are the same class, made twice, with the same type arguments.
    """
    first, second = _class_of(one), _class_of(other)
    if first is None or second is None:
        return True
    if first[0] is not second[0] and (
        issubclass(first[0], second[0]) or issubclass(second[0], first[0])
    ):
        return True
    return (_shown(first[0]), first[1]) == (_shown(second[0]), second[1])


def _class_of(data_type: Any) -> tuple[type[Any], tuple[Any, ...]] | None:
    """Return class and type arguments of the data, None if it is a view of plain values."""
    annotation = bare(data_type)
    kind, args = get_origin(annotation) or annotation, get_args(annotation)
    if kind is Union or kind is UnionType:
        members = [member for member in args if member is not type(None)]
        return _class_of(members[0]) if len(members) == 1 else None
    if not isinstance(kind, type) or _is_typed_dict(kind) or kind.__module__ == "builtins":
        return None
    return kind, args


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
    if plug_in_for(kind) is not None:
        return _class_initial(kind)
    msg = f"{_shown(annotation)} does not say what a chat begins with: give initial=lambda: ..."
    raise TypeError(msg)


def _nothing() -> None:
    return None


def _has_length(annotation: Any) -> bool:
    args = get_args(annotation)
    return bool(args) and args[-1] is not ...


def _dataclass_initial(kind: Any) -> Callable[[], Any]:
    _refuse_required(kind, [repr(field.name) for field in fields(kind) if is_required(field)])
    return kind  # type: ignore[no-any-return]


def _class_initial(kind: Any) -> Callable[[], Any]:
    required = [
        repr(name)
        for name, parameter in signature_of(kind).parameters.items()
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
    ]
    _refuse_required(kind, required)
    return kind  # type: ignore[no-any-return]


def _refuse_required(kind: Any, required: list[str]) -> None:
    if required:
        msg = (
            f"{kind.__name__} has required fields {', '.join(required)}: give "
            f"initial=lambda: {kind.__name__}(...), or give them defaults"
        )
        raise TypeError(msg)


def _typed_dict_initial(kind: Any) -> Callable[[], Any]:
    required = [repr(name) for name in sorted(kind.__required_keys__)]
    if required:
        msg = (
            f"{kind.__name__} has required keys {', '.join(required)}: give "
            "initial=lambda: ..., or declare it total=False"
        )
        raise TypeError(msg)
    return dict

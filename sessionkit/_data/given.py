"""Converters of others: of a user, or of a library whose types are found by a plug-in."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sessionkit._data.plain import Misfit
from sessionkit._data.record_types import RecordType
from sessionkit._data.scalars import JSON_TYPES, OTHER_FORM, Found, Kept, Node, unexpected
from sessionkit._data.snapshots import copied
from sessionkit.errors import SessionError
from sessionkit.protocols import Converter

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP: Final = "sessionkit.types"
CHANGED: Final = "is changed by a validator, a serializer or a type"


def described(data_type: Any, kind: Any) -> RecordType | Converter[Any] | None:
    """Ask the plug-ins for a class of theirs; None if there is none for it.

    Raises:
        TypeError: Data of this class would not come back as it was; the text says why.
    """
    plug_in = plug_in_for(kind)
    return None if plug_in is None else plug_in(data_type)


def plug_in_for(kind: Any) -> Callable[[Any], Any] | None:
    """Return the plug-in for a class: its entry point names an attribute of all its classes."""
    if not isinstance(kind, type):
        return None
    for marker, entry_point in _entry_points().items():
        if hasattr(kind, marker):
            return entry_point.load()  # type: ignore[no-any-return]
    return None


@cache
def _entry_points() -> dict[str, EntryPoint]:
    from importlib.metadata import entry_points  # noqa: PLC0415 (only types of no other kind need it)

    return {entry_point.name: entry_point for entry_point in entry_points(group=GROUP)}


class StoredObject(NamedTuple):
    """An object with fields, in data that a converter handles.

    Attributes:
        path: Keys and indexes that lead to it in the plain value that ``encode`` gives.
        value: The object itself.
        keys: The keys under which its fields are stored.
    """

    path: tuple[str | int, ...]
    value: object
    keys: Collection[str]


class GivenCodec:
    """Both ways of a converter.

    With *kind*, it is a library's: data must be of just this class, unknown fields are
    kept if the converter knows where its objects are, and what does not come back
    equal is refused, when it is *exact*.
    """

    def __init__(
        self, converter: Converter[Any], kind: type[Any] | None = None, *, exact: bool = False
    ) -> None:
        self._converter = converter
        self._kind = kind
        self._label = "data" if kind is None else kind.__name__
        self._exact = exact and kind is not None
        self._objects: Any = None if kind is None else getattr(converter, "objects", None)
        self._read: Any = getattr(converter, "read", self._read_and_compare)
        self._verify: Any = getattr(converter, "verify", self._refuse_changes)

    def node(self) -> Node:
        """Return this as a node."""
        kinds = JSON_TYPES if self._kind is None else frozenset[type]({self._kind})
        verify = None if self._kind is None else self.verify
        return Node(self._label, self.encode, self.decode, kinds, frozenset({dict}), verify=verify)

    def encode(self, value: Any, kept: Kept) -> Any:
        """Return the plain value of *value*, with the fields that were kept for it."""
        if self._kind is not None and type(value) is not self._kind:
            raise unexpected(value, self._label)
        plain = _called(self._converter.encode, value, "encoded")
        if self._exact:
            self.verify(value, copied(plain))
        return (
            plain if kept is None or self._objects is None else self._with_rest(value, plain, kept)
        )

    def _with_rest(self, value: Any, plain: Any, kept: Mapping[int, Mapping[str, Any]]) -> Any:
        plain = copied(plain)
        for part in self._objects(value):
            if id(part.value) in kept:
                _at(plain, part.path).update(copied(kept[id(part.value)]))
        return plain

    def decode(self, plain: Any, found: Found) -> Any:
        """Return data made of *plain*."""
        if self._objects is None:
            found.append(OTHER_FORM)
            return _called(self._converter.decode, plain, "decoded")
        data, is_same = _called(self._read, plain, "decoded")
        if not is_same:
            found.append(OTHER_FORM)
            found += self._unknown(data, plain)
        return data

    def _read_and_compare(self, plain: Any) -> tuple[Any, bool]:
        data = self._converter.decode(plain)
        return data, self._converter.encode(data) == plain

    def _unknown(self, data: Any, plain: Any) -> Found:
        found: Found = []
        for part in self._objects(data):
            stored = _at(plain, part.path)
            found.append((part.value, {key: stored[key] for key in stored if key not in part.keys}))
        return found

    def verify(self, value: Any, plain: Any) -> None:
        """Raise ``Misfit`` unless *plain*, which is stored for *value*, comes back as that."""
        try:
            _called(partial(self._verify, value), plain, "decoded")
        except Misfit as misfit:
            reason = f"would not come back equal: it {misfit.reason}"
            raise Misfit(reason, misfit.path) from misfit.__cause__

    def _refuse_changes(self, value: Any, plain: Any) -> None:
        back = self._converter.decode(plain)
        kind: Any = value.__class__
        comparable = kind.__eq__ is not object.__eq__
        encode = self._converter.encode
        if back != value if comparable else encode(back) != encode(value):
            raise Misfit(CHANGED)


def _called(function: Callable[[Any], Any], value: Any, done: str) -> Any:
    try:
        return function(value)
    except (Misfit, SessionError):
        raise
    except Exception as error:  # its text may show data
        reason = f"cannot be {done}: the converter raised {type(error).__name__}"
        raise Misfit(reason) from error


def _at(plain: Any, path: tuple[str | int, ...]) -> dict[str, Any]:
    """Return the part of *plain* at *path*; an empty dict if there is none."""
    for step in path:
        try:
            plain = plain[step]
        except (LookupError, TypeError):
            return {}
    return plain if isinstance(plain, dict) else {}  # pyright: ignore[reportUnknownVariableType]

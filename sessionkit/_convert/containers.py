"""How collections, mappings and unions become plain JSON values and return."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from sessionkit._convert.plain import Misfit, check, is_text, shown
from sessionkit._convert.scalars import ANYTHING, Found, Kept, Node, unexpected
from sessionkit._frozen import copied

_LIST: Final[frozenset[type]] = frozenset({list})
_DICT: Final[frozenset[type]] = frozenset({dict})
_STR: Final[frozenset[type]] = frozenset({str})
_INT: Final[frozenset[type]] = frozenset({int})


def _each(convert: Callable[[Any, Any], Any], values: Any, aside: Any) -> list[Any]:
    made: list[Any] = []
    try:
        for value in values:
            made.append(convert(value, aside))  # noqa: PERF401 (its length is the index)
    except Misfit as misfit:
        misfit.within(f"[{len(made)}]")
        raise
    return made


def _in_order(values: list[Any]) -> list[Any]:
    """Sort what came from a set, so that equal sets are stored alike."""
    try:
        return sorted(values)
    except TypeError:
        return sorted(values, key=repr)


def collection_node(kind: type[Any], item: Node) -> Node:
    """Return the node of a list, a set, a frozenset, or a tuple of any length."""
    label = f"tuple[{item.label}, ...]" if kind is tuple else f"{kind.__name__}[{item.label}]"
    is_set = kind in (set, frozenset)
    is_list = kind is list

    def encode(value: Any, kept: Kept) -> Any:
        if type(value) is not kind:
            raise unexpected(value, label)
        made = _each(item.encode, value, kept)
        return _in_order(made) if is_set else made

    def decode(plain: Any, found: Found) -> Any:
        if type(plain) is not list:
            raise unexpected(plain, label)
        made = _each(item.decode, plain, found)
        return made if is_list else _gathered(kind, made, label)

    return Node(label, encode, decode, frozenset({kind}), _LIST, is_plain=is_list and item.is_plain)


def _gathered(kind: type[Any], values: list[Any], label: str) -> Any:
    try:
        return kind(values)
    except TypeError as error:
        reason = f"cannot be made a {label}: {error}"
        raise Misfit(reason) from error


def tuple_node(items: Sequence[Node]) -> Node:
    """Return the node of a tuple of fixed length."""
    label = f"tuple[{', '.join(item.label for item in items) or '()'}]"
    encoders = [item.encode for item in items]
    decoders = [item.decode for item in items]

    def each(converters: list[Any], values: Any, aside: Any) -> list[Any]:
        if len(values) != len(converters):
            reason = f"has {len(values)} items, its annotation says {label}"
            raise Misfit(reason)
        turn = iter(converters)

        def convert(value: Any, aside: Any) -> Any:
            return next(turn)(value, aside)

        return _each(convert, values, aside)

    def encode(value: Any, kept: Kept) -> Any:
        if type(value) is not tuple:
            raise unexpected(value, label)
        return each(encoders, value, kept)

    def decode(plain: Any, found: Found) -> Any:
        if type(plain) is not list:
            raise unexpected(plain, label)
        return tuple(each(decoders, plain, found))

    return Node(label, encode, decode, frozenset({tuple}), _LIST)


def key_node(key: Node) -> Node | None:
    """Return the node of keys: JSON has ``str`` keys only; None if they would not come back."""
    if key is ANYTHING or not key.plain:
        return None
    if key.plain == _STR:
        return key
    return _number_key(key) if key.plain == _INT else None


def _number_key(key: Node) -> Node:
    def encode(value: Any, kept: Kept) -> str:
        return str(key.encode(value, kept))

    def decode(plain: Any, found: Found) -> Any:
        try:
            number = int(plain)
        except ValueError:
            number = None
        if str(number) != plain:  # int() takes more spellings than str() gives
            reason = f"is {shown(plain)}, which is no {key.label}"
            raise Misfit(reason)
        return key.decode(number, found)

    return Node(key.label, encode, decode, key.python, _STR)


def _key(convert: Callable[[Any, Any], Any], key: Any, aside: Any) -> Any:
    try:
        return convert(key, aside)
    except Misfit as misfit:
        reason = f"has the key {shown(key)}, which {misfit.reason}"
        raise Misfit(reason) from misfit.__cause__


def _dict_of(value: Any, label: str) -> dict[Any, Any]:
    if type(value) is not dict:
        raise unexpected(value, label)
    return value  # pyright: ignore[reportUnknownVariableType]


def dict_node(key: Node, item: Node) -> Node:
    """Return the node of a dict; *key* is one from ``key_node``."""
    label = f"dict[{key.label}, {item.label}]"

    def each(to_key: Any, to_item: Any, values: Any, aside: Any) -> dict[Any, Any]:
        made: dict[Any, Any] = {}
        for name, value in _dict_of(values, label).items():
            made_key = _key(to_key, name, aside)
            try:
                made[made_key] = to_item(value, aside)
            except Misfit as misfit:
                misfit.within(f"[{shown(name)}]")
                raise
        return made

    def encode(value: Any, kept: Kept) -> Any:
        return each(key.encode, item.encode, value, kept)

    def decode(plain: Any, found: Found) -> Any:
        return each(key.decode, item.decode, plain, found)

    return Node(label, encode, decode, _DICT, _DICT, is_plain=key.is_plain and item.is_plain)


class TypedDictCodec:
    """Both ways of a ``TypedDict``; what its annotations do not name stays as it is."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.items: dict[str, Node] = {}

    def node(self) -> Node:
        """Return this as a node."""
        is_plain = all(item.is_plain for item in self.items.values())
        return Node(self.label, self.encode, self.decode, _DICT, _DICT, is_plain=is_plain)

    def encode(self, value: Any, kept: Kept) -> Any:
        """Return the plain value of *value*."""
        rest = {name: value[name] for name in _dict_of(value, self.label) if name not in self.items}
        check(rest)
        return self._converted(value, copied(rest), "encode", kept)

    def decode(self, plain: Any, found: Found) -> Any:
        """Return the data of *plain*."""
        return self._converted(plain, _dict_of(plain, self.label), "decode", found)

    def _converted(self, value: Any, rest: dict[str, Any], way: str, aside: Any) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for name, item in value.items():
            node = self.items.get(name)
            try:
                made[name] = rest[name] if node is None else getattr(node, way)(item, aside)
            except Misfit as misfit:
                misfit.within(f"[{shown(name)}]")
                raise
        return made


def union_node(members: Sequence[Node]) -> Node | None:
    """Return the node of a union; None if its members cannot be told apart when stored."""
    label = " | ".join(member.label for member in members)
    if ANYTHING in members:
        return ANYTHING
    if any(member.label == "float" for member in members):
        members = [member for member in members if member.label != "int"]
    by_python = {kind: member for member in members for kind in member.python}
    by_plain = {kind: member for member in members for kind in member.plain}
    told_apart = len(by_python) == sum(len(member.python) for member in members) and len(
        by_plain
    ) == sum(len(member.plain) for member in members)
    if told_apart:
        return _union(label, members, by_python, by_plain)
    if all(member.is_plain for member in members):
        return _union(label, members, *[dict.fromkeys(by_plain, ANYTHING)] * 2)
    return None


def _union(
    label: str,
    members: Sequence[Node],
    by_python: dict[type, Node],
    by_plain: dict[type, Node],
) -> Node:
    def encode(value: object, kept: Kept) -> Any:
        member = by_python.get(str if is_text(value) else type(value))
        if member is None:
            raise unexpected(value, label)
        return member.encode(value, kept)

    def decode(plain: object, found: Found) -> Any:
        member = by_plain.get(type(plain))
        if member is None:
            raise unexpected(plain, label)
        return member.decode(plain, found)

    return Node(
        label,
        encode,
        decode,
        frozenset(by_python),
        frozenset(by_plain),
        is_plain=all(member.is_plain for member in members),
        atoms=frozenset[type]().union(*(member.atoms for member in members)),
    )

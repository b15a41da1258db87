"""How collections, mappings and unions become plain JSON values and return."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from sessionkit._data.at_once import Test, always, beside_atoms, in_dict, in_list
from sessionkit._data.plain import Misfit, article, is_text, plain_copy, step
from sessionkit._data.scalars import ANYTHING, OTHER_FORM, Found, Kept, Node, unexpected

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
    are_atoms = item.atoms.issuperset if item.atoms else _never

    def encode(value: Any, kept: Kept) -> Any:
        if type(value) is not kind:
            raise unexpected(value, label)
        if is_list and are_atoms(map(type, value)):
            return value
        made = _each(item.encode, value, kept)
        return _in_order(made) if is_set else made

    def decode(plain: Any, found: Found) -> Any:
        given: Any = type(plain)  # pyright: ignore[reportUnknownVariableType]
        if given is not list:
            raise unexpected(plain, label)
        made = plain if are_atoms(map(type, plain)) else _each(item.decode, plain, found)
        if is_list:
            return made
        gathered = _gathered(kind, made, label)
        if is_set and (len(gathered) < len(plain) or _in_order(plain) != plain):
            found.append(OTHER_FORM)
        return gathered

    return Node(
        label,
        encode,
        decode,
        frozenset({kind}),
        _LIST,
        is_plain=is_list and item.is_plain,
        list_of=item.atoms if is_list else frozenset(),
        at_once=in_list(item.at_once) if is_list else None,
    )


def _never(_: object) -> bool:
    return False


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
    if key.is_anything or not key.plain:
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
            reason = f"cannot be read as {article(key.label)}"
            raise Misfit(reason)
        return key.decode(number, found)

    return Node(key.label, encode, decode, key.python, _STR)


def _key(convert: Callable[[Any, Any], Any], key: Any, aside: Any) -> Any:
    try:
        return convert(key, aside)
    except Misfit as misfit:
        reason = f"has a key that {misfit.reason}"
        raise Misfit(reason) from misfit.__cause__


def _dict_of(value: Any, label: str) -> dict[Any, Any]:
    if type(value) is not dict:
        raise unexpected(value, label)
    return value  # pyright: ignore[reportUnknownVariableType]


def dict_node(key: Node, item: Node) -> Node:
    """Return the node of a dict; *key* is one from ``key_node``."""
    label = f"dict[{key.label}, {item.label}]"
    are_keys = key.atoms.issuperset if key.atoms == _STR else _never
    are_atoms = item.atoms.issuperset if item.atoms else _never

    def each(to_key: Any, to_item: Any, values: Any, aside: Any) -> dict[Any, Any]:
        made: dict[Any, Any] = {}
        for name, value in _dict_of(values, label).items():
            made_key = _key(to_key, name, aside)
            try:
                made[made_key] = to_item(value, aside)
            except Misfit as misfit:
                misfit.within(step(name) if item.is_anything else f"[<{key.label}>]")
                raise
        return made

    def are_plain(values: Any) -> bool:
        given: Any = type(values)  # pyright: ignore[reportUnknownVariableType]
        return (
            given is dict and are_keys(map(type, values)) and are_atoms(map(type, values.values()))
        )

    def encode(value: Any, kept: Kept) -> Any:
        return value if are_plain(value) else each(key.encode, item.encode, value, kept)

    def decode(plain: Any, found: Found) -> Any:
        return plain if are_plain(plain) else each(key.decode, item.decode, plain, found)

    is_plain = key.is_plain and item.is_plain
    at_once = in_dict(item.at_once) if key.atoms == _STR else None
    return Node(label, encode, decode, _DICT, _DICT, is_plain=is_plain, at_once=at_once)


class TypedDictCodec:
    """Both ways of a ``TypedDict``; what its annotations do not name stays as it is.

    With *checked*, that is made sure to be plain, and copied.
    """

    def __init__(self, label: str, *, checked: bool) -> None:
        self.label = label
        self.items: dict[str, Node] = {}
        self._checked = checked

    def node(self) -> Node:
        """Return this as a node."""
        is_plain = all(item.is_plain for item in self.items.values())
        return Node(self.label, self.encode, self.decode, _DICT, _DICT, is_plain=is_plain)

    def encode(self, value: Any, kept: Kept) -> Any:
        """Return the plain value of *value*."""
        rest = {name: value[name] for name in _dict_of(value, self.label) if name not in self.items}
        if rest and self._checked:
            rest = plain_copy(rest)
        return self._converted(value, rest, "encode", kept)

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
                misfit.within(f"[{name!r}]" if node else step(name))
                raise
        return made


def union_node(members: Sequence[Node]) -> Node | None:
    """Return the node of a union; None if its members cannot be distinguished when stored."""
    label = " | ".join(member.label for member in members)
    anything = [member for member in members if member.is_anything]
    if anything:
        return anything[0]
    if any(member.label == "float" for member in members):
        members = [member for member in members if member.label != "int"]
    members = _joined_by_tag(members)
    by_python = {kind: member for member in members for kind in member.python}
    by_plain = {kind: member for member in members for kind in member.plain}
    are_distinct = len(by_python) == sum(len(member.python) for member in members) and len(
        by_plain
    ) == sum(len(member.plain) for member in members)
    if are_distinct:
        return _union(label, members, by_python, by_plain)
    if all(member.is_plain for member in members):
        return _union(label, members, *[dict.fromkeys(by_plain, ANYTHING)] * 2)
    return None


def _joined_by_tag(members: Sequence[Node]) -> Sequence[Node]:
    """Put members that are distinguished by a tag into one."""
    tagged = [member for member in members if member.tag is not None]
    keys = {member.tag[0] for member in tagged if member.tag}
    tags = {(type(member.tag[1]), member.tag[1]): member for member in tagged if member.tag}
    if len(tagged) < 2 or len(keys) > 1 or len(tags) < len(tagged):
        return members
    others = [member for member in members if member.tag is None]
    return [_tagged(keys.pop(), tags), *others]


def _tagged(key: str, by_tag: dict[Any, Node]) -> Node:
    label = " | ".join(member.label for member in by_tag.values())
    by_class = {kind: member for member in by_tag.values() for kind in member.python}

    def encode(value: object, kept: Kept) -> Any:
        return by_class[type(value)].encode(value, kept)

    def decode(plain: Any, found: Found) -> Any:
        tag = _dict_of(plain, label).get(key)
        member = by_tag.get((type(tag), tag)) if isinstance(tag, str | int) else None
        if member is None:
            reason = f"has a {key!r} that none of {label} has"
            raise Misfit(reason)
        return member.decode(plain, found)

    return Node(label, encode, decode, frozenset(by_class), _DICT)


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
        finite=any(member.finite for member in members),
        list_of=frozenset[type]().union(*(member.list_of for member in members)),
        at_once=_at_once(members),
    )


def _at_once(members: Sequence[Node]) -> Test | None:
    """Return the test of a union: of atoms, and one other type at most."""
    atoms = frozenset[type]().union(*(each.atoms for each in members if each.at_once is always))
    others = [each.at_once for each in members if each.at_once is not always]
    if not others:
        return always
    return beside_atoms(others[0], atoms) if len(others) == 1 and others[0] else None

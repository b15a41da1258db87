"""How records become dicts and return; what a dict holds beyond the fields is kept.

Records are dataclasses, and classes of libraries that are described as a ``RecordType``.
Both ways of a class are functions generated for it, as ``dataclass`` itself
generates ``__init__``: one straight line of code, which asks of most values
just for their type.  For ``class Pizza: name: str; at: datetime`` they are::

    def encode(value, kept):
        if type(value) is not kind:
            raise other_class(value)
        try:
            v0 = value.name
            v1 = value.at
        except AttributeError as error:
            raise unset(value) from error
        if not (type(v0) is str):
            try:
                v0 = e0(v0, kept)
            except Misfit as misfit:
                misfit.within('.name')
                raise
        ...                                         # v1 alike, always by e1
        plain = {'name': v0, 'at': v1}
        if len(value.__dict__) != 2:
            look_for_undeclared(value, plain)
        return plain if kept is None else with_rest(plain, kept.get(id(value)))

    def decode(plain, found):
        if type(plain) is not dict or (*plain,) != keys:
            return decode_other(plain, found)       # fields are missing, unknown, in another order
        v0, v1 = plain.values()
        ...                                         # as above, by d0 and d1
        try:
            return kind(v0, v1)
        except Exception as error:
            raise unmade(error) from error
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from inspect import Parameter, ismemberdescriptor
from typing import Any, NamedTuple

from sessionkit._data.annotations import signature_of
from sessionkit._data.at_once import INLINE, Test, always
from sessionkit._data.plain import Misfit, article
from sessionkit._data.record_types import RecordField, RecordType
from sessionkit._data.scalars import OTHER_FORM, Found, Kept, Node, unexpected
from sessionkit._data.snapshots import copied


class _Part(NamedTuple):
    """One field, and how to convert it."""

    field: RecordField
    node: Node


class RecordCodec:
    """Both ways of one record type: ``add`` its fields, then ``compile``.

    Until then, ``node`` gives one for fields that refer to the class itself.
    """

    def __init__(self, record: RecordType) -> None:
        self._record = record
        self._kind = record.kind
        self._label = record.kind.__name__
        self._parts: list[_Part] = []
        self._compiled: dict[str, Any] = {}
        self._made_new: set[str] = set()

    def add(self, field: RecordField, node: Node) -> None:
        """Convert *field* as *node* says."""
        self._parts.append(_Part(field, node))

    def node(self) -> Node:
        """Return a node that finds the functions when it is used."""

        def encode(value: Any, kept: Kept) -> Any:
            return self._compiled["encode"](value, kept)

        def decode(plain: Any, found: Found) -> Any:
            return self._compiled["decode"](plain, found)

        return self._node(encode, decode)

    def compile(self) -> Node:
        """Return the node, once all fields are there."""
        parts, tag = self._parts, self._record.tag or ()
        self._made_new = {part.field.name for part in parts}
        scope = self._compiled
        scope |= {
            "Misfit": Misfit,
            "kind": self._kind,
            "keys": (*tag[:1], *(part.field.key for part in parts)),
            "tag": tag[-1] if tag else None,
            "other_tag": self._other_tag,
            "other_class": self._other_class,
            "unset": self._unset,
            "with_rest": _with_rest,
            "decode_other": self._decode_other,
            "decode_at_once": self._record.decode,
            "unmade": self._unmade,
            "set_field": object.__setattr__,  # of frozen ones too
            "other_form": OTHER_FORM,
            "look_for_undeclared": self._look_for_undeclared,
        }
        for index, part in enumerate(parts):
            scope[f"e{index}"], scope[f"d{index}"] = part.node.encode, part.node.decode
            scope[f"t{index}"] = part.node.atoms
            scope[f"l{index}"] = part.node.list_of.issuperset
            scope[f"p{index}"] = part.node.at_once
        source = "\n".join([*_encoder(self._record, parts), *_decoder(self._record, parts)])
        exec(compile(source, f"<sessionkit {self._label}>", "exec"), scope)  # noqa: S102 (as dataclass does)
        return self._node(scope["encode"], scope["decode"], scope.get("passes"))

    def _node(
        self,
        encode: Callable[[Any, Kept], Any],
        decode: Callable[[Any, Found], Any],
        at_once: Test | None = None,
    ) -> Node:
        return Node(
            self._label,
            encode,
            decode,
            frozenset({self._kind}),
            frozenset({dict}),
            tag=self._record.tag,
            at_once=at_once,
        )

    def _other_tag(self) -> Misfit:
        """Return what to raise for an object that another class has stored."""
        key = self._record.tag and self._record.tag[0]
        return Misfit(f"is stored with another {key!r} than that of {self._label}")

    def _other_class(self, value: object) -> Misfit:
        misfit = unexpected(value, self._label)
        if not isinstance(value, self._kind):
            return misfit
        return Misfit(f"{misfit.reason}: what {type(value).__name__} adds would be lost")

    def _unset(self, value: Any) -> Misfit:
        names = [part.field.name for part in self._parts]
        missing = ", ".join(repr(name) for name in names if not hasattr(value, name))
        return Misfit(f"has no {missing}: set it, or give the field a default")

    def _look_for_undeclared(self, value: Any, plain: dict[str, Any]) -> None:
        """Refuse attributes that are not fields, and that no instance has from the beginning."""
        attributes: list[str] = [*vars(value)]
        if all(map(self._is_known, attributes)):
            return
        new: Any = self._compiled["decode"](copied(plain), [])
        self._made_new |= set[str](new.__dict__)
        for name in attributes:
            if not self._is_known(name):
                misfit = Misfit(f"is not a field of {self._label}, it would be lost: declare it")
                misfit.within(f".{name}")
                raise misfit

    def _is_known(self, name: str) -> bool:
        return name in self._made_new or isinstance(
            getattr(self._kind, name, None), cached_property
        )

    def _decode_other(self, plain: Any, found: Found) -> Any:
        """Return an instance made of a dict that has not exactly the fields, in their order."""
        given_type: Any = type(plain)  # pyright: ignore[reportUnknownVariableType]
        if given_type is not dict:
            raise unexpected(plain, self._label)
        stored: dict[str, Any] = dict(plain)  # pyright: ignore[reportUnknownArgumentType]
        tag = self._record.tag
        if tag and stored.pop(tag[0], tag[1]) != tag[1]:
            raise self._other_tag()
        given: dict[str, Any] = {}
        for part in self._parts:
            if part.field.key in stored:
                given[part.field.name] = _decoded(part, stored.pop(part.field.key), found)
        self._refuse_missing(given)
        if stored and self._record.closed:
            reason = f"has fields that {self._label} does not know, and forbids"
            raise Misfit(reason)
        made = self._made(given)
        found.append((made, stored) if stored else OTHER_FORM)
        return made

    def _refuse_missing(self, given: dict[str, Any]) -> None:
        missing = [
            repr(part.field.name)
            for part in self._parts
            if part.field.name not in given and part.field.required
        ]
        if missing:
            reason = f"lacks {', '.join(missing)}, and {self._label} has no default for it"
            raise Misfit(reason)

    def _made(self, given: dict[str, Any]) -> Any:
        known = [part.field for part in self._parts if part.field.name in given]
        arguments = {
            field.parameter: given[field.name] for field in known if field.parameter is not None
        }
        try:
            made = self._kind(**arguments)
        except Exception as error:
            raise self._unmade(error) from error
        for field in known:
            if field.parameter is None or field.set_again:
                object.__setattr__(made, field.name, given[field.name])  # frozen ones too
        return made

    def _unmade(self, error: Exception) -> Misfit:
        """Return what to raise; the text of *error* may show data, so it is only the cause."""
        return Misfit(f"does not make {article(self._label)}: {type(error).__name__} was raised")


def _decoded(part: _Part, plain: Any, found: Found) -> Any:
    try:
        return part.node.decode(plain, found)
    except Misfit as misfit:
        misfit.within(f".{part.field.name}")
        raise


def _with_rest(plain: dict[str, Any], rest: Any) -> dict[str, Any]:
    return plain if rest is None else plain | copied(rest)


def _encoder(record: RecordType, parts: list[_Part]) -> Iterator[str]:
    yield "def encode(value, kept):"
    yield " if type(value) is not kind:"
    yield "  raise other_class(value)"
    if parts:
        yield " try:"
        for index, part in enumerate(parts):
            yield f"  v{index} = value.{part.field.name}"
        yield " except AttributeError as error:"
        yield "  raise unset(value) from error"
    yield from _conversions(parts, "e", "kept")
    items = [f"{part.field.key!r}: v{index}" for index, part in enumerate(parts)]
    if record.tag:
        items.insert(0, f"{record.tag[0]!r}: tag")
    yield f" plain = {{{', '.join(items)}}}"
    if record.kind.__dictoffset__:
        in_dict = [part for part in parts if not _has_slot(record.kind, part.field.name)]
        yield f" if len(value.__dict__) != {len(in_dict)}:"
        yield "  look_for_undeclared(value, plain)"
    yield " return plain if kept is None else with_rest(plain, kept.get(id(value)))"


def _has_slot(kind: type[Any], name: str) -> bool:
    return ismemberdescriptor(getattr(kind, name, None))


def _decoder(record: RecordType, parts: list[_Part]) -> Iterator[str]:
    passes = _passes(record, parts)
    if passes:
        yield "def passes(plain):"
        yield f" return {passes}"
    yield "def decode(plain, found):"
    if passes:
        yield f" if {passes}:"
        yield "  try:"
        yield "   return decode_at_once(plain)"
        yield "  except Exception:"
        yield "   pass"
    yield " if type(plain) is not dict or (*plain,) != keys:"
    yield "  return decode_other(plain, found)"
    values = [f"v{index}, " for index, _ in enumerate(parts)]
    if record.tag:
        values.insert(0, "stored_tag, ")
    if values:
        yield f" {''.join(values)} = plain.values()".replace("  =", " =")
    if record.tag:
        yield " if type(stored_tag) is not type(tag) or stored_tag != tag:"
        yield "  raise other_tag()"
    yield from _conversions(parts, "d", "found")
    yield " try:"
    yield f"  made = kind({_arguments(record.kind, parts)})"
    yield " except Exception as error:"
    yield "  raise unmade(error) from error"
    for index, (field, _) in enumerate(parts):
        if field.parameter is None or field.set_again:
            yield f" set_field(made, {field.name!r}, v{index})"
    if record.runs_code:
        yield " found.append(other_form)"
    yield " return made"


def _passes(record: RecordType, parts: list[_Part]) -> str | None:
    """Return an expression: whether the library may decode it at once; None if never."""
    if record.decode is None or record.runs_code or not all(part.node.at_once for part in parts):
        return None
    tests = ["type(plain) is dict", "(*plain,) == keys"]
    for index, (field, node) in enumerate(parts):
        if node.at_once is not None and node.at_once is not always:
            inline = INLINE.get(node.at_once, f"p{index}({{}})")
            tests.append(inline.format(f"plain[{field.key!r}]"))
    return " and ".join(tests)


def _conversions(parts: list[_Part], convert: str, aside: str) -> Iterator[str]:
    for index, (field, node) in enumerate(parts):
        yield f" if not ({_test(node, index)}):"
        yield "  try:"
        yield f"   v{index} = {convert}{index}(v{index}, {aside})"
        yield "  except Misfit as misfit:"
        yield f"   misfit.within({f'.{field.name}'!r})"
        yield "   raise"


def _test(node: Node, index: int) -> str:
    """Return an expression: whether the value is its own plain value, judging by types."""
    value = f"v{index}"
    if len(node.atoms) > 3:
        return f"type({value}) in t{index}"
    tests = [
        f"{value} is None" if kind is type(None) else f"type({value}) is {kind.__name__}"
        for kind in sorted(node.atoms, key=lambda kind: kind.__name__)
    ]
    if node.finite:
        tests.append(f"type({value}) is float and {value} - {value} == 0.0")
    if node.list_of:
        tests.append(f"type({value}) is list and l{index}(map(type, {value}))")
    return " or ".join(tests) or "False"


def _arguments(kind: type[Any], parts: list[_Part]) -> str:
    """Return the arguments that make an instance: by position as long as they can be."""
    indexes = {
        part.field.parameter: index
        for index, part in enumerate(parts)
        if part.field.parameter is not None
    }
    arguments: list[str] = []
    for name, parameter in signature_of(kind).parameters.items():
        if name not in indexes or parameter.kind is not Parameter.POSITIONAL_OR_KEYWORD:
            break
        arguments.append(f"v{indexes.pop(name)}")
    return ", ".join([*arguments, *(f"{name}=v{index}" for name, index in indexes.items())])

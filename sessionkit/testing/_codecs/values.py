"""Values come back as they were, and what cannot is refused."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from sessionkit.testing._codecs.bench import Bench, CodecSubject
from sessionkit.testing._equal import alike
from sessionkit.testing._needs import LeftOut
from sessionkit.testing._show import show
from sessionkit.testing._suites import Collection
from sessionkit.testing._table import values as table
from sessionkit.testing._table.rows import FALSY

values: Final[Collection[CodecSubject]] = Collection()

_FLOOR: Final[tuple[Any, ...]] = (
    {"n": 1},
    {"name": "Ann", "toppings": ["cheese", "ham"], "price": 7.5, "paid": False, "note": None},
)
_ODD: Final[tuple[Any, ...]] = (*table.ODD_TEXTS, *({text: text} for text in table.ODD_TEXTS))
_UNSTORABLE: Final[tuple[Any, ...]] = (
    lambda: None,
    {"n": 1, "function": lambda: None},
    object(),
    [1, {2}],
    b"bytes",
    datetime(2026, 1, 1, tzinfo=UTC),
    1 + 2j,
    {"n": math.nan},
    math.inf,
    [-math.inf],
)
_UNPICKLABLE: Final[tuple[Any, ...]] = (lambda: None, {"n": 1, "function": lambda: None})


def _each(subject: CodecSubject, cases: Sequence[Any], check: Callable[[Bench, Any], None]) -> None:
    for value in cases:
        check(subject.anew(), value)


@values.promise(
    "encode() gives bytes.",
    hint="it gives str, a bytearray or a memoryview: encode text with .encode(), and wrap the "
    "rest in bytes().",
)
async def encode_gives_bytes(subject: CodecSubject) -> None:
    for value in _FLOOR:
        raw: object = subject.anew().encode(value)
        if type(raw) is not bytes:
            subject.history.fail(expected="bytes", got=f"{type(raw).__name__}: {show(raw)}")


@values.promise(
    "What was encoded is decoded: decode() undoes all that encode() does, in reverse order.",
    hint="a step of encode() has no counterpart in decode(), or they are in the same order.",
)
async def encoded_is_decoded(subject: CodecSubject) -> None:
    _each(subject, _FLOOR, Bench.expect_back)


@values.promise(
    "Falsy values, such as {} or 0, come back as they are.",
    hint="the codec asks 'if value' or 'value or None' where it means 'is not None'.",
)
async def falsy_values_come_back(subject: CodecSubject) -> None:
    _each(subject, FALSY, Bench.expect_back)


@values.promise(
    "Values come back with their types: 1, 1.0 and True are three different values.",
    hint="the format does not know all types of JSON, or numbers are converted on their way.",
)
async def types_come_back(subject: CodecSubject) -> None:
    _each(subject, table.TYPES, Bench.expect_back)


@values.promise(
    "Numbers come back exactly: integers of up to 64 bits, and floats.",
    hint="integers pass through a float, or floats are written with fewer digits than repr() "
    "gives, or in 32 bits.",
)
async def numbers_come_back(subject: CodecSubject) -> None:
    _each(subject, (*table.INTEGERS, *table.FLOATS), Bench.expect_back)


@values.promise(
    "Integers beyond 64 bits come back exactly, or encode() raises.",
    hint="integers pass through a float, or wrap around.",
)
async def huge_integers_come_back_or_are_refused(subject: CodecSubject) -> None:
    _each(subject, table.HUGE_INTEGERS, Bench.expect_back_or_refused)


@values.promise(
    "Nested lists and dicts come back, with None, empty ones, and any text as key inside.",
    hint="the format flattens values, drops None or empty parts, or treats some keys specially.",
)
async def nested_values_come_back(subject: CodecSubject) -> None:
    _each(subject, (*table.NESTED, table.DEEP), Bench.expect_back)


@values.promise(
    "Text of any language comes back character by character.",
    hint="the encoding is not UTF-8, text is normalised or stripped, or errors='ignore' is given.",
)
async def texts_come_back(subject: CodecSubject) -> None:
    cases = (*table.TEXTS, *({text: text} for text in table.TEXTS))
    _each(subject, cases, Bench.expect_back)


@values.promise(
    "Text with NUL or half a surrogate pair comes back, or encode() raises.",
    hint="text is cut at NUL, or encoded with errors='ignore' or 'replace'.",
)
async def odd_texts_come_back_or_are_refused(subject: CodecSubject) -> None:
    _each(subject, _ODD, Bench.expect_back_or_refused)


@values.promise(
    "Values that look like something else stay what they are: 'null' is text, and "
    "{'__d': 1, 'v': 2} a dict.",
    hint="the codec tells its own marks from data by their looks, as with object_hook=...: wrap "
    "every value alike.",
)
async def look_alikes_come_back(subject: CodecSubject) -> None:
    _each(subject, table.LOOK_ALIKES, Bench.expect_back)


@values.promise(
    "Large values come back.",
    hint="a length is kept in too few bytes, or the value is read in one piece of a fixed size.",
)
async def large_values_come_back(subject: CodecSubject) -> None:
    mixed = "".join(chr(33 + n * n % 90) for n in range(5_000))
    cases = (*("x" * size for size in (300, 5_000, 70_000, 300_000)), {"text": mixed * 20})
    _each(subject, cases, Bench.expect_back)


@values.promise(
    "What the codec cannot hold raises in encode(): it never turns into something else.",
    hint="what is not known is turned into text (default=str), or left out (skipkeys=True); with "
    "JSON, allow_nan=False refuses what others cannot read.",
)
async def unstorable_values_are_refused(subject: CodecSubject) -> None:
    any_value = subject.codec().any_value
    _each(subject, _UNPICKLABLE if any_value else _UNSTORABLE, Bench.expect_back_or_refused)


@values.promise(
    "A codec that declares any_value = True gives every Python value back as it was.",
    hint="tuples become lists, keys of dicts become text, or a type is not known.",
)
async def any_value_comes_back(subject: CodecSubject) -> None:
    if not subject.codec().any_value:
        msg = "the codec does not declare any_value = True"
        raise LeftOut(msg)
    _each(subject, table.ANY_VALUES, Bench.expect_back)


@values.promise(
    "encode() leaves the value as it is.",
    hint="parts of the value are removed or converted in place: build a new value.",
)
async def encoding_changes_no_value(subject: CodecSubject) -> None:
    for value in (*_FLOOR, {"b": [{"d": [2.0, 1]}], "a": {"c": None, "": ""}}):
        codec = subject.anew()
        given = copy.deepcopy(value)
        codec.encode(given)
        in_order = alike(_items(given), _items(value))
        if not (in_order and alike(given, value)):
            codec.history.fail(expected=f"the value is still {show(value)}", got=show(given))


@values.promise(
    "Each decode() gives a value of its own: changing one changes no other.",
    hint="what was decoded is kept, and given out again (a cache), or is the very value that was "
    "encoded.",
)
async def decoded_values_are_independent(subject: CodecSubject) -> None:
    codec = subject.codec()
    value = {"list": [1]}
    raw = codec.encode(value)
    value["list"].append(2)
    codec.history.note("# the value that was encoded is changed: value['list'].append(2)")
    found = codec.decode(raw)
    codec.expect(found, {"list": [1]})
    found["list"].append(3)
    codec.history.note("# the value that was decoded is changed: value['list'].append(3)")
    codec.expect(codec.decode(raw), {"list": [1]})


@values.promise(
    "Calls do not depend on those before: what was encoded first can be decoded last.",
    hint="the codec keeps a compressor, a cipher, a buffer or a table from call to call: make a "
    "new one in each.",
)
async def calls_are_independent(subject: CodecSubject) -> None:
    codec = subject.codec()
    cases = ({"n": 1}, {"text": "pizza " * 5}, {"n": 1}, ["pizza"])
    raws = [codec.encode(value) for value in cases]
    for raw, value in reversed([*zip(raws, cases, strict=True)]):
        codec.expect(codec.decode(raw), value)
    codec.expect(codec.decode(raws[0]), cases[0])


@values.promise(
    "A call that raised leaves nothing behind.",
    hint="the codec keeps a compressor, a buffer or a table from call to call, which the failed "
    "call has left half full: make a new one in each.",
)
async def errors_leave_nothing_behind(subject: CodecSubject) -> None:
    codec = subject.codec()
    raw = codec.encode({"n": 1})
    codec.expect_back_or_refused({"n": 2, "function": _UNPICKLABLE[0]})
    codec.expect_error(raw[: len(raw) // 2], unless={"n": 1})
    codec.expect(codec.decode(raw), {"n": 1})
    codec.expect_back({"n": 3})


@values.promise(
    "A codec decodes what another one of its kind encoded, as after a restart.",
    hint="a key, a salt or a table of names is made with each codec: give it as an argument, "
    "or store it with the value.",
)
async def another_codec_decodes(subject: CodecSubject) -> None:
    if not subject.makes_new_ones:
        msg = "codec is one object: give def codec(self), which returns a new one each time"
        raise LeftOut(msg)
    raws = [subject.codec().encode(value) for value in _FLOOR]
    subject.history.note("# by another codec, as after a restart:")
    codec = subject.codec()
    for raw, value in zip(raws, _FLOOR, strict=True):
        codec.expect(codec.decode(raw), value)


@values.promise(
    "Any value of JSON comes back as it was, whatever it is made of.",
    hint="look at the value: something in it changes on the way, or is taken for a mark of the "
    "codec.",
    modules=("hypothesis",),
)
async def generated_values_come_back(subject: CodecSubject) -> None:
    from sessionkit.testing._codecs.generated import examples  # noqa: PLC0415 (hypothesis)

    examples(subject)


def _items(value: Any) -> Any:
    """Return *value* with dicts as lists of pairs, so that their order counts."""
    if isinstance(value, dict):
        return [(name, _items(item)) for name, item in value.items()]  # pyright: ignore[reportUnknownVariableType]  # of anything
    return [_items(item) for item in value] if isinstance(value, list) else value  # pyright: ignore[reportUnknownVariableType]  # of anything

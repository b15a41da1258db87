"""Storages that break what is asked of reading, writing, deleting, values and keys."""

from __future__ import annotations

import json
import pickle
import posixpath
import unicodedata
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import unquote

from sessionkit.protocols import Clock, Expected
from sessionkit.testing._kinds import is_dict
from tests.testing.reference import Disk, Reference


class Default(Reference):
    def read(self, key: str) -> Any:
        value = super().read(key)
        return {} if value is None else value


class Deaf(Reference):
    def write(self, key: str, value: Any) -> Any:
        return None


class FalsyRead(Reference):
    def read(self, key: str) -> Any:
        return super().read(key) or None


class FalsyWrite(Reference):
    def write(self, key: str, value: Any) -> Any:
        if value:
            super().write(key, value)


class Merging(Reference):
    def write(self, key: str, value: Any) -> Any:
        super().write(key, {**(self.read(key) or {}), **value})


class Overlaying(Reference):
    def store(self, key: str, raw: Any, expires: float | None) -> int:
        old = self.find(key)
        return super().store(key, raw + (old.raw[len(raw) :] if old else ""), expires)


class NeverDeleting(Reference):
    def delete(self, key: str) -> Any:
        return None


class DeletingAll(Reference):
    def delete(self, key: str) -> Any:
        self.disk.rows.clear()


class DeleteRaises(Reference):
    def delete(self, key: str) -> Any:
        del self.disk.rows[key]


class Tombstones(Reference):
    def __init__(self, disk: Disk, clock: Clock, ttl: float | None = None) -> None:
        super().__init__(disk, clock, ttl)
        self.dead: set[str] = set()

    def delete(self, key: str) -> Any:
        super().delete(key)
        self.dead.add(key)

    def read(self, key: str) -> Any:
        return None if key in self.dead else super().read(key)


class Popping(Reference):
    def read(self, key: str) -> Any:
        value = super().read(key)
        self.disk.rows.pop(key, None)
        return value


class Cache(Reference):
    def store(self, key: str, raw: Any, expires: float | None) -> int:
        if len(self.disk.rows) >= 100:
            del self.disk.rows[next(iter(self.disk.rows))]
        return super().store(key, raw, expires)


class WholeFloats(Reference):
    def decode(self, raw: Any) -> Any:
        return json.loads(raw, parse_float=_whole)


def _whole(text: str) -> Any:
    number = float(text)
    return int(number) if number.is_integer() else number


class IntegersAsFloats(Reference):
    def decode(self, raw: Any) -> Any:
        return json.loads(raw, parse_int=lambda text: int(float(text)))


class RoundedFloats(Reference):
    def decode(self, raw: Any) -> Any:
        return json.loads(raw, parse_float=lambda text: float(f"{float(text):.6g}"))


class NoNones(Reference):
    def encode(self, value: Any) -> Any:
        return super().encode(_without_nones(value))


def _without_nones(value: Any) -> Any:
    if is_dict(value):
        return {key: _without_nones(item) for key, item in value.items() if item is not None}
    return value


class Shallow(Reference):
    def encode(self, value: Any) -> Any:
        raw = super().encode(value)
        if "[" * 50 in raw:
            raise RecursionError("too deep")
        return raw


class Stripping(Reference):
    def decode(self, raw: Any) -> Any:
        value = super().decode(raw)
        return value.strip() if isinstance(value, str) else value


class CutAtNul(Reference):
    def decode(self, raw: Any) -> Any:
        value = super().decode(raw)
        return value.split("\x00")[0] if isinstance(value, str) else value


class Unwrapping(Reference):
    def decode(self, raw: Any) -> Any:
        value = super().decode(raw)
        return value["__d"] if is_dict(value) and "__d" in value else value


class Column(Reference):
    def encode(self, value: Any) -> Any:
        return super().encode(value)[:65_535]


class EverythingAsText(Reference):
    def encode(self, value: Any) -> Any:
        return json.dumps(value, default=str)


class OpenedTooEarly(Reference):
    def write_if(
        self, key: str, value: Any, expected: Expected, *, expires: float | None = None
    ) -> Any:
        self.compare(key, expected)
        self.drop(key)
        return self.store(key, self.encode(value), self.expiry(expires))

    def write_many(self, values: Any) -> None:
        for key, value in values.items():
            self.drop(key)
            self.store(key, self.encode(value), None)


class AnyValue(Reference):
    any_value = True

    def encode(self, value: Any) -> Any:
        return pickle.dumps(value)

    def decode(self, raw: Any) -> Any:
        return pickle.loads(raw)


class AnyValueInJSON(Reference):
    any_value = True


class Live(Reference):
    def encode(self, value: Any) -> Any:
        return value

    def decode(self, raw: Any) -> Any:
        return raw


class LiveRead(Reference):
    """What was read is kept, and given again."""

    def __init__(self, disk: Disk, clock: Clock, ttl: float | None = None) -> None:
        super().__init__(disk, clock, ttl)
        self.decoded: dict[Any, Any] = {}

    def decode(self, raw: Any) -> Any:
        return self.decoded.setdefault(raw, super().decode(raw))


def placed(place: Callable[[str], str]) -> type[Reference]:
    """A storage that puts keys elsewhere."""

    class Placed(Reference):
        def place(self, key: str) -> str:
            return place(key)

    return Placed


class DeletingByPattern(Reference):
    def delete(self, key: str) -> Any:
        for stored in [each for each in self.disk.rows if fnmatchcase(each, key)]:
            super().delete(stored)


class DeletingByPrefix(Reference):
    def delete(self, key: str) -> Any:
        for stored in [each for each in self.disk.rows if each.startswith(key)]:
            super().delete(stored)


class Locking(Reference):
    def store(self, key: str, raw: Any, expires: float | None) -> int:
        self.disk.rows.pop(f"{key}.lock", None)
        return super().store(key, raw, expires)


def _number(key: str) -> str:
    try:
        return str(float(key))
    except ValueError:
        return key


def _word(key: str) -> str:
    try:
        return str(json.loads(key))
    except ValueError:
        return key


BROKEN: dict[str, type[Reference]] = {
    "missing_is_none": Default,
    "written_is_read": Deaf,
    "falsy_is_data": FalsyRead,
    "write_replaces": Merging,
    "falsy_replaces": FalsyWrite,
    "shorter_replaces_longer": Overlaying,
    "write_leaves_others_alone": placed(lambda key: "same"),
    "delete_removes": NeverDeleting,
    "delete_leaves_others_alone": DeletingAll,
    "deleting_a_missing_key_does_nothing": DeleteRaises,
    "deleting_twice_does_nothing": DeleteRaises,
    "write_after_delete": Tombstones,
    "reading_changes_nothing": Popping,
    "many_keys_are_kept": Cache,
    "types_are_kept": WholeFloats,
    "integers_are_exact": IntegersAsFloats,
    "huge_integers_are_exact_or_refused": IntegersAsFloats,
    "floats_are_exact": RoundedFloats,
    "nested_values_come_back": NoNones,
    "deep_values_come_back": Shallow,
    "texts_come_back": Stripping,
    "odd_texts_come_back_or_are_refused": CutAtNul,
    "look_alikes_stay_data": Unwrapping,
    "large_values_come_back": Column,
    "unstorable_value_keeps_the_old_one": OpenedTooEarly,
    "any_value_comes_back": AnyValueInJSON,
    "what_was_written_may_be_changed": Live,
    "what_was_read_may_be_changed": LiveRead,
    "keys_differ_by_case": placed(str.lower),
    "keys_differ_by_separators": placed(lambda key: key.replace("/", "_")),
    "keys_differ_by_escapes": placed(unquote),
    "keys_differ_by_unicode_form": placed(lambda key: unicodedata.normalize("NFC", key)),
    "keys_differ_by_whitespace": placed(str.strip),
    "keys_may_have_wildcards": DeletingByPattern,
    "keys_are_not_paths": placed(posixpath.normpath),
    "keys_may_look_like_options": placed(lambda key: key.lstrip("-")),
    "keys_are_not_numbers": placed(_number),
    "keys_are_not_literals": placed(_word),
    "keys_may_share_a_beginning": DeletingByPrefix,
    "keys_may_have_quotes": placed(lambda key: key.replace("'", "")),
    "keys_may_have_control_characters": placed(lambda key: "".join(filter(str.isprintable, key))),
    "keys_may_have_any_script": placed(lambda key: key.encode("ascii", "ignore").decode()),
    "keys_may_be_internal_names": Locking,
    "long_keys_differ_at_the_end": placed(lambda key: key[:200]),
    "odd_keys_are_distinguished_or_refused": placed(lambda key: key.split("\x00")[0]),
}

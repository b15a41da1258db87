"""Mistakes of encoding, and of copying."""

from __future__ import annotations

import copy
import json
import re
from functools import partial
from typing import Any

from sessionkit.testing._kinds import is_dict, is_list
from tests.testing import broken_basics
from tests.testing.mutants.registry import mutant
from tests.testing.reference import Reference

of_values = partial(mutant, "values")

of_values("Floats without a fraction come back as integers.", "types_are_kept")(
    broken_basics.WholeFloats
)
of_values("Integers pass through a double, as in JavaScript.", "integers_are_exact")(
    broken_basics.IntegersAsFloats
)
of_values("Floats are written with six digits.", "floats_are_exact")(broken_basics.RoundedFloats)
of_values("None inside a value is left out.", "nested_values_come_back")(broken_basics.NoNones)
of_values("The column cuts off what is longer than 65535.", "large_values_come_back")(
    broken_basics.Column
)
of_values("Text ends at the first NUL, as in C.", "odd_texts_come_back_or_are_refused")(
    broken_basics.CutAtNul
)
of_values(
    "What JSON does not know becomes text: default=str.", "unstorable_value_keeps_the_old_one"
)(broken_basics.EverythingAsText)
of_values(
    "A value that looks like the storage's own record is unwrapped.", "look_alikes_stay_data"
)(broken_basics.Unwrapping)
of_values("any_value = True over a JSON column.", "any_value_comes_back")(
    broken_basics.AnyValueInJSON
)
of_values("The dict keeps the value itself.", "what_was_written_may_be_changed")(broken_basics.Live)
of_values("Copied when written, given out itself when read.", "what_was_read_may_be_changed")(
    broken_basics.LiveRead
)


@of_values("Copied by value.copy(): what is inside is shared.", "what_was_written_may_be_changed")
class CopiesShallowly(Reference):
    def encode(self, value: Any) -> Any:
        return copy.copy(value)

    def decode(self, raw: Any) -> Any:
        return copy.copy(raw)


def _changed(value: Any, change: Any) -> Any:
    """Return a copy of *value*, with *change* applied to all that is neither dict nor list."""
    if is_dict(value):
        return {key: _changed(item, change) for key, item in value.items()}
    if is_list(value):
        return [_changed(item, change) for item in value]
    return change(value)


@of_values("Booleans are numbers, as in SQLite.", "types_are_kept")
class BooleansAsNumbers(Reference):
    def encode(self, value: Any) -> Any:
        return super().encode(_changed(value, _number_of))


def _number_of(value: Any) -> Any:
    return int(value) if type(value) is bool else value


@of_values("Text is stored bare, and decoded if it looks like JSON.", "look_alikes_stay_data")
class BareText(Reference):
    def encode(self, value: Any) -> Any:
        return value if type(value) is str else super().encode(value)

    def decode(self, raw: Any) -> Any:
        try:
            return super().decode(raw)
        except ValueError:
            return raw


@of_values("Text that looks like a date is turned into one, and back.", "look_alikes_stay_data")
class RevivesDates(Reference):
    def decode(self, raw: Any) -> Any:
        return _changed(super().decode(raw), _revived)


def _revived(value: Any) -> Any:
    is_date = type(value) is str and re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:]+Z", value)
    return value.replace("Z", ".000Z") if is_date else value


@of_values("Line ends are converted: open() without newline=''.", "texts_come_back")
class ConvertsLineEnds(Reference):
    def decode(self, raw: Any) -> Any:
        return _changed(super().decode(raw), _with_plain_ends)


def _with_plain_ends(value: Any) -> Any:
    return value.replace("\r\n", "\n") if type(value) is str else value


@of_values("Text is encoded as Latin-1, and errors are ignored.", "texts_come_back")
class Latin1(Reference):
    def encode(self, value: Any) -> Any:
        return json.dumps(value, ensure_ascii=False).encode("latin-1", "ignore").decode("latin-1")


@of_values(
    "Each field is a field of a hash: a dict without fields leaves nothing.", "falsy_is_data"
)
class FieldsOfAHash(Reference):
    def write(self, key: str, value: Any) -> Any:
        if is_dict(value) and not value:
            self.delete(key)
        else:
            super().write(key, value)


@of_values("Dots in names lead into parts, as in MongoDB.", "nested_values_come_back")
class DotsLeadInside(Reference):
    def encode(self, value: Any) -> Any:
        return super().encode(_with_parts(value))


def _with_parts(value: Any) -> Any:
    if not is_dict(value):
        return value
    found: dict[str, Any] = {}
    for name, item in value.items():
        *path, last = str(name).split(".")
        place = found
        for part in path:
            place = place.setdefault(part, {})
        place[last] = item
    return found


@of_values("The value is spread into the row: only dicts can be stored.", "falsy_is_data")
class SpreadsIntoRow(Reference):
    def encode(self, value: Any) -> Any:
        return super().encode(dict(value))


@of_values(
    "A dollar sign in a name is replaced, since the database refuses it.", "nested_values_come_back"
)
class ReplacesDollars(Reference):
    def encode(self, value: Any) -> Any:
        if not is_dict(value):
            return super().encode(value)
        return super().encode({str(name).replace("$", "_"): item for name, item in value.items()})

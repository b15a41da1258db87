"""Which calls may meet, by what they show."""

from __future__ import annotations

from typing import Final

from sessionkit.testing._concurrency.case import Case
from sessionkit.testing._concurrency.ops import Op, delete, look, read, write, write_if

_OLD: Final = {"n": 1}
_A: Final = {"n": 2}
_B: Final = {"n": 3}
_STORED: Final = {"1": _OLD}
_BOTH: Final = {"1": _OLD, "2": _OLD}

TWO_CONDITIONAL: Final = (
    Case(write_if("1", _A), write_if("1", _B), _STORED),
    Case(write_if("1", _A, None), write_if("1", _B, None), {}),
    Case(write_if("1", _A), write_if("1", None), _STORED),
    Case(write_if("1", None), write_if("1", _B), _STORED),
)
CONDITIONAL_AND_PLAIN: Final = (
    Case(write_if("1", _A), write("1", _B), _STORED),
    Case(write_if("1", _A), delete("1"), _STORED),
    Case(write_if("1", _A, None), write("1", _B), {}),
    Case(write_if("1", None), write("1", _B), _STORED),
    Case(write("1", _A), write_if("1", _B), _STORED),
    Case(delete("1"), write_if("1", _B), _STORED),
    Case(write_if("1", _A), Op("write_many", ({"1": _B},)), _STORED),
    Case(Op("write_many", ({"1": _A},)), write_if("1", _B), _STORED),
)
READING_AND_WRITING: Final = (
    Case(write("1", _A), read("1"), _STORED),
    Case(read("1"), write("1", _B), _STORED),
    Case(read("1"), delete("1"), _STORED),
    Case(delete("1"), read("1"), _STORED),
    Case(write_if("1", _A), read("1"), _STORED),
    Case(write("1", _A), Op("has", ("1",)), _STORED),
    Case(Op("has", ("1",)), write("1", _B), _STORED),
    Case(Op("has", ("1",)), delete("1"), _STORED),
    Case(Op("read_many", (["1"],)), write("1", _B), _STORED),
    Case(Op("read_many", (["1"],)), delete("1"), _STORED),
    Case(write("1", _A), Op("read_many", (["1"],)), _STORED),
)
VALUE_AND_REVISION: Final = (
    Case(look("1"), write("1", _B), _STORED, after=(write_if("1", _A),)),
    Case(look("1"), delete("1"), _STORED, after=(write_if("1", _A),)),
    Case(look("1"), write("1", _B), {}, after=(write_if("1", _A),)),
)
DIFFERENT_KEYS: Final = (
    Case(write("1", _A), write("2", _B), {}),
    Case(write("1", _A), write("2", _B), _BOTH),
    Case(write("1", _A), delete("2"), _BOTH),
    Case(delete("1"), write("2", _B), _BOTH),
    Case(write_if("1", _A), write("2", _B), _BOTH),
    Case(write_if("1", _A), write_if("2", _B), _BOTH),
    Case(Op("write_many", ({"1": _A},)), write("2", _B), _BOTH),
)
LISTING: Final = (
    Case(Op("iter_keys"), write("1", _B), _BOTH),
    Case(Op("iter_keys"), write("1", _B), {"2": _OLD}),
    Case(Op("iter_keys"), delete("1"), _BOTH),
    Case(Op("iter_items"), write("1", _B), _BOTH),
    Case(Op("iter_items"), write("1", _B), {"2": _OLD}),
    Case(Op("iter_items"), delete("1"), _BOTH),
    Case(write("1", _A), Op("iter_keys"), _BOTH),
    Case(write("1", _A), Op("iter_items"), _BOTH),
)
TOUCHING: Final = (
    Case(Op("touch", ("1",)), write("1", _B), _STORED),
    Case(Op("touch", ("1",)), delete("1"), _STORED),
    Case(write("1", _A), Op("touch", ("1",)), _STORED),
)
EXPIRED: Final = (
    Case(Op("purge_expired"), write("1", _B), {}, expired=("1",)),
    Case(Op("purge_expired"), write_if("1", _B, None), {}, expired=("1",)),
    Case(read("1"), write("1", _B), {}, expired=("1",)),
    Case(Op("touch", ("1",)), write("1", _B), {}, expired=("1",)),
    Case(Op("iter_items"), write("1", _B), {}, expired=("1",)),
)

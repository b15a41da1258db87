"""Values as a person would write them, however long they are."""

from __future__ import annotations

import itertools
import re
import unicodedata
from types import FunctionType
from typing import Any, Final

from sessionkit.testing._kinds import is_dict, is_list

_LONGEST: Final = 300
_RUN: Final = 40
_ADDRESS: Final = re.compile(r" at 0x[0-9a-fA-F]+")
_REPEATED: Final = re.compile(rf"(.)\1{{{_RUN},}}")


def show(value: Any) -> str:
    r"""Return *value* as Python source, short: ``'x' * 300``, where ``repr`` would be long.

    What looks alike does not here: ``'e\N{COMBINING ACUTE ACCENT}'``.
    """
    if isinstance(value, str) and len(value) > _RUN:
        text = _show_runs(value)
    elif is_dict(value):
        items = (f"{show(name)}: {show(item)}" for name, item in value.items())
        text = f"{{{', '.join(items)}}}"
    elif is_list(value):
        text = f"[{', '.join(map(show, value))}]"
    elif isinstance(value, FunctionType):
        text = "lambda: None" if value.__name__ == "<lambda>" else value.__name__
    else:
        text = _spelled(_ADDRESS.sub("", _repr(value)))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 40]} ... {text[-20:]}"


def _show_runs(text: str) -> str:
    runs = [(c, len(list(same))) for c, same in itertools.groupby(text)]
    if max(count for _, count in runs) <= _RUN:
        return _spelled(repr(text))
    parts: list[str] = []
    short = ""
    for char, count in runs:
        if count <= _RUN:
            short += char * count
            continue
        parts += [_spelled(repr(short))] if short else []
        parts.append(f"{_spelled(repr(char))} * {count}")
        short = ""
    parts += [_spelled(repr(short))] if short else []
    return " + ".join(parts)


def show_error(error: BaseException) -> str:
    """Return type and text of *error*, as a traceback ends."""
    text = _REPEATED.sub(lambda run: f"{run[1]}...({len(run[0])} times)", str(error))
    return f"{type(error).__name__}: {_spelled(text)}"


def _spelled(source: str) -> str:
    return source if source.isascii() else "".join(map(_name_of, source))


def _name_of(char: str) -> str:
    if char.isascii():
        return char
    name = unicodedata.name(char, None)
    return ascii(char)[1:-1] if name is None else f"\\N{{{name}}}"


def _repr(value: Any) -> str:
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001 (what a storage gives may be anything)
        return f"<{type(value).__name__}, whose repr raises {type(error).__name__}>"

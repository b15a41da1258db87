"""Values as a person would write them, however long they are."""

from __future__ import annotations

import itertools
import re
from types import FunctionType
from typing import Any, Final

from sessionkit.testing._kinds import is_dict, is_list

_LONGEST: Final = 300
_RUN: Final = 40
_ADDRESS: Final = re.compile(r" at 0x[0-9a-fA-F]+")


def show(value: Any) -> str:
    """Return *value* as Python source, short: ``'x' * 300``, where ``repr`` would be long."""
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
        text = _ADDRESS.sub("", _repr(value))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 40]} ... {text[-20:]}"


def _show_runs(text: str) -> str:
    runs = [(c, sum(1 for _ in same)) for c, same in itertools.groupby(text)]
    if max(count for _, count in runs) <= _RUN:
        return repr(text)
    parts: list[str] = []
    short = ""
    for char, count in runs:
        if count <= _RUN:
            short += char * count
            continue
        parts += [repr(short)] if short else []
        parts.append(f"{char!r} * {count}")
        short = ""
    parts += [repr(short)] if short else []
    return " + ".join(parts)


def _repr(value: Any) -> str:
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001 (what a storage gives may be anything)
        return f"<{type(value).__name__}, whose repr raises {type(error).__name__}>"

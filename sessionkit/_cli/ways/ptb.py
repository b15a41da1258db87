"""From python-telegram-bot: ``PicklePersistence`` and ``DictPersistence``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from sessionkit._cli.exits import CommandError
from sessionkit._cli.ways.found import Asked, Found, LeftOut, Way
from sessionkit._cli.ways.pickles import lines_of
from sessionkit.protocols import Entry

_KINDS: Final = {
    "user_data": "user",
    "chat_data": "chat",
    "bot_data": "bot",
    "callback_data": "bot",
    "conversations": "conversation",
}
_SINGLE: Final = {"bot_data": "data", "callback_data": "callback_data"}
_WHY: Final = "the keys of SessionPersistence begin with it. For sessions of your own: --only"


def _from_pickle(asked: Asked) -> Found:
    path = Path(asked.source)
    parts = {name: path.with_name(f"{path.name}_{name}") for name in _KINDS}
    if path.is_file() or not any(part.is_file() for part in parts.values()):
        yield from _entries(lines_of(path, convert=asked.convert), asked)
        return
    for name, part in parts.items():  # single_file=False
        if part.is_file():
            yield from _entries(lines_of(part, section=name, convert=asked.convert), asked)


def _from_json(asked: Asked) -> Found:
    path = Path(asked.source)
    try:
        found = json.loads(path.read_text("utf-8"))
        sections = {name: _opened(text) for name, text in found.items() if name in _KINDS}
    except OSError as error:
        msg = f"{path} cannot be read: {error}"
        raise CommandError(msg) from error
    except (ValueError, AttributeError) as error:
        msg = (
            f"{path} is not what DictPersistence keeps: {error}. Write it so: "
            'json.dump({"user_data": persistence.user_data_json, ...}, file)'
        )
        raise CommandError(msg) from None
    lines = [line for name, section in sections.items() for line in _lines(name, section)]
    yield from _entries(iter(lines), asked)


def _opened(text: Any) -> Any:
    """A section, which the properties of ``DictPersistence`` give as text."""
    return json.loads(text) if isinstance(text, str) and text else text


def _lines(name: str, section: Any) -> Iterator[dict[str, Any]]:
    if not section:
        return
    if name == "callback_data":
        yield {"section": name, "data": {"keyboards": section[0], "queries": section[1]}}
    elif name == "bot_data":
        yield {"section": name, "data": section}
    else:
        for key, data in section.items():
            yield {"section": name, "key": key, "data": data}


def _entries(lines: Iterator[Mapping[str, Any]], asked: Asked) -> Found:
    bot = None if asked.only else asked.required_bot(_WHY)
    for line in lines:
        name, key = line["section"], line.get("key")
        is_empty = line.get("data") in ({}, None) and "reason" not in line
        if is_empty or asked.only not in (None, name):
            continue
        where = name if key is None else f"{name}[{key!r}]"
        if name not in _KINDS:
            yield LeftOut(where, "is not a part of python-telegram-bot's persistence")
        elif "reason" in line:
            yield LeftOut(where, line["reason"])
        elif bot is None:
            yield Entry(f"{asked.prefix}{_SINGLE.get(name, key)}", line["data"])
        else:
            yield Entry(f"ptb:{bot}/{_KINDS[name]}/{_SINGLE.get(name, key)}", line["data"])


_KEYS: Final = (
    "ptb:42/user/3, ptb:42/chat/-100, ptb:42/bot/data, ptb:42/conversation/NAME: where "
    "SessionPersistence(storage) looks for bot 42. With --only chat_data --prefix p: each chat is "
    "p:-100, for session(dict, prefix='p:')"
)
PTB_PICKLE: Final = Way(
    "FILE",
    "the file of python-telegram-bot's PicklePersistence",
    _KEYS,
    _from_pickle,
)
PTB_JSON: Final = Way(
    "FILE",
    "a file with the JSON of python-telegram-bot's DictPersistence",
    _KEYS,
    _from_json,
)

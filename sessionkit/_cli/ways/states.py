"""From aiogram's storages on servers, and from pyTelegramBotAPI's pickle and Redis states."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from sessionkit._cli.ways.found import Asked, Found, LeftOut, Spot, Way, is_number, json_of
from sessionkit._cli.ways.pickles import lines_of
from sessionkit._cli.ways.servers import MONGODB, raw_items
from sessionkit.protocols import Entry

_TELEBOT: Final = "telebot"
_WHY_BOT: Final = "keys of FSMStorage begin with it, and those of aiogram as a rule not"
_NO_KEY: Final = "is not a key of aiogram's DefaultKeyBuilder"


def _from_aiogram(asked: Asked) -> Found:
    bot = asked.required_bot(_WHY_BOT)
    for key, value, expires, _ in raw_items(asked, "fsm:*"):
        *parts, field = key.split(":")[1:]
        spot = _spot(parts, str(bot), user_is_last=False)
        if field == "lock":
            continue
        if spot is None or field not in {"state", "data"} or not isinstance(value, str):
            yield LeftOut(key, _NO_KEY)
            continue
        spot = spot._replace(bot=spot.bot or str(bot))
        try:
            data = value if field == "state" else json_of(value)
        except ValueError as error:
            yield LeftOut(key, str(error))
        else:
            yield Entry(f"fsm/{field}/{spot}", data, expires)


def _from_aiogram_documents(asked: Asked) -> Found:
    bot = asked.required_bot(_WHY_BOT)
    for key, document, _, fault in raw_items(asked, "fsm:*", MONGODB):
        spot = _spot(key.split(":")[1:], str(bot), user_is_last=False)
        if spot is None or not isinstance(document, dict):
            yield LeftOut(key, fault or _NO_KEY)
            continue
        spot = spot._replace(bot=spot.bot or str(bot))
        for field in ("state", "data"):
            if document.get(field) is not None:
                yield Entry(f"fsm/{field}/{spot}", document[field])


def _spot(parts: list[str], bot: str | None, *, user_is_last: bool) -> Spot | None:
    """Take a key of states apart: bot?, business?, [thread?] chat [thread?] user, destiny?."""
    own_bot = business = thread = destiny = None
    numbers = sum(map(is_number, parts))
    if numbers > 2 and parts[0] == bot:
        own_bot, *parts = parts
    if parts and not is_number(parts[0]):
        business, *parts = parts
    if parts and not is_number(parts[-1]):
        *parts, destiny = parts
    if not all(map(is_number, parts)):
        return None
    if len(parts) == 3:
        order = (1, 0, 2) if user_is_last else (0, 1, 2)
        chat, thread, user = (parts[place] for place in order)
    elif len(parts) == 2:
        chat, user = parts
    else:
        return None
    return Spot(chat, user, own_bot, business, thread, None if destiny == "default" else destiny)


def _from_telebot_pickle(asked: Asked) -> Found:
    found: dict[str, dict[str, Any]] = {}
    for line in lines_of(Path(asked.source), convert=asked.convert):
        section, key = line["section"], line["key"]
        if "reason" in line:
            yield LeftOut(f"{section}[{key!r}]", line["reason"])
        elif isinstance(section, str):
            found.setdefault(section, {})[key] = line["data"]
        else:  # before 4.22, by chat and user
            found[f"{_TELEBOT}:{section}:{key}"] = line["data"]
    for key, both in found.items():
        yield from _state_and_data(key, both, None, asked)


def _from_telebot_redis(asked: Asked) -> Found:
    for key, value, expires, _ in raw_items(asked, f"{_TELEBOT}*"):
        try:
            for state_key, both in _telebot_values(key, value):
                yield from _state_and_data(state_key, both, expires, asked)
        except (ValueError, AttributeError) as error:
            yield LeftOut(key, f"is not a state of pyTelegramBotAPI: {error}")


def _telebot_values(
    key: str, value: str | dict[str, str] | None
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if isinstance(value, dict):
        data: Any = json_of(value["data"]) if "data" in value else None
        yield key, {"state": value.get("state"), "data": data}
    else:  # before 4.22, by chat, and in it by user
        chat = key.removeprefix(f"{_TELEBOT}_")
        for user, both in json_of(value or "").items():
            yield f"{_TELEBOT}:{chat}:{user}", both


def _state_and_data(
    key: str, both: Mapping[str, Any], expires: float | None, asked: Asked
) -> Found:
    bot = None if asked.bot is None else str(asked.bot)
    spot = _spot(key.split(":")[1:], bot, user_is_last=True)
    if spot is None:
        yield LeftOut(key, "is not a key of pyTelegramBotAPI's states")
        return
    if both.get("state") is not None:
        yield Entry(f"telebot/state/{spot}", both["state"], expires)
    if both.get("data"):
        yield Entry(f"telebot/data/{spot}", both["data"], expires)


_TELEBOT_KEYS: Final = (
    "telebot/state/42/3/-100 and telebot/data/42/3/-100: where StateStorage(storage) looks for "
    "user 3 in chat -100, of bot 42 where the old key names it. --bot 42 distinguishes it from a "
    "topic"
)
_AIOGRAM_KEYS: Final = (
    "fsm/state/42/3/-100 and fsm/data/42/3/-100: where FSMStorage(storage) looks for user 3 in "
    "chat -100 of bot 42"
)
AIOGRAM_REDIS: Final = Way("URL", "aiogram's RedisStorage", _AIOGRAM_KEYS, _from_aiogram)
AIOGRAM_MONGODB: Final = Way(
    "URL",
    "aiogram's PyMongoStorage or MongoStorage: "
    "mongodb://host/aiogram_fsm?collection=states_and_data",
    f"{_AIOGRAM_KEYS}. Dates become text",
    _from_aiogram_documents,
)
TELEBOT_PICKLE: Final = Way(
    "FILE", "pyTelegramBotAPI's StatePickleStorage", _TELEBOT_KEYS, _from_telebot_pickle
)
TELEBOT_REDIS: Final = Way(
    "URL", "pyTelegramBotAPI's StateRedisStorage", _TELEBOT_KEYS, _from_telebot_redis
)

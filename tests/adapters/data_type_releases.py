"""A bot whose data type changes from release to release, declared with one of the libraries.

    python data_type_releases.py msgspec bot.db

Needs sessionkit and that library only.  Each release opens the database again.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from sessionkit import SessionDecodeError, SQLiteSessionStorage, enhance_storage, session

CHAT = "42"
REQUIRED: Any = object()
T = TypeVar("T")


class Update:
    """What a framework makes of a message."""

    session: Any

    def __init__(self, chat_id: str) -> None:
        self.chat_id = chat_id


def chat_of(update: Update) -> str:
    return update.chat_id


def as_dataclass(fields: Mapping[str, tuple[Any, Any]]) -> Any:
    from dataclasses import field, make_dataclass

    return make_dataclass(
        "User",
        [
            (name, kind, field() if default is REQUIRED else field(default=default))
            for name, (kind, default) in fields.items()
        ],
    )


def as_attrs(fields: Mapping[str, tuple[Any, Any]]) -> Any:
    import attrs

    return attrs.make_class(
        "User",
        {
            name: attrs.field(type=kind, default=attrs.NOTHING if default is REQUIRED else default)
            for name, (kind, default) in fields.items()
        },
    )


def as_struct(fields: Mapping[str, tuple[Any, Any]]) -> Any:
    import msgspec

    return msgspec.defstruct(
        "User",
        [
            (name, kind, msgspec.field() if default is REQUIRED else default)
            for name, (kind, default) in fields.items()
        ],
    )


def as_model(fields: Mapping[str, tuple[Any, Any]]) -> Any:
    import pydantic

    known: dict[str, Any] = {
        name: (kind, ... if default is REQUIRED else default)
        for name, (kind, default) in fields.items()
    }
    return pydantic.create_model("User", **known)


DECLARE: dict[str, Callable[[Mapping[str, tuple[Any, Any]]], Any]] = {
    "dataclass": as_dataclass,
    "attrs": as_attrs,
    "msgspec": as_struct,
    "pydantic": as_model,
}


class Bot:
    """The bot in any release: its data type, its migrations, one chat."""

    def __init__(self, library: str, database: Path) -> None:
        self._declare = DECLARE[library]
        self._database = database

    def release(
        self, handle: Callable[[Any], None], migrations: Any = None, **fields: tuple[Any, Any]
    ) -> None:
        """Start a release with these fields (type, default), and let it handle one update."""

        async def handler(update: Any) -> None:
            handle(update.session)

        async def main(database: SQLiteSessionStorage) -> None:
            storage = enhance_storage(database, migrations=migrations) if migrations else database
            user = self._declare(fields)
            initial = None if any(REQUIRED in pair for pair in fields.values()) else user
            sessions = session(user, storage=storage, initial=initial, get_session_key=chat_of)
            await sessions(Update(CHAT), handler)

        self._with_database(main)

    def stored(self) -> Any:
        """What is in the database now."""

        async def main(database: SQLiteSessionStorage) -> Any:
            return await database.read(CHAT)

        return self._with_database(main)

    def _with_database(self, main: Callable[[SQLiteSessionStorage], Coroutine[Any, Any, T]]) -> T:
        async def opened() -> T:
            database = SQLiteSessionStorage(self._database)
            try:
                return await main(database)
            finally:
                await database.close()

        return asyncio.run(opened())


def rename_name(plain: Any) -> Any:
    return {"full_name" if key == "name" else key: plain[key] for key in plain}


def to_known_language(plain: Any) -> Any:
    language = plain["language"]
    return plain | {"language": language if language in ("en", "de") else "en"}


TEXT, COUNT = (str, ""), (int, 0)
LANGUAGE = (str, "fr")
NARROWED = (Literal["en", "de"], "en")


def run(library: str, database: Path) -> None:
    """Live through the releases; an assertion fails where one does not do as docs/types.md says."""
    bot = Bot(library, database)

    def greet(user: Any) -> None:
        user.name = "Ann"
        user.visits += 1

    bot.release(greet, name=TEXT, visits=COUNT)
    assert bot.stored() == {"name": "Ann", "visits": 1}

    def visit(user: Any) -> None:
        user.visits += 1

    # A field that is new takes its default.
    bot.release(visit, name=TEXT, visits=COUNT, language=LANGUAGE)
    assert bot.stored() == {"name": "Ann", "visits": 2, "language": "fr"}

    # Without one it is missing, and what is stored is left as it is.
    message = refusal(bot, visit, phone=(str, REQUIRED), name=TEXT, visits=COUNT, language=LANGUAGE)
    assert "phone" in message, message
    assert bot.stored() == {"name": "Ann", "visits": 2, "language": "fr"}

    # A field that was removed is kept.
    bot.release(visit, visits=COUNT, language=LANGUAGE)
    assert bot.stored() == {"name": "Ann", "visits": 3, "language": "fr"}

    # Nothing is written where nothing changed, known or not.
    bot.release(lambda user: None, visits=COUNT)
    assert bot.stored() == {"name": "Ann", "visits": 3, "language": "fr"}

    # A field that was renamed needs a migration.
    seen: list[str] = []
    bot.release(
        lambda user: seen.append(user.full_name),
        {1: rename_name},
        full_name=TEXT,
        visits=COUNT,
        language=LANGUAGE,
    )
    assert seen == ["Ann"]

    # So does one whose type was narrowed, if what is stored does not fit.
    narrowed = {"full_name": TEXT, "visits": COUNT, "language": NARROWED}
    before = bot.stored()
    message = refusal(bot, visit, {1: rename_name}, **narrowed)
    assert "session.data.language" in message, message
    assert "fr" not in message.replace("from", ""), message
    assert bot.stored() == before
    bot.release(visit, {1: rename_name, 2: to_known_language}, **narrowed)
    bot.release(
        lambda user: seen.append(f"{user.language} {user.visits}"),
        {1: rename_name, 2: to_known_language},
        **narrowed,
    )
    assert seen == ["Ann", "en 4"]


def refusal(bot: Bot, handle: Any, migrations: Any = None, **fields: tuple[Any, Any]) -> str:
    """Return the text of the error with which a release cannot read what is stored."""
    try:
        bot.release(handle, migrations, **fields)
    except SessionDecodeError as error:
        return str(error)
    raise AssertionError("the stored value was read")


if __name__ == "__main__":
    run(sys.argv[1], Path(sys.argv[2]))
    print(f"{sys.argv[1]}: every release did as documented")

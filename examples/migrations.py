"""Change the shape of stored data: answers "Migrations" of grammY's page.

Pets had only names, in a list.  As the bot evolves, migration functions bring what
is stored to the newest version when it is read.
"""

from __future__ import annotations

import asyncio
from typing import Any, NotRequired, TypedDict

from _bot import Bot, Context

from sessionkit import MemorySessionStorage, SessionFlavor, enhance_storage, session


class OldSessionData(TypedDict):
    petNames: list[str]


class Pet(TypedDict):
    name: str
    birthday: NotRequired[int]
    isFavorite: NotRequired[bool]


class SessionData(TypedDict):
    pets: list[Pet]
    settings: NotRequired[dict[str, Any]]


def add_birthday_to_pets(old: OldSessionData) -> SessionData:
    return {"pets": [{"name": name} for name in old["petNames"]]}


def add_is_favorite_flag_to_pets(data: SessionData) -> SessionData:
    for pet in data["pets"]:
        pet["isFavorite"] = False
    return data


def add_user_settings(data: SessionData) -> SessionData:
    return {**data, "settings": {"language": "en"}}


def extend_user_settings(data: SessionData) -> SessionData:
    return {**data, "settings": {**data.get("settings", {}), "remind": "yes"}}


def fix_user_settings(data: SessionData) -> SessionData:
    settings = data.get("settings", {})
    return {**data, "settings": {**settings, "remind": settings["remind"] == "yes"}}


def compress_data(data: SessionData) -> SessionData:
    for pet in data["pets"]:
        if not pet.get("isFavorite"):
            pet.pop("isFavorite", None)
    return data


storage = MemorySessionStorage()

first_release = enhance_storage(
    storage,
    migrations={
        1: add_birthday_to_pets,
    },
)

# As time evolves, add more and more of them.
today = enhance_storage(
    storage,
    migrations={
        1: add_birthday_to_pets,
        2: add_is_favorite_flag_to_pets,
        3: add_user_settings,
        10: extend_user_settings,
        10.1: fix_user_settings,
        11: compress_data,
    },
)


class MyContext(Context, SessionFlavor[SessionData]):
    pass


def no_pets() -> SessionData:
    return {"pets": []}


def bot_with(enhanced: Any) -> Bot[MyContext]:
    bot = Bot(MyContext)
    bot.use(session(SessionData, initial=no_pets, storage=enhanced))

    @bot.command("add")
    async def add(ctx: MyContext) -> None:
        ctx.session["pets"].append({"name": ctx.text.split()[1]})

    @bot.command("pets")
    async def pets(ctx: MyContext) -> None:
        await ctx.reply(f"{ctx.session}")

    return bot


async def main() -> None:
    # From before there were versions: in this chat, and in another that stays silent
    for chat in (424242, 987654):
        storage.write(str(chat), {"petNames": ["Rex", "Tom"]})

    await bot_with(first_release).receive("/add Fido")
    print("stored:", storage.read("424242"))

    for chat in (424242, 987654):
        await bot_with(today).receive("/pets", chat=chat)
        print("stored:", storage.read(str(chat)))


if __name__ == "__main__":
    asyncio.run(main())

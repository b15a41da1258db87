"""The pizza bot of grammY's page on sessions, and all it takes to use sessionkit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sessionkit import Sessions, session

PIZZA: Final = "\N{SLICE OF PIZZA}"


@dataclass
class SessionData:
    """What the bot remembers of a chat."""

    pizza_count: int = 0


def pizza_sessions(storage: str) -> Sessions[SessionData]:
    """Return the sessions of the bot, kept in the storage of that URL."""
    return session(SessionData, storage=storage)


async def answer(sessions: Sessions[SessionData], chat: int, text: str) -> str | None:
    """Handle a message; what it changed is stored when this returns."""
    async with sessions.open(chat) as session:
        match text.split(maxsplit=1):
            case ["/hunger", *_]:
                return f"Your hunger level is {session.data.pizza_count}!"
            case ["/reset", *_]:
                session.data = None
                return "Your hunger is forgotten."
            case _ if is_pizza(text):
                session.data.pizza_count += 1
                return None
            case []:
                return None
            case _:
                return f"I know {PIZZA} (or the word), /hunger and /reset."


def is_pizza(text: str) -> bool:
    """Whether there is a pizza in *text*, drawn or in letters."""
    return PIZZA in text or "pizza" in text.casefold()

"""What must be refused about sessions on pyTelegramBotAPI."""

from dataclasses import dataclass

from telebot import TeleBot
from telebot.types import Message

from sessionkit import SyncSession, session
from sessionkit_telebot import install, with_session


@dataclass
class Pizza:
    """A session's data."""

    count: int = 0


sessions = session(Pizza)
bot = TeleBot("42:TEST", threaded=False)

install(bot, Pizza)  # expect: mypy,pyright
install(bot, cart=dict)  # expect: mypy,pyright
install("42:TEST", sessions)  # expect: mypy,pyright
install(bot, sessions, migrate_chats="merge")  # expect: mypy,pyright


def on_text(message: Message, session: SyncSession[Pizza]) -> None:
    """Handle a message."""
    session.data.cuont = 1  # expect: mypy,pyright
    session.data = 5  # expect: mypy,pyright


@with_session(sessions)
def decorated(message: Message, session: SyncSession[Pizza]) -> int:
    """Handle a message, decorated."""
    return session.data.count


wrong: str = decorated(Message)  # expect: mypy,pyright
with_session(5)  # expect: mypy,pyright

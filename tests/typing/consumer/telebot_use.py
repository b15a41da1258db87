"""pyTelegramBotAPI: a handler declares its session once; the decorator keeps what it returns."""

# telebot is not typed throughout
# mypy: disable-error-code="no-untyped-call"
# pyright: reportUnknownMemberType=false, reportUntypedFunctionDecorator=false

from dataclasses import dataclass
from typing import assert_type

from telebot import TeleBot
from telebot.async_telebot import AsyncTeleBot
from telebot.types import CallbackQuery, Message

from sessionkit import LazySession, Session, SyncSession, lazy_session, session
from sessionkit.types import SyncLazySession
from sessionkit_telebot import install, with_session


@dataclass
class Pizza:
    """A session's data."""

    count: int = 0


sessions = session(Pizza)
carts = session(dict[str, int], prefix="cart:")
prefs = lazy_session(Pizza, prefix="prefs:")

on_loop = AsyncTeleBot("42:TEST")
in_threads = TeleBot("42:TEST", threaded=False)


def merge(theirs: Pizza, mine: Pizza) -> Pizza:
    """Merge two chats."""
    return Pizza(theirs.count + mine.count)


install(on_loop, sessions, migrate_chats=merge)
install(in_threads, cart=carts, prefs=prefs, migrate_chats={"prefs": merge})


async def on_text(message: Message, session: Session[Pizza]) -> None:
    """Handle a message."""
    assert_type(session.data.count, int)
    await session.save()


async def on_press(call: CallbackQuery, prefs: LazySession[Pizza]) -> None:
    """Handle a button."""
    assert_type((await prefs.data).count, int)


def in_a_thread(
    message: Message, cart: SyncSession[dict[str, int]], prefs: SyncLazySession[Pizza]
) -> None:
    """Handle a message in a thread."""
    assert_type(cart.data["pizza"], int)
    assert_type(prefs.data.count, int)
    cart.save()


@with_session(sessions)
def decorated(message: Message, session: SyncSession[Pizza]) -> int:
    """Handle a message in a thread, decorated."""
    return session.data.count


@with_session(cart=carts)
async def awaited(message: Message, cart: Session[dict[str, int]]) -> int:
    """Handle a message, decorated."""
    return cart.data["pizza"]


async def called(message: Message) -> None:
    """Call decorated handlers as a test does: without the session."""
    assert_type(decorated(message), int)
    assert_type(await awaited(message), int)


on_loop.message_handler()(on_text)
on_loop.callback_query_handler(None)(on_press)
on_loop.register_message_handler(awaited)
in_threads.message_handler()(in_a_thread)
in_threads.register_message_handler(in_a_thread)

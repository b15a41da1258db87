"""What must be refused about python-telegram-bot."""

from dataclasses import dataclass

from telegram import Update
from telegram.ext import Application, MessageHandler, filters

from sessionkit import Session, session
from sessionkit_ptb import SessionContext, SessionPersistence, install, with_session


@dataclass
class Pizza:
    """A session's data."""

    count: int = 0


pizzas = session(Pizza)


async def on_text(update: Update, context: SessionContext[Pizza]) -> None:
    """Handle an update."""
    print(update)
    print(context.session.cuont)  # expect: mypy,pyright
    context.session = 5  # expect: mypy,pyright


async def of_another_type(update: Update, context: SessionContext[int]) -> None:
    """Handle an update of another bot."""
    print(update, context)


@with_session(pizzas)  # expect: mypy,pyright
async def no_session(context: SessionContext[Pizza]) -> None:
    """Take no session."""
    print(context)


@with_session(pizzas)  # expect: mypy,pyright
async def another_session(context: SessionContext[Pizza], session: Session[int]) -> None:
    """Take another session."""
    print(context, session)


def main() -> None:
    """Install sessions."""
    builder = Application.builder().token("42:TEST")
    install(builder, Pizza)  # expect: mypy,pyright
    install(builder.build(), pizzas)  # expect: mypy,pyright
    install(builder, pizzas, migrate_chats=5)  # expect: mypy,pyright
    SessionPersistence(5)  # expect: mypy,pyright
    app = install(builder, pizzas).build()
    app.add_handler(MessageHandler(filters.TEXT, on_text))
    app.add_handler(MessageHandler(filters.TEXT, of_another_type))  # expect: mypy,pyright

"""What must be refused about sessions in aiogram."""

from dataclasses import dataclass

from aiogram import Dispatcher, Router
from aiogram.types import Message

from sessionkit import Session, session
from sessionkit_aiogram import FSMStorage, SessionMiddleware, install, with_session


@dataclass
class Pizza:
    """A session's data."""

    count: int = 0


pizzas = session(Pizza)
dp = Dispatcher(storage=FSMStorage("memory:"))

install(Router(), pizzas)  # expect: mypy,pyright
install(dp, Pizza)  # expect: mypy,pyright
install(dp, cart=Pizza)  # expect: mypy,pyright
install(dp, pizzas, migrate_chats=5)  # expect: mypy,pyright
SessionMiddleware(pizzas, name=5)  # expect: mypy,pyright
FSMStorage(5)  # expect: mypy,pyright
with_session(Pizza)  # expect: mypy,pyright


@dp.message()
async def on_text(message: Message, session: Session[Pizza]) -> None:
    """Get a strict session."""
    print(session.data.cuont, message)  # expect: mypy,pyright
    session.data = 5  # expect: mypy,pyright
    session.count += 1  # expect: mypy,pyright


@with_session(pizzas)
async def decorated(message: Message, session: Session[Pizza]) -> int:
    """Get one by the decorator."""
    return session.data.count + message.message_id


async def test_by_hand(message: Message) -> str:
    """Call a decorated handler as a test does."""
    return await decorated(message)  # expect: mypy,pyright

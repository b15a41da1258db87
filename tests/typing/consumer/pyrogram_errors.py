"""What must be refused about sessions in pyrogram."""

# pyrogram does not type its methods throughout
# pyright: reportUnknownMemberType=false, reportUntypedFunctionDecorator=false

from dataclasses import dataclass

from pyrogram.client import Client
from pyrogram.types import Message

from sessionkit import Session, session
from sessionkit_pyrogram import install, session_filter, with_session


@dataclass
class Pizza:
    """A session's data."""

    count: int = 0


pizzas = session(Pizza)
app = Client("bot", api_id=1, api_hash="hash")

install(Client, pizzas)  # expect: mypy,pyright
install(pizzas, app)  # expect: mypy,pyright
install(app, Pizza)  # expect: mypy,pyright
install(app, cart=Pizza)  # expect: mypy,pyright
install(app, pizzas, migrate_chats=5)  # expect: mypy,pyright
with_session(Pizza)  # expect: mypy,pyright
with_session(pizzas, name=5)  # expect: mypy,pyright
session_filter(pizzas, lambda pizza: pizza.cuont)  # expect: mypy,pyright
session_filter(Pizza, lambda pizza: True)  # expect: mypy,pyright


@app.on_message()
async def on_text(client: Client, message: Message, session: Session[Pizza]) -> None:
    """Get a strict session."""
    print(session.data.cuont, client, message)  # expect: mypy,pyright
    session.data = 5  # expect: mypy,pyright
    session.count += 1  # expect: mypy,pyright


@with_session(pizzas)
async def decorated(client: Client, message: Message, session: Session[Pizza]) -> int:
    """Get one by the decorator."""
    return session.data.count


async def test_by_hand(message: Message) -> str:
    """Call a decorated handler as a test does."""
    return await decorated(app, message)  # expect: mypy,pyright

"""pyrogram: a handler declares its session once; the decorator keeps what it returns."""

# pyrogram does not type its methods throughout
# pyright: reportUnknownMemberType=false, reportUntypedFunctionDecorator=false

from dataclasses import dataclass
from typing import assert_type

from pyrogram import filters
from pyrogram.client import Client
from pyrogram.types import InlineQuery, Message

from sessionkit import LazySession, Session, SyncSession, keys, lazy_session, session
from sessionkit_pyrogram import RawUpdate, install, session_filter, with_session


@dataclass
class Pizza:
    """A session's data."""

    count: int = 0


def merge(theirs: Pizza, mine: Pizza) -> Pizza:
    """Merge two chats."""
    return Pizza(theirs.count + mine.count)


def raw_key(ctx: RawUpdate) -> str:
    """Make a key of a raw update."""
    return type(ctx.update).__name__


pizzas = session(Pizza)
prefs = lazy_session(dict[str, str], prefix="prefs:", get_session_key=keys.user)
raw = session(Pizza, prefix="raw:", get_session_key=raw_key)

app = Client("bot", api_id=1, api_hash="hash")
install(app, pizzas, migrate_chats=merge)
install(app, pizza=pizzas, prefs=prefs, migrate_chats={"pizza": merge})
install(app, raw, name="raw", migrate_chats=False)


@app.on_message(filters.text)
async def on_text(client: Client, message: Message, session: Session[Pizza]) -> None:
    """Get a strict session."""
    assert_type(session.data, Pizza)
    session.data.count += 1
    session.data = Pizza(5)
    del session.data


@app.on_message(session_filter(pizzas, lambda pizza: pizza.count > 3))
async def on_more(
    client: Client, message: Message, pizza: Session[Pizza], prefs: LazySession[dict[str, str]]
) -> None:
    """Get several."""
    assert_type(await prefs.data, dict[str, str])
    pizza.data.count += 1


async def asks_later(pizza: Pizza) -> bool:
    """Decide in a coroutine."""
    return pizza.count > 3


@with_session(pizzas)
async def decorated(client: Client, query: InlineQuery, session: Session[Pizza]) -> int:
    """Get one by the decorator."""
    return session.data.count


@with_session(pizzas)
def in_thread(client: Client, message: Message, session: SyncSession[Pizza]) -> str:
    """Get one in a thread."""
    session.save()
    return str(session.data.count)


app.on_inline_query()(decorated)
app.on_message(session_filter(prefs, lambda data: "language" in data))(in_thread)
app.on_message(session_filter(pizzas, asks_later))(in_thread)


async def test_by_hand(message: Message) -> None:
    """Call decorated handlers as a test does."""
    assert_type(await decorated(app, message), int)
    assert_type(await in_thread(app, message), str)

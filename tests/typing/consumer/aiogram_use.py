"""A bot of aiogram: each handler says once what its session holds."""

from dataclasses import dataclass
from typing import assert_type

from aiogram import Dispatcher, Router
from aiogram.types import ErrorEvent, Message

from sessionkit import (
    LazySession,
    MemorySessionStorage,
    Session,
    SyncSession,
    keys,
    lazy_session,
    session,
)
from sessionkit_aiogram import (
    EventIsolation,
    FSMStorage,
    SessionMiddleware,
    install,
    with_session,
)


@dataclass
class Pizza:
    """A session's data."""

    count: int = 0


pizzas = session(Pizza)
prefs = lazy_session(dict[str, str], prefix="prefs:", get_session_key=keys.user)

fsm = FSMStorage("memory:")
dp = Dispatcher(storage=fsm, events_isolation=assert_type(fsm.create_isolation(), EventIsolation))
install(dp, pizzas)
install(dp, pizza=pizzas, prefs=prefs, migrate_chats={"pizza": lambda theirs, mine: mine})

router = Router()
router.message.middleware(SessionMiddleware(pizzas, name="pizza", migrate_chats=False))
other = Dispatcher(storage=FSMStorage(MemorySessionStorage()), events_isolation=EventIsolation())


@dp.message()
async def on_text(message: Message, session: Session[Pizza]) -> None:
    """Get a strict session."""
    assert_type(session.data, Pizza)
    session.data.count += 1
    session.data = Pizza(5)
    await message.answer(str(session.data.count))


@dp.message()
async def on_more(
    message: Message, pizza: Session[Pizza], prefs: LazySession[dict[str, str]]
) -> None:
    """Get several."""
    assert_type(await prefs.data, dict[str, str])
    pizza.data.count += len(message.text or "")


@dp.errors()
async def on_error(event: ErrorEvent, session: Session[Pizza]) -> None:
    """Get a session in an error handler."""
    print(event.exception, session.key)


@with_session(pizzas)
async def decorated(message: Message, session: Session[Pizza]) -> int:
    """Get one by the decorator."""
    return session.data.count + message.message_id


@with_session(pizzas)
def in_thread(message: Message, session: SyncSession[Pizza]) -> str:
    """Get one in a thread."""
    session.save()
    return f"{session.data.count} {message.message_id}"


router.message.register(decorated)
router.message.register(in_thread)


async def test_by_hand(message: Message) -> None:
    """Call decorated handlers as a test does."""
    assert_type(await decorated(message), int)
    assert_type(in_thread(message), str)

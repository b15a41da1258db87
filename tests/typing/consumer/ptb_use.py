"""python-telegram-bot: a handler's session is declared once, in the type of its context."""

from dataclasses import dataclass
from typing import Any, assert_type

from telegram import Update
from telegram.ext import (
    Application,
    ApplicationBuilder,
    CallbackContext,
    CommandHandler,
    ContextTypes,
    ConversationHandler,
    ExtBot,
    MessageHandler,
    filters,
)

from sessionkit import (
    LazySession,
    MemorySessionStorage,
    MultiSession,
    Session,
    SessionFlavor,
    keys,
    lazy_session,
    multi_session,
    session,
)
from sessionkit.types import LazyData
from sessionkit_ptb import (
    LazySessionContext,
    SessionApplicationMixin,
    SessionContext,
    SessionContextMixin,
    SessionPersistence,
    install,
    with_session,
)


@dataclass
class Pizza:
    """A session's data."""

    count: int = 0


pizzas = session(Pizza)
lazy_pizzas = lazy_session(Pizza, prefix="lazy:")


def builder() -> Any:
    """Return a builder of no special type."""
    return ApplicationBuilder().token("42:TEST")


# --- a strict session ---


async def on_text(update: Update, context: SessionContext[Pizza]) -> None:
    """Handle an update."""
    assert_type(context.session, Pizza)
    context.session.count += 1
    context.session = Pizza(1)
    context.session = None
    del context.session
    assert_type(pizzas.of(context), Session[Pizza])
    assert_type(pizzas.of(update), Session[Pizza])
    assert_type(context.bot, ExtBot[None])


async def quiet(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
    """Handle an update without a session."""
    print(update.update_id, context.args)


@with_session(pizzas)
async def remind(context: SessionContext[Pizza], session: Session[Pizza]) -> None:
    """Run as a job."""
    assert_type(session.data, Pizza)
    if context.job is not None and context.job.chat_id is not None:
        await context.bot.send_message(context.job.chat_id, f"{session.data.count}")


@with_session(pizzas)
async def timed_out(
    update: Update, context: SessionContext[Pizza], session: Session[Pizza]
) -> None:
    """Handle the end of a conversation."""
    session.data.count = 0
    print(update, context)


async def on_error(update: object, context: SessionContext[Pizza]) -> None:
    """Handle an error."""
    print(update, context.error, context.session.count)


def strict() -> None:
    """Install strict sessions."""
    app = install(Application.builder().token("42:TEST"), pizzas, migrate_chats=True).build()
    app.add_handler(MessageHandler(filters.TEXT, on_text))
    app.add_handler(CommandHandler("quiet", quiet))
    app.add_error_handler(on_error)
    talk = ConversationHandler[SessionContext[Pizza]](
        entry_points=[CommandHandler("start", on_text)],
        states={ConversationHandler.TIMEOUT: [MessageHandler(filters.ALL, timed_out)]},
        fallbacks=[],
    )
    app.add_handler(talk)
    install(builder(), pizzas, migrate_chats=lambda theirs, mine: theirs)


# --- a lazy session ---


async def on_photo(update: Update, context: LazySessionContext[Pizza]) -> None:
    """Handle an update."""
    assert_type(await context.session, Pizza)
    (await context.session).count += 1
    context.session = Pizza(update.update_id)
    context.session = None


@with_session(lazy_pizzas)
async def lazily(context: LazySessionContext[Pizza], session: LazySession[Pizza]) -> None:
    """Run as a job."""
    assert_type(await session, Pizza)
    print(context.job)


def lazy() -> None:
    """Install lazy sessions."""
    app = install(Application.builder().token("42:TEST"), lazy_pizzas).build()
    app.add_handler(MessageHandler(filters.PHOTO, on_photo))


# --- several at once ---


class Shop(MultiSession):
    """Sessions of chat and user."""

    cart = session(Pizza, prefix="cart:")
    prefs = lazy_session(Pizza, get_session_key=keys.user, prefix="prefs:")


async def on_shop(update: Update, context: SessionContext[Shop]) -> None:
    """Handle an update."""
    assert_type(context.session.cart, Pizza)
    assert_type(await context.session.prefs, Pizza)
    context.session.cart.count += update.update_id


class ShopContext(CallbackContext[ExtBot[None], dict[Any, Any], dict[Any, Any], dict[Any, Any]]):
    """A context of the user's own, with several sessions."""

    cart: Pizza
    prefs: LazyData[Pizza]


async def on_named(update: Update, context: ShopContext) -> None:
    """Handle an update."""
    context.cart.count += update.update_id
    assert_type(await context.prefs, Pizza)


@with_session(cart=Shop.cart, prefs=Shop.prefs)
async def with_several(
    update: Update, context: ShopContext, cart: Session[Pizza], prefs: LazySession[Pizza]
) -> None:
    """Handle an update."""
    cart.data.count += (await prefs).count
    print(update, context)


def several() -> None:
    """Install several sessions."""
    shop = install(Application.builder().token("42:TEST"), multi_session(Shop)).build()
    shop.add_handler(MessageHandler(filters.TEXT, on_shop))
    named = Application.builder().token("42:TEST").context_types(ContextTypes(ShopContext))
    app = install(named, cart=Shop.cart, prefs=Shop.prefs).build()
    app.add_handler(MessageHandler(filters.TEXT, on_named))
    app.add_handler(MessageHandler(filters.TEXT, with_several))


# --- classes of the user's own ---


class Context(
    SessionFlavor[Pizza],
    SessionContextMixin[ExtBot[None], dict[Any, Any], dict[Any, Any], dict[Any, Any]],
):
    """A context of the user's own."""

    @property
    def hunger(self) -> str:
        """Say how hungry the chat is."""
        return "!" * self.session.count


class App(SessionApplicationMixin[Any, Any, Any, Any, Any, Any]):
    """An application of the user's own."""


async def on_own(update: Update, context: Context) -> None:
    """Handle an update."""
    print(update, context.hunger)


def own() -> None:
    """Install sessions on classes of the user's own."""
    made = Application.builder().token("42:TEST").context_types(ContextTypes(Context))
    persistence = SessionPersistence(MemorySessionStorage(), preload=True)
    made.application_class(App).persistence(persistence)
    app = install(made, pizzas, name="session").build()
    app.add_handler(MessageHandler(filters.TEXT, on_own))
    made.persistence(SessionPersistence("sqlite:///bot.db", update_interval=5))

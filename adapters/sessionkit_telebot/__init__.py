"""sessionkit for pyTelegramBotAPI: sessions in handlers, in tasks and in threads.

    from sessionkit_telebot import install

    install(bot, sessions)

    @bot.message_handler()
    def on_text(message: Message, session: SyncSession[Pizza]) -> None:
        session.data.count += 1

``install`` is for all handlers of a bot, ``with_session`` for one.  On an
``AsyncTeleBot`` handlers are async, and get a ``Session``.  ``StateStorage`` and
``AsyncStateStorage`` keep what states remember.  See docs/telebot.md.
"""

try:
    import telebot as _telebot
except ImportError as _error:
    _msg = (
        "sessionkit_telebot needs pyTelegramBotAPI. It comes with the extra 'telebot': "
        'python -m pip install "<checkout>[telebot]"'
    )
    raise ImportError(_msg, name="telebot") from _error

from sessionkit_telebot._decorator import with_session
from sessionkit_telebot._install import install
from sessionkit_telebot._states import AsyncStateStorage, StateStorage

__all__ = ["AsyncStateStorage", "StateStorage", "install", "with_session"]

del _telebot

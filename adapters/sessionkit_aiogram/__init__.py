"""sessionkit for aiogram 3: sessions in handlers, and aiogram's own state in any storage.

    from sessionkit_aiogram import install

    install(dp, sessions)

    @dp.message()
    async def on_text(message: Message, session: Session[Pizza]) -> None:
        session.data.count += 1

``install`` is for all handlers of a dispatcher, ``SessionMiddleware`` for those
of a router, ``with_session`` for one.  ``gather_albums`` makes one update of an
album.  ``FSMStorage`` and ``EventIsolation`` keep what FSM and Scenes remember.
See docs/aiogram.md.
"""

try:
    import aiogram.fsm.storage.base as _base  # that of aiogram 3
except ImportError as _error:
    _msg = (
        "sessionkit_aiogram needs aiogram 3.20 or later. It comes with the extra 'aiogram': "
        'python -m pip install "<checkout>[aiogram]"'
    )
    raise ImportError(_msg, name="aiogram") from _error

from sessionkit_aiogram._albums import gather_albums
from sessionkit_aiogram._decorator import with_session
from sessionkit_aiogram._fsm import EventIsolation, FSMStorage
from sessionkit_aiogram._install import install
from sessionkit_aiogram._middleware import SessionMiddleware

__all__ = [
    "EventIsolation",
    "FSMStorage",
    "SessionMiddleware",
    "gather_albums",
    "install",
    "with_session",
]

del _base

"""sessionkit for pyrogram and its forks: kurigram, pyrofork, pyrotgfork, hydrogram.

    from sessionkit_pyrogram import install

    install(app, sessions)

    @app.on_message()
    async def on_text(client: Client, message: Message, session: Session[Pizza]) -> None:
        session.data.count += 1

``install`` is for all handlers of a client, ``with_session`` for one, and
``session_filter`` chooses handlers by what is stored.  A session is open for one
call of a handler.  See docs/pyrogram.md.
"""

from sessionkit_pyrogram._context import RawUpdate
from sessionkit_pyrogram._decorator import with_session
from sessionkit_pyrogram._filter import session_filter
from sessionkit_pyrogram._install import install

__all__ = ["RawUpdate", "install", "session_filter", "with_session"]

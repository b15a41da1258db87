"""sessionkit for python-telegram-bot: ``context.session`` in every handler, and a persistence."""

try:
    import telegram.ext as _ptb
except ModuleNotFoundError as _error:
    if (_error.name or "").partition(".")[0] != "telegram":
        raise
    _msg = (
        "sessionkit_ptb needs python-telegram-bot. It comes with the extra 'ptb': "
        'python -m pip install "<checkout>[ptb]"'
    )
    raise ImportError(_msg, name=_error.name) from _error

from sessionkit_ptb._application import SessionApplicationMixin
from sessionkit_ptb._context import LazySessionContext, SessionContext, SessionContextMixin
from sessionkit_ptb._decorator import with_session
from sessionkit_ptb._install import install
from sessionkit_ptb._persistence import SessionPersistence

del _ptb

__all__ = [
    "LazySessionContext",
    "SessionApplicationMixin",
    "SessionContext",
    "SessionContextMixin",
    "SessionPersistence",
    "install",
    "with_session",
]

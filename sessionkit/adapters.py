"""For authors of adapters: what every ``install`` and ``with_session`` has in common.

A ``Binding`` holds the sessions that handlers ask for by name; ``open`` opens
them for one update, and ``inject`` wraps a handler.  See docs/adapters.md.
"""

from sessionkit._setup.binding import Bindable, Binding, MergeChats
from sessionkit._setup.handlers import is_async
from sessionkit._setup.use import Use

__all__ = ["Bindable", "Binding", "MergeChats", "Use", "is_async"]

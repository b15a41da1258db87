"""Many who use a storage at once, and those who are cancelled or killed meanwhile."""

from importlib import import_module

_TOPICS = "races counting loops cancelling closing killing"
for _topic in _TOPICS.split():
    import_module(f"{__name__}.{_topic}")

"""Many who use a storage at once, and those who are cancelled or killed meanwhile."""

from importlib import import_module

for _topic in ("races", "counting", "visible", "loops", "cancelling", "closing", "killing"):
    import_module(f"{__name__}.{_topic}")

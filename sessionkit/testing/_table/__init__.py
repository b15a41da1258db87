"""The deterministic checks: one trap each, in the order of the report."""

from importlib import import_module

for _topic in (
    "basics",
    "values",
    "keys",
    "openings",
    "closing",
    "damage",
    "limits",
    "has",
    "listing",
    "batches",
    "revisions",
    "conditions",
    "timeouts",
    "expires",
    "touch",
    "sync",
):
    import_module(f"{__name__}.{_topic}")

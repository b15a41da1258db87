"""The deterministic checks: one trap each, in the order of the report."""

from importlib import import_module

for _topic in (
    "basics",
    "values",
    "keys",
    "openings",
    "damage",
    "limits",
    "listing",
    "batches",
    "revisions",
    "expiry",
):
    import_module(f"{__name__}.{_topic}")

"""What the protocol takes, as its server really counts it."""

from __future__ import annotations

from typing import Final

KEY: Final = 63
"""The longest key, in characters as it is sent; the documentation says 64."""

VALUE: Final = 16 * 1024 - 1
"""The most bytes that a value may have as JSON."""

SESSIONS: Final = 50_000
"""How many sessions a bot may have."""

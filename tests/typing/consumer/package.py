"""A project that uses sessionkit finds it, with its types."""

from typing import assert_type

import sessionkit
from sessionkit.errors import NewerVersionError, SessionError

assert_type(sessionkit.__version__, str)


def where(error: SessionError) -> str:
    """Return which data *error* is about."""
    if isinstance(error, NewerVersionError):
        assert_type(error.latest, object)
    return assert_type(error.key, str | None) or "nowhere"

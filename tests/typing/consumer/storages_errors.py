"""What is not a storage, lock or converter."""

from sessionkit import session


class NoDelete:
    """A storage that lacks a method."""

    def read(self, key: str, /) -> int | None:
        """Return what is there."""

    def write(self, key: str, value: int, /) -> None:
        """Store it."""


class WrongKeys(NoDelete):
    """A storage whose keys are numbers."""

    def delete(self, key: int, /) -> None:
        """Remove it."""


class NoRelease:
    """A lock that nobody gets back."""

    def acquire(self, key: str, /) -> None:
        """Wait for it."""


session(int, storage=NoDelete())  # expect: mypy,pyright
session(int, storage=WrongKeys())  # expect: mypy,pyright
session(int, lock=NoRelease())  # expect: mypy,pyright
session(int, get_session_key=lambda ctx: [ctx])  # expect: mypy,pyright
session(int, on_conflict="merge")  # expect: mypy,pyright

"""One key while it is locked."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sessionkit.storages._file.folder import Folder


class Entry:
    """What is stored under a key, read when it is asked for, and what is to be stored."""

    def __init__(self, folder: Folder, key: str) -> None:
        self.key = key
        self._folder = folder
        self._raw: bytes | None = None
        self._is_known = False
        self._is_changed = False

    @property
    def raw(self) -> bytes | None:
        """What is stored, or will be after ``save``; None for nothing."""
        if not self._is_known:
            self._raw = self._folder.load(self.key)
            self._is_known = True
        return self._raw

    @raw.setter
    def raw(self, raw: bytes | None) -> None:
        self._raw = raw
        self._is_known = self._is_changed = True

    def save(self) -> None:
        """See that the disk has what is to be stored; a no-op if nothing was changed.

        Raises:
            OSError: The old value was kept, unless the text says otherwise.
            SessionError: The folder is gone, or is another one now.
        """
        if not self._is_changed:
            return
        if self._raw is None:
            self._folder.remove(self.key)
        else:
            self._folder.store(self.key, self._raw)
        self._folder.check_still_there(written=self.key)

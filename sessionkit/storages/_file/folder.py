"""A folder with one file per key: each atomic, durable, and locked while it changes."""

from __future__ import annotations

import os
import sys
import zlib
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sessionkit.errors import SessionDecodeError, SessionError
from sessionkit.storages._file.disk import make_folder, names, read, remove, replace, write_new
from sessionkit.storages._file.locks import STRIPES, locked
from sessionkit.storages._file.names import (
    ESCAPED,
    Place,
    grammy_place_of,
    key_at,
    key_bytes,
    key_of,
    place_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_HIDDEN: Final = ".sessionkit"
_ABANDONED_AFTER: Final = 3600.0


class Folder:
    """The files of all sessions, by key.

    Args:
        path: The folder; made if it is not there.

    Raises:
        SessionError: It cannot be made, or nothing can be written into it.
    """

    def __init__(self, path: Path) -> None:
        self.path: Path = Path(os.path.realpath(path))
        self._locks = self.path / _HIDDEN / "locks"
        self._workshop = self.path / _HIDDEN / "unfinished"
        try:
            self._set_up()
        except OSError as error:
            msg = (
                f"sessions cannot be kept in {self.path}: {error}. "
                "Name a folder into which this program may write"
            )
            raise SessionError(msg) from error
        # Where case does not count, a file that grammY wrote may be that of another key.
        case_counts = not (self.path / _HIDDEN.upper()).exists()
        self._heeds_grammy_names = case_counts and sys.getfilesystemencoding() == "utf-8"

    def load(self, key: str) -> bytes | None:
        """Return what is stored under *key*, None if nothing is.

        Raises:
            OSError: It cannot be read.
            SessionError: The folder itself is gone.
        """
        raw = read(self._path(place_of(key)))
        if raw is None and (foreign := self._foreign_path(key)) is not None:
            raw = read(foreign)
        if raw is None:
            self._check_still_there()
        return raw

    def locked(self, key: str) -> AbstractContextManager[None]:
        """Keep all other writers of *key* out, in this and in other processes."""
        self._check_still_there()
        return locked(self._locks, zlib.crc32(key_bytes(key)) % STRIPES)

    def store(self, key: str, raw: bytes) -> None:
        """Put *raw* under *key*, all or nothing; only while locked.

        Raises:
            OSError: The old value was kept, unless only flushing the folder failed.
        """
        place = place_of(key)
        if place.is_hashed:
            self._keep_key(place, key)
        replace(self._locate(key, place), raw, self._workshop)

    def remove(self, key: str) -> None:
        """Remove *key*, if it is there; only while locked."""
        place = place_of(key)
        foreign = self._foreign_path(key)
        if foreign is not None:
            # First: once the other is gone, this one would come to light.
            remove(foreign)
        if remove(self._path(place)) and place.is_hashed:
            remove(self._key_path(place))

    def entries(self, prefix: str) -> Iterator[tuple[str, Path]]:
        """Yield each key that begins with *prefix*, once, and where its value is."""
        self._check_still_there()
        for folder in self._folders():
            for name in names(self.path / folder):
                stem, dot, suffix = name.rpartition(".")
                if not dot or suffix != "json":
                    continue
                place = Place(folder, stem)
                key = self._key_at(place)
                if key is not None and key.startswith(prefix):
                    yield key, self._path(place)

    def read_entry(self, path: Path) -> bytes | None:
        """Return what is in a file that was listed, None if it has gone since."""
        return read(path)

    def where(self, key: str) -> Path:
        """Return the path of the file of *key*."""
        return self._locate(key, place_of(key))

    def remove_abandoned(self, now: float) -> None:
        """Remove the temporary files of writers that were killed, once they are old."""
        for name in names(self._workshop):
            path = self._workshop / name
            with suppress(FileNotFoundError):
                if now - path.stat().st_mtime > _ABANDONED_AFTER:
                    path.unlink()

    def _set_up(self) -> None:
        make_folder(self._locks)
        make_folder(self._workshop)
        write_new(self._workshop, b"probe").unlink()

    def _check_still_there(self) -> None:
        if not self._locks.exists():
            msg = (
                f"{self._locks} is gone. Was {self.path} deleted, or a volume unmounted? "
                "Sessions would seem to be missing. Bring it back, or start anew with an "
                "empty folder by making a new FileSessionStorage"
            )
            raise SessionError(msg)

    def _path(self, place: Place) -> Path:
        return Path(self.path, place.folder, place.file)

    def _key_path(self, place: Place) -> Path:
        return Path(self.path, place.folder, f"{place.stem}.key")

    def _foreign_path(self, key: str) -> Path | None:
        """Where grammY would have kept *key*, if that is not its place anyway."""
        place = grammy_place_of(key) if self._heeds_grammy_names else None
        return None if place is None or place == place_of(key) else self._path(place)

    def _locate(self, key: str, place: Place) -> Path:
        path = self._path(place)
        foreign = self._foreign_path(key)
        if foreign is None or path.exists() or not foreign.exists():
            return path
        return foreign

    def _folders(self) -> Iterator[str]:
        for name in names(self.path):
            if len(name) <= 2:
                yield name
        for name in names(self.path / ESCAPED):
            yield f"{ESCAPED}/{name}"

    def _key_at(self, place: Place) -> str | None:
        if place.is_hashed:
            return self._kept_key(place)
        key = key_at(place)
        if key is None or place_of(key) == place:
            return key
        # Written by grammY: heeded where ``load`` does, which looks there second.
        heeded = self._locate(key, place_of(key)) == self._path(place)
        return key if heeded else None

    def _kept_key(self, place: Place) -> str | None:
        path = self._key_path(place)
        raw = read(path)
        key = None if raw is None else key_of(raw)
        if raw is not None and (key is None or place_of(key) != place):
            msg = (
                f"{path} should hold the key of {place.file} beside it, and does not. It was "
                "left as it is; writing that session once puts it right"
            )
            raise SessionDecodeError(msg)
        return key

    def _keep_key(self, place: Place, key: str) -> None:
        path = self._key_path(place)
        if read(path) != key_bytes(key):
            replace(path, key_bytes(key), self._workshop)

"""A folder with one file per key: each atomic, durable, and locked while it changes."""

from __future__ import annotations

import errno
import os
import shutil
import sys
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Final
from weakref import finalize

from sessionkit._storage.entries import key_bytes, key_of
from sessionkit.errors import SessionDecodeError, SessionError, SessionListingError
from sessionkit.storages._file.disk import (
    Disk,
    flush_folder,
    names,
    read,
    remove,
)
from sessionkit.storages._file.flock import AVAILABLE
from sessionkit.storages._file.locks import STRIPES, LockFiles
from sessionkit.storages._file.names import (
    ESCAPED,
    Place,
    grammy_place_of,
    is_plain_place,
    key_at,
    place_of,
)
from sessionkit.storages._file.workshop import Workshop

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

_HIDDEN: Final = ".sessionkit"


class Folder:
    """The files of all sessions, by key.

    Args:
        path: The folder; made if it is not there.
        mode: The permissions of files that are made, None for what the umask leaves.
        now: The time, in seconds since the epoch.

    Raises:
        SessionError: It cannot be made, or nothing can be written into it.
    """

    def __init__(self, path: Path, mode: int | None, now: float) -> None:
        self.path: Path = Path(os.path.realpath(path))
        self.mode = mode
        self._within = f"{self.path}{os.sep}"
        self._disk = Disk(mode)
        locks = self.path / _HIDDEN / "locks"
        try:
            self._workshop = self._set_up(locks, mode, now)
            # As given: a link that is turned to another folder is noticed, too.
            self._mark = _Mark(path.absolute() / _HIDDEN / "locks")
        except OSError as error:
            msg = (
                f"sessions cannot be kept in {self.path}: {error}. "
                "Name a folder into which this program may write"
            )
            raise SessionError(msg) from error
        self.locks: LockFiles = LockFiles(locks, mode)
        # Where case does not count, a file that grammY wrote may be that of another key.
        case_counts = not (self.path / _HIDDEN.upper()).exists()
        self._heeds_grammy_names = case_counts and sys.getfilesystemencoding() == "utf-8"
        self._noted_ends = False

    @property
    def place_of_locks(self) -> Path:
        """Where processes lock keys for as long as a session is open."""
        return self.path / _HIDDEN / "open"

    @property
    def has_ends(self) -> bool:
        """Whether a value may have an end."""
        return self._noted_ends or _sign_of_ends(self.path).exists()

    def note_ends(self) -> None:
        """Note for good, before the first of them is stored, that values have an end."""
        if not self._noted_ends:
            self._disk.make_folder(_sign_of_ends(self.path))
            self._noted_ends = True

    def load(self, key: str, at_most: int | None = None) -> bytes | None:
        """Return what is stored under *key*, None if nothing is.

        Raises:
            OSError: It cannot be read.
            SessionError: The folder itself is gone.
            TooLargeError: It has more than *at_most* bytes.
        """
        place = place_of(key)
        raw = read(self._path(place), at_most)
        if raw is None and (foreign := self._foreign_path(key, place)) is not None:
            raw = read(foreign, at_most)
        if raw is None:
            self.check_still_there()
        return raw

    def stripe(self, key: str) -> int:
        """Return the number of the lock file that keeps writers of *key* apart."""
        return zlib.crc32(key_bytes(key)) % STRIPES

    def store(self, key: str, raw: bytes) -> None:
        """Put *raw* under *key*, all or nothing; only while locked.

        Raises:
            OSError: The old value was kept, unless the text says otherwise.
        """
        place = place_of(key)
        if place.is_hashed:
            self._keep_key(place, key)
        self._replace(self._locate(key, place), raw)

    def remove(self, key: str) -> None:
        """Remove *key*, if it is there; only while locked."""
        place = place_of(key)
        foreign = self._foreign_path(key, place)
        if foreign is not None:
            # First: once the other is gone, this one would come to light.
            remove(foreign)
        if remove(self._path(place)) and place.is_hashed:
            remove(self._key_path(place))

    def entries(self, prefix: str) -> Iterator[tuple[str, str]]:
        """Yield each key that begins with *prefix*, once, and where its value is.

        Raises:
            SessionListingError: At the end, if the name of a long key could not be read.
        """
        unreadable: list[SessionDecodeError] = []
        self.check_still_there()
        for folder in self._folders():
            where = f"{self.path / folder}{os.sep}"  # joining texts is quicker than paths
            for name in names(self.path / folder):
                stem, dot, suffix = name.rpartition(".")
                if not dot or suffix != "json":
                    continue
                key: str | None = stem
                if not is_plain_place(folder, stem):
                    try:
                        key = self._key_at(Place(folder, stem))
                    except SessionDecodeError as error:
                        unreadable.append(error)
                        continue
                if key is not None and key.startswith(prefix):
                    yield key, f"{where}{name}"
        if unreadable:
            msg = f"everything was listed but what has lost its key: {unreadable[0]}"
            raise SessionListingError(msg) from unreadable[0]

    def read_entry(self, path: str) -> bytes | None:
        """Return what is in a file that was listed, None if it has gone since."""
        return read(path)

    def where(self, key: str) -> str:
        """Return the path of the file of *key*."""
        return self._locate(key, place_of(key))

    def check_still_there(self, written: str | None = None) -> None:
        """Raise unless this is still the folder that was opened.

        Args:
            written: The key that was written just now, if one was.
        """
        if self._mark.is_there():
            return
        outcome = f"What was written under {written!r} is lost with it. " if written else ""
        msg = (
            f"{self.path} is no longer the folder that was opened. Was it deleted, moved or "
            f"replaced, or a volume unmounted? {outcome}Sessions would seem to be missing. "
            "Bring it back, or begin with what is there now by making a new "
            "FileSessionStorage (restart the bot)"
        )
        raise SessionError(msg, key=written)

    def remove_abandoned(self, now: float) -> None:
        """Remove the unfinished files of writers that were killed."""
        self._workshop.remove_abandoned(now)

    def copy_to(self, target: Path) -> Generator[bool, None, None]:
        """Copy all files of sessions to *target*, one at each step.

        Yields True when all is there; if it is closed before it was resumed once more,
        nothing is.

        Raises:
            FileExistsError: There is something at *target*.
        """
        self.check_still_there()
        target = target.absolute()
        _check_free(target)
        unfinished = target.with_name(f"{target.name}.unfinished-{os.urandom(4).hex()}")
        made = unfinished
        try:
            self._disk.make_folders(unfinished)
            if self.has_ends:
                self._make_place(_sign_of_ends(unfinished), unfinished)
            yield from self._copy_all(unfinished)
            self.check_still_there()
            _check_free(target)
            made = unfinished.rename(target)
            flush_folder(target.parent)
            yield True
        except BaseException:
            shutil.rmtree(made, ignore_errors=True)
            raise

    def close(self) -> None:
        """Let go of the folder; it cannot be used after that."""
        self._mark.close()
        self._workshop.close()
        self.locks.close()

    def _copy_all(self, target: Path) -> Iterator[bool]:
        for folder in self._folders():
            copies = target / folder
            # The key of a hashed name first: without it, the value would not be listed.
            for name in sorted(names(self.path / folder), key=lambda name: name.endswith(".json")):
                if not name.endswith((".json", ".key")):
                    continue
                raw = read(self.path / folder / name)
                if raw is not None:
                    if not copies.exists():
                        self._make_place(copies, target)
                    self._disk.write_new(str(copies / name), raw)
                yield False
            if copies.exists():
                flush_folder(copies)

    def _set_up(self, locks: Path, mode: int | None, now: float) -> Workshop:
        if not AVAILABLE:
            msg = "this Python has no file locks (no module fcntl); use another storage"
            raise SessionError(msg)
        self._disk.make_folders(self.path)
        unfinished = self.path / _HIDDEN / "unfinished"
        for folder in (self.path / _HIDDEN, locks, unfinished):
            self._disk.make_folder(folder)
        workshop = Workshop(unfinished, mode)
        workshop.remove_abandoned(now)
        self._disk.probe(workshop.new_path())
        return workshop

    def _make_place(self, folder: Path, root: Path) -> None:
        """Make *folder* below *root*, which is not created again if it is gone."""
        if folder.parent != root:
            self._disk.make_folder(folder.parent)
        self._disk.make_folder(folder)

    def _replace(self, path: str, raw: bytes) -> None:
        self._disk.replace(
            path,
            raw,
            self._workshop.new_path(),
            lambda: self._make_place(Path(path).parent, self.path),
        )

    def _path(self, place: Place) -> str:
        return f"{self._within}{place.folder}{os.sep}{place.stem}.json"

    def _key_path(self, place: Place) -> str:
        return f"{self._within}{place.folder}{os.sep}{place.stem}.key"

    def _foreign_path(self, key: str, place: Place) -> str | None:
        """Where grammY would have kept *key*, if that is not its *place* anyway."""
        if not (place.is_escaped and self._heeds_grammy_names):
            return None
        foreign = grammy_place_of(key)
        return None if foreign is None else self._path(foreign)

    def _locate(self, key: str, place: Place) -> str:
        path = self._path(place)
        foreign = self._foreign_path(key, place)
        if foreign is None or Path(path).exists() or not Path(foreign).exists():
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
        if key is None or place.is_escaped or place_of(key) == place:
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
            self._replace(path, key_bytes(key))


class _Mark:
    """A folder that is kept open, so that another one in its place is noticed."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)
        # While it is open, no other folder gets its number.  Windows opens no folders, and
        # does not remove them as long as there are open files in them.
        self._descriptor = None if sys.platform == "win32" else os.open(path, os.O_RDONLY)
        self._status = os.stat(path)  # noqa: PTH116
        self._close = finalize(self, _close, self._descriptor)

    def is_there(self) -> bool:
        """Whether the path still leads to it."""
        try:
            found = os.stat(self._path)  # noqa: PTH116 (a Path would cost as much as the call)
            return os.path.samestat(found, self._status)
        except (FileNotFoundError, NotADirectoryError):
            return False

    def close(self) -> None:
        """Close it; a no-op the second time."""
        self._close()


def _close(descriptor: int | None) -> None:
    if descriptor is not None:  # pragma: no branch (only on Windows)
        os.close(descriptor)


def _sign_of_ends(path: Path) -> Path:
    """The folder that is there if a value in *path* may have an end."""
    return path / _HIDDEN / "ends"


def _check_free(path: Path) -> None:
    if os.path.lexists(path):
        raise FileExistsError(errno.EEXIST, "there is something already", str(path))

"""Files that are either the old or the new one, whatever happens to the machine.

On the way of a write paths are texts: to make a ``Path`` takes as long as a system call.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_BINARY: Final[int] = getattr(os, "O_BINARY", 0)
_BLOCK: Final = 4096


class TooLargeError(Exception):
    """Raised if there is more in a file than was asked for."""


def read(path: Path | str, at_most: int | None = None) -> bytes | None:
    """Return what is in the file *path*, None if there is none.

    Raises:
        TooLargeError: It has more than *at_most* bytes.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | _BINARY)
    except FileNotFoundError:
        return None
    try:
        raw = os.read(descriptor, _BLOCK)
        if len(raw) == _BLOCK:
            raw += _rest(descriptor, at_most)
    except OSError as error:
        raise _named(error, path) from None
    else:
        return raw
    finally:
        os.close(descriptor)


def _rest(descriptor: int, at_most: int | None) -> bytes:
    size = os.fstat(descriptor).st_size
    if at_most is not None and size > at_most:
        raise TooLargeError
    pieces: list[bytes] = []
    while piece := os.read(descriptor, max(size, _BLOCK)):
        pieces.append(piece)
    return b"".join(pieces)


class Disk:
    """Writes files and makes folders.

    Args:
        mode: The permissions of new files, None for what the umask leaves; new folders
            can be entered as well by those who may read.
    """

    def __init__(self, mode: int | None) -> None:
        self._mode = mode
        self._folder_mode = None if mode is None else mode | (mode & 0o444) >> 2

    def replace(
        self, path: str, raw: bytes, unfinished: str, make_parent: Callable[[], None]
    ) -> None:
        """Let *raw* be what is in the file *path*; *make_parent* makes its folder if need be.

        Until all is on the disk, it is in the file *unfinished*.

        Raises:
            OSError: The old file was kept, unless the text says otherwise.
        """
        try:
            self.write_new(unfinished, raw)
            try:
                _rename(unfinished, path)
            except FileNotFoundError:
                make_parent()
                _rename(unfinished, path)
        except BaseException:
            _discard(unfinished)
            raise
        _flush_changed_folder(path)

    def write_new(self, path: str, raw: bytes) -> None:
        """Write *raw* to a new file *path*, and see that it is on the disk."""
        try:
            descriptor = open_new(path, os.O_WRONLY | os.O_EXCL | _BINARY, self._mode)
            try:
                rest = memoryview(raw)
                while rest:
                    rest = rest[os.write(descriptor, rest) :]
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise _named(error, path) from None

    def probe(self, path: str) -> None:
        """Make sure that a file can be written.

        Raises:
            OSError: It cannot be.
        """
        try:
            self.write_new(path, b"probe")
        finally:
            _discard(path)

    def make_folder(self, path: Path) -> None:
        """Make *path*, whose parent is there, if it is not there; the disk knows it then."""
        try:
            path.mkdir(_for_all(self._folder_mode, 0o777))
        except FileExistsError:
            return
        if self._folder_mode is not None and not _is_private(self._folder_mode):
            path.chmod(self._folder_mode)
        flush_folder(path.parent)

    def make_folders(self, path: Path) -> None:
        """Make *path*, and what is above it as other programs would."""
        if not path.parent.exists():
            _make_parents(path.parent)
        self.make_folder(path)


def remove(path: str) -> bool:
    """Remove the file *path* for good; False if there is none."""
    try:
        _patiently(lambda: os.unlink(path))  # noqa: PTH108
    except FileNotFoundError:
        return False
    _flush_changed_folder(path)
    return True


def names(folder: Path) -> set[str]:
    """Return what is in *folder*, nothing if it is none.

    As a set, since a file that is replaced meanwhile may be listed twice.
    """
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries}
    except (FileNotFoundError, NotADirectoryError):
        return set()


def open_new(path: str, flags: int, mode: int | None) -> int:
    """Open a file, made if need be; the user who makes it gives it its permissions."""
    descriptor = os.open(path, flags | os.O_CREAT, _for_all(mode, 0o666))
    if mode is not None and not _is_private(mode):
        with suppress(PermissionError):  # another user has made it
            _set_mode(descriptor, mode)
    return descriptor


def _for_all(mode: int | None, default: int) -> int:
    return default if mode is None else mode


def _is_private(mode: int) -> bool:
    return mode & ~0o700 == 0  # no umask takes anything of it


def _make_parents(path: Path) -> None:
    try:
        path.mkdir(exist_ok=True)
    except FileNotFoundError:
        if path == path.parent:  # a drive that is not there
            raise
        _make_parents(path.parent)
        path.mkdir(exist_ok=True)
    flush_folder(path.parent)


def _flush_changed_folder(path: str) -> None:
    try:
        flush_folder(os.path.dirname(path))  # noqa: PTH120
    except OSError as error:
        msg = f"{error.strerror}; the change to this file may be lost with the next power cut"
        raise OSError(error.errno, msg, path) from error


def _named(error: OSError, path: Path | str) -> OSError:
    error.filename = error.filename or str(path)
    return error


def _rename(source: str, target: str) -> None:
    _patiently(lambda: os.replace(source, target))  # noqa: PTH105


def _discard(path: str) -> None:
    with suppress(OSError):
        os.unlink(path)  # noqa: PTH108


if sys.platform == "win32":  # pragma: no cover (not reached where the tests run)
    import time

    def _patiently(change: Callable[[], object]) -> None:
        # A file that somebody is just reading cannot be replaced or removed on Windows.
        for _ in range(200):
            try:
                change()
            except PermissionError:
                time.sleep(0.005)
            else:
                return
        change()

    def flush_folder(path: Path | str) -> None:
        """Windows has no way to ask for this."""

    def _set_mode(descriptor: int, mode: int) -> None:
        """Windows knows no permissions of this kind."""

else:

    def _patiently(change: Callable[[], object]) -> None:
        change()

    def flush_folder(path: Path | str) -> None:
        """See that the disk knows what is in the folder *path*."""
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        except OSError as error:
            raise _named(error, path) from None
        finally:
            os.close(descriptor)

    def _set_mode(descriptor: int, mode: int) -> None:
        os.fchmod(descriptor, mode)

"""Files that are either the old or the new one, whatever happens to the machine."""

from __future__ import annotations

import os
import secrets
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def read(path: Path) -> bytes | None:
    """Return what is in the file *path*, None if there is none."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def replace(path: Path, raw: bytes, workshop: Path) -> None:
    """Let *raw* be what is in the file *path*; its folder is made if need be.

    Raises:
        OSError: The old file was kept, unless only flushing the folder failed.
    """
    finished = write_new(workshop, raw)
    try:
        try:
            _rename(finished, path)
        except FileNotFoundError:
            make_folder(path.parent)
            _rename(finished, path)
    except BaseException:
        _discard(finished)
        raise
    _flush_folder(path.parent)


def remove(path: Path) -> bool:
    """Remove the file *path* for good; False if there is none."""
    try:
        _patiently(path.unlink)
    except FileNotFoundError:
        return False
    _flush_folder(path.parent)
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


def write_new(folder: Path, raw: bytes) -> Path:
    """Write *raw* to a new file in *folder*, and see that it is on the disk."""
    path = folder / secrets.token_hex(8)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags, 0o666)
    try:
        try:
            _write_all(descriptor, raw)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except BaseException:
        _discard(path)
        raise
    return path


def make_folder(path: Path) -> None:
    """Make *path* and what is above it, each known to the disk before it is used."""
    try:
        _make_one_folder(path)
    except FileNotFoundError:
        if path == path.parent:  # a drive that is not there
            raise
        make_folder(path.parent)
        _make_one_folder(path)


def _make_one_folder(path: Path) -> None:
    with suppress(FileExistsError):
        path.mkdir()
        _flush_folder(path.parent)


def _write_all(descriptor: int, raw: bytes) -> None:
    rest = memoryview(raw)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _rename(source: Path, target: Path) -> None:
    _patiently(lambda: source.replace(target))


def _discard(path: Path) -> None:
    with suppress(OSError):
        path.unlink()


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

    def _flush_folder(path: Path) -> None:
        """Windows has no way to ask for this."""

else:

    def _patiently(change: Callable[[], object]) -> None:
        change()

    def _flush_folder(path: Path) -> None:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

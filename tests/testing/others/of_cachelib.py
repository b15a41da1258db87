"""cachelib's caches as storages of sessions, which keep everything without a timeout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cachelib import BaseCache, FileSystemCache, SimpleCache


class OverCachelib:
    any_value = True

    def __init__(self, cache: BaseCache) -> None:
        self._cache = cache

    def read(self, key: str) -> Any:
        return self._cache.get(key)

    def write(self, key: str, value: Any) -> None:
        if not self._cache.set(key, value):
            raise OSError("set() reported that it failed")

    def delete(self, key: str) -> None:
        self._cache.delete(key)

    def has(self, key: str) -> bool:
        return self._cache.has(key)


def files(namespace: str, folder: Path) -> OverCachelib:
    return OverCachelib(FileSystemCache(str(folder / namespace), threshold=0, default_timeout=0))


def simple(_namespace: str) -> OverCachelib:
    return OverCachelib(SimpleCache(threshold=1_000_000, default_timeout=0))


def empty_files(namespace: str, key: str, folder: Path) -> None:
    """Leave the file of *key* empty, as a full disk or a power cut does."""
    untyped: Any = FileSystemCache(str(folder / namespace), threshold=0, default_timeout=0)
    Path(untyped._get_filename(key)).write_bytes(b"")

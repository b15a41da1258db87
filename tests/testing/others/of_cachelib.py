"""cachelib's caches as storages of sessions, told to keep everything for ever."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cachelib import BaseCache, FileSystemCache, SimpleCache

if TYPE_CHECKING:
    from pathlib import Path


class OverCachelib:
    any_value = True

    def __init__(self, cache: BaseCache) -> None:
        self._cache = cache

    def read(self, key: str) -> Any:
        return self._cache.get(key)

    def write(self, key: str, value: Any) -> None:
        if not self._cache.set(key, value):
            raise OSError("set() told that it failed")

    def delete(self, key: str) -> None:
        self._cache.delete(key)

    def has(self, key: str) -> bool:
        return self._cache.has(key)


def files(namespace: str, folder: Path) -> OverCachelib:
    return OverCachelib(FileSystemCache(str(folder / namespace), threshold=0, default_timeout=0))


def simple(_namespace: str) -> OverCachelib:
    return OverCachelib(SimpleCache(threshold=1_000_000, default_timeout=0))


def empty_files(namespace: str, key: str, folder: Path) -> None:
    """Leave all files empty, as a full disk or a power cut does."""
    for file in (folder / namespace).iterdir():
        file.write_bytes(b"")

"""Storages that others wrote, and which promises they break through our adapters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sessionkit.testing import Limits

NO_LIMITS: Final = Limits()
IN_MEMORY: Final = Limits(shared=False, durable=False)
SLOW: Final = (
    "keys_differ_by_separators",
    "keys_may_share_a_beginning",
    "keys_are_not_paths",
    "types_are_kept",
    "falsy_is_data",
    "texts_come_back",
    "second_opening_sees_the_same_data",
    "damaged_value_raises",
)
"""What a storage is asked for that syncs every write to the disk."""


@dataclass(frozen=True)
class Other:
    """A storage of others, and what is known of it.

    Attributes:
        opener: ``module:function`` below this package.
        needs: The libraries that it takes.
        limits: What is declared of it.
        broken: The promises that it breaks.
        only: What it is asked for; everything, if None.
        damage: ``module:function`` that spoils a stored value.
        server: Whether both functions take the URL of a Redis server first.
    """

    opener: str
    needs: tuple[str, ...]
    limits: Limits = NO_LIMITS
    broken: frozenset[str] = frozenset()
    only: tuple[str, ...] | None = None
    damage: str | None = None
    server: bool = False


DAMAGE: Final = frozenset({"damaged_value_raises"})
ISOLATION: Final = frozenset({"what_was_written_may_be_changed", "what_was_read_may_be_changed"})

OTHERS: Final = {
    "aiogram MemoryStorage": Other("of_aiogram:memory", ("aiogram", "redis"), IN_MEMORY),
    "aiogram MemoryStorage, as if it isolated": Other(
        "of_aiogram:isolated_memory", ("aiogram", "redis"), IN_MEMORY, ISOLATION
    ),
    "aiogram RedisStorage": Other(
        "of_aiogram:redis", ("aiogram", "redis"), damage="of_aiogram:damage_redis", server=True
    ),
    "py-key-value MemoryStore": Other("of_key_value:memory", ("key_value",), IN_MEMORY),
    "py-key-value FileTreeStore": Other(
        "of_key_value:file_tree",
        ("key_value",),
        broken=frozenset(SLOW[:3]),
        only=SLOW,
        damage="of_key_value:damage_file_tree",
    ),
    "py-key-value FileTreeStore, sanitised": Other(
        "of_key_value:sanitised_file_tree",
        ("key_value",),
        only=SLOW,
        damage="of_key_value:damage_file_tree",
    ),
    "py-key-value DiskStore": Other("of_key_value:disk", ("key_value", "diskcache"), only=SLOW),
    "py-key-value RedisStore": Other(
        "of_key_value:redis",
        ("key_value", "redis"),
        broken=DAMAGE,
        damage="of_key_value:damage_redis",
        server=True,
    ),
    "py-key-value RedisStore, over a client of bytes": Other(
        "of_key_value:redis_of_bytes",
        ("key_value", "redis"),
        broken=frozenset({"written_is_read"}),
        only=("missing_is_none", "written_is_read"),
        server=True,
    ),
    "cachelib FileSystemCache": Other(
        "of_cachelib:files",
        ("cachelib",),
        broken=DAMAGE,
        damage="of_cachelib:empty_files",
    ),
    "cachelib SimpleCache": Other("of_cachelib:simple", ("cachelib",), IN_MEMORY),
}

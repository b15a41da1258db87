"""What kind of thing a storage gave, for type checkers as well."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Mapping
from typing import Any, TypeGuard


def is_dict(value: object) -> TypeGuard[dict[Any, Any]]:
    """Return whether *value* is exactly a ``dict``."""
    return type(value) is dict


def is_list(value: object) -> TypeGuard[list[Any]]:
    """Return whether *value* is exactly a ``list``."""
    return type(value) is list


def is_mapping(value: object) -> TypeGuard[Mapping[Any, Any]]:
    """Return whether *value* is a mapping of any kind."""
    return isinstance(value, Mapping)


def is_pair(value: object) -> TypeGuard[tuple[Any, Any]]:
    """Return whether *value* is a tuple of two."""
    return isinstance(value, tuple) and len(value) == 2  # pyright: ignore[reportUnknownArgumentType]  # of anything


def is_sequence(value: object) -> TypeGuard[list[Any] | tuple[Any, ...]]:
    """Return whether *value* is a list or a tuple."""
    return isinstance(value, list | tuple)


def is_async_iterable(value: object) -> TypeGuard[AsyncIterable[Any]]:
    """Return whether *value* can be iterated over by ``async for``."""
    return isinstance(value, AsyncIterable)


async def each_of(listing: Any) -> AsyncIterator[Any]:
    """Yield what *listing* yields, an iterable or an asynchronous one."""
    if is_async_iterable(listing):
        async for item in listing:
            yield item
    else:
        for item in listing:
            yield item

"""What ``open`` of a user may be, and what it gives."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from inspect import Parameter
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from sessionkit._checks import check_storage
from sessionkit._drive import resolve

if TYPE_CHECKING:
    from contextlib import AsyncExitStack

Factory: TypeAlias = Callable[..., Any]

_POSITIONAL: Final = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
_SHAPE: Final = (
    "a factory is open(namespace) or open(namespace, clock), with a parameter 'folder' more if "
    "you like; it returns a storage, or a context manager that gives one"
)


class FactoryError(TypeError):
    """Raised if a factory cannot work at all: nothing can be said of its storage."""


def wishes_of(factory: Factory) -> tuple[str, ...]:
    """Return what *factory* wants beside the namespace, in order: "clock", "folder".

    Raises:
        FactoryError: It cannot be called so.
    """
    if not callable(factory):
        msg = f"{factory!r} cannot be called: {_SHAPE}"
        raise FactoryError(msg)
    parameters = list(inspect.signature(factory).parameters.values())
    positional = [each for each in parameters if each.kind in _POSITIONAL]
    required = [
        each
        for each in parameters
        if each.default is Parameter.empty and each.kind is Parameter.KEYWORD_ONLY
    ]
    takes_any = any(each.kind is Parameter.VAR_POSITIONAL for each in parameters)
    wishes = tuple(map(_wish, positional[1:]))
    if required or not (positional or takes_any) or len(set(wishes)) < len(wishes):
        msg = f"{getattr(factory, '__name__', factory)}{inspect.signature(factory)}: {_SHAPE}"
        raise FactoryError(msg)
    return wishes


def _wish(parameter: Parameter) -> str:
    return "folder" if parameter.name == "folder" else "clock"


async def open_storage(
    factory: Factory, namespace: str, wishes: Mapping[str, Any], stack: AsyncExitStack
) -> Any:
    """Return what *factory* opens; *stack* closes it.

    Raises:
        FactoryError: That is no storage.
    """
    made = await resolve(factory(namespace, *wishes.values()))
    if hasattr(made, "__aenter__"):
        storage = await stack.enter_async_context(made)
    elif hasattr(made, "__enter__"):
        storage = stack.enter_context(made)
    else:
        storage = made
        stack.push_async_callback(_close, storage)
    try:
        check_storage(storage)
    except TypeError as error:
        msg = f"open({namespace!r}) gave no storage. {error}; {_SHAPE}"
        raise FactoryError(msg) from None
    return storage


async def _close(storage: Any) -> None:
    close = getattr(storage, "close", None)
    if callable(close):
        await resolve(close())

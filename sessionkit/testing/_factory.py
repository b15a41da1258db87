"""What ``open`` of a user may be, and what it gives."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from inspect import Parameter
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from sessionkit._storage.checks import check_storage
from sessionkit._storage.sync_or_async import resolve

if TYPE_CHECKING:
    from contextlib import AsyncExitStack

Factory: TypeAlias = Callable[..., Any]

_WISHES: Final = {"clock", "folder"}
_SHAPE: Final = (
    "a factory is open(namespace) or open(namespace, clock), with a parameter 'folder' more if "
    "you like; it returns a storage, or a context manager that gives one"
)


class FactoryError(TypeError):
    """Raised if a factory cannot work at all: nothing can be said of its storage."""


def wishes_of(factory: Factory) -> dict[str, str]:
    """Return what *factory* wants beside the namespace: "clock" or "folder" by parameter.

    A parameter with a default has its value already, unless it is positional and named
    ``clock`` or ``folder``.

    Raises:
        FactoryError: It cannot be called so.
    """
    if not callable(factory):
        msg = f"{factory!r} cannot be called: {_SHAPE}"
        raise FactoryError(msg)
    signature = inspect.signature(factory)
    try:
        given = signature.bind_partial("namespace").arguments
    except TypeError:
        given = {}
    wishes = {
        parameter.name: wish
        for parameter in signature.parameters.values()
        if parameter.name not in given and (wish := _wish(parameter))
    }
    if not given or len(set(wishes.values())) < len(wishes) or not {*wishes.values()} <= _WISHES:
        msg = f"{getattr(factory, '__name__', factory)}{signature}: {_SHAPE}"
        raise FactoryError(msg)
    return wishes


def _wish(parameter: Parameter) -> str | None:
    required = parameter.default is Parameter.empty
    match parameter.kind:
        case Parameter.VAR_POSITIONAL | Parameter.VAR_KEYWORD:
            return None
        case Parameter.KEYWORD_ONLY:  # one with a default may be what functools.partial filled
            return parameter.name if required else None
        case _ if parameter.name in _WISHES:
            return parameter.name
        case _:
            return "clock" if required else None


async def open_storage(
    factory: Factory, namespace: str, wishes: Mapping[str, Any], stack: AsyncExitStack
) -> Any:
    """Return what *factory* opens; *stack* closes it.

    *wishes* has a value for each parameter of ``wishes_of(factory)``.

    Raises:
        FactoryError: That is not a storage.
    """
    call = inspect.signature(factory).bind_partial(namespace)
    call.arguments |= wishes
    made = await resolve(factory(*call.args, **call.kwargs))
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

"""Handlers that are wrapped: whether they are async, which parameters they have and show."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Container
from functools import partial, wraps
from typing import Any


def is_async(function: Callable[..., Any]) -> bool:
    """Whether calling *function* gives a coroutine: a method, partial or callable object, too."""
    return _is(inspect.iscoroutinefunction, function)


def refuse_generator(function: Callable[..., Any]) -> None:
    """Check a function that is to get a session.

    Raises:
        TypeError: It has a ``yield``: calling it would run nothing of it.
    """
    if _is(inspect.isasyncgenfunction, function) or _is(inspect.isgeneratorfunction, function):
        name = getattr(function, "__qualname__", repr(function))
        msg = f"{name}() has a yield: it is a generator, and calling it would run nothing of it"
        raise TypeError(msg)


def parameters_of(function: Callable[..., Any]) -> frozenset[str]:
    """Return the names by which arguments can be passed to *function*."""
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # a builtin without a signature
        return frozenset()
    return frozenset(each.name for each in parameters if each.kind in by_name)


def hiding(
    wrapper: Callable[..., Any], function: Callable[..., Any], names: Container[str]
) -> Callable[..., Any]:
    """Hide parameters from code that inspects the signature."""
    signature = inspect.signature(function)
    shown = [each for name, each in signature.parameters.items() if name not in names]
    wrapper.__signature__ = signature.replace(parameters=shown)  # type: ignore[attr-defined]
    del wrapper.__wrapped__  # type: ignore[attr-defined]
    return wrapper


def injected(function: Callable[..., Any], open_: Callable[[Any], Any]) -> Callable[..., Any]:
    """Wrap *function* so that it gets what *open_* gives for its first argument as the second.

    Raises:
        TypeError: It does not take both, in this order; or it is a generator.
    """
    refuse_generator(function)
    parameter = _second_parameter(function)
    if is_async(function):

        @wraps(function)
        async def opened(ctx: Any, /, *args: Any, **kwargs: Any) -> Any:
            async with open_(ctx) as session:
                return await function(ctx, session, *args, **kwargs)

        return hiding(opened, function, {parameter})

    @wraps(function)
    def opened_sync(ctx: Any, /, *args: Any, **kwargs: Any) -> Any:
        with open_(ctx) as session:
            return function(ctx, session, *args, **kwargs)

    return hiding(opened_sync, function, {parameter})


def _is(kind: Callable[[Any], bool], function: Callable[..., Any]) -> bool:
    while isinstance(function, partial):
        function = function.func
    return kind(function) or kind(getattr(function, "__call__", None))  # noqa: B004 (an object)


def _second_parameter(function: Callable[..., Any]) -> str:
    name = getattr(function, "__qualname__", repr(function))
    parameters = list(inspect.signature(function).parameters.values())[:2]
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if [parameter.kind in positional for parameter in parameters] != [True, True]:
        msg = f"{name}() must take a context and a session, in this order"
        raise TypeError(msg)
    if parameters[0].name in ("self", "cls"):
        msg = f"{name}() is a method: inject where it is bound, sessions.inject(object.method)"
        raise TypeError(msg)
    return parameters[1].name

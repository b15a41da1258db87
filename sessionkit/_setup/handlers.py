"""What is asked of a handler before it is wrapped: is it async, which parameters has it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Container
from functools import partial
from typing import Any


def is_async(function: Callable[..., Any]) -> bool:
    """Whether calling *function* gives a coroutine: a method, partial or callable object, too."""
    while isinstance(function, partial):
        function = function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004 (a callable object)
    )


def parameters_of(function: Callable[..., Any]) -> frozenset[str]:
    """Return the names by which arguments can be passed to *function*."""
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # a builtin that does not tell
        return frozenset()
    return frozenset(each.name for each in parameters if each.kind in by_name)


def hiding(
    wrapper: Callable[..., Any], function: Callable[..., Any], names: Container[str]
) -> Callable[..., Any]:
    """Hide parameters from whoever inspects the signature."""
    signature = inspect.signature(function)
    shown = [each for name, each in signature.parameters.items() if name not in names]
    wrapper.__signature__ = signature.replace(parameters=shown)  # type: ignore[attr-defined]
    del wrapper.__wrapped__  # type: ignore[attr-defined]
    return wrapper

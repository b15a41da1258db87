"""What a storage must keep to: promises, each with the check that tells."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, TypeAlias

from sessionkit.testing._broken import BrokenPromise
from sessionkit.testing._factory import FactoryError
from sessionkit.testing._needs import NEEDS, LeftOut
from sessionkit.testing._show import show_error
from sessionkit.testing._subject import Subject

Layer: TypeAlias = Literal["table", "machine", "concurrency"]
Check: TypeAlias = Callable[[Subject], Awaitable[None]]

LAYERS: Final[tuple[Layer, ...]] = ("table", "machine", "concurrency")
_PACKAGES: Final = {layer: f"sessionkit.testing._{layer}" for layer in LAYERS}
_HERE: Final = str(Path(__file__).parent)
_RAISES: Final = (
    "the last call does not work at all, whatever else this promise is about: make it answer."
)
_registry: Final[dict[str, Promise]] = {}


@dataclass(frozen=True)
class Promise:
    """One thing that a storage must keep to.

    Attributes:
        name: Its permanent name, that of the check function.
        sentence: What a storage must keep to, one sentence for people.
        hint: What usually breaks it.
        layer: The layer of the kit that it belongs to.
        needs: What a storage must offer to be asked; names of methods and
            declarations, "shared", "durable", "ttl", "clock" (the kit's), "time".
        modules: Importable modules without which the check is left out.
        timeout: Seconds after which the check counts as hanging; None for never.
        check: Raises ``BrokenPromise``, or whatever the storage raised.
    """

    name: str
    sentence: str
    hint: str
    layer: Layer
    needs: tuple[str, ...]
    modules: tuple[str, ...]
    timeout: float | None
    check: Check = field(repr=False)

    async def ask(self, subject: Subject) -> None:
        """Let *subject* keep this promise, or break it.

        Raises:
            BrokenPromise: It broke it; an error of the storage is its cause.
            LeftOut: It cannot be asked for it; the text says why.
            FactoryError: No storage could be opened.
        """
        self._check_modules()
        await subject.begin(self.needs)
        limit = asyncio.timeout(self.timeout)
        try:
            async with limit:
                await self.check(subject)
        except (LeftOut, FactoryError):
            raise
        except BrokenPromise as error:
            error.promise = error.promise or self
            cause = error.__cause__
            raise error from cause and cause.with_traceback(_outside(cause.__traceback__))
        except Exception as error:  # noqa: BLE001 (a storage may raise what it likes)
            hangs = isinstance(error, TimeoutError) and limit.expired()
            expected = f"an answer within {self.timeout} seconds" if hangs else "no error"
            got = "none" if hangs else show_error(error)
            shown = error.with_traceback(_outside(error.__traceback__))
            raise BrokenPromise(
                subject.history.lines,
                expected=expected,
                got=got,
                promise=self,
                hint=_RAISES if self.layer == "machine" and not hangs else None,
            ) from shown

    def _check_modules(self) -> None:
        missing = [module for module in self.modules if find_spec(module) is None]
        if missing:
            names = ", ".join(missing)
            msg = f"{names} is not installed: install sessionkit from its checkout with [testing]"
            raise LeftOut(msg)


def _outside(traceback: TracebackType | None) -> TracebackType | None:
    """Return the part of *traceback* that lies in the user's own code."""
    while traceback is not None:
        if not traceback.tb_frame.f_code.co_filename.startswith(_HERE):
            return traceback
        traceback = traceback.tb_next
    return None


def promise(
    sentence: str,
    *,
    hint: str,
    layer: Layer = "table",
    needs: tuple[str, ...] = (),
    modules: tuple[str, ...] = (),
    timeout: float | None = 30.0,
) -> Callable[[Check], Check]:
    """Register the decorated check as that of a promise, under the function's name.

    Raises:
        ValueError: There is a promise of that name, or no such need.
    """
    if not NEEDS.issuperset(needs):
        msg = f"there are no such needs: {', '.join(set(needs) - NEEDS)}"
        raise ValueError(msg)

    def register(check: Check) -> Check:
        name = check.__name__
        if name in _registry:
            msg = f"there are two promises of the name {name!r}"
            raise ValueError(msg)
        _registry[name] = Promise(name, sentence, hint, layer, needs, modules, timeout, check)
        return check

    return register


def promises() -> tuple[Promise, ...]:
    """Return all promises, layer by layer, in the order in which they are written."""
    for package in _PACKAGES.values():
        if find_spec(package) is not None:
            importlib.import_module(package)
    return tuple(sorted(_registry.values(), key=lambda each: LAYERS.index(each.layer)))

"""How a promise is asked for: its check is run, and what comes of that is reported alike."""

from __future__ import annotations

import asyncio
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Final

from sessionkit.testing._broken import BrokenPromise
from sessionkit.testing._factory import FactoryError
from sessionkit.testing._guard import while_it_goes_on
from sessionkit.testing._needs import LeftOut
from sessionkit.testing._promises import Promise
from sessionkit.testing._show import show_error
from sessionkit.testing._subject import Subject

_HERE: Final = str(Path(__file__).parent)
_RAISES: Final = (
    "the last call does not work at all, whatever else this promise is about: make it answer."
)


async def ask_for(promise: Promise, subject: Subject) -> None:
    """Let *subject* keep *promise*, or break it.

    Raises:
        BrokenPromise: It broke it; an error of the storage is its cause.
        LeftOut: It cannot be asked for it; the text says why.
        FactoryError: No storage could be opened.
    """
    _check_modules(promise)
    await subject.begin(promise.needs)
    limit = asyncio.timeout(promise.timeout)
    try:
        async with limit:
            with while_it_goes_on(limit, promise.timeout):
                await promise.check(subject)
    except (LeftOut, FactoryError):
        raise
    except BrokenPromise as error:
        error.promise = error.promise or promise
        cause = error.__cause__
        raise error from cause and cause.with_traceback(_outside(cause.__traceback__))
    except Exception as error:  # noqa: BLE001 (a storage may raise what it likes)
        hangs = isinstance(error, TimeoutError) and limit.expired()
        shown = error.with_traceback(_outside(error.__traceback__))
        raise BrokenPromise(
            subject.history.lines,
            expected=f"an answer within {promise.timeout} seconds" if hangs else "no error",
            got="none" if hangs else show_error(error),
            promise=promise,
            hint=_RAISES if promise.layer == "machine" and not hangs else None,
        ) from shown


def _check_modules(promise: Promise) -> None:
    missing = [module for module in promise.modules if find_spec(module) is None]
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

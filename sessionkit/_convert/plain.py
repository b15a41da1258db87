"""Plain JSON values: what comes back equal when stored, and what would not."""

from __future__ import annotations

import json
import marshal
import sys
from collections.abc import Iterator
from enum import Enum
from math import isfinite
from typing import Any, Final

from sessionkit._frozen import MARSHAL_VERSION
from sessionkit.errors import SessionEncodeError

MAX_DEPTH: Final = 900
TOO_DEEP: Final = "contains itself, or is nested too deep"

_ATOMS: Final = frozenset({str, bool, type(None)})
_KINDS: Final = (dict, list, tuple, str, int, float)
# sys.set_int_max_str_digits takes no limit below 640 digits.
SHORT: Final = 10**639
_SHOWN_STEPS: Final = 8
_SHOWN_LENGTH: Final = 80


class Misfit(Exception):  # noqa: N818 (an answer on its way up, never seen outside)
    """Something in the data does not fit; the way to it is gathered while unwinding."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self._steps: list[str] = []

    def within(self, step: str) -> None:
        """Add the *step* that leads to where this came from."""
        self._steps.append(step)

    @property
    def path(self) -> str:
        """The way from the root, as Python would write it; the middle of a long one is left out."""
        steps = self._steps[::-1]
        if len(steps) > 2 * _SHOWN_STEPS:
            steps[_SHOWN_STEPS:-_SHOWN_STEPS] = ["..."]
        return "".join(steps)


def named(kind: type) -> str:
    """Return the name of a type with its article: ``an int``."""
    name = kind.__name__
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"


def shown(value: object) -> str:
    """Return the ``repr`` of a value of the user's, cut short if long; never raise."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 (a message is being made of it, which must not be lost)
        return f"<{type(value).__name__}>"
    return text if len(text) <= _SHOWN_LENGTH else f"{text[: _SHOWN_LENGTH - 3]}..."


def encode_error(misfit: Misfit) -> SessionEncodeError:
    """Return what to raise for a misfit in data that was to be stored."""
    path = misfit.path
    msg = f"session.data{path} {misfit.reason}. The stored value was kept."
    return SessionEncodeError(msg, path=path)


def check_plain(value: Any) -> None:
    """Make sure that *value* is plain: that JSON gives it back equal, types included.

    Raises:
        SessionEncodeError: Some of it is not; the text says where, and what to do.
    """
    fault = _fault(value)
    if fault is not None:
        raise fault


def _fault(value: Any) -> SessionEncodeError | None:
    try:
        check(value)
    except Misfit as misfit:
        return encode_error(misfit)
    return None


def freeze_plain(value: Any) -> tuple[bytes, Any]:
    """Return a frozen copy of a plain value, as ``freeze`` does, and the value.

    Texts of a library's own kind are ``str`` in both.  What ``check_plain``
    refuses may pass: it is for finding out cheaply whether there is anything
    to check.

    Raises:
        SessionEncodeError: The value is not plain; the text says where.
    """
    try:
        return marshal.dumps(value, MARSHAL_VERSION), value
    except ValueError as error:
        fault = _fault(value)
        if fault is not None:
            raise fault from error
        plain = json.loads(json.dumps(value))
        return marshal.dumps(plain, MARSHAL_VERSION), plain


def is_text(value: object) -> bool:
    """Whether *value* is a ``str``, or a library's own kind of it, such as pyrogram's ``Str``.

    Members of an Enum are none: their names would be lost.
    """
    return isinstance(value, str) and not isinstance(value, Enum)


def check(value: Any) -> None:
    """Raise ``Misfit`` unless *value* is plain."""
    if type(value) is dict or type(value) is list:
        _check_within(_entries(value))
    else:
        _check_scalar(value)


def _check_within(entries: Iterator[tuple[Any, Any]]) -> None:
    """Walk the tree without recursion, so that its depth does not depend on the stack's."""
    way: list[Any] = []
    pending = [entries]
    while pending:
        key: Any = None
        try:
            for key, item in pending[-1]:
                kind: type = type(item)  # pyright: ignore[reportUnknownVariableType]
                if kind in _ATOMS or (kind is int and -SHORT < item < SHORT):
                    continue
                if kind is dict or kind is list:
                    _enter(item, pending)
                    way.append(key)
                    break
                _check_scalar(item)
            else:
                pending.pop()
                del way[-1:]
        except Misfit as misfit:
            for step in (key, *reversed(way)):
                misfit.within(f"[{shown(step)}]")
            raise


def _enter(container: Any, pending: list[Iterator[tuple[Any, Any]]]) -> None:
    if len(pending) == MAX_DEPTH:
        raise Misfit(TOO_DEEP)
    pending.append(_entries(container))


def _entries(container: Any) -> Iterator[tuple[Any, Any]]:
    if type(container) is list:
        return enumerate(container)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    for key in container:
        if type(key) is not str and not is_text(key):
            raise Misfit(_key_reason(key))
    return iter(container.items())


def _check_scalar(value: Any) -> None:
    if type(value) is int:
        check_digits(value)
    elif type(value) is float:
        check_finite(value)
    elif type(value) not in _ATOMS and not is_text(value):
        raise Misfit(_reason(value))


def check_finite(value: float) -> float:
    """Return *value*; raise ``Misfit`` if it is no number, or infinite."""
    if isfinite(value):
        return value
    reason = f"is {value!r}, JSON has no such number: use None"
    raise Misfit(reason)


def check_digits(value: int) -> int:
    """Return *value*; raise ``Misfit`` if Python would refuse to read it back from text."""
    limit = sys.get_int_max_str_digits()
    if -SHORT < value < SHORT or not limit or abs(value) < 10**limit:
        return value
    reason = f"is an int of more than {limit} digits, Python would not read it: use hex(number)"
    raise Misfit(reason)


def _reason(value: object) -> str:
    name = named(type(value))
    for kind in _KINDS:
        if isinstance(value, kind):
            use = list if kind is tuple else kind
            return f"is {name}, it would come back as {named(use)}: use {named(use)}"
    return f"is {name}, JSON cannot hold it: declare a dataclass and session(YourType)"


def _key_reason(key: object) -> str:
    has_key = f"has the key {shown(key)} ({type(key).__name__})"
    if isinstance(key, str):
        return f"{has_key}, it would come back as {shown(str.__str__(key))}: use str keys"
    if isinstance(key, int | float | None):
        return f"{has_key}, it would come back as {shown(_json_key(key))}: use str keys"
    return f"{has_key}, JSON has no such keys: use str keys"


def _json_key(key: float | None) -> str:
    try:
        return json.dumps(key)
    except ValueError:  # an int beyond the limit of digits
        return "its digits"

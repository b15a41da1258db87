"""Plain JSON values: what comes back equal when stored, and what would not.

The cheap way for a session without a data type, at the end of an update::

    frozen, plain, simple = freeze_plain(data)      # each time: what to compare
    if frozen != base and not (simple and holds_no_extremes(plain, frozen)):
        check_plain(plain)                          # hardly ever

Most data is simple: see ``is_simple``.
"""

from __future__ import annotations

import marshal
import re
import sys
from collections.abc import Iterator
from enum import Enum
from math import isfinite
from typing import Any, Final

from sessionkit._data.snapshots import MARSHAL_VERSION, is_simple, is_tangled, thaw
from sessionkit.errors import SessionEncodeError

# Some readers of JSON take a frame of the stack per level: with a limit far below the
# stack's, what was stored can be read in any handler.
MAX_DEPTH: Final = 100
TOO_DEEP: Final = f"contains itself, or is nested deeper than {MAX_DEPTH} levels"
_TANGLED: Final = (
    "contains itself, or the same lists and dicts so often that it would grow without end: keep "
    "an id in their place"
)

_ATOMS: Final = frozenset({str, bool, type(None)})
_KINDS: Final = (dict, list, tuple, str, int, float)
# sys.set_int_max_str_digits takes no limit below 640 digits.
SHORT: Final = 10**639
_SIZE_OF_LONGS: Final = 283
_DIGITS_PER_BYTE: Final = 2.26  # marshal keeps 15 bits of an int in two bytes
_SURROGATES: Final = 0xED  # begins U+D000 to U+DFFF in UTF-8
_PAIR: Final = re.compile(rb"\xed[\xa0-\xaf].\xed[\xb0-\xbf]", re.DOTALL)
_SHOWN_STEPS: Final = 8
_NAME: Final = re.compile(r"[A-Za-z_]{1,40}[0-9]{0,2}")


class Misfit(Exception):  # noqa: N818 (an answer on its way up, never seen outside)
    """Something in the data does not fit; the way to it is gathered while unwinding.

    Args:
        reason: What is wrong, as the rest of a sentence: ``"is a str, not an int"``.
            It must not show data, which may be about a person.
        path: The way to it from the value at hand: ``".items[0].price"``.
    """

    def __init__(self, reason: str, path: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self._steps: list[str] = [path] if path else []

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


def article(name: str) -> str:
    """Return a name with its article: ``an int``."""
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"


def named(kind: type) -> str:
    """Return the name of a type with its article."""
    return article(kind.__name__)


def step(key: object) -> str:
    """Return a key or an index as a part of a path.

    A key that does not look like a name somebody gave to a field may be about a
    person: of such a key only the type is shown.
    """
    if type(key) is int:
        return f"[{key}]"
    if isinstance(key, str) and _NAME.fullmatch(key):
        return f"[{str.__str__(key)!r}]"
    return f"[<{type(key).__name__}>]"


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
    fault = plain_fault(value)
    if fault is not None:
        raise fault


def plain_fault(value: Any) -> SessionEncodeError | None:
    """Return what is wrong with *value*, None if it is plain."""
    try:
        check(value)
    except Misfit as misfit:
        return encode_error(misfit)
    return None


def freeze_plain(value: Any) -> tuple[bytes, Any, bool]:
    """Return a frozen copy of a plain value, as ``freeze`` does, the value, and if it is simple.

    Texts of a library's own kind are ``str`` in both.  What ``check_plain``
    refuses may pass: it is for finding out cheaply whether there is anything
    to check.  Simple data is plain if its frozen copy ``holds_no_extremes``.

    Raises:
        SessionEncodeError: The value is not plain; the text says where.
    """
    if is_simple(value):
        return marshal.dumps(value, MARSHAL_VERSION), value, True
    refuse_tangled(value)
    try:
        return marshal.dumps(value, MARSHAL_VERSION), value, False
    except ValueError as error:
        fault = plain_fault(value)
        if fault is not None:
            raise fault from error
        import json  # noqa: PLC0415 (only subclasses of plain types need it)

        plain = json.loads(json.dumps(value))
        return marshal.dumps(plain, MARSHAL_VERSION), plain, False


def _tangled() -> SessionEncodeError:
    return encode_error(Misfit(_TANGLED))


def plain_copy(value: Any) -> Any:
    """Return a copy of *value*, with no texts but ``str``; raise ``Misfit`` unless it is plain."""
    check(value)
    return thaw(freeze_plain(value)[0])


def refuse_tangled(value: Any) -> None:
    """Raise ``SessionEncodeError`` for plain data that could be frozen only with endless work."""
    if is_tangled(value):
        raise _tangled()


def holds_no_extremes(simple: Any, frozen: bytes) -> bool:
    """Whether JSON gives simple data back equal, also in what its types do not show.

    These are numbers of too many digits, and pairs of surrogates.
    """
    if _SURROGATES in frozen and _has_pairs(frozen):
        return False
    size = len(frozen)
    if size < _SIZE_OF_LONGS:
        return True
    limit = sys.get_int_max_str_digits()
    return not limit or size * _DIGITS_PER_BYTE < limit or _has_short_numbers(simple)


def _has_short_numbers(value: Any) -> bool:
    kind: Any = type(value)  # pyright: ignore[reportUnknownVariableType]
    if kind is int:
        return bool(-SHORT < value < SHORT)
    if kind is dict:
        return all(map(_has_short_numbers, value.values()))
    return kind is not list or all(map(_has_short_numbers, value))


def _has_pairs(frozen: bytes) -> bool:
    """Whether two surrogates form a pair, which JSON gives back as one character."""
    return _PAIR.search(frozen) is not None


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
                    if kind is str:
                        check_text(item)
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
            for passed in (key, *reversed(way)):
                misfit.within(step(passed))
            raise


def _enter(container: Any, pending: list[Iterator[tuple[Any, Any]]]) -> None:
    if len(pending) == MAX_DEPTH:
        raise Misfit(TOO_DEEP)
    pending.append(_entries(container))


def _entries(container: Any) -> Iterator[tuple[Any, Any]]:
    if type(container) is list:
        return enumerate(container)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    for key in container:
        if not is_text(key):
            raise Misfit(_key_reason(key))
        _check_key(key)
    return iter(container.items())


def _check_key(key: str) -> None:
    try:
        check_text(key)
    except Misfit as misfit:
        reason = f"has a key that {misfit.reason}"
        raise Misfit(reason) from None


def _check_scalar(value: Any) -> None:
    if is_text(value):
        check_text(value)
    elif type(value) is int:
        check_digits(value)
    elif type(value) is float:
        check_finite(value)
    elif type(value) not in _ATOMS:
        raise Misfit(_reason(value))


def check_text(text: str) -> str:
    """Return *text*; raise ``Misfit`` if it would come back shorter."""
    if text.isascii() or not _has_pairs(text.encode("utf-8", "surrogatepass")):
        return text
    reason = (
        "has two surrogates that would come back as one character: use "
        "text.encode('utf-16', 'surrogatepass').decode('utf-16')"
    )
    raise Misfit(reason)


def check_finite(value: float) -> float:
    """Return *value*; raise ``Misfit`` if it is NaN or infinite."""
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
    has_key = f"has a key that is {named(type(key))}"
    if isinstance(key, str | int | float | None):
        return f"{has_key}, it would come back as a str: use str keys"
    return f"{has_key}, JSON has no such keys: use str keys"

"""How a storage turns plain values into bytes: JSON unless asked otherwise."""

from __future__ import annotations

import json
import pickle
from typing import Any, Final, NoReturn, Protocol

from sessionkit.errors import SessionDecodeError, SessionEncodeError


class Codec(Protocol):
    """Turns a value into bytes and back; compression and encryption go here."""

    def encode(self, value: Any, /) -> bytes:
        """Return *value* as bytes; raise whatever fits if that is impossible."""
        ...

    def decode(self, raw: bytes, /) -> Any:
        """Return the value that ``encode`` was given; raise if *raw* is damaged."""
        ...


def _refuse_constant(name: str) -> NoReturn:
    msg = f"{name} is not JSON"
    raise ValueError(msg)


class JSONCodec:
    """Compact JSON text in UTF-8, as ``JSON.stringify`` writes it."""

    def __init__(self) -> None:
        options: dict[str, Any] = {"allow_nan": False, "separators": (",", ":")}
        self._encode = json.JSONEncoder(ensure_ascii=False, **options).encode
        self._encode_ascii = json.JSONEncoder(ensure_ascii=True, **options).encode
        decoder = json.JSONDecoder(parse_constant=_refuse_constant)
        self._decode = decoder.decode
        self._decode_compact = decoder.raw_decode

    def encode(self, value: Any, /) -> bytes:
        """Return *value* as JSON; lone surrogates are escaped."""
        try:
            return self._encode(value).encode()
        except UnicodeEncodeError:
            return self._escaped(value)

    def _escaped(self, value: Any) -> bytes:
        text = self._encode_ascii(value)
        if self._decode(text) != value:
            msg = "it has two surrogates that would come back as one character"
            raise ValueError(msg)
        return text.encode()

    def decode(self, raw: bytes, /) -> Any:
        """Return the value of JSON text; raise ``ValueError`` if it is none."""
        text = raw.decode()
        try:
            value, end = self._decode_compact(text)
        except ValueError:
            return self._decode(text)
        return value if end == len(text) else self._decode(text)  # space around it costs time


class PickleCodec:
    """Any Python value, pickled.

    Dangerous: anybody who can write to the storage can run code in your program
    as soon as it reads.  Only for data that nobody else can touch.

    Classes must stay as they are.  Frozen dataclasses with slots are pickled by the
    order of their fields: without one of them, values land in others.
    """

    any_value: Final = True
    """Sessions over a storage with this codec are not held to what JSON can hold."""

    def encode(self, value: Any, /) -> bytes:
        """Return *value* pickled."""
        return pickle.dumps(value, protocol=5)

    def decode(self, raw: bytes, /) -> Any:
        """Unpickle *raw*, which runs whatever code is in it."""
        return pickle.loads(raw)  # noqa: S301 (asked for by name, danger said above)


def takes_any_value(codec: Codec) -> bool:
    """Return whether *codec* says that it holds more than plain JSON values."""
    return getattr(codec, "any_value", False) is True


def encode_value(codec: Codec, key: str, value: Any) -> bytes:
    """Encode what is to be stored under *key*.

    Raises:
        SessionEncodeError: The codec refused; nothing was written.
    """
    try:
        return codec.encode(value)
    except Exception as error:
        msg = f"the data of {key!r} cannot be stored: {error}. The stored value was kept."
        raise SessionEncodeError(msg, key=key) from error


def decode_value(codec: Codec, key: str, raw: bytes, where: object) -> Any:
    """Decode what is stored under *key*; *where* says where to look.

    Raises:
        SessionDecodeError: The codec refused, or found None; nothing was changed.
    """
    try:
        value = codec.decode(raw)
    except Exception as error:  # noqa: BLE001 (a codec may raise what it likes)
        reason: object = error
        cause: Exception | None = error
    else:
        if value is not None:
            return value
        reason, cause = "it holds null, which means missing", None
    msg = (
        f"what is stored under {key!r} cannot be decoded: {reason}. It was left where it "
        f"is, {where}: repair it, or delete it to let the session start again."
    )
    raise SessionDecodeError(msg, key=key) from cause

"""Commands as bytes, and the scripts: what travels, and what is stored.

Under each key is one string: the revision, the expiry, the value.

    8fK2xW0bQm3sVn5yT1aZ 1764500000.5 {"count":1}
    kQ9...20 characters. - {"count":2}                  never expires
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sessionkit import SessionDecodeError
from sessionkit.protocols import ANY
from sessionkit.storages.authoring import Stored, Write

if TYPE_CHECKING:
    from sessionkit.types import Expected

_STORED: Final = re.compile(rb"([\w-]{20}) (-|[0-9.e+-]+) ", re.ASCII)
_LONGEST_HEAD: Final = b"63"

_KEPT_AFTER_EXPIRY: Final = 3600.0
"""Seconds for which Redis keeps what has expired: a session that read it before may write."""

_LONGEST_TTL: Final = 1e11
"""Seconds; what lives longer gets no expiry from Redis, which would refuse it."""

_ZERO: Final = ord("0")
_LARGEST: Final = 1.7976931348623157e308


class Script:
    """A Lua script, run by its digest."""

    def __init__(self, text: str) -> None:
        self._text = text.strip().encode()
        self._digest = hashlib.sha1(self._text, usedforsecurity=False).hexdigest().encode()

    def call(self, keys: Sequence[bytes], arguments: Iterable[bytes] = ()) -> bytes:
        """Return the command that runs it, if the server knows it."""
        return pack(b"EVALSHA", self._digest, b"%d" % len(keys), *keys, *arguments)

    def call_in_full(self, keys: Sequence[bytes], arguments: Iterable[bytes] = ()) -> bytes:
        """Return the command that runs it in any case."""
        return pack(b"EVAL", self._text, b"%d" % len(keys), *keys, *arguments)


class Command(NamedTuple):
    """What is sent; for scripts in two forms.

    Attributes:
        packed: The bytes.
        in_full: Gives the bytes for a server that does not know the script.
        key: Its key, where a cluster has to know it.
    """

    packed: bytes
    in_full: Callable[[], bytes] | None = None
    key: bytes | None = None


_ALIVE: Final = """
local function expiry(head)
  local shown = string.match(head, '^%S+ (%S+) ')
  return shown and tonumber(shown)
end
local function alive(head, now)
  if head == '' then return false end
  local at = expiry(head)
  return not at or at > now
end
"""

_GATHER: Final = """
local found, sizes = {}, {}
for i, key in ipairs(KEYS) do
  local value = %s
  if type(value) == 'table' then return {'apart', apart()} end
  found[i] = value or ''
  sizes[i] = value and #value or -1
end
return {'joined', table.concat(sizes, ' '), table.concat(found)}
"""
"""Replies with one text for all keys, since to take apart one is quicker than to parse many."""

READ: Final = Script(
    """
local function apart()
  local found = {}
  for i, key in ipairs(KEYS) do found[i] = redis.pcall('GET', key) end
  return found
end
"""
    + _GATHER % "redis.pcall('GET', key)"
)

PEEK: Final = Script(
    """
local function apart()
  local found = {}
  for i, key in ipairs(KEYS) do found[i] = redis.pcall('GETRANGE', key, 0, 63) end
  return found
end
"""
    + _GATHER % "redis.pcall('GETRANGE', key, 0, 63)"
)

WRITE: Final = Script(
    _ALIVE
    + """
local function write(key, now, expected, ttl, stored)
  local head = redis.pcall('GETRANGE', key, 0, 63)
  if expected ~= '*' or stored ~= '' then
    if type(head) ~= 'string' then return head end
    local revision = string.sub(head, 1, 20)
    local mine = stored ~= '' and revision == string.sub(stored, 1, 20)
    local fits = expected == '*' or revision == string.sub(expected, 1, 20)
    local nothing_will_do = expected == '-' or #expected > 20
    if not fits and nothing_will_do then fits = not alive(head, now) end
    if mine then return 1 end
    if not fits then return 0 end
  end
  if stored == '' then
    if expected == '-' then return 1 end
    local deleted = redis.pcall('DEL', key)
    return type(deleted) == 'number' and 1 or deleted
  end
  local done
  if ttl == '-' then
    done = redis.pcall('SET', key, stored)
  else
    done = redis.pcall('SET', key, stored, 'PX', ttl)
  end
  return done.ok and 1 or done
end
local outcomes, failed, now = {}, false, tonumber(ARGV[1])
for i, key in ipairs(KEYS) do
  local outcome = write(key, now, ARGV[3 * i - 1], ARGV[3 * i], ARGV[3 * i + 1])
  outcomes[i] = outcome
  failed = failed or type(outcome) == 'table'
end
return failed and outcomes or table.concat(outcomes)
"""
)

TOUCH: Final = Script(
    _ALIVE
    + """
local key, now, at, ttl = KEYS[1], tonumber(ARGV[1]), ARGV[2], ARGV[3]
local head = redis.call('GETRANGE', key, 0, 63)
if not alive(head, now) then return 0 end
if at == '-' or not expiry(head) then return 1 end
local value = redis.call('GET', key)
local revision, rest = string.match(value, '^(%S+) %S+ (.*)$')
redis.call('SET', key, revision .. ' ' .. at .. ' ' .. rest)
if ttl ~= '-' then redis.call('PEXPIRE', key, ttl) end
return 1
"""
)

PURGE: Final = Script(
    _ALIVE
    + """
local now, purged = tonumber(ARGV[1]), 0
for _, key in ipairs(KEYS) do
  local head = redis.pcall('GETRANGE', key, 0, 63)
  if type(head) == 'string' and head ~= '' and not alive(head, now) then
    purged = purged + redis.call('DEL', key)
  end
end
return purged
"""
)


def pack(*parts: bytes) -> bytes:
    """Return a command as it travels."""
    counted = [b"$%d\r\n%b\r\n" % (len(part), part) for part in parts]
    return b"*%d\r\n%b" % (len(parts), b"".join(counted))


def apart(reply: list[Any] | bytes | Exception, count: int) -> list[Any]:
    """Return the replies for *count* keys that a script gave together.

    If it failed as a whole, that is the reply for each.
    """
    if isinstance(reply, bytes):  # of WRITE: a digit for each
        return [digit - _ZERO for digit in reply]
    if not isinstance(reply, list):
        return [reply] * count
    if reply[0] == b"joined":
        return _cut(reply[1], reply[2])
    if reply[0] == b"apart":
        return list(reply[1])
    return list(reply)


def _cut(sizes: bytes, joined: bytes) -> list[bytes | None]:
    found: list[bytes | None] = []
    start = 0
    for size in map(int, sizes.split()):
        found.append(None if size < 0 else joined[start : start + size])
        start += max(0, size)
    return found


def write_arguments(write: Write) -> tuple[bytes, bytes, bytes]:
    """Return what the script needs for one write: expected revision, time to live, value."""
    expected = _expected(write.expected) + (b"!" if write.lapsed else b"")
    if write.raw is None:
        return expected, b"-", b""
    head = f"{write.token} {_shown(write.expires)} ".encode()
    return expected, time_to_live(write.expires, write.now), head + write.raw


def time_to_live(expires: float | None, now: float) -> bytes:
    """Return for how many milliseconds Redis has to keep a value, ``-`` forever."""
    if expires is None or expires - now > _LONGEST_TTL:
        return b"-"
    return b"%d" % max(1, int((expires - now + _KEPT_AFTER_EXPIRY) * 1000))


def shown_expiry(expires: float | None) -> bytes:
    """Return *expires* as it is stored."""
    return _shown(expires).encode()


def stored_in(key: str, raw: bytes, where: str) -> Stored:
    """Return the parts of what is stored.

    Raises:
        SessionDecodeError: It was not stored by this.
    """
    head = _STORED.match(raw)
    if head is None:
        msg = (
            f"what is stored under {key!r} was not written by sessionkit, or is damaged. It was "
            f"left where it is, {where}: give another prefix=, repair it, or delete it"
        )
        raise SessionDecodeError(msg, key=key)
    return Stored(raw[head.end() :], head[1].decode(), _expiry(head[2]))


def expiry_in(head: bytes) -> tuple[float | None]:
    """Return when what begins with *head* expires; what is damaged never does."""
    found = _STORED.match(head)
    return (None if found is None else _expiry(found[2]),)


def _expiry(shown: bytes) -> float | None:
    return None if shown == b"-" else float(shown)


def _shown(expires: float | None) -> str:
    if expires is None or expires > _LARGEST:
        return "-"
    return repr(max(expires, -_LARGEST))


def _expected(expected: Expected) -> bytes:
    if expected is ANY:
        return b"*"
    if expected is None:
        return b"-"
    fits = isinstance(expected, str) and len(expected) == 20 and expected.isascii()
    return str(expected).encode() if fits else b"?"

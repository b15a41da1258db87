"""Session keys as the protocol has them: in the path of a URL, which no server decodes."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from sessionkit.storages.authoring import key_bytes, key_of

_AS_THEY_ARE: Final = "!$&'()*+,-./:;=@[]_|~"
"""What JavaScript leaves in a path as it is, beside letters and digits.

So keys that grammY wrote have the same form here.  A percent sign has not: grammY sends it
as it is, and then another key looks the same.
"""

_DOTS: Final = re.compile(r"(?<![^/])(?=\.{1,2}(?:/|$))")
_NO_DOTS: Final = "%FF"
"""Before a segment that would lead elsewhere in a path; no text in UTF-8 has this byte."""

_MARKED: Final = re.compile(rf"(?<![^/]){_NO_DOTS}(?=\.{{1,2}}(?:/|$))")


def escaped(key: str) -> str:
    """Return *key* as it is sent; different keys have different forms."""
    return _DOTS.sub(_NO_DOTS, quote(key_bytes(key), safe=_AS_THEY_ARE))


def unescaped(sent: str) -> str | None:
    """Return the key that is sent as *sent*, None if that is not the form of any."""
    key = key_of(unquote_to_bytes(_MARKED.sub("", sent)))
    return key if key is not None and escaped(key) == sent else None

"""Sessions whose data is a msgspec Struct: ``session(MyStruct)``.

Found by itself where msgspec is installed.  ``MsgspecConverter`` is for the other
types that msgspec converts: ``session(converter=MsgspecConverter(tuple[Cat, Dog]))``.
See docs/types.md.
"""

try:
    import msgspec as _msgspec

    if [int(part) for part in _msgspec.__version__.split(".")[:2]] < [0, 17]:
        raise ImportError(_msgspec.__version__)
except ImportError as _error:
    _msg = (
        "sessionkit_msgspec needs msgspec 0.17 or later. It comes with the extra 'msgspec': "
        'python -m pip install "<checkout>[msgspec]"'
    )
    raise ImportError(_msg, name="msgspec") from _error

from sessionkit_msgspec._converter import MsgspecConverter
from sessionkit_msgspec._records import record_for

__all__ = ["MsgspecConverter", "record_for"]

del _msgspec

"""Sessions whose data is a pydantic model or dataclass: ``session(MyModel)``.

Found by itself where pydantic 2 is installed.  ``PydanticConverter`` is for options,
and for the other types of which pydantic makes a ``TypeAdapter``:
``session(converter=PydanticConverter(list[Cat | Dog]))``.  See docs/types.md.
"""

try:
    from pydantic import VERSION as _VERSION

    if [int(part) for part in _VERSION.split(".")[:2]] < [2, 9]:
        raise ImportError(_VERSION)
except ImportError as _error:
    _msg = (
        "sessionkit_pydantic needs pydantic 2.9 or later. It comes with the extra 'pydantic': "
        'python -m pip install "<checkout>[pydantic]"'
    )
    raise ImportError(_msg, name="pydantic") from _error

from sessionkit_pydantic._converter import PydanticConverter, converter_for

__all__ = ["PydanticConverter", "converter_for"]

del _VERSION

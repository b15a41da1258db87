"""Sessions whose data is an attrs class: ``session(MyClass)``.

Found by itself where attrs is installed.  See docs/types.md.
"""

try:
    from attrs import AttrsInstance as _AttrsInstance  # since 22.2
except ImportError as _error:
    _msg = (
        "sessionkit_attrs needs attrs 22.2 or later. It comes with the extra 'attrs': "
        'python -m pip install "<checkout>[attrs]"'
    )
    raise ImportError(_msg, name="attrs") from _error

from sessionkit_attrs._records import record_for

__all__ = ["record_for"]

del _AttrsInstance

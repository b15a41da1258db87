"""Looks for the command line in a terminal, by rich: used by ``sessionkit`` where installed."""

try:
    from rich.console import Console
except ImportError as _error:
    _msg = (
        "sessionkit_cli needs rich. It comes with the extra 'cli': "
        'python -m pip install "<checkout>[cli]"'
    )
    raise ImportError(_msg, name="rich") from _error

from sessionkit_cli._looks import RichLooks

__all__ = ["RichLooks"]

del Console

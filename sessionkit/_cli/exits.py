"""Exit codes, and the error that ends a command with one of them."""

from __future__ import annotations

from typing import Final

DONE: Final = 0
NO: Final = 1
"""It was done, and the answer is no: nothing is stored there, something was left out."""
MISUSED: Final = 2
"""The arguments, or what they lead to, are wrong; nothing was done."""
CONFLICT: Final = 3
"""Somebody else wrote in between; nothing was changed."""
FAILED: Final = 128
"""The storage, or a file, failed."""
INTERRUPTED: Final = 130
"""Ctrl-C."""
NOBODY_READS: Final = 141
"""The program that reads the output has ended, as ``head`` does."""

EXPLAINED: Final = """\
exit codes:
  0    done
  1    done, and the answer is no: nothing is stored under that key, something was
       left out or left alone, the doctor found something
  2    wrong arguments, or there is nothing where they lead to; nothing was done
  3    somebody else wrote in between; nothing was changed
  128  the storage or a file failed
  130  interrupted by Ctrl-C
"""


class CommandError(Exception):
    """Ends a command; the message says what to do.

    Attributes:
        code: The exit code.
    """

    def __init__(self, message: str, code: int = MISUSED) -> None:
        super().__init__(message)
        self.code = code

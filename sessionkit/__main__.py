"""The command line: ``python -m sessionkit``."""

import sys

from sessionkit._cli.main import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())

"""What a pickle holds, line by line, from the process that reads it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sessionkit._cli.exits import CommandError

if TYPE_CHECKING:
    from pathlib import Path


def lines_of(path: Path, *, section: str = "", convert: bool) -> Iterator[dict[str, Any]]:
    """Yield ``{"section": ..., "key": ..., "data": ...}``, or ``"reason"`` in place of data.

    Raises:
        CommandError: There is no such file, or it is not a pickle.
    """
    if not path.is_file():
        msg = f"there is no file {path}"
        raise CommandError(msg)
    command = [sys.executable, "-P", "-m", "sessionkit._cli.ways.unpickle", str(path), section]
    with subprocess.Popen(  # noqa: S603 (our own program)
        [*command, "convert" if convert else ""], stdout=subprocess.PIPE, encoding="utf-8"
    ) as reader:
        assert reader.stdout is not None
        for line in reader.stdout:
            found: dict[str, Any] = json.loads(line)
            if "failed" in found:
                msg = f"{path} is not a pickle that can be read: {found['failed']}"
                raise CommandError(msg)
            yield found
    if reader.returncode:
        msg = f"reading {path} ended with {reader.returncode}: it may need more memory"
        raise CommandError(msg)

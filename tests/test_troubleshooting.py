"""The page of errors and cures knows every error, and quotes what is really said."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

import sessionkit
from sessionkit import errors

ROOT = Path(__file__).parents[1]
PAGE = ROOT.joinpath("docs", "troubleshooting.md").read_text("utf-8")
GAP = "\0"


@cache
def texts() -> set[str]:
    """All texts in the package; what is filled in is a gap."""
    found: set[str] = set()
    for path in Path(sessionkit.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match node:
                case ast.Constant(str(text)):
                    found.add(text)
                case ast.JoinedStr(parts):
                    found.add(
                        "".join(
                            str(part.value) if isinstance(part, ast.Constant) else GAP
                            for part in parts
                        )
                    )
                case _:
                    pass
    return found


MESSAGES = re.findall(r"^\| `(.+?)` \|", PAGE, re.MULTILINE)


@pytest.mark.parametrize(
    "name", [name for name in vars(errors) if name.endswith("Error") and name[0] != "_"]
)
def test_every_error_has_its_section(name: str) -> None:
    assert re.search(rf"^## .*\b{name}\b", PAGE, re.MULTILINE)


@pytest.mark.parametrize("message", MESSAGES)
def test_every_message_is_one_of_ours(message: str) -> None:
    pattern = ".*".join(map(re.escape, message.split("...")))
    assert any(re.search(pattern, text, re.DOTALL) for text in texts())


def test_messages_were_found() -> None:
    assert len(MESSAGES) > 30

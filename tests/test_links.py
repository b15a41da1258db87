"""Pages lead where they say, and to nobody else's package.

Links within the repository end at files and headings that exist.  The name
sessionkit on the package index belongs to a stranger: nothing may tell people
to install it by name.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]

LINK = re.compile(r"\]\(\s*<?(?P<inline>[^\s)>]+)|^\s*\[[^\]]+\]:\s*(?P<named>\S+)", re.MULTILINE)
BLOCK = re.compile(r"^(?P<fence>[ \t]*`{3,}).*?^(?P=fence)[ \t]*$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#{1,6}\s+(?P<title>.+?)\s*#*$", re.MULTILINE)
OUTSIDE = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)


def prose_of(page: Path) -> str:
    """Return the text of *page* without its blocks and the code within its lines."""
    return re.sub(r"`[^`\n]+`", "``", BLOCK.sub("", page.read_text("utf-8")))


def anchors_of(page: Path) -> set[str]:
    """Return the anchors that GitHub gives to the headings of *page*."""
    found: set[str] = set()
    for heading in HEADING.finditer(BLOCK.sub("", page.read_text("utf-8"))):
        title = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading["title"]).lower()
        plain = re.sub(r"[^\w\- ]", "", title).replace(" ", "-")
        same = sum(1 for anchor in found if re.fullmatch(rf"{re.escape(plain)}(-\d+)?", anchor))
        found.add(f"{plain}-{same}" if same else plain)
    return found


def links_of(page: Path) -> Iterator[tuple[Path, str]]:
    """Yield the file and the anchor of each link of *page* that stays in the repository."""
    for link in LINK.finditer(prose_of(page)):
        target = link["inline"] or link["named"]
        if not OUTSIDE.match(target):
            path, _, anchor = target.partition("#")
            yield ((page.parent / path).resolve() if path else page), anchor


def broken_links_of(page: Path) -> Iterator[str]:
    for target, anchor in links_of(page):
        if not target.exists():
            yield f"{target} does not exist"
        elif anchor and target.suffix == ".md" and anchor not in anchors_of(target):
            yield f"{target.name} has no heading #{anchor}"


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def everything_written() -> list[Path]:
    """Return all Markdown files, those of other people's packages left out."""
    folders = ("docs", "examples", "benchmarks", "adapters", "tests")
    found = [page for folder in folders for page in ROOT.joinpath(folder).rglob("*.md")]
    return [ROOT / "README.md", *(page for page in found if "node_modules" not in page.parts)]


@pytest.mark.parametrize("page", everything_written(), ids=name_of)
def test_links_lead_to_files_and_headings_that_exist(page: Path) -> None:
    assert list(broken_links_of(page)) == []


def test_every_page_and_every_example_is_linked_from_another_page() -> None:
    linked = {
        target for page in everything_written() for target, _ in links_of(page) if target != page
    }

    written = {*ROOT.joinpath("docs").rglob("*.md"), *ROOT.joinpath("examples").glob("*.py")}
    assert {name_of(page) for page in written - linked} == set()


def test_broken_links_are_found_outside_of_code_only(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    text = """\
        # One `two`, three!
        [a](#one-two-three) [b](page.md#one-two-three) [c](https://example.org/x) `[d](gone.md)`
        ```python
        e = [f](gone.md)
        ```
        [g](gone.md) [h](#nowhere)

        [i]: missing.md
        """
    page.write_text(textwrap.dedent(text), "utf-8")

    broken = [text.rpartition("/")[2] for text in broken_links_of(page)]

    assert broken == [
        "gone.md does not exist",
        "page.md has no heading #nowhere",
        "missing.md does not exist",
    ]


# --- the name on the package index is a stranger's ----------------------------------------

BY_NAME = re.compile(
    r"\b(?:pip3?|pipx|uv|poetry|pdm)\s+(?:install|add|run)\b[^\n&|;#`]*?"
    r"(?<=[\s\"'`=])sessionkit(?:[-_]\w+)*(?=$|[\s\"'`\[.,:;)<>=!~])(?!\.\w)",
    re.MULTILINE,
)


def texts_of_the_repository() -> Iterator[tuple[Path, str]]:
    git = shutil.which("git")
    if git is None or not ROOT.joinpath(".git").exists():
        pytest.skip("only a git checkout knows which files are its own")
    command = [git, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    for path in filter(None, done.stdout.split("\0")):
        if ROOT.joinpath(path).is_file() and path != "tests/test_links.py":
            yield Path(path), ROOT.joinpath(path).read_text("utf-8", "replace")


def test_docs_never_suggest_to_install_the_package_of_that_name_from_an_index() -> None:
    found = {str(path): BY_NAME.findall(text) for path, text in texts_of_the_repository()}

    assert {path: lines for path, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    "line",
    [
        "pip install sessionkit",
        "$ python -m pip install -U sessionkit[ptb]",
        "pip install 'sessionkit>=0.1'",
        'msg = "run `pip install sessionkit`."',
        "uv add sessionkit",
        "pip install aiogram sessionkit_aiogram",
    ],
)
def test_installing_by_bare_name_is_recognised(line: str) -> None:
    assert BY_NAME.search(line)


@pytest.mark.parametrize(
    "line",
    [
        "pip install '.[ptb]'",
        'python -m pip install -e ".[dev]" && python -m pytest',
        "git clone URL sessionkit && pip install ./sessionkit",
        'pip install -e ".[dev]" && cd sessionkit',
        "after `pip install -e .` sessionkit is there",
        "pip install dist/sessionkit-0.1.0-py3-none-any.whl",
    ],
)
def test_installing_from_a_checkout_is_fine(line: str) -> None:
    assert BY_NAME.search(line) is None

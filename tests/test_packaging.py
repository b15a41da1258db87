"""What is shipped: a typed package of the standard library only, and a tidy repository."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import pkgutil
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeGuard

import pytest

import sessionkit

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "sessionkit"
PROJECT: dict[str, Any] = tomllib.loads(ROOT.joinpath("pyproject.toml").read_text("utf-8"))
KIT = PACKAGE / "testing"
FOR_THE_KIT = {"hypothesis", "pytest"}

TOP_LEVEL = {
    ".ci",
    ".gitignore",
    "LICENSE",
    "README.md",
    "adapters",
    "benchmarks",
    "docs",
    "examples",
    "findings",
    "pyproject.toml",
    "sessionkit",
    "tests",
}
STRAY_CONFIG = re.compile(
    r"setup\.(py|cfg)|(tox|pytest|mypy)\.ini|\.?(ruff|pytest|pylintrc)\.toml|\.coveragerc"
    r"|pyrightconfig\.json|\.flake8|\.isort\.cfg|noxfile\.py|Makefile|requirements.*\.txt"
    r"|\.pre-commit-config\.yaml"
)

# Bracketed letters keep these patterns from finding themselves.
PLACES = {
    "a home folder": r"(?<![\w.])/(?:[h]ome|[U]sers)/\w|[A-Z]:\\+[U]sers\\|(?<![\w./-])/[r]oot\b",
    "a folder of one machine": r"(?<![\w./-])/(?:[w]ork|[w]orkspace)/\w",
    "a package index": r"[p]ypi\.(?:org|python)|[p]ythonhosted|[r]egistry\.npmjs|[d]ebian\.org"
    r"|[a]rtifactory|[d]evpi|-?[i]ndex-url|[f]ind-links|[t]rusted-host",
    "a host of one network": r"://[\w.-]+\.(?:[i]nternal|[l]ocal|[c]orp|[l]an)\b"
    r"|\b(?:10|192\.168)\.\d{1,3}\.\d{1,3}\.\d{1,3}\b",
}

# Run without site-packages, so that whatever is not the standard library cannot be there.
IMPORT_ALONE = """\
import importlib, json, sys
sys.path.insert(0, sys.argv[1])
for name in sys.argv[2:]:
    importlib.import_module(name)
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def modules() -> list[str]:
    """Return the names of all modules, the kit for storage authors left out."""
    found = [m.name for m in pkgutil.walk_packages([str(PACKAGE)], "sessionkit.")]
    return ["sessionkit", *(name for name in found if not name.startswith("sessionkit.testing"))]


def packages_of(section: list[str]) -> set[str]:
    return {Path(path).name for path in section}


def third_party(names: set[str]) -> set[str]:
    known = sys.stdlib_module_names | {"__main__", "__mp_main__", "sessionkit"}
    return {name for name in names - known if not name.startswith("_sysconfigdata_")}


def run(python: Path, *arguments: str, cwd: Path) -> str:
    command = [str(python), *arguments]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# --- the core needs nothing ---------------------------------------------------------------


@pytest.mark.parametrize("names", [["sessionkit"], modules()], ids=["package", "every module"])
def test_importing_the_core_loads_only_the_standard_library(
    names: list[str], installed_in: Path, tmp_path: Path
) -> None:
    where = run(installed_in, "-c", "import sessionkit as s; print(s.__file__)", cwd=tmp_path)
    home = str(Path(where).parents[1])

    loaded = run(installed_in, "-S", "-W", "error", "-c", IMPORT_ALONE, home, *names, cwd=tmp_path)

    assert third_party(set(json.loads(loaded))) == set()


def is_type_checking(node: ast.AST) -> TypeGuard[ast.If]:
    return isinstance(node, ast.If) and ast.unparse(node.test) in {
        "TYPE_CHECKING",
        "typing.TYPE_CHECKING",
    }


def imports_at_run_time(node: ast.AST) -> Iterator[str]:
    """Yield the top-level names that *node* imports, unless only for type checkers."""
    if isinstance(node, ast.Import):
        yield from (alias.name.partition(".")[0] for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
        yield node.module.partition(".")[0]
    children = node.orelse if is_type_checking(node) else ast.iter_child_nodes(node)
    for child in children:
        yield from imports_at_run_time(child)


@pytest.mark.parametrize(
    "file", sorted(PACKAGE.rglob("*.py")), ids=lambda file: file.relative_to(ROOT).as_posix()
)
def test_no_module_imports_a_third_party_package_at_run_time(file: Path) -> None:
    names = set(imports_at_run_time(ast.parse(file.read_text("utf-8"))))

    allowed = FOR_THE_KIT if file.is_relative_to(KIT) else set[str]()
    assert third_party(names) - allowed == set()


def test_imports_within_functions_and_beside_type_checking_are_seen() -> None:
    source = """
if TYPE_CHECKING:
    import typed
else:
    import untyped
def later():
    from inner.deep import thing
from . import sibling
"""

    assert set(imports_at_run_time(ast.parse(source))) == {"untyped", "inner"}


# --- what is installed --------------------------------------------------------------------


def test_the_installed_version_is_the_one_of_the_package() -> None:
    assert version("sessionkit") == sessionkit.__version__, "install the checkout again"


def test_the_core_declares_no_dependency_and_ships_its_types() -> None:
    assert PROJECT["project"]["dependencies"] == []
    assert PACKAGE.joinpath("py.typed").exists()


def test_every_adapter_is_packaged_typed_measured_and_has_an_extra() -> None:
    adapters = {init.parent for init in ROOT.joinpath("adapters").glob("*/__init__.py")}
    names = {adapter.name for adapter in adapters}
    tools = PROJECT["tool"]
    extras: dict[str, list[str]] = PROJECT["project"]["optional-dependencies"]

    packaged = packages_of(tools["hatch"]["build"]["targets"]["wheel"]["packages"])
    assert packaged == {"sessionkit"} | names
    assert set(tools["coverage"]["run"]["source_pkgs"]) == packaged
    assert set(tools["check-wheel-contents"]["toplevel"]) == packaged
    assert {adapter.name for adapter in adapters if not (adapter / "py.typed").exists()} == set()
    assert {name for name in names if not name.startswith("sessionkit_")} == set()
    own = {name.removeprefix("sessionkit_").replace("_", "-") for name in names}
    assert own - extras.keys() == set()


def test_developers_and_ci_run_the_command_of_the_readme() -> None:
    script = ROOT / ".ci" / "run"
    if not script.exists():
        pytest.skip("a source distribution has no .ci")
    readme = ROOT.joinpath("README.md").read_text("utf-8")
    if len(readme.splitlines()) < 5:
        pytest.skip("README.md is not written yet")
    command = 'python -m pip install -e ".[dev]" && python -m pytest'

    for part in command.split(" && "):
        assert part in script.read_text("utf-8")
    assert command in readme


# --- the public names ---------------------------------------------------------------------


def public_modules() -> list[ModuleType]:
    """Return the packages, whose public names are those of ``__all__``."""
    found = pkgutil.walk_packages([str(PACKAGE)], "sessionkit.")
    names = [m.name for m in found if m.ispkg and "._" not in m.name]
    return [sessionkit, *map(importlib.import_module, names)]


def exported(module: ModuleType) -> list[str]:
    return list(getattr(module, "__all__", []))


def public_objects() -> Iterator[tuple[str, object]]:
    """Yield classes and functions that users can reach, and their methods and properties."""
    for module in public_modules():
        for name in exported(module):
            value = getattr(module, name)
            if inspect.isclass(value) or inspect.isroutine(value):
                yield f"{module.__name__}.{name}", value
            if inspect.isclass(value):
                yield from public_members(f"{module.__name__}.{name}", value)


def public_members(path: str, owner: type) -> Iterator[tuple[str, object]]:
    for name, value in vars(owner).items():
        kinds = (property, classmethod, staticmethod)
        if not name.startswith("_") and (inspect.isroutine(value) or isinstance(value, kinds)):
            yield f"{path}.{name}", getattr(owner, name)


def is_documented(value: object) -> bool:
    """Return whether somebody wrote a docstring: a dataclass gets a signature for one."""
    doc = inspect.getdoc(value) or ""
    name = getattr(value, "__name__", "")
    if inspect.isclass(value):
        return bool(value.__doc__) and not doc.startswith(f"{name}(")
    return bool(doc)


@pytest.mark.parametrize("module", public_modules(), ids=lambda module: module.__name__)
def test_all_names_whatever_is_public(module: ModuleType) -> None:
    names = exported(module)
    found = {
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }

    found -= {"annotations", "TYPE_CHECKING"}
    assert len(names) == len(set(names))
    assert found - set(names) == set(), "neither private nor in __all__"
    assert [name for name in names if not hasattr(module, name)] == []


def test_every_public_object_has_a_docstring() -> None:
    assert [path for path, value in public_objects() if not is_documented(value)] == []


def test_the_reference_names_every_public_object() -> None:
    reference = ROOT / "docs" / "reference.md"
    if not reference.exists():
        pytest.skip("docs/reference.md is not written yet")
    text = reference.read_text("utf-8")
    described = set(re.findall(r"\w+", " ".join(re.findall(r"`[^`]+`", text))))

    names = {name for module in public_modules() for name in exported(module)}
    assert names - described - {"__version__"} == set()


# --- words --------------------------------------------------------------------------------

HABITS = {
    r"(?<!there )\b(?:is|are|was|were) no (?!longer\b|more\b|less\b)\w+": "is not a, is not an",
    r"\b(?:whoever|whichever|wherever)\b": "the one that, any, in every place where",
    r"\b(?:told|stands)\b": "reported, given, distinguished; is, means",
    r"\bfor ever\b|\banew\b": "without limit, never expires; again, restarts",
    r"\bbe it\b|\bno certain\b": "whether, even if; any",
    r"\bha(?:s|ve) to do with\b|\bdear(?:er)?\b": "concerns, uses; slow, expensive",
}
"""What reads as a foreign idiom in technical English, and plain words instead."""


def habits_in(text: str) -> list[str]:
    """Return the habits in *text*; what is code, or the name of a parameter, is left out."""
    plain = " ".join(re.sub(r"```.*?```|`[^`]*`|\*\w+\*", "", text, flags=re.DOTALL).split())
    found = {
        habit[0]: hint
        for each, hint in HABITS.items()
        for habit in re.finditer(each, plain, re.IGNORECASE)
    }
    return [f"{habit!r}: write {hint}" for habit, hint in found.items()]


def texts_in_code() -> Iterator[tuple[str, str]]:
    """Yield comments, texts (docstrings and messages among them) and names of tests."""
    folders = ["sessionkit", "adapters", "examples", "benchmarks", "tests"]
    for path in sorted(path for each in folders for path in ROOT.joinpath(each).rglob("*.py")):
        if path == Path(__file__):  # which has the habits themselves
            continue
        source, place = path.read_text("utf-8"), path.relative_to(ROOT)
        for number, line in enumerate(source.splitlines(), 1):
            if "#" in line:
                yield f"{place}:{number}", line.partition("#")[2]
        for node in ast.walk(ast.parse(source)):
            match node:
                case ast.Constant(str(text)) if " " in text:
                    yield f"{place}:{node.lineno}", text
                case ast.FunctionDef(name) | ast.AsyncFunctionDef(name) if "test_" in name:
                    yield f"{place}:{node.lineno}", name.replace("_", " ")
                case _:
                    pass


def pages() -> Iterator[tuple[str, str]]:
    for path in [ROOT / "README.md", *sorted(ROOT.joinpath("docs").glob("*.md"))]:
        text = path.read_text("utf-8")
        yield str(path.relative_to(ROOT)), text


def test_pages_and_code_are_in_plain_english() -> None:
    texts = [*pages(), *texts_in_code()]

    assert {place: found for place, text in texts if (found := habits_in(text))} == {}


@pytest.mark.parametrize(
    "text",
    [
        "It is no\nstorage.",
        "whoever waits",
        "Mistakes are told.",
        "for ever",
        "opened anew",
        "be it so",
    ],
)
def test_habits_are_recognised(text: str) -> None:
    assert habits_in(text) != []


@pytest.mark.parametrize("text", ["there is no key", "it is no longer there", "`told`", "*anew*"])
def test_plain_words_are_accepted(text: str) -> None:
    assert habits_in(text) == []


# --- the repository -----------------------------------------------------------------------


def repository() -> list[Path]:
    """Return what is, or could next be, committed; paths are relative to the top level."""
    git = shutil.which("git")
    if git is None or not ROOT.joinpath(".git").exists():
        pytest.skip("only a git checkout knows which files are its own")
    command = [git, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    paths = map(Path, filter(None, done.stdout.split("\0")))
    return [path for path in paths if ROOT.joinpath(path).is_file()]


def test_the_top_level_stays_as_designed() -> None:
    assert {path.parts[0] for path in repository()} - TOP_LEVEL == set()


def test_tools_are_configured_in_pyproject_only() -> None:
    assert [path for path in repository() if STRAY_CONFIG.fullmatch(path.name)] == []


def places_named_in(text: str) -> list[str]:
    named = {kind: pattern for kind, pattern in PLACES.items() if re.search(pattern, text)}
    return [
        f"{number}: {kind}: {line.strip()}"
        for kind, pattern in named.items()
        for number, line in enumerate(text.splitlines(), 1)
        if re.search(pattern, line)
    ]


def test_no_file_names_a_place_of_one_machine_or_a_package_index() -> None:
    texts = {path: ROOT.joinpath(path).read_text("utf-8", "replace") for path in repository()}

    named = {str(path): places_named_in(text) for path, text in texts.items()}
    assert {path: lines for path, lines in named.items() if lines} == {}


@pytest.mark.parametrize(
    "text",
    [
        "open('/" + "home/ann/bot.db')",
        "C:\\" + "Users\\ann",
        "cd /" + "root",
        "cd /" + "work/main",
        "https://" + "pypi" + ".org/simple",
        "pip install --index" + "-url x",
        "https://mirror.example.in" + "ternal/a",
        "redis://10" + ".0.0.12:6379",
    ],
)
def test_places_of_one_machine_are_recognised(text: str) -> None:
    assert places_named_in(text) != []


@pytest.mark.parametrize(
    "text",
    [
        "sqlite:///bot.db",
        "redis://localhost:6379/0",
        "version 10.1 lies between 10 and 11",
        "docs/home/page.md, adapters/root",
        "https://example.org/work/item",
    ],
)
def test_harmless_text_names_no_place(text: str) -> None:
    assert places_named_in(text) == []

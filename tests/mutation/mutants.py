"""What can be changed in a module, and how a change is found again when code has moved."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias, cast

ROOT = Path(__file__).parents[2]
CORE = ROOT / "sessionkit"

Text: TypeAlias = Callable[[ast.stmt | ast.expr], str]

_OPERATORS: Final[dict[type[ast.AST], str]] = {
    ast.Eq: "!=",
    ast.NotEq: "==",
    ast.Lt: "<=",
    ast.LtE: "<",
    ast.Gt: ">=",
    ast.GtE: ">",
    ast.Is: "is not",
    ast.IsNot: "is",
    ast.In: "not in",
    ast.NotIn: "in",
    ast.And: "or",
    ast.Or: "and",
    ast.Add: "-",
    ast.Sub: "+",
    ast.Mult: "/",
}


class Mutant(NamedTuple):
    """One change: in which function, of which text into what; which of several equal ones."""

    file: str
    function: str
    before: str
    after: str
    number: int

    def apply(self, source: str) -> str | None:
        """Return *source* with the change; None if what it changes is no longer there."""
        for each, begin, end in changes(self.file, source):
            if each == self:
                raw = source.encode()
                return (raw[:begin] + self.after.encode() + raw[end:]).decode()
        return None


def all_of_the_core() -> list[Mutant]:
    """Return every mutant of the core, in the order of files and lines."""
    found: list[Mutant] = []
    for path in sorted(CORE.rglob("*.py")):
        file = path.relative_to(ROOT).as_posix()
        if not file.startswith("sessionkit/testing/"):
            found += [mutant for mutant, _, _ in changes(file, path.read_text("utf-8"))]
    return found


def changes(file: str, source: str) -> Iterator[tuple[Mutant, int, int]]:
    """Yield each mutant of *file*, with the bytes of *source* that it replaces."""
    raw = source.encode()
    lines = [0]
    for line in raw.splitlines(keepends=True):
        lines.append(lines[-1] + len(line))

    def span(node: ast.stmt | ast.expr) -> tuple[int, int]:
        end = node.end_lineno or 0, node.end_col_offset or 0
        return lines[node.lineno - 1] + node.col_offset, lines[end[0] - 1] + end[1]

    def text(node: ast.stmt | ast.expr) -> str:
        begin, end = span(node)
        return raw[begin:end].decode()

    seen: Counter[tuple[str, str, str]] = Counter()
    for function, node in _statements_and_expressions(ast.parse(source), ""):
        for after in _variants(node, text):
            key = function, text(node), after
            seen[key] += 1
            yield Mutant(file, *key, seen[key]), *span(node)


def _statements_and_expressions(
    tree: ast.AST, function: str
) -> Iterator[tuple[str, ast.stmt | ast.expr]]:
    for name, child in _children(tree):
        inside = function
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            inside = f"{function}.{child.name}".lstrip(".")
        elif isinstance(child, ast.stmt | ast.expr) and function:
            yield function, child
        if name not in {"annotation", "returns", "decorator_list"}:
            yield from _statements_and_expressions(child, inside)


def _children(tree: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    match tree:
        case ast.If(test=ast.Name(id="TYPE_CHECKING")) | ast.JoinedStr():  # texts for people
            return
        case _:
            for name, value in ast.iter_fields(tree):
                yield from ((name, each) for each in _as_list(value) if isinstance(each, ast.AST))


def _as_list(value: Any) -> list[object]:
    return cast("list[object]", value) if isinstance(value, list) else [value]


def _variants(node: ast.stmt | ast.expr, text: Text) -> Iterator[str]:  # noqa: C901 (a table)
    match node:
        case (
            ast.Compare(left=left, ops=[operator], comparators=[right])
            | ast.BinOp(left=left, op=operator, right=right)
            | ast.BoolOp(op=operator, values=[left, right])
        ):
            known = _OPERATORS.get(type(operator))
            if known is not None:
                yield f"({text(left)}) {known} ({text(right)})"
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield f"({text(operand)})"
        case ast.Constant(value=bool(value)):
            yield str(not value)
        case ast.Constant(value=int(value)):
            yield str(value + 1)
        case ast.IfExp(test=test, body=body, orelse=orelse):
            yield f"{text(orelse)} if {text(test)} else {text(body)}"
        case ast.Return(value=ast.expr()) if text(node) != "return None":
            yield "return None"
        case ast.Expr(value=ast.Call() | ast.Await()) | ast.AugAssign() | ast.Raise():
            yield "pass"
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]) | ast.Delete():
            yield "pass"
        case ast.Break():
            yield "continue"
        case ast.Continue():
            yield "break"
        case _:
            return

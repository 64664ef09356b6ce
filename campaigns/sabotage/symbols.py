"""Where a symbol stands in a text: a Python function, class or name of a module, or a named thing of an SQL file."""

import ast
import re
from collections.abc import Iterator

#: Start and end of a piece of a text, in characters.
Span = tuple[int, int]
_Definition = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


class NoSuchSymbol(Exception):
    """The code has no symbol of this name, or several."""


def span_in_python(text: str, name: str) -> Span:
    """The definition of `name` (`function`, `Class.method`, `NAME`), with its decorators. Raises NoSuchSymbol."""
    body: list[ast.stmt] = ast.parse(text).body
    for part in name.split("."):
        found = [statement for statement in _flat(body) if part in _names(statement)]
        if len(found) != 1:
            raise NoSuchSymbol(name)
        body = found[0].body if isinstance(found[0], _Definition) else []
    start, end = span_of(text, found[0])
    if isinstance(found[0], _Definition) and found[0].decorator_list:
        start = span_of(text, found[0].decorator_list[0])[0] - 1
    return start, end


def span_in_sql(text: str, name: str) -> Span:
    """The constraint, table, index, trigger, policy … that is called `name`. Raises NoSuchSymbol."""
    made = rf"CREATE\b[^;(\n]*?\b{re.escape(name)}\b[^;]*?;"
    constraint = rf"CONSTRAINT {re.escape(name)}\b.*?(?=,?\s*(?:--[^\n]*)?\n\s*(?:CONSTRAINT|--|\)))"
    found = list(re.finditer(rf"(?s:{made}|{constraint})", text))
    if len(found) != 1:
        raise NoSuchSymbol(name)
    return found[0].span()


def span_of(text: str, node: ast.stmt | ast.expr) -> Span:
    """Where a node stands. Python counts the bytes of a line."""
    lines = text.splitlines(keepends=True)

    def place(line: int, column: int) -> int:
        before = lines[line - 1].encode()[:column].decode()
        return sum(map(len, lines[: line - 1])) + len(before)

    assert node.end_lineno is not None
    assert node.end_col_offset is not None
    return place(node.lineno, node.col_offset), place(node.end_lineno, node.end_col_offset)


def _flat(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a body, those under its `if`, `try` and `with` too."""
    for statement in body:
        yield statement
        if not isinstance(statement, _Definition):
            for field in ("body", "orelse", "finalbody"):
                yield from _flat(getattr(statement, field, []))


def _names(statement: ast.stmt) -> set[str]:
    """What a statement defines."""
    if isinstance(statement, _Definition):
        return {statement.name}
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    if isinstance(statement, ast.AnnAssign):
        targets = [statement.target]
    return {target.id for target in targets if isinstance(target, ast.Name)}

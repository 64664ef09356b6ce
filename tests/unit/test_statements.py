"""No statement is made from input: what PostgreSQL is told is written in the code, and values are parameters."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

REPO = Path(__file__).parents[2]
FILES = sorted(path for room in ("issuance", "worker", "scheduler") for path in (REPO / room).rglob("*.py"))
#: Whoever is told a statement, by name, and which argument it is.
TOLD = {"text": 0, "execute": 0, "exec_driver_sql": 0, "scalar": 0, "scalars": 0, "SQL": 0, "Statement": 0}
#: Where statements are made of parts that are no input: names of tables and columns that stand in this repository.
MADE_OF_OURS = {
    "issuance/engine/rows.py": "names of columns, written where it is called",
}


def statements(path: Path) -> Iterator[ast.expr]:
    """What is told to PostgreSQL inside of functions. What is made when a module is imported can hold no input."""
    for function in ast.walk(ast.parse(path.read_text())):
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for call in ast.walk(function):
                if isinstance(call, ast.Call) and call.args:
                    name = getattr(call.func, "attr", getattr(call.func, "id", ""))
                    if name in TOLD:
                        yield call.args[0]


def is_made(statement: ast.expr) -> bool:
    """Whether a text is put together on the spot: an f-string, %, +, format, join or replace."""
    if isinstance(statement, ast.JoinedStr):
        return any(isinstance(part, ast.FormattedValue) for part in statement.values)
    if isinstance(statement, ast.BinOp):
        return isinstance(statement.op, (ast.Add, ast.Mod))
    if isinstance(statement, ast.Call):
        if "SQL(" in ast.unparse(statement):
            return False  # psycopg's own composition, which quotes names and values
        return getattr(statement.func, "attr", "") in ("format", "join", "replace", "format_map")
    return False


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(REPO)))
def test_no_statement_is_made_where_input_is(path: Path) -> None:
    """Only what is written, or what was made when the module was imported, is told to PostgreSQL."""
    if any(str(path.relative_to(REPO)).startswith(room) for room in MADE_OF_OURS):
        return
    assert [ast.unparse(one) for one in statements(path) if is_made(one)] == []


def test_every_exception_is_one() -> None:
    """A place that makes statements no more is no exception any more."""
    made = [str(path.relative_to(REPO)) for path in FILES if any(is_made(one) for one in statements(path))]
    assert [room for room in MADE_OF_OURS if not any(path.startswith(room) for path in made)] == []


@pytest.mark.parametrize(
    "code",
    ['connection.execute(f"SELECT {x}")', 'text("SELECT " + x)', 'execute("SELECT %s" % x)', 'text("{}".format(x))'],
)
def test_the_check_sees_what_it_looks_for(tmp_path: Path, code: str) -> None:
    path = tmp_path / "bad.py"
    path.write_text(f"def f(x):\n    {code}\n")
    assert [is_made(one) for one in statements(path)] == [True]

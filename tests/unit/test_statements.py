"""No statement is made from input: what PostgreSQL is told is written in the code, and values are parameters."""

import ast
import re
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
#: Rules that several places ask for, most of them parts of statements, and how each is spelled.
WRITTEN_ONCE = {
    "a brand's now": r"clock_now, (func\.)?clock_timestamp|brands\.c\.clock_now, func",
    "a schedule is due and not set apart": r"due_at <=? .*quarantined_at IS NULL|IS NULL AND \w*\.?due_at <=? ",
    "a schedule may be tried": r"retry_at IS NULL OR|retry_at IS NOT NULL AND",
    "a membership is over": r"'cancelled', 'expired'|\"cancelled\", \"expired\"\)",
    "a membership changed types": r"type = 'membership.type_changed'",
    "a member is or was archived": r"archived_at IS NOT NULL OR",
    "a credit is still out": r"redeemed_at IS NULL AND (\w+\.)?revoked_at IS NULL",
    "who a guest is, by the latest list": r"for \w+ in sorted\((\w+\.)?named\)",
    "why a rule of another type gives nothing": r"Reason\.OF_ANOTHER_TYPE if ",
    "why a status gives nothing": r"Reason\.MEMBERSHIP_PAUSED\b(?!:)",
}


def calls(path: Path) -> Iterator[ast.Call]:
    """What is called inside of functions."""
    for function in ast.walk(ast.parse(path.read_text())):
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from (call for call in ast.walk(function) if isinstance(call, ast.Call))


def statements(path: Path) -> Iterator[ast.expr]:
    """What is told to PostgreSQL inside of functions. What is made when a module is imported can hold no input."""
    for call in calls(path):
        if call.args and getattr(call.func, "attr", getattr(call.func, "id", "")) in TOLD:
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


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(REPO)))
def test_statements_are_written_at_the_top_of_their_file(path: Path) -> None:
    """A statement of `text` has a name beside its sisters, and is made once. A part of one may be made where it is
    needed."""
    made = [ast.unparse(call) for call in calls(path) if ast.unparse(call.func) == "text"]
    assert [one for one in made if re.match(r"text\(f?['\"]+[\s\\n]*(WITH|SELECT|INSERT|UPDATE|DELETE)\b", one)] == []


@pytest.mark.parametrize("rule", WRITTEN_ONCE)
def test_a_rule_that_several_places_ask_for_is_written_once(rule: str) -> None:
    """Spelled twice, it is changed in one place only, one day."""
    sources = {path: path.read_text() for path in FILES if "migrations" not in path.parts}
    places = [
        str(path.relative_to(REPO)) for path, source in sources.items() for _ in re.finditer(WRITTEN_ONCE[rule], source)
    ]
    assert len(places) <= 1


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

"""What bounds the work stands in one place, is read when it is needed, and is the only number that trials change."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from campaigns.limited import limited
from issuance import limits

REPO = Path(__file__).parents[2]
PRODUCT, TRIALS = ("issuance", "scheduler", "worker"), ("tests", "campaigns", "benchmarks")
#: Reads a limit when it is imported: the API's document is made once.
DOCUMENTED = "issuance/api/corrections.py"
#: What puts something in the place of a name.
PUTS = {"setattr", "delattr", "object", "patch"}
#: What is assigned to, also in the texts of programs that a test starts.
ASSIGNED = re.compile(r"^ *(\w+\.\w+(?:(?:, | = )\w+\.\w+)*) = ", re.MULTILINE)


def sources(*folders: str) -> Iterator[tuple[str, str]]:
    for folder in folders:
        for path in sorted((REPO / folder).rglob("*.py")):
            yield str(path.relative_to(REPO)), path.read_text()


def constants() -> set[str]:
    """The names of the product's constants."""
    return {
        name.id
        for _, source in sources(*PRODUCT)
        for statement in ast.parse(source).body
        if isinstance(statement, (ast.Assign, ast.AnnAssign))
        for name in ast.walk(statement)
        if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store) and name.id.isupper()
    }


def changed(source: str) -> Iterator[str]:
    """The names in whose place a trial puts something."""
    for assigned in ASSIGNED.findall(source):
        yield from re.findall(r"\.(\w+)", assigned)
    for call in ast.walk(ast.parse(source)):
        if isinstance(call, ast.Call) and isinstance(call.func, (ast.Attribute, ast.Name)):
            called = call.func.attr if isinstance(call.func, ast.Attribute) else call.func.id
            if called in PUTS:
                for said in (one for argument in call.args for one in ast.walk(argument)):
                    if isinstance(said, ast.Constant) and isinstance(said.value, str):
                        yield said.value.rpartition(".")[2]


def test_no_trial_changes_a_constant() -> None:
    """By its name it would be missed where another module took it over: what a trial changes is a limit."""
    known = constants()
    assert len(known) > 500
    wrong = [(where, name) for where, source in sources(*TRIALS) for name in changed(source) if name in known]
    assert wrong == []


@pytest.mark.parametrize(
    "trial",
    [
        'monkeypatch.setattr(hints, "WEBHOOKS_QUEUE", "x")',
        'monkeypatch.setattr("issuance.hints.WEBHOOKS_QUEUE", "x")',
        'with mock.patch.object(hints, "WEBHOOKS_QUEUE", "x"): pass',
        "hints.EVENTS_QUEUE = hints.WEBHOOKS_QUEUE = 'x'",
        "PROGRAM = '''\nhints.WEBHOOKS_QUEUE, hints.BULK_QUEUE = 1, 2\n'''",
    ],
)
def test_a_trial_that_changes_a_constant_is_found(trial: str) -> None:
    assert "WEBHOOKS_QUEUE" in set(changed(trial)) & constants()


def test_limits_are_read_when_they_are_needed() -> None:
    """One that was read when its module was imported would stay what it was."""

    def at_import(node: object) -> Iterator[object]:
        """What is worked out when a module is imported: all but the bodies of functions."""
        if not isinstance(node, ast.AST):
            return
        yield node
        is_function = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for part, value in ast.iter_fields(node):
            if not (is_function and part == "body"):
                for child in value if isinstance(value, list) else [value]:
                    yield from at_import(child)

    early = [
        where
        for where, source in sources(*PRODUCT)
        for node in at_import(ast.parse(source))
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "limits.current"
    ]
    assert early == [DOCUMENTED]


def test_a_trial_changes_what_it_names_and_no_more() -> None:
    """One within another too, and all is as it was after it."""
    before = limits.current
    with limited("settling", batch=5), limited("settling", part=2), limited("doors", chunks=7):
        now = limits.current
        assert (now.settling.batch, now.settling.part, now.doors.chunks) == (5, 2, 7)
        assert (now.settling.loaded, now.callers) == (before.settling.loaded, before.callers)
    assert limits.current is before
    with pytest.raises((TypeError, ValueError)), limited("settling", batches=5):
        pass

"""The guards of `./run sabotage` fit the code: each names a symbol that is there, and tests that are there."""

import ast

import pytest

from campaigns.sabotage import guards
from campaigns.sabotage.campaign import REPO
from campaigns.sabotage.edits import DoesNotApply, Edit
from campaigns.sabotage.guards import Guard

GUARDS = guards.read()

CODE = """
LIMIT = 5


class Door:
    @property
    def is_open(self) -> bool:
        return True

    def enter(self, key: str) -> None:
        if not self.known(key):
            raise PermissionError
        log.note(
            key,
        )
        self.count += 1  # ünïcode before and after: ü
        log.note_again(key)


def elsewhere() -> None:
    log.note(LIMIT)
"""
SQL = """
CREATE TABLE doors (
    door_id int,
    -- No two doors of one number.
    CONSTRAINT doors_once UNIQUE (door_id), -- once
    CONSTRAINT doors_numbered CHECK (door_id IN (
        1, 2))
);
CREATE UNIQUE INDEX doors_by_number ON doors (door_id) WHERE door_id > 0;
"""


@pytest.mark.parametrize("guard", GUARDS.values(), ids=GUARDS)
def test_a_guard_stands_where_its_edit_says(guard: Guard) -> None:
    """What is taken out is there once, what is left is other code and Python, and the tests that must notice exist."""
    for file, patched in guard.patched(REPO).items():
        assert patched != (REPO / file).read_text()
        if file.endswith(".py"):
            assert ast.dump(ast.parse(patched)) != ast.dump(ast.parse((REPO / file).read_text()))
    for test in guard.tests:
        path, _, name = test.partition("::")
        assert (REPO / path).exists()
        assert f"def {name}(" in (REPO / path).read_text() if name else True


@pytest.mark.parametrize(
    ("edit", "before", "after"),
    [
        (Edit("m:Door.enter", drop="log.note"), "log.note(\n            key,\n        )", "pass"),
        (Edit("m:Door.enter", never="self.known(key)"), "if not self.known(key):", "if False:"),
        (Edit("m:Door.enter", old="self.count += 1", new="pass"), "self.count += 1", "pass"),
        (Edit("m:Door.enter", old="log.note( key, )", new="pass"), "log.note(\n            key,\n        )", "pass"),
        (Edit("m:elsewhere", drop="log.note"), "log.note(LIMIT)", "pass"),
        (Edit("m:LIMIT", new="LIMIT = 50"), "LIMIT = 5\n", "LIMIT = 50\n"),
        (
            Edit("m:Door.is_open", new="is_open = False"),
            "@property\n    def is_open(self) -> bool:\n        return True",
            "is_open = False",
        ),
    ],
)
def test_an_edit_changes_its_symbol_and_nothing_else(edit: Edit, before: str, after: str) -> None:
    """By structure, not by lines: an argument more or another line break in the code leaves the edit as it is."""
    assert CODE.count(before) == 1
    assert edit.apply(CODE) == CODE.replace(before, after)


@pytest.mark.parametrize(
    ("edit", "before", "after"),
    [
        (Edit("schema.sql:doors_once", new="CHECK (true)"), "CONSTRAINT doors_once UNIQUE (door_id)", "CHECK (true)"),
        (Edit("schema.sql:doors_numbered", old="1, 2", new="1"), "1, 2", "1"),
        (Edit("schema.sql:doors_by_number", old="UNIQUE", new=""), "UNIQUE INDEX", " INDEX"),
        (Edit("schema.sql", old="door_id int", new="door_id text"), "door_id int", "door_id text"),
    ],
)
def test_what_has_a_name_in_sql_is_a_symbol_too(edit: Edit, before: str, after: str) -> None:
    """A constraint, an index, a table."""
    assert edit.apply(SQL) == SQL.replace(before, after)


@pytest.mark.parametrize(
    "edit",
    [
        Edit("m:Window.enter", drop="log.note"),
        Edit("m:Door.leave", drop="log.note"),
        Edit("m:Door.enter", drop="log.forget"),
        Edit("m:elsewhere", never="self.known(key)"),
        Edit("m:elsewhere", old="self.count += 1", new="pass"),
        Edit("m:Door", old="key", new="pass"),
        Edit("schema.sql:windows_once", new=""),
    ],
)
def test_an_edit_that_fits_no_longer_is_an_error(edit: Edit) -> None:
    """No symbol, nothing in it that matches, or more than one thing: the list is noticed to be out of date."""
    with pytest.raises(DoesNotApply, match="follow the code"):
        edit.apply(SQL if edit.symbol.startswith("schema") else CODE)


@pytest.mark.parametrize("says", [{}, {"old": "a"}, {"old": "a", "new": "a"}, {"drop": "a", "never": "b"}])
def test_an_edit_says_one_thing(says: dict[str, str]) -> None:
    """An edit that changes nothing would be a guard that nobody can miss."""
    with pytest.raises(ValueError, match="an edit says"):
        Edit("m:Door", **says)


def test_a_guard_names_its_file_when_it_is_gone() -> None:
    """A module that was moved is an error like a symbol that was renamed."""
    gone = Guard("gone", "Something.", (Edit("issuance.gone:Gone", new=""),), ("tests",))
    with pytest.raises(DoesNotApply, match=r"gone: there is no issuance/gone\.py"):
        gone.patched(REPO)

"""The pictures in the documents are those of the code: rooms, ways, tables, states."""

import re

import pytest

from issuance.credits import credits as credit_room
from issuance.deciding.facts import ChargeState
from issuance.deciding.statuses import Status as MembershipStatus
from issuance.webhooks import deliveries
from tests.unit.pages import DOCS, SCHEMA, section
from tests.unit.test_imports import LAYERS


def test_the_picture_of_the_rooms_is_that_of_the_imports() -> None:
    """The architecture's picture has every layer that imports are held to, in their order."""
    picture = section(DOCS / "architecture.md", "## The rooms").partition("```text\n")[2].partition("```")[0]
    column = picture.splitlines()[0].index("an event's way")
    drawn = [_rooms(line[:column]) for line in picture.splitlines()[2:] if line[:column].strip()]
    held = [_rooms(line) for line in LAYERS.split("\n") if line.strip()]
    assert drawn == [layer for layer in held if layer != {"benchmarks"}]


def _rooms(layer: str) -> set[str]:
    return {room.strip().removeprefix("issuance.") for room in re.split(r"[|:]", layer)}


def test_both_ways_to_a_credit_are_walked_step_by_step() -> None:
    """Each step of the picture's two ways is told below it, none more."""
    page = DOCS / "architecture.md"
    picture = section(page, "## The rooms").partition("```text\n")[2].partition("```")[0]
    columns = [picture.splitlines()[0].index(way) for way in ("an event's way", "the clock's way")]
    for heading, begin, end in (
        ("## An event's way", columns[0], columns[1]),
        ("## The clock's way", columns[1], None),
    ):
        drawn = [int(step) for line in picture.splitlines() if (step := line[begin:end].partition(" ")[0]).isdigit()]
        told = [int(step) for step in re.findall(r"^(\d+)\. ", section(page, heading), re.MULTILINE)]
        assert told == list(range(1, 10)) == sorted(drawn), heading


def test_the_diagram_has_every_table() -> None:
    """The tables of schema.sql, and no others, are in the ER diagram; so is every foreign key but those to brands."""
    diagram = section(DOCS / "database.md", "## The tables")
    drawn = set(re.findall(r"^    (\w+) \{", diagram, re.MULTILINE))
    tables = dict(
        re.findall(r"^CREATE (?:UNLOGGED )?TABLE IF NOT EXISTS (\w+) \((.*?)^\)", SCHEMA, re.MULTILINE | re.DOTALL)
    )
    assert drawn == set(tables)
    # `parent ||--o{ child`; a dotted line is no foreign key.
    lines = {(child, parent) for parent, child in re.findall(r"^    (\w+) \S+--\S+ (\w+) :", diagram, re.MULTILINE)}
    keys = {(table, parent) for table, body in tables.items() for parent in re.findall(r"REFERENCES (\w+)", body)}
    assert lines == {(child, parent) for child, parent in keys if parent != "brands"}


def test_the_diagram_names_columns_that_are_there() -> None:
    """Each column in the ER diagram is one of its table's, with its type."""
    diagram = section(DOCS / "database.md", "## The tables")
    for table, body in re.findall(
        r"^CREATE (?:UNLOGGED )?TABLE IF NOT EXISTS (\w+) \((.*?)^\)", SCHEMA, re.MULTILINE | re.DOTALL
    ):
        columns = dict(re.findall(r"^    ([a-z_]+)\s+([a-z]+)", body, re.MULTILINE))
        drawn = re.search(rf"^    {table} \{{ (.*?) \}}$", diagram, re.MULTILINE | re.DOTALL)
        assert drawn is not None, table
        for kind, name in re.findall(r"\b(\w+) ([a-z_]+)(?: PK| UK)?", drawn.group(1)):
            assert columns.get(name) == kind, (table, name)


STATES = {
    "### A credit": set(credit_room.STATUSES),
    "### A run": set(re.findall(r"'(\w+)'", re.findall(r"runs_state_known CHECK \((.*?)\)\)", SCHEMA, re.DOTALL)[0])),
    "### A charge": {state.value for state in ChargeState},
    "### A membership": {status.value for status in MembershipStatus},
    "### A delivery": set(deliveries.STATES),
}


@pytest.mark.parametrize("heading", STATES)
def test_the_state_machines_have_every_state(heading: str) -> None:
    """What is drawn as a thing's states is the closed set that code or schema.sql knows."""
    drawn = re.findall(r"^    (\S+) --> (\S+)", section(DOCS / "database.md", heading), re.MULTILINE)
    assert {state for move in drawn for state in move} - {"[*]"} == STATES[heading]

"""Tables are read on narrow terminals too."""

from io import StringIO
from uuid import uuid4

import pytest
from rich.console import Console

from issuance.cli import output

ROWS = [{"brand_id": uuid4(), "name": ":smile: [b]Spa[/b]", "timezone": "Europe/Lisbon", "note": None} for _ in "ab"]
COLUMNS = ("brand_id", "name", "timezone", "note")


def shown(monkeypatch: pytest.MonkeyPatch, width: int, *, terminal: bool = True) -> str:
    """What a table writes to a terminal, or to a pipe, that is so wide."""
    written = StringIO()
    console = Console(file=written, width=width, force_terminal=terminal, color_system=None, highlight=False)
    monkeypatch.setattr(output, "console", lambda: console)
    output.show_table("Brands", ROWS, COLUMNS)
    return written.getvalue()


def test_what_is_too_narrow_for_a_table_is_shown_line_by_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each cell that says something, whole, so that an id can be copied."""
    lines = [line.rstrip() for line in shown(monkeypatch, 40).splitlines()]
    assert lines[0] == "Brands"
    for row in ROWS:
        assert f"brand id  {row['brand_id']}" in lines
    assert lines.count("name      :smile: [b]Spa[/b]") == 2
    assert not any(line.startswith("note") for line in lines)


@pytest.mark.parametrize("terminal", [True, False])
def test_an_id_stays_whole_beside_long_names(monkeypatch: pytest.MonkeyPatch, *, terminal: bool) -> None:
    """It is what people copy."""
    written = StringIO()
    console = Console(file=written, width=100, force_terminal=terminal, color_system=None, highlight=False)
    monkeypatch.setattr(output, "console", lambda: console)
    row = {"id": uuid4(), "name": "n" * 300, "of": "o" * 300}
    output.show_table("Rules", [row], ("id", "name", "of"))
    assert str(row["id"]) in written.getvalue()


@pytest.mark.parametrize(("width", "terminal"), [(100, True), (40, False)])
def test_a_table_is_a_table_where_it_fits_or_nobody_looks(
    monkeypatch: pytest.MonkeyPatch, width: int, *, terminal: bool
) -> None:
    assert "brand id" in shown(monkeypatch, width, terminal=terminal).splitlines()[2]

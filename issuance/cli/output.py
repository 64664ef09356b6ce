"""What a command prints: tables and progress bars for people, one JSON document for programs."""

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from issuance.shown import shown, shown_json

if TYPE_CHECKING:  # rich is imported where something is shown
    from rich.console import Console
    from rich.progress import Progress
    from rich.text import Text

#: The width without a terminal: enough for ids and a sentence. A cell may be broken into pieces of READABLE letters.
PIPE_WIDTH, READABLE = 160, 16

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def console() -> "Console":
    """Where tables go. A pipe gets plain text, wide enough for ids."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else PIPE_WIDTH, highlight=False)


def show_table(title: str, rows: Sequence[Mapping[str, Any]], columns: Sequence[str], *, empty: str = "None.") -> None:
    """A table of `columns` of the rows, or the line `empty`."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    if not rows:
        console().print(Text(shown(empty)))
        return
    told = Text(shown(title))
    terminal = console()
    if terminal.is_terminal and _needed(rows, columns) > terminal.width:
        _show_one_by_one(terminal, told, rows, columns)
        return
    table = Table(title=told, title_justify="left", title_style="bold", header_style="bold", box=box.SIMPLE_HEAD)
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold", no_wrap=_has_ids(rows, column))
    for row in rows:
        table.add_row(*(Text(as_cell(row.get(column))) for column in columns))
    terminal.print(table)


def _needed(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> int:
    """The width below which a table's cells would be a few letters each, or its ids in pieces."""
    longest = {column: max(len(as_cell(row.get(column))) for row in rows) for column in columns}
    return sum(
        max(len(column), longest[column] if _has_ids(rows, column) else min(READABLE, longest[column])) + 2
        for column in columns
    )


def _has_ids(rows: Sequence[Mapping[str, Any]], column: str) -> bool:
    """Whether a column has ids, which people copy: they are kept whole."""
    return any(isinstance(row.get(column), UUID) for row in rows)


def _show_one_by_one(
    terminal: "Console", title: "Text", rows: Sequence[Mapping[str, Any]], columns: Sequence[str]
) -> None:
    """Show the rows of a table with a line for each cell that says something. The terminal breaks long lines, so that
    ids can be copied."""
    from rich.text import Text

    terminal.print(title, style="bold")
    longest = max(len(column) for column in columns)
    for row in rows:
        terminal.print()
        for column in columns:
            if said := as_cell(row.get(column)):
                terminal.print(Text(f"{column.replace('_', ' '):{longest}}  {said}"), soft_wrap=True)


def as_cell(value: object) -> str:
    """A value as people read it, in one line."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case datetime():
            return value.isoformat(sep=" ", timespec="seconds").replace("+00:00", "Z")
        case list() | tuple() | set() | frozenset():
            return ", ".join(as_cell(one) for one in value)
        case dict():
            return ", ".join(f"{as_cell(name)} {as_cell(one)}" for name, one in value.items())
    return shown(str(value))


def show_json(document: object) -> None:
    """One JSON document on stdout."""
    sys.stdout.write(shown_json(json.dumps(document, default=_as_json, ensure_ascii=False, indent=2)) + "\n")


def answer(line: str, document: object, *, as_json: bool) -> None:
    """Say what a command did: a line for people, the document for programs."""
    if as_json:
        show_json(document)
    else:
        say(line)


def say(line: str) -> None:
    """One line on stdout."""
    sys.stdout.write(shown(line) + "\n")


def warn(line: str) -> None:
    """One line on stderr."""
    sys.stderr.write(shown(line) + "\n")


def progress_bar(*, of_bytes: bool = False) -> "Progress":
    """A progress bar on stderr, so that stdout stays clean for pipes; only for people."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn() if of_bytes else MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
    )


def _as_json(value: object) -> str | list[Any]:
    match value:
        case datetime() | date():
            return value.isoformat()
        case UUID():
            return str(value)
        case set() | frozenset() | tuple():
            return list(value)
    return str(value)

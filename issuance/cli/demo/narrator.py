"""How the demo is told: tables and lines for people."""

from collections.abc import Iterable
from datetime import date
from typing import Any

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from issuance.cli.demo.cast import Person, Rule
from issuance.shown import shown

WIDTH = 110


class Narrator:
    """Writes the story to stdout."""

    def __init__(self) -> None:
        self.console = Console(width=WIDTH, highlight=False)

    def scene(self, rules: Iterable[Rule], people: Iterable[Person]) -> None:
        """The rules and the members."""
        table = _table("What is promised", "membership type", "credit", "when and to whom")
        for rule in rules:
            table.add_row(rule.membership_type, rule.name, rule.says)
        self.console.print(table)
        table = _table("Who joins", "member", "membership type", "joins", "billed")
        for person in people:
            table.add_row(person.name, person.membership_type, _day(person.starts_on), person.says)
        self.console.print(table)

    def cycle(
        self, title: str, stop: date, changes: dict[str, list[tuple[dict[str, Any], int]]], counts: dict[str, int]
    ) -> None:
        """What became of everyone's credits since the last stop of the clock."""
        table = _table(f"{title}. The clock stands at {_day(stop)} {stop.year}", "guest", *changes)
        for column in table.columns:
            column.ratio = 2 if column.header == "guest" else 3
        cells: dict[str, dict[str, list[str]]] = {}
        for change, told in changes.items():
            for credit, times in sorted(told, key=lambda one: str(one[0]["period_start"])):
                words = f"{credit['coupon_name']} {_day(date.fromisoformat(credit['period_start']))}"
                words += f" ×{times}" if times > 1 else ""
                cells.setdefault(shown(credit["guest"]["name"]), {}).setdefault(change, []).append(shown(words))
        for guest, row in sorted(cells.items()):
            table.add_row(Text(guest), *(Text("\n".join(row.get(change, []))) for change in changes))
        table.add_section()
        table.add_row("all", *(str(counts[change]) for change in changes), style="bold")
        self.console.print(table)

    def line(self, words: str) -> None:
        """One remark."""
        self.console.print(Padding(Text(words), (0, 0, 1, 2)))

    def why(self, question: str, person: Person, rows: Iterable[dict[str, Any]]) -> None:
        """The answer of explain to a question."""
        self.console.print(f"  {question}", style="bold", markup=False)
        self.console.print(f"  $ issuance explain {person.membership_id} --rule … --from … --to …", markup=False)
        for row in rows:
            self.console.print(shown(f"  {row['outcome']}, {row['reason']}: {row['text']}"), markup=False)
        self.console.print()


def _table(title: str, *columns: str) -> Table:
    table = Table(
        title=title, title_justify="left", title_style="bold", header_style="bold", box=box.SIMPLE_HEAD, width=WIDTH
    )
    for column in columns:
        table.add_column(column)
    return table


def _day(day: date) -> str:
    return f"{day.day} {day:%b}"

"""What is told in the end: one JSON document, a table for people, or the same table as markdown."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks import comparison
from benchmarks.samples import Row

Document = dict[str, Any]

#: Rates against rates: how many times what the second does the first does.
_RATES = {
    "bulk_vs_floor": ("bulk", "floor"),
    "bulk_vs_plain_floor": ("bulk", "plain_floor"),
    "floor_vs_plain_floor": ("floor", "plain_floor"),
    "billing_day_vs_bulk": ("billing_day", "bulk"),
    "billing_day_vs_floor": ("billing_day", "floor"),
    "first_month_vs_bulk": ("first_month", "bulk"),
    "five_rules_vs_bulk": ("five_rules", "bulk"),
    "bulk_vs_surprised": ("bulk", "surprised"),
    "bulk_vs_orm_per_message": ("bulk", "dramatiq_orm"),
    "bulk_vs_celery": ("bulk", "celery_orm"),
    "bulk_vs_pgqueuer": ("bulk", "pgqueuer_plain"),
    "bulk_vs_oscar": ("bulk", "oscar"),
    "bulk_vs_pretix": ("bulk", "pretix"),
    "bulk_10k_vs_bulk": ("bulk_10k", "bulk"),
    "intake_http_vs_copy": ("intake_http", "copy"),
    "intake_http_charges_vs_copy": ("intake_http_charges", "copy_charges"),
    "webhooks_vs_events": ("webhooks", "events_alone"),
    "intake_load_vs_copy": ("intake_load", "copy"),
    "redeem_vs_bare_http": ("redeem", "bare_http"),
    "redeem_vs_bare_asgi": ("redeem", "bare_asgi"),
    "redeem_vs_bare_update": ("redeem", "bare_update"),
    "read_credits_vs_bare_http": ("read_credits", "bare_http_read"),
    "read_credits_vs_bare_asgi": ("read_credits", "bare_asgi_read"),
}


def document(rows: Sequence[Row], machine: Mapping[str, object], members: int, rounds: int) -> Document:
    """Everything that was measured, as `--json` prints it."""
    by_name = {row.name: row for row in rows if row.samples}
    return {
        "machine": dict(machine),
        "members": members,
        "rounds": rounds,
        "rows": [_row(row) for row in rows],
        "ratios": {
            name: round(by_name[one].per_second / by_name[other].per_second, 3)
            for name, (one, other) in _RATES.items()
            if one in by_name and other in by_name
        },
        "latency_ms": {
            row.name: {name: round(value, 1) for name, value in row.latency_ms.items()}
            for row in rows
            if row.latency_ms
        },
    }


def against(document: Document, commit: str, new: Sequence[Row], old: Sequence[Row]) -> Document:
    """The document with what an older commit measured in the same run, and each part of one against the other's."""
    compared = {"commit": commit, "pairs": comparison.pairs(new, old), "old_rows": [_row(row) for row in old]}
    return {**document, "against": compared}


def _row(row: Row) -> Document:
    if not row.samples:
        return {"name": row.name, "title": row.title, "n": 0, "per_second": None, "note": row.note}
    told: Document = {
        "name": row.name,
        "title": row.title,
        "n": row.n,
        "per_second": round(row.per_second, 1),
        "samples": [round(sample.n / sample.seconds, 1) for sample in row.samples],
        **{name: round(value, 4) for name, value in row.figures.items()},
    }
    return {**told, "note": row.note} if row.note else told


def show(document: Document) -> None:
    """Tables on stdout."""
    console = Console(width=None if Console().is_terminal else 160, highlight=False)
    console.print(_heading(document), markup=False)
    for title, header, lines in _tables(document):
        table = Table(*header, title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
        for column in table.columns[1:]:
            column.justify = "right"
        for line in lines:
            table.add_row(*line)
        console.print(table, markup=False)


def markdown(document: Document) -> str:
    """The tables as docs/performance.md has them."""
    blocks = [_heading(document)]
    for title, header, lines in _tables(document):
        rows = [header, ["---"] + ["---:"] * (len(header) - 1), *lines]
        blocks.append(f"**{title}**\n\n" + "\n".join(f"| {' | '.join(row)} |" for row in rows))
    return "\n\n".join(blocks)


def _heading(document: Document) -> str:
    machine = document["machine"]
    told = f"{machine['cores']} cores ({machine['processor']}), {machine['memory_gb']} GB, Python {machine['python']}"
    return f"{told}; {document['members']:,} memberships, medians of {document['rounds']} rounds of one run."


#: What of a row stands in the table of rates, or is no figure.
_TOLD = {"name", "title", "n", "per_second", "samples", "note"}


def _tables(document: Document) -> list[tuple[str, list[str], list[list[str]]]]:
    measured = [row for row in document["rows"] if row["per_second"] is not None]
    floor = next((row["per_second"] for row in measured if row["name"] == "floor"), None)
    rates = [
        [
            row["title"],
            f"{row['n']:,}",
            f"{row['per_second']:,.0f}",
            f"{row['per_second'] / floor:.3f}" if floor else "",
        ]
        for row in measured
    ]
    figures = [
        [row["title"], name.replace("_", " "), _short(value)]
        for row in measured
        for name, value in row.items()
        if name not in _TOLD
    ]
    latencies = [
        [name, *(f"{told[percentile]:,.1f}" for percentile in ("p50", "p95", "p99", "max"))]
        for name, told in document["latency_ms"].items()
    ]
    tables = [
        *_against(document),
        ("Rates", ["", "n", "a second", "of the floor"], rates),
        ("Latencies, ms", ["", "p50", "p95", "p99", "max"], latencies),
        ("Ratios", ["", ""], [[name, _short(value)] for name, value in document["ratios"].items()]),
        ("Figures", ["", "", ""], figures),
        ("Notes", ["", ""], [[row["title"], row["note"]] for row in document["rows"] if row.get("note")]),
    ]
    return [table for table in tables if table[2]]


def _against(document: Document) -> list[tuple[str, list[str], list[list[str]]]]:
    """The working tree against the commit, where there is one: `new / old` is the median of the rounds' ratios."""
    if "against" not in document:
        return []
    lines = [
        [
            pair["title"],
            pair["measure"].replace("per_second", "a second").replace("_ms", ", ms"),
            _short(pair["old"]),
            _short(pair["new"]),
            *(f"{pair[name]:.3f}" for name in ("ratio", "ratio_min", "ratio_max")),
        ]
        for pair in document["against"]["pairs"]
    ]
    notes = [[row["title"], row["note"]] for row in document["against"]["old_rows"] if row.get("note")]
    commit = document["against"]["commit"][:12]
    header = ["", "", "old", "new", "new / old", "least", "most"]
    return [(f"The working tree (new) against {commit} (old)", header, lines), (f"Notes on {commit}", ["", ""], notes)]


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:,.3g}"

"""`./run bench`: measures Issuance beside its floor and its peers, on servers of its own."""

import json
import signal
import sys
from typing import Annotated

import typer

from benchmarks import checkout, harness, report, stage
from benchmarks.parts import PARTS, Wanted, make
from issuance import log, settings

_UNITS = {"k": 1_000, "m": 1_000_000}


def main(
    members: Annotated[str, typer.Option(help="Memberships: 10k, 100k, 1M, or any number.")] = "10k",
    only: Annotated[str, typer.Option(metavar="PART,…", help=f"Parts to measure: {', '.join(PARTS)}.")] = "",
    rounds: Annotated[int, typer.Option(min=1, help="How often each part is measured; the median is told.")] = 3,
    against: Annotated[str, typer.Option(metavar="COMMIT", help="Measure a commit too, turn by turn with it.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the tables as markdown.")] = False,
) -> None:
    """Measure Issuance beside its floor and its peers, on a PostgreSQL and a Valkey of the benchmark's own.

    Interleaved: each round measures every part once. Take the ratios, not the rates. With --against each part of each
    round is measured for the working tree (new) and for COMMIT (old), one right after the other.
    """
    count, named = _count(members), [part for part in only.split(",") if part]
    if unknown := [part for part in named if part not in PARTS]:
        raise typer.BadParameter(f"there is no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    log.set_up("console", "warning")
    home = settings.read(settings.OwnSettings).home.absolute() / "benchmarks"
    wanted, commit = Wanted(count, rounds), _commit(against)
    with stage.set_up(home) as where:
        stages = [where, *([where.beside(checkout.of_commit(commit, home))] if commit else [])]
        sides = harness.run_beside([make(one, wanted, named) for one in stages], rounds)
    told = report.document(sides[0], harness.machine(), count, rounds)
    if commit:
        told = report.against(told, commit, *sides)
    if as_json:
        sys.stdout.write(json.dumps(told, indent=2, ensure_ascii=False) + "\n")
    elif markdown:
        sys.stdout.write(report.markdown(told) + "\n")
    else:
        report.show(told)
    if any(row.note.startswith("failed") for rows in sides for row in rows):
        raise typer.Exit(1)


def _count(members: str) -> int:
    unit = _UNITS.get(members[-1:].lower(), 1)
    digits = members[:-1] if unit > 1 else members
    if not digits.isdigit() or int(digits) < 1:
        raise typer.BadParameter(f"--members {members} is no number: 10k, 100k, 1M")
    return int(digits) * unit


def _commit(named: str) -> str:
    try:
        return named and checkout.full_name(named)
    except checkout.NoSuchCommit:
        raise typer.BadParameter(f"--against {named}: the repository has no such commit") from None


def _stop(*_: object) -> None:
    # Like Ctrl-C: what was started is stopped on the way out.
    sys.exit(128 + signal.SIGTERM)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _stop)
    typer.run(main)

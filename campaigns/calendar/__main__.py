"""`./run python -m campaigns.calendar --triples 1000000`: checks every zone, every change of clocks, random triples."""

import argparse
import itertools
import sys
import time

import psycopg

from campaigns.calendar import campaign, oracle
from issuance.cli.output import progress_bar
from issuance.settings import Settings, read


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m campaigns.calendar", description=__doc__)
    parser.add_argument("--triples", type=int, default=1_000_000, help="how many random (anchor, frequency, n)")
    parser.add_argument("--seed", type=int, default=1, help="where chance begins")
    args = parser.parse_args()
    report, began = campaign.Report(), time.monotonic()
    names = campaign.zones()
    with psycopg.connect(read(Settings).libpq_url) as connection, progress_bar() as progress:
        version = connection.execute("SHOW server_version").fetchone()
        task = progress.add_task("zones", total=len(names))
        for name in names:
            changes = oracle.zone_of(name).changes(campaign.FIRST_YEAR, campaign.LAST_YEAR)
            campaign.check_zone(connection, name, changes, report)
            progress.advance(task)
        task = progress.add_task("triples", total=args.triples)
        asked = campaign.triples(args.seed, args.triples)
        while batch := list(itertools.islice(asked, campaign.BATCH)):
            campaign.check_triples(connection, batch, report)
            progress.advance(task, len(batch))
    for line in report.wrong[:50]:
        print(line)
    print(
        f"{report.triples} triples, {report.zones} zones, {report.changes} changes of clocks "
        f"{campaign.FIRST_YEAR} to {campaign.LAST_YEAR}, {report.instants} instants, seed {args.seed}; "
        f"PostgreSQL {version[0] if version else '?'}; {time.monotonic() - began:.0f} s; wrong: {len(report.wrong)}"
    )
    return 1 if report.wrong else 0


if __name__ == "__main__":
    sys.exit(main())

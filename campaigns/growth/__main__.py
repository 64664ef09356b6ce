"""`./run python -m campaigns.growth`: what a year of a club comes to in PostgreSQL, by table; with `--churn N`, how
much larger its tables are after N months of churn than fresh copies of them; with `--months ROWS`, how long a month of
so many rows takes to go beside writers."""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from campaigns.growth import months
from campaigns.growth.churn import Churn, Weighed
from campaigns.growth.year import Year
from issuance import log
from issuance.database.connections import engine_for
from issuance.embedded.postgres import Postgres


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m campaigns.growth", description=__doc__)
    parser.add_argument("--members", type=int, default=1000, help="how many memberships live the year")
    parser.add_argument("--told-of", type=int, default=100_000, help="for how many the figures are told")
    parser.add_argument("--churn", type=int, metavar="MONTHS", help="weigh what months of churn leave behind")
    parser.add_argument("--months", type=int, metavar="ROWS", help="have months of so many rows go beside writers")
    args = parser.parse_args()
    os.environ["ISSUANCE_LOCAL_WEBHOOKS"] = "1"
    log.set_up("console", "warning")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="issuance-growth-", ignore_cleanup_errors=True) as folder:
        server = Postgres(Path(folder), durable=False)
        server.prepare()
        server.start()
        url = server.url.replace("postgresql://", "postgresql+psycopg://", 1)
        try:
            if args.churn:
                show_churn(Churn(url, args.members).live_on(args.churn, month_passed), time.monotonic() - began)
                return 0
            if args.months:
                show_gone(months.measure(url, args.months))
                return 0
            grown = Year(url, args.members).live()
        finally:
            engine_for(url).dispose()
            server.stop()
    times = args.told_of / args.members
    print(f"| table | rows a member and year | GB a year, {args.told_of:,} members | of it indexes |")
    print("|---|---:|---:|---:|")
    for table in grown:
        row = f"| `{table.name}` | {table.rows / args.members:.1f} | {table.bytes * times / 1e9:.2f} |"
        print(f"{row} {table.indexes * times / 1e9:.2f} |")
    print(f"| all | | **{sum(table.bytes for table in grown) * times / 1e9:.1f}** | |")
    print(f"{args.members:,} memberships, {time.monotonic() - began:.0f} s")
    return 0


def month_passed(month: int) -> None:
    print(f"\rmonth {month}", end="", file=sys.stderr, flush=True)


def show_gone(gone: list[months.Gone]) -> None:
    """A row for each month that went."""
    print("| what | seconds | the longest that a writer waited |")
    print("|---|---:|---:|")
    for one in gone:
        print(f"| {one.what} | {one.seconds:.2f} | {one.waited:.3f} |")


def show_churn(weighed: list[Weighed], seconds: float) -> None:
    """Tables of at least a megabyte, and all together."""
    print("\n| table | MB | a fresh copy | ratio |")
    print("|---|---:|---:|---:|")
    large = [table for table in weighed if table.bytes >= 1_000_000]
    for name, size, fresh in [*large, Weighed("all", sum(t.bytes for t in weighed), sum(t.fresh for t in weighed))]:
        print(f"| `{name}` | {size / 1e6:.1f} | {fresh / 1e6:.1f} | {size / fresh:.2f} |")
    print(f"{seconds:.0f} s")


if __name__ == "__main__":
    sys.exit(main())

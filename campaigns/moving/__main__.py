"""`./run python -m campaigns.moving make FOLDER`, then `… events FOLDER --type Gold=ID > events.jsonl`, and after the
load `… compare FOLDER --brand ID`: a made-up club moves to Issuance (docs/moving-to-issuance.md)."""

import argparse
import json
import sys
from collections import Counter
from datetime import date
from pathlib import Path
from uuid import UUID

from sqlalchemy import text

from campaigns.moving import conversion, export
from issuance import database
from issuance.settings import settings

_ISSUED = text("""
    SELECT CAST(membership_id AS text) AS membership_id, count(*) AS number
      FROM credits
     WHERE brand_id = :brand_id AND to_char(period_start, 'YYYY-MM') = :month
       AND guest_id IN (SELECT guest_id FROM guests g WHERE g.brand_id = :brand_id AND g.lead_booker)
       AND revoked_at IS NULL
     GROUP BY 1
""")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m campaigns.moving", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    make = commands.add_parser("make", help="write the club's CSV files")
    make.add_argument("folder", type=Path)
    make.add_argument("--members", type=int, default=300)
    make.add_argument("--today", type=date.fromisoformat, default=date(2031, 6, 10))
    make.add_argument("--seed", type=int, default=1)
    turn = commands.add_parser("events", help="turn the files into events, a line each")
    turn.add_argument("folder", type=Path)
    turn.add_argument("--type", action="append", required=True, metavar="PLAN=ID", help="a plan's membership type")
    compare = commands.add_parser("compare", help="the credits of a month beside those of the old program")
    compare.add_argument("folder", type=Path)
    compare.add_argument("--brand", type=UUID, required=True)
    compare.add_argument("--month", default="2031-06")
    args = parser.parse_args()
    if args.command == "make":
        export.write(args.folder, args.members, args.today, args.seed)
        return 0
    if args.command == "events":
        types = dict(pair.split("=", 1) for pair in args.type)
        sys.stdout.writelines(json.dumps(event) + "\n" for event in conversion.events(args.folder, types))
        return 0
    return _compare(args.folder, args.brand, args.month)


def _compare(folder: Path, brand_id: UUID, month: str) -> int:
    old = Counter({row["subscription_id"]: int(row["number"]) for row in conversion.read(folder / "old_credits.csv")})
    names = {conversion.membership_id(row["id"]): row["id"] for row in conversion.read(folder / "subscriptions.csv")}
    with database.transaction(database.engine_for(settings().database_url), brand_id) as connection:
        found = connection.execute(_ISSUED, {"brand_id": brand_id, "month": month})
        new = Counter({names[row.membership_id]: row.number for row in found})
    ids = {name: membership_id for membership_id, name in names.items()}
    differ = sorted(name for name in old.keys() | new.keys() if old[name] != new[name])
    sys.stdout.write(f"{month}: {old.total()} before, {new.total()} now, {len(differ)} memberships differ\n")
    for name in differ:
        sys.stdout.write(f"  {name}  {ids[name]}  before {old[name]}, now {new[name]}\n")
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())

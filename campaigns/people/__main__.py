"""`./run python -m campaigns.people --seeds N --seed S`: random histories of what people do, each step under its laws.

On a PostgreSQL of its own, or in a database of its own on DATABASE_URL's server. A history that fails is made short,
printed, and can be kept (`--keep`) as a test in campaigns/people/kept.
"""

from __future__ import annotations

import argparse
import sys
import time
from functools import partial
from pathlib import Path

from campaigns.databases import database_of_its_own, database_server
from campaigns.model.histories import History
from campaigns.model.shrink import account, shrink
from campaigns.people.histories import history
from campaigns.people.play import failure
from campaigns.people.site import site_on
from campaigns.simulation.keeping import keep, kept
from issuance import log

FOLDER = Path(__file__).parent / "kept"


def main() -> int:
    parser = argparse.ArgumentParser(prog="./run python -m campaigns.people", description=__doc__)
    parser.add_argument("--seeds", type=int, default=100, help="how many histories")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--shrink", type=float, default=120, help="seconds spent on making a failure short")
    parser.add_argument("--stop-after", type=int, default=5, help="failures after which to give up")
    parser.add_argument("--keep", action="store_true", help="keep what fails in campaigns/people/kept")
    parser.add_argument("--kept", action="store_true", help="play what is kept there instead")
    args = parser.parse_args()
    log.set_up("console", "critical")
    began = time.monotonic()
    played: list[History] = []
    failed: list[int] = []
    wholes = [history(seed) for seed in range(args.seed, args.seed + args.seeds)]
    if args.kept:
        wholes = [kept(path) for path in sorted(FOLDER.glob("*.json"))]
    with database_server() as server, database_of_its_own(server) as url, site_on(url) as site:
        fails = partial(failure, site)
        for whole in wholes:
            played.append(whole)
            mismatch = fails(whole)
            if mismatch is not None:
                failed.append(whole.seed)
                short, mismatch = shrink(fails, whole, mismatch, args.shrink)
                print(f"\n{'=' * 72}\n{account(short, mismatch)}", flush=True)
                if args.keep:
                    print(f"kept as {keep(short, FOLDER)}", flush=True)
            line = f"\r{len(played)}/{len(wholes)} histories, {time.monotonic() - began:.0f} s, failed {len(failed)}"
            print(line, end="", file=sys.stderr, flush=True)
            if len(failed) == args.stop_after:
                break
    steps = sum(len(whole.ops) for whole in played) // max(1, len(played))
    print(f"\n{len(played)} histories of {steps} operations on average; failed seeds: {failed or 'none'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

"""`./run simulate --seeds N --seed S`: random histories in a simulated world; each must end as the oracle says.

On a PostgreSQL of its own, or in databases of their own on DATABASE_URL's server. A history that fails is made
short, printed, and can be kept (`--keep`) as a test in campaigns/simulation/kept.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from itertools import islice
from multiprocessing import get_context

from campaigns.databases import database_server
from campaigns.simulation import keeping
from campaigns.simulation.campaign import Told, play, prepare


def main() -> int:
    parser = argparse.ArgumentParser(prog="./run simulate", description=__doc__)
    parser.add_argument("--seeds", type=int, default=100, help="how many histories")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--together", type=int, default=2, help="processes that play them")
    parser.add_argument("--shrink", type=float, default=60, help="seconds spent on making a failure short")
    parser.add_argument("--stop-after", type=int, default=5, help="failures after which to give up")
    parser.add_argument("--keep", action="store_true", help="keep what fails in campaigns/simulation/kept")
    parser.add_argument("--kept", action="store_true", help="play what is kept in campaigns/simulation/kept instead")
    args = parser.parse_args()
    began, told = time.monotonic(), Told()
    with database_server() as url:
        seeds: Iterator[int | str] = iter(range(args.seed, args.seed + args.seeds))
        if args.kept:
            kept = sorted(path.name for path in keeping.FOLDER.glob("*.json"))
            seeds, args.seeds, args.together = iter(kept), len(kept), 1
        spawn = get_context("spawn")
        with ProcessPoolExecutor(args.together, spawn, prepare, (url, spawn.Value("i", 0))) as pool:
            first = islice(seeds, args.together * 2)
            pending = {pool.submit(play, seed, args.shrink, args.keep) for seed in first}
            while pending:
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                for each in done:
                    told.add(each.result())
                    told.show(args.seeds, time.monotonic() - began)
                    if len(told.failed) < args.stop_after and (seed := next(seeds, None)) is not None:
                        pending.add(pool.submit(play, seed, args.shrink, args.keep))
    return told.end(time.monotonic() - began)


if __name__ == "__main__":
    sys.exit(main())

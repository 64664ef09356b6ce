"""`python -m campaigns.model --seeds N --start S`: a campaign of random histories against a running server."""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from campaigns.model import decided
from campaigns.model.driver import Play
from campaigns.model.guarded import GuardedPlay, without_people
from campaigns.model.histories import history
from campaigns.model.server import server_of_environment
from campaigns.model.shrink import account, failure, shrink


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m campaigns.model", description=__doc__)
    parser.add_argument("--seeds", type=int, default=100, help="how many histories")
    parser.add_argument("--start", type=int, default=0, help="the first seed")
    parser.add_argument("--shrink", type=float, default=120, help="seconds spent on making a failure short")
    parser.add_argument("--stop-after", type=int, default=5, help="failures after which to give up")
    parser.add_argument("--together", type=int, default=2, help="histories played at the same time")
    parser.add_argument("--in-memory", action="store_true", help="only the decisions, without a server")
    parser.add_argument("--guarded", action="store_true", help="in brands with a guard, which people answer")
    args = parser.parse_args()
    kind = GuardedPlay if args.guarded else Play
    fails = decided.failure if args.in_memory else partial(failure, server_of_environment(), kind=kind)
    began = time.monotonic()
    failed: list[int] = []

    def play(seed: int) -> tuple[int, str | None]:
        if len(failed) >= args.stop_after:
            return seed, None
        whole = without_people(history(seed)) if args.guarded else history(seed)
        mismatch = fails(whole)
        if mismatch is None:
            return seed, None
        failed.append(seed)
        return seed, account(*shrink(fails, whole, mismatch, args.shrink))

    with ThreadPoolExecutor(args.together) as pool:
        seeds = range(args.start, args.start + args.seeds)
        for done, (seed, told) in enumerate(pool.map(play, seeds), 1):
            if told:
                print(f"\n{'=' * 72}\n{told}", flush=True)
            print(f"\r{done}/{args.seeds} seed {seed} failed {len(failed)}", end="", file=sys.stderr, flush=True)
    print(f"\n{args.seeds} histories in {time.monotonic() - began:.0f} s; failed seeds: {sorted(failed) or 'none'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

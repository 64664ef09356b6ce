"""`./run python -m campaigns.console shots|timings`: pictures of every page, and how long each takes at a million."""

import argparse
import sys
from pathlib import Path
from uuid import UUID

from campaigns.console.shots import shoot
from campaigns.console.timings import measure
from issuance import log, settings


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m campaigns.console", description=__doc__)
    what = parser.add_subparsers(dest="what", required=True)
    shots = what.add_parser("shots", help="pictures of a brand's pages on a running server")
    shots.add_argument("--brand", type=UUID, required=True)
    shots.add_argument("--site", default="http://127.0.0.1:8080")
    shots.add_argument("--to", type=Path, default=Path("shots"))
    shots.add_argument("--only", default="", help="pages whose path has this in it")
    timings = what.add_parser("timings", help="each page's time on servers and a brand of its own")
    timings.add_argument("--members", type=int, default=1_000_000)
    timings.add_argument("--times", type=int, default=40, help="how often each page is asked for")
    timings.add_argument(
        "--stay", action="store_true", help="measure again for each line that is typed; an empty one ends"
    )
    args = parser.parse_args()
    log.set_up("console", "error")
    if args.what == "shots":
        wrong = shoot(args.site, args.brand, args.to, args.only)
        for line in wrong:
            print(line)
        return 1 if wrong else 0
    home = settings.read(settings.OwnSettings).home.absolute() / "benchmarks"
    return measure(home, args.members, args.times, stay=args.stay)


if __name__ == "__main__":
    sys.exit(main())

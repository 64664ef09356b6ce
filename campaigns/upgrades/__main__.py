"""`./run python -m campaigns.upgrades`: old and new processes side by side while the schema is upgraded under load."""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from campaigns.upgrades.campaign import Campaign
from issuance import log
from issuance.addresses import POSTGRESQL_SCHEMES
from issuance.embedded.lock import SupervisorLock
from issuance.embedded.servers import SERVERS, supervised


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m campaigns.upgrades", description=__doc__)
    parser.add_argument("--credits", type=int, default=10_000_000, help="how many credits the club has")
    parser.add_argument("--seconds", type=float, default=20, help="how long each stage lasts")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--since", metavar="COMMIT", help="upgrade from this commit, not by a migration made up")
    args = parser.parse_args()
    log.set_up("console", "warning")
    for given in SERVERS:
        os.environ.pop(given, None)  # it brings servers of its own
    with tempfile.TemporaryDirectory(prefix="issuance-upgrades-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        lock = SupervisorLock(folder)
        assert lock.take(), "a new folder's lock is free"
        with supervised(folder, lock) as servers:
            addresses = servers.addresses()
            url = addresses["DATABASE_URL"].replace(POSTGRESQL_SCHEMES[1], POSTGRESQL_SCHEMES[0], 1)
            campaign = Campaign(
                folder,
                url,
                addresses["REDIS_URL"],
                credits_=args.credits,
                seconds=args.seconds,
                seed=args.seed,
                say=_say,
                since=args.since,
            )
            wrong = campaign.run().wrong()
    for line in wrong:
        _say(f"WRONG: {line}")
    return 1 if wrong else 0


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())

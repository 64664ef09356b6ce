"""`./run python -m campaigns.fuzz --cases 100000`: bad events, durations, messages and request bodies, by seed."""

import argparse
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from random import Random

from sqlalchemy import text

from campaigns.fuzz import cases
from campaigns.fuzz.site import Site, site_on
from issuance import log
from issuance.cli.output import progress_bar
from issuance.database.connections import transaction
from issuance.laws import LAWS, look
from issuance.settings import Settings, read

#: Of a hundred cases, so many of each kind; one of `events` is a batch of so many bad ones.
SHARES = {"events": 30, "request": 25, "event": 15, "duration": 15, "message": 15}
BATCH = 15
#: Requests after which a fresh brand takes over: they archive and delete what is known.
A_BRAND = 2000

# Memberships that nobody has, a century old with a party that changed, are settled on paper one by one.
_TAKE_YOUR_TIME = text("SET LOCAL idle_in_transaction_session_timeout = '1h'")


@dataclass
class Campaign:
    """How many cases ran, and which failed: by kind, with the number that repeats the case."""

    seed: int
    done: Counter[str] = field(default_factory=Counter)
    failed: dict[tuple[str, int], str] = field(default_factory=dict)

    def attempt(self, kind: str, number: int, case: Callable[[Random], None], count: int = 1) -> None:
        try:
            case(Random(f"{self.seed} {kind} {number}"))
        except Exception:
            self.failed[kind, number] = traceback.format_exc()
        self.done[kind] += count


def run(given: Settings, wanted: dict[str, int], seed: int, tell: Callable[[int], None], start: int = 0) -> Campaign:
    """Run so many cases of each kind, on sites of their own."""
    campaign = Campaign(seed)
    for kind, case in cases.ALONE.items():
        for number in range(start, start + wanted.get(kind, 0)):
            campaign.attempt(kind, number, case)
            tell(1)
    with site_on(given) as site:
        for number in range(start, start + wanted.get("events", 0) // BATCH):
            campaign.attempt("events", number, partial(cases.events, site=site, size=BATCH), BATCH)
            tell(BATCH)
        _check_laws(campaign, site)
    requests = range(start, start + wanted.get("request", 0))
    for first in range(0, len(requests), A_BRAND):
        with site_on(given) as site:
            for number in requests[first : first + A_BRAND]:
                campaign.attempt("request", number, partial(cases.request, site=site))
                tell(1)
            _check_laws(campaign, site)
    return campaign


def _check_laws(campaign: Campaign, site: Site) -> None:
    """Check that no law is broken."""
    with transaction(site.engine, site.brand_id) as connection:
        connection.execute(_TAKE_YOUR_TIME)
        for found in look(connection, site.brand_id, [law for law in LAWS if law.number != 9]):
            for number, offenders in found.items():
                for offender in offenders:
                    campaign.failed[f"law {number}", len(campaign.failed)] = f"law {number}: {offender}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m campaigns.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=100_000, help="how many, of all kinds together")
    parser.add_argument("--kind", choices=SHARES, help="only this kind")
    parser.add_argument("--seed", type=int, default=1, help="where chance begins")
    parser.add_argument("--start", type=int, default=0, help="the number of the first case")
    args = parser.parse_args()
    log.set_up("console", "critical")
    wanted = {kind: args.cases * share // 100 for kind, share in SHARES.items()}
    if args.kind:
        wanted = {args.kind: max(args.cases, BATCH if args.kind == "events" else 1)}
    began = time.monotonic()
    with progress_bar() as progress:
        task = progress.add_task("cases", total=sum(wanted.values()))
        campaign = run(read(Settings), wanted, args.seed, lambda count: progress.advance(task, count), args.start)
    for (kind, number), told in list(campaign.failed.items())[:20]:
        print(f"{kind}, --seed {args.seed} --start {number} --cases 1:\n{told}")
    done = ", ".join(f"{count} {kind}" for kind, count in campaign.done.items())
    seconds = time.monotonic() - began
    print(f"{campaign.done.total()} cases ({done}), seed {args.seed}, {seconds:.0f} s; failed: {len(campaign.failed)}")
    return 1 if campaign.failed else 0


if __name__ == "__main__":
    sys.exit(main())

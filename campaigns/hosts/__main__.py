"""`python -m campaigns.hosts [NAME …]`: cuts the link of each host, or of the named ones, for a minute as midnight
comes, with a clock that is ten minutes ahead and one that is a day behind. As root; servers of its own."""

import sys
import tempfile
from pathlib import Path

from campaigns.faults.site import stop_as_an_exception_does
from campaigns.hosts.network import missing
from campaigns.hosts.play import Case, play
from campaigns.hosts.world import NAMES

#: By how many seconds the wrong clock is off.
OFF = (600, -86_400)


def main() -> int:
    """Exit 1 if anything was wrong, 2 where it can not be played."""
    if (lacking := missing()) is not None:
        print(lacking, file=sys.stderr)
        return 2
    named = sys.argv[1:] or NAMES
    failed = 0
    for case in (Case(cut, off) for off in OFF for cut in named):
        with tempfile.TemporaryDirectory(prefix="issuance-hosts-", ignore_cleanup_errors=True) as folder:
            account = play(Path(folder), case)
        print(f"{case}: {account}", flush=True)
        for wrong in account.wrong:
            print(f"  {wrong}", flush=True)
        failed += bool(account.wrong)
    print("nothing lost, doubled or early" if not failed else f"{failed} cases are wrong")
    return int(failed > 0)


if __name__ == "__main__":
    stop_as_an_exception_does()
    sys.exit(main())

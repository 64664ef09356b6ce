"""`./run sabotage`: takes each guard of the product out of a copy, and shows which test notices.

It starts PostgreSQL and Valkey of its own, or makes databases of its own on the servers that DATABASE_URL and REDIS_URL
name. Exits 0 only if a test failed for every guard that was taken out.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from campaigns.sabotage import guards
from campaigns.sabotage.campaign import REPO, Copy, Verdict
from campaigns.sabotage.edits import DoesNotApply


def main() -> int:
    parser = argparse.ArgumentParser(prog="./run sabotage", description=__doc__)
    parser.add_argument("--only", action="append", metavar="NAME", help="only the guards whose names begin so")
    parser.add_argument("--list", action="store_true", help="say what is guarded, and by which code")
    parser.add_argument("--verbose", action="store_true", help="show what the tests said where nothing was caught")
    args = parser.parse_args()
    known = guards.read()
    wanted = tuple(args.only or [""])
    chosen = [guard for guard in known.values() if guard.name.startswith(wanted)]
    if not chosen:
        print(f"sabotage: no guard is called {' or '.join(wanted)}; --list shows them", file=sys.stderr)
        return 2
    if args.list:
        for guard in chosen:
            print(f"{guard.name:<32} {guard.edits[0].symbol}\n    {guard.guards}")
        return 0
    try:
        for guard in chosen:
            guard.patched(REPO)
    except DoesNotApply as error:
        print(f"sabotage: {error}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="issuance-sabotage-", ignore_cleanup_errors=True) as folder:
        return _campaign(Copy(Path(folder).resolve()), chosen, verbose=args.verbose)


def _campaign(copy: Copy, chosen: list[guards.Guard], *, verbose: bool) -> int:
    began = time.monotonic()
    selection = guards.selection(chosen)
    print(f"{len(chosen)} guards, {len(selection)} selections of tests; first with all guards in place …", flush=True)
    whole = copy.test(selection, first_only=False)
    if not whole.passed:
        print(whole.output[-8000:], file=sys.stderr)
        print("sabotage: the tests fail with all guards in place; nothing can be shown", file=sys.stderr)
        return 2
    print(f"  {whole.output.strip().splitlines()[-1]}", flush=True)
    caught = 0
    for guard in chosen:
        with copy.without(guard):
            verdict = copy.test(guard.tests)
        caught += verdict.caught
        print(f"  {'caught    ' if verdict.caught else 'NOT CAUGHT'}  {guard.name:<32} {_by(verdict)}", flush=True)
        if verbose and not verdict.caught:
            print(verdict.output[-8000:], flush=True)
    print(f"took {time.monotonic() - began:.0f} s")
    print(f"{caught} of {len(chosen)} caught")
    return 0 if caught == len(chosen) else 1


def _by(verdict: Verdict) -> str:
    if verdict.caught:
        return f"by {verdict.failed[0]}"
    return "by any test" if verdict.passed else "the tests could not be run: --verbose says why"


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)

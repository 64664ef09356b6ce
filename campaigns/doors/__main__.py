"""`./run python -m campaigns.doors`: every route with the largest input that it accepts."""

import sys

from campaigns.doors.walk import LONGEST_HELD, walk
from issuance import log
from issuance.api.__main__ import load
from issuance.settings import Settings, read


def main() -> None:
    """Walk, and say what was largest; exit 1 where a bound is broken."""
    log.set_up("console", "error")
    load()  # as the web's processes are set up
    walked = walk(read(Settings))
    print(f"{walked.requests} requests on {len(walked.routes)} routes; the process grew by {walked.growth} MB")
    print(f"longest answer: {walked.longest[0]:,} bytes, {walked.longest[1]}")
    print(f"event loop held longest: {walked.held[0] * 1000:.0f} ms, {walked.held[1]}; it was at {walked.where or '?'}")
    offences = walked.offences
    if walked.held[0] > LONGEST_HELD:
        offences.append(f"{walked.held[1]} held the event loop for {walked.held[0]:.2f} s")
    for offence in offences:
        print(offence)
    sys.exit(1 if offences else 0)


if __name__ == "__main__":
    main()

"""`./run python -m campaigns.doors`: every route with the largest input that it accepts. `… beside [ATTACK …]`: what
another brand's till sees of attacks, on servers of its own."""

import sys
import tempfile
from pathlib import Path

from campaigns.doors.beside import MOST_MEMORY, MOST_RUN, MOST_TIMES, campaign
from campaigns.doors.walk import LONGEST_HELD, walk
from campaigns.faults.site import stop_as_an_exception_does
from issuance import log
from issuance.api.__main__ import load
from issuance.settings import Settings, read


def main() -> None:
    """Walk, or attack, and say what was largest; exit 1 where a bound is broken."""
    offences = _beside(sys.argv[2:]) if sys.argv[1:2] == ["beside"] else _walk()
    for offence in offences:
        print(offence)
    sys.exit(1 if offences else 0)


def _walk() -> list[str]:
    log.set_up("console", "error")
    load()  # as the web's processes are set up
    walked = walk(read(Settings))
    print(f"{walked.requests} requests on {len(walked.routes)} routes; the process grew by {walked.growth} MB")
    print(f"longest answer: {walked.longest[0]:,} bytes, {walked.longest[1]}")
    print(f"event loop held longest: {walked.held[0] * 1000:.0f} ms, {walked.held[1]}; it was at {walked.where or '?'}")
    offences = walked.offences
    if walked.held[0] > LONGEST_HELD:
        offences.append(f"{walked.held[1]} held the event loop for {walked.held[0]:.2f} s")
    return offences


def _beside(names: list[str]) -> list[str]:
    stop_as_an_exception_does()
    offences = []
    with tempfile.TemporaryDirectory(prefix="issuance-doors-") as home:
        alone = None
        for seen in campaign(Path(home) / "home", names):
            alone = alone or seen
            times = seen.p99 / alone.p99
            took = f"median {seen.median * 1000:6.1f} ms, p99 {seen.p99 * 1000:6.1f} ms ({times:4.1f} times)"
            print(
                f"{seen.name:20} {took}, a run {seen.run:.1f} s, {seen.memory} MB in {seen.largest}; {seen.answers}",
                flush=True,
            )
            if times > MOST_TIMES:
                offences.append(f"{seen.name}: a till's p99 is {times:.1f} times what it is alone")
            if seen.run > MOST_RUN:
                offences.append(f"{seen.name}: a small run of the till's brand took {seen.run:.0f} s")
            if seen.memory > MOST_MEMORY:
                offences.append(f"{seen.name}: {seen.largest} has had {seen.memory} MB")
    return offences


if __name__ == "__main__":
    main()

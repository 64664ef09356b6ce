"""`python -m tests.faults --members 20000`: the faults on a larger club, with progress and recovery times.

It needs DATABASE_URL and REDIS_URL: `./run python -m tests.faults` has both.
"""

import argparse
import os
import sys
from pathlib import Path

import pytest


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--members", type=int, default=20_000, help="memberships that the faults happen to")
    os.environ["ISSUANCE_TEST_MEMBERS"] = str(parser.parse_args().members)
    return int(pytest.main(["-q", "-s", str(Path(__file__).parent)]))


if __name__ == "__main__":
    sys.exit(main())

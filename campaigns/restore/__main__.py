"""`./run python -m campaigns.restore`: the restore drill of docs/operations.md, on servers of its own."""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from campaigns.restore.drill import Drill
from issuance import log
from issuance.settings import Settings, read


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m campaigns.restore", description=__doc__)
    parser.add_argument("--members", type=int, default=100, help="how many memberships the club has")
    args = parser.parse_args()
    log.set_up("console", "warning")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="issuance-drill-", ignore_cleanup_errors=True) as folder:
        drill = Drill(Path(folder), read(Settings).redis_url, args.members, say=print)
        try:
            drill.run()
        finally:
            drill.stop()
    print(f"nothing lost, nothing doubled; {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())

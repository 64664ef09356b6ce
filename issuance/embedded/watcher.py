"""Waits until its supervisor has ended and stops what is left: `python -m issuance.embedded.watcher HOME`.

Its standard input is a pipe that only the supervisor holds open, so it notices even `kill -9` at once.
"""

import signal
import subprocess
import sys
from pathlib import Path

from issuance.embedded import running
from issuance.embedded.environment import REPO


def start(home: Path) -> "subprocess.Popen[bytes]":
    """Starts the watcher of this process, outside its process group."""
    command = [sys.executable, "-m", "issuance.embedded.watcher", str(home)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, cwd=REPO, start_new_session=True)


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.stdin.read()
    running.stop_left_behind(Path(sys.argv[1]))


if __name__ == "__main__":
    main()

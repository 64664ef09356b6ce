"""Waits for its supervisor to end and stops what that left behind: `python -m issuance.embedded.watcher HOME`.

Its standard input is a pipe whose other end only the supervisor holds, so even `kill -9` is noticed at once.
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

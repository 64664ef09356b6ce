"""Who runs the servers of a home, and who else uses them: two advisory locks that the kernel lets go of by itself."""

import fcntl
import json
import os
import time
from pathlib import Path
from typing import IO

from issuance.errors import IssuanceError

#: How long the children of a supervisor that was killed may go on holding its lock, in seconds.
AFTERLIFE = 15.0
#: How long another process may take to start the servers, in seconds.
READY_LIMIT = 120.0


class AlreadyRuns(IssuanceError):
    """Another start runs this home."""

    code = "already_runs"

    def __init__(self, holder: dict[str, object]) -> None:
        at = f" at {holder['address']}" if holder.get("address") else ""
        super().__init__(
            f"already running{at} (pid {holder.get('pid', 'unknown')}); stop it first, or set ISSUANCE_HOME"
        )


class SupervisorLock:
    """Held by the one process that runs the servers of a home; its text says who that is."""

    def __init__(self, home: Path) -> None:
        self.path = home / "supervisor.lock"
        self._file: IO[str] | None = None

    def take(self) -> bool:
        """True when this process now runs the home. False when another, live one does."""
        deadline = time.monotonic() + AFTERLIFE
        while True:
            file = self.path.open("a+")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.close()
                if _exists(self.holder().get("pid")) or time.monotonic() > deadline:
                    return False
                time.sleep(0.1)
            else:
                self._file = file
                self.tell()
                return True

    def tell(self, **facts: object) -> None:
        """Writes down who holds the lock."""
        assert self._file is not None, "only the holder tells"
        self._file.truncate(0)
        self._file.write(json.dumps({"pid": os.getpid(), **facts}))
        self._file.flush()

    def holder(self) -> dict[str, object]:
        """What the holder told: `pid`, `ready` once its servers answer, and the `address` of a whole `./run`."""
        try:
            told: dict[str, object] = json.loads(self.path.read_text())
        except (OSError, ValueError):
            return {}
        return told

    def wait_until_ready(self) -> None:
        """Waits until the holder's servers answer."""
        deadline = time.monotonic() + READY_LIMIT
        while not self.holder().get("ready"):
            if time.monotonic() > deadline:
                raise AlreadyRuns(self.holder())
            time.sleep(0.1)

    def release(self) -> None:
        if self._file is not None:
            self._file.truncate(0)
            self._file.close()
            self._file = None


class UsersLock:
    """Shared by all who use the servers of a home, so that whoever runs them can wait for the last."""

    def __init__(self, home: Path) -> None:
        self._file = (home / "users.lock").open("w")

    def join(self) -> None:
        """Holds the lock until this process, or the program it becomes, ends."""
        os.set_inheritable(self._file.fileno(), True)
        fcntl.flock(self._file, fcntl.LOCK_SH)

    def leave(self) -> None:
        fcntl.flock(self._file, fcntl.LOCK_UN)

    def wait_for_all_to_leave(self) -> None:
        fcntl.flock(self._file, fcntl.LOCK_EX)


def _exists(pid: object) -> bool:
    return isinstance(pid, int) and Path(f"/proc/{pid}").exists()

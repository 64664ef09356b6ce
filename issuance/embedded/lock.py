"""Who runs the servers of a home, and who else uses them: two file locks, which end with their process."""

import fcntl
import json
import os
import time
from pathlib import Path
from typing import IO

from issuance.errors import IssuanceError

#: Seconds that another process has to start the servers.
READY_LIMIT = 120.0


class AlreadyRuns(IssuanceError):
    """Another `./run` uses this home."""

    code = "already_runs"

    def __init__(self, holder: dict[str, object]) -> None:
        at = f" at {holder['address']}" if holder.get("address") else ""
        super().__init__(
            f"already running{at} (pid {holder.get('pid', 'unknown')}); stop it first, or set ISSUANCE_HOME"
        )


class SupervisorLock:
    """Held by the one process that runs the servers of a home. The file says which process that is."""

    def __init__(self, home: Path) -> None:
        self.path = home / "supervisor.lock"
        self._file: IO[str] | None = None

    def take(self) -> bool:
        """Whether this process now runs the home. False if another live process does."""
        # The file is closed in the processes that this one starts, so nobody else can hold the lock for it.
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = self.path.open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        self._file = file
        self.tell()
        return True

    def tell(self, **facts: object) -> None:
        """Writes facts about the holder to the file, beside its pid."""
        assert self._file is not None, "only the holder writes"
        self._file.truncate(0)
        self._file.write(json.dumps({"pid": os.getpid(), **facts}))
        self._file.flush()

    def holder(self) -> dict[str, object]:
        """What the holder wrote: `pid`, `ready` once its servers answer, `address` and `port` of its web process."""
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

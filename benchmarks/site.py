"""The Procfile's processes, started for a measurement and stopped after it, and what memory they took."""

import os
import signal
import subprocess
import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import httpx

from benchmarks.checkout import Checkout
from issuance.embedded import procfile, running
from issuance.embedded.server import free_port

#: Seconds that the processes may take to be ready, and to stop.
PATIENCE = 300.0
#: Seconds for which processes that are ready use less than a tenth of a processor.
_CALM = 1.0


class Site:
    """All of Issuance on one database and one queue; or other processes, by their `commands`, in its place."""

    def __init__(
        self,
        product: Checkout,
        home: Path,
        database_url: str,
        redis_url: str,
        log: Path,
        commands: Mapping[str, str] | None = None,
    ) -> None:
        self.home = home
        self.root = product.root
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.log = log
        self._commands = procfile.commands(product.root) if commands is None else commands
        self.environment = {
            **product.environment(database_url, redis_url),
            "ISSUANCE_HOST": "127.0.0.1",
            "ISSUANCE_PORT": str(port),
        }
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, only: Collection[str] = ()) -> None:
        """Starts the processes and waits until the web process says that everything is ready."""
        with self.log.open("ab") as out:
            for name, command in self._commands.items():
                if not only or name in only:
                    self._processes[name] = subprocess.Popen(
                        ["sh", "-c", command],
                        cwd=self.root,
                        env=self.environment,
                        stdout=out,
                        stderr=out,
                        process_group=0,
                    )
                    # Whoever cleans up after a benchmark that was killed finds them in the record.
                    running.note(self.home, name, self._processes[name].pid, group=True)
        deadline = time.monotonic() + PATIENCE
        with httpx.Client(base_url=self.url, timeout=5, trust_env=False, verify=False) as http:  # noqa: S501 - it is http
            while not _is_ready(http):
                if time.monotonic() > deadline:
                    raise RuntimeError(f"not ready:\n{self.log.read_text(errors='replace')[-4000:]}")
                time.sleep(0.1)
        # A worker says nothing when it is ready: it computes nothing any more.
        self._until_calm(deadline)

    def _until_calm(self, deadline: float) -> None:
        before = self.processor_seconds()
        while time.monotonic() < deadline:
            time.sleep(_CALM)
            now = self.processor_seconds()
            if now - before < _CALM / 10:
                return
            before = now

    def client(self, key: str) -> httpx.Client:
        """A client of the web process, with an organisation key."""
        headers = {"Authorization": f"Bearer {key}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=600, trust_env=False)

    def peak_memory(self) -> dict[str, float]:
        """The peak resident size of each process of the Procfile, its children added up, in MB."""
        return {
            f"{name}_mb": sum(_peak(pid) for pid in [process.pid, *_descendants(process.pid)]) / 1024
            for name, process in self._processes.items()
        } | self._bulk_workers()

    def processor_seconds(self) -> float:
        """What the processes of the Procfile have used of processors so far, their children included."""
        return sum(
            _processor_seconds(pid)
            for process in self._processes.values()
            for pid in [process.pid, *_descendants(process.pid)]
        )

    def _bulk_workers(self) -> dict[str, float]:
        """Those of bulk's processes that do the work, without the one that watches over them."""
        if "worker_bulk" not in self._processes:
            return {}
        children = _descendants(self._processes["worker_bulk"].pid)
        return {"both_bulk_workers_mb": sum(sorted(map(_peak, children))[-2:]) / 1024}

    def stop(self) -> None:
        for process in self._processes.values():
            process.terminate()
        deadline = time.monotonic() + PATIENCE
        for process in self._processes.values():
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        for name in self._processes:
            running.forget(self.home, name)
        self._processes.clear()


def _is_ready(http: httpx.Client) -> bool:
    try:
        return http.get("/readyz").status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def _descendants(pid: int) -> Iterator[int]:
    try:
        children = [
            int(c) for task in Path(f"/proc/{pid}/task").iterdir() for c in (task / "children").read_text().split()
        ]
    except OSError:
        return
    for child in children:
        yield child
        yield from _descendants(child)


def _processor_seconds(pid: int) -> float:
    """User's and system's time of a process; 0 when it is gone."""
    try:
        figures = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(figures[11]) + int(figures[12])) / os.sysconf("SC_CLK_TCK")


def _peak(pid: int) -> int:
    """The peak resident size of a process in kB; 0 when it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")), 0)

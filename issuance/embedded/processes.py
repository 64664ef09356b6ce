"""The Procfile's processes, run by honcho: its output, its order to stop; and one that falls is started again."""

import multiprocessing
import os
import signal
import threading
import time
from contextlib import suppress
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

from honcho.environ import parse_procfile
from honcho.manager import Manager
from honcho.printer import Printer
from honcho.process import Popen, Process

from issuance.embedded import running
from issuance.embedded.environment import REPO

#: How long the processes may take over an orderly end before they are killed, in seconds.
STOP_LIMIT = 20.0
#: Seconds before a process that fell is started again, and the most there is when it falls on and on.
FIRST_PAUSE, LAST_PAUSE = 0.2, 10.0
#: A process that ran this long, in seconds, had started well.
GOOD_START = 10.0


class KeptProcess(Process):  # type: ignore[misc]
    """A process that is started again when it falls, once all of them have been up (`ready`) and until `stopping`.

    Runs in a process of its own, as honcho's do, and ends the child's whole process group when the
    child ends or the supervisor is gone.
    """

    home: Path
    ready: Event
    stopping: Event

    def run(self, events: Any = None, ignore_signals: bool = False) -> None:
        self._events = events
        if ignore_signals:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        threading.Thread(target=self._outlive_no_supervisor, args=(os.getppid(),), daemon=True).start()
        pause = FIRST_PAUSE
        while True:
            began = time.monotonic()
            code = self._run_once()
            if self.stopping.is_set() or not self.ready.is_set():
                break
            pause = FIRST_PAUSE if time.monotonic() - began > GOOD_START else min(pause * 2, LAST_PAUSE)
            self._send_message(f"ended (rc={code}); starting it again in {pause:.1f} s\n")
            if self.stopping.wait(pause):
                break
        self._send_message({"returncode": code}, type="stop")

    def _run_once(self) -> int:
        child = Popen(self.cmd, env=self.env, cwd=self.cwd)
        running.note(self.home, self.name, child.pid, group=True)
        self._child = child
        self._send_message({"pid": child.pid}, type="start")
        if self.stopping.is_set():
            self._signal(signal.SIGTERM)  # the order to stop came between two lives
        reader = threading.Thread(target=self._relay, args=(child.stdout,))
        reader.start()
        code: int = child.wait()
        self._signal(signal.SIGKILL)  # what a killed process leaves in its group would do its work twice
        reader.join()
        running.forget(self.home, self.name)
        return code

    def _relay(self, output: Any) -> None:
        for line in iter(output.readline, b""):
            self._send_message(line)
        output.close()

    def _outlive_no_supervisor(self, supervisor: int) -> None:
        while os.getppid() == supervisor:
            time.sleep(0.2)
        self.stopping.set()
        self._signal(signal.SIGTERM)
        time.sleep(STOP_LIMIT)
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child.pid, number)


class Processes(Manager):  # type: ignore[misc]
    """The processes of the Procfile. `loop` returns when they have all stopped; `returncode` says how."""

    returncode: int | None

    def __init__(self, home: Path, environment: dict[str, str], printer: Printer | None = None) -> None:
        super().__init__(printer)
        self._process_ctor = KeptProcess
        self.ready = multiprocessing.Event()
        self.stopping = multiprocessing.Event()
        self.companion: threading.Thread | None = None
        for name, command in parse_procfile((REPO / "Procfile").read_text()).processes.items():
            process = self.add_process(name, command, env={**environment, "PYTHONUNBUFFERED": "1"}, cwd=str(REPO))
            process.home, process.ready, process.stopping = home, self.ready, self.stopping

    def stop(self, returncode: int) -> None:
        """Stops all of them; may be called from another thread."""
        if self.returncode is None:
            self.returncode = returncode
        self.terminate()

    def terminate(self) -> None:
        if not self.stopping.is_set():
            self.stopping.set()
            timer = threading.Timer(STOP_LIMIT, self.kill)
            timer.daemon = True
            timer.start()
        super().terminate()

    def _start(self) -> None:
        super()._start()
        # Threads only after honcho has forked.
        if self.companion is not None:
            self.companion.start()

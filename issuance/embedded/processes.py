"""The Procfile's processes, run by honcho: its output, its order to stop; and one that falls is started again."""

import os
import signal
import threading
import time
from contextlib import suppress
from multiprocessing.sharedctypes import RawValue
from pathlib import Path
from typing import Any

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


class Flag:
    """A yes that processes share. Looked at again and again: a lock would be lost with whoever is killed holding it."""

    def __init__(self) -> None:
        self._value = RawValue("b", 0)

    def set(self) -> None:
        self._value.value = 1

    def is_set(self) -> bool:
        return bool(self._value.value)

    def wait(self, seconds: float) -> bool:
        """Waits until it is set, for `seconds` at most; whether it is."""
        deadline = time.monotonic() + seconds
        while not self.is_set() and time.monotonic() < deadline:
            time.sleep(0.05)
        return self.is_set()


class Orders:
    """How a process is told to stop. Its group's leader alone: dramatiq tells its own, and twice would mean at once."""

    @staticmethod
    def terminate(pid: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)

    @staticmethod
    def kill(pid: int) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)


class KeptProcess(Process):  # type: ignore[misc]
    """A process that is started again when it falls, once all of them have been up (`ready`) and until `stopping`.

    Runs in a process of its own, as honcho's do, and ends the child's whole process group when the
    child ends or the supervisor is gone.
    """

    home: Path
    ready: "Flag"
    stopping: "Flag"

    def run(self, events: Any = None, ignore_signals: bool = False) -> None:
        self._events = events
        if ignore_signals:
            # A handler, not SIG_IGN, which the child would inherit.
            signal.signal(signal.SIGINT, lambda *_: None)
            signal.signal(signal.SIGTERM, lambda *_: None)
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
            Orders.terminate(child.pid)  # the order to stop came between two lives
        reader = threading.Thread(target=self._relay, args=(child.stdout,))
        reader.start()
        code: int = child.wait()
        Orders.kill(child.pid)  # what a killed process leaves in its group would do its work twice
        reader.join(1)
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
        Orders.terminate(self._child.pid)
        time.sleep(STOP_LIMIT)
        Orders.kill(self._child.pid)


class Processes(Manager):  # type: ignore[misc]
    """The processes of a Procfile. `loop` returns when they have all stopped; `returncode` says how."""

    returncode: int | None

    def __init__(
        self, home: Path, commands: dict[str, str], environment: dict[str, str], printer: Printer | None = None
    ) -> None:
        super().__init__(printer)
        self._process_ctor = KeptProcess
        self._procmgr = Orders
        self.ready = Flag()
        self.stopping = Flag()
        self.companion: threading.Thread | None = None
        for name, command in commands.items():
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

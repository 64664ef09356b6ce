"""Runs the processes of the Procfile: shows their output, starts one that ends again, and stops all of them together.

Each process leads a process group of its own, so that Ctrl-C reaches the supervisor only, and that what a killed
process leaves in its group can be ended. If the supervisor of a home is killed, its `watcher` stops the processes.
"""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, NamedTuple

from issuance.embedded import running
from issuance.embedded.environment import REPO
from issuance.embedded.output import Output

#: Seconds that the processes have for an orderly end before they are killed.
STOP_LIMIT = 20.0
#: Seconds before a process that ended is started again: the first pause, and the longest when it ends again and again.
FIRST_PAUSE, LAST_PAUSE = 0.2, 10.0
#: A process that ran for so many seconds had a good start: the next pause is the first one again.
GOOD_START = 10.0


class Renewal(NamedTuple):
    """What SIGHUP does, where it is no order to stop: the process called `of` gets it, and begins itself anew without a
    pause; the others are told to end, and are started again by what `commands` says then. Nothing is done unless it
    `fits`: who works stays."""

    of: str
    fits: Callable[[], bool] = lambda: True
    commands: Callable[[], Mapping[str, str]] = dict


class Processes:
    """Named shell commands that run together.

    Set `ready` when all of them work. Before that, one that ends stops all of them; after it, it is started again.
    `news` is told of those that end. `home`: where it is recorded which processes run; None: nowhere.
    """

    def __init__(
        self,
        home: Path | None,
        commands: Mapping[str, str],
        environment: Mapping[str, str],
        output: IO[str],
        *,
        news: Callable[[str], None] | None = None,
    ) -> None:
        self.ready = threading.Event()
        self.stopping = threading.Event()
        self._home = home
        self._commands = commands
        self._environment = {**environment, "PYTHONUNBUFFERED": "1"}
        self._output = Output(output, commands, as_json=environment.get("LOG_FORMAT", "").lower() == "json")
        self._news = news or (lambda _: None)
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._code = 0
        # Held while a process is started, so that none is started after the order to stop. Reentrant, since a second
        # signal may interrupt the handler of the first.
        self._starting = threading.RLock()

    def run(self, *, renewal: Renewal | None = None) -> int:
        """Runs until `stop` is called or a signal says so, and returns the exit code when all processes have ended.
        SIGHUP says so too, unless there is a `renewal`."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda number, _: self.stop(128 + number))
        if renewal is not None:
            signal.signal(signal.SIGHUP, lambda *_: self._renew(renewal))
        keepers = [threading.Thread(target=self._keep, args=(name,)) for name in self._commands]
        for keeper in keepers:
            keeper.start()
        for keeper in keepers:
            # A signal may come while another thread runs; this one hears of it at its next turn at the latest.
            while keeper.is_alive():
                keeper.join(1.0)
        return self._code

    def stop(self, code: int) -> None:
        """Tells all processes to end. `code` becomes the exit code, unless they were told before. From any thread."""
        with self._starting:
            if self.stopping.is_set():
                return
            self._code = code
            self.stopping.set()
            for child in self._children.values():
                # The leader of the group alone: dramatiq tells its own processes, and told twice they end at once.
                child.terminate()
        killer = threading.Timer(STOP_LIMIT, self._kill)
        killer.daemon = True
        killer.start()

    def _renew(self, renewal: Renewal) -> None:
        if not renewal.fits():
            self._show(renewal.of, "not begun anew: what is there works on")
            return
        with self._starting:
            if self.stopping.is_set():
                return
            found = renewal.commands()
            self._commands = {name: found.get(name, command) for name, command in self._commands.items()}
            for name, child in self._children.items():
                child.send_signal(signal.SIGHUP if name == renewal.of else signal.SIGTERM)

    def _keep(self, name: str) -> None:
        pause = FIRST_PAUSE
        while True:
            began = time.monotonic()
            code = self._run_once(name)
            if not self.ready.is_set() and not self.stopping.is_set():
                self._news(f"{name} ended with exit code {code} before everything was ready")
                self.stop(code)
            if self.stopping.is_set():
                return
            pause = FIRST_PAUSE if time.monotonic() - began > GOOD_START else min(pause * 2, LAST_PAUSE)
            ended = f"ended with exit code {code}; starting again in {pause:.1f} s"
            self._news(f"{name} {ended}")
            self._show(name, ended)
            if self.stopping.wait(pause):
                return

    def _run_once(self, name: str) -> int:
        with self._starting:
            if self.stopping.is_set():
                return 0
            child = subprocess.Popen(
                ["sh", "-c", self._commands[name]],
                cwd=REPO,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            if self._home is not None:
                running.note(self._home, name, child.pid, group=True)
            self._children[name] = child
        assert child.stdout is not None, "a pipe"
        relay = threading.Thread(target=self._relay, args=(name, child.stdout), daemon=True)
        relay.start()
        code = child.wait()
        _kill_group(child.pid)  # what a killed process leaves in its group would do its work twice
        relay.join(1)
        if self._home is not None:
            running.forget(self._home, name)
        return code if code >= 0 else 128 - code

    def _relay(self, name: str, lines: IO[bytes]) -> None:
        for line in lines:
            self._show(name, line.decode(errors="replace").rstrip("\r\n"))

    def _show(self, name: str, line: str) -> None:
        try:
            self._output.write(name, line)
        except OSError:  # nobody reads it any more: `./run | head`
            self.stop(1)

    def _kill(self) -> None:
        for child in self._children.values():
            if child.poll() is None:
                _kill_group(child.pid)


def _kill_group(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)

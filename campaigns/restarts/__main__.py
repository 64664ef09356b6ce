"""`python -m campaigns.restarts`: two webs that are restarted one after the other, and one that is begun anew by
SIGHUP, under 50 requests a second. Needs DATABASE_URL and REDIS_URL (`./run python -m campaigns.restarts`)."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from threading import Event, Thread

import httpx

#: Requests a second, seconds of calm before and after, and seconds that a web may take to be ready.
RATE, CALM, PATIENCE = 50, 3.0, 60.0


@dataclass
class Seen:
    """What clients saw: answers that were none or not good, and how long each took that was, in seconds."""

    failed: list[str] = field(default_factory=list)
    took: list[float] = field(default_factory=list)
    ended: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        ended = sorted(self.ended)
        gap = max(later - earlier for earlier, later in pairwise(ended))
        said = f"{len(self.took) + len(self.failed)} requests, {len(self.failed)} failed"
        times = f"the slowest {max(self.took):.2f} s, the longest time without an answer {gap:.2f} s"
        return f"{said}, {times} {self.failed[:3] or ''}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(port: int) -> "subprocess.Popen[bytes]":
    """A web on a port, once it answers."""
    environment = {**os.environ, "ISSUANCE_PORT": str(port), "ISSUANCE_WEB_PROCESSES": "1", "LOG_LEVEL": "error"}
    web = subprocess.Popen([sys.executable, "-m", "issuance.api"], env=environment, stderr=subprocess.DEVNULL)
    began = time.monotonic()
    while time.monotonic() - began < PATIENCE:
        with suppress(httpx.TransportError):
            if httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=5).status_code == 200:
                return web
        time.sleep(0.05)
    raise AssertionError("it is not ready")


@contextmanager
def load(ports: Sequence[int]) -> Iterator[Seen]:
    """RATE requests a second to webs in turn, on connections that are kept; who can not connect tries the next one."""
    seen, over = Seen(), Event()
    clients = [httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) for port in ports]

    def call(number: int) -> None:
        began = time.monotonic()
        for attempt in range(200):
            try:
                answer = clients[(number + attempt) % len(clients)].get("/healthz")
            except httpx.ConnectError:
                time.sleep(0.02)
                continue
            except httpx.TransportError as error:
                seen.failed.append(repr(error))
                return
            if answer.status_code == 200:
                seen.ended.append(time.monotonic())
                seen.took.append(time.monotonic() - began)
            else:
                seen.failed.append(answer.text)
            return
        seen.failed.append("no connection")

    def go() -> None:
        with ThreadPoolExecutor(64) as threads:
            number, next_at = 0, time.monotonic()
            while not over.is_set():
                threads.submit(call, number)
                number, next_at = number + 1, next_at + 1 / RATE
                time.sleep(max(0.0, next_at - time.monotonic()))

    going = Thread(target=go)
    going.start()
    time.sleep(CALM)
    try:
        yield seen
        time.sleep(CALM)
    finally:
        over.set()
        going.join()
        for client in clients:
            client.close()


def rolling() -> Seen:
    """Two webs, each stopped and started again while the other works."""
    ports = [free_port(), free_port()]
    webs = [start(port) for port in ports]
    try:
        with load(ports) as seen:
            for place, port in enumerate(ports):
                webs[place].terminate()
                webs[place].wait()
                webs[place] = start(port)
    finally:
        _end(webs)
    return seen


def anew() -> Seen:
    """One web, begun anew by SIGHUP."""
    port = free_port()
    web = start(port)
    children = f"/proc/{web.pid}/task/{web.pid}/children"

    def copies() -> set[str]:
        with open(children) as pids:
            return set(pids.read().split())

    try:
        with load([port]) as seen:
            before = copies()
            web.send_signal(signal.SIGHUP)
            while copies() & before or not copies():
                time.sleep(0.05)
    finally:
        _end([web])
    return seen


def _end(webs: list["subprocess.Popen[bytes]"]) -> None:
    for web in webs:
        web.terminate()
    for web in webs:
        web.wait()


def main() -> int:
    """Exit 1 if a request failed."""
    failed = 0
    plays: dict[str, Callable[[], Seen]] = {"two webs, one after the other": rolling, "one web, SIGHUP": anew}
    for name, play in plays.items():
        seen = play()
        print(f"{name}: {seen}", flush=True)
        failed += len(seen.failed)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())

"""Several web processes on one port: each says that it is ready, they count together, and they end together."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import psycopg
import pytest

from issuance.addresses import libpq_url
from issuance.settings import Settings
from tests.logs import lines
from tests.serving import PATIENCE_SECONDS as STARTS_WITHIN
from tests.serving import REPO, free_port
from tests.waiting import PATIENCE_SECONDS, eventually

PROCESSES, MOST = 3, 7
COUNTED = re.compile(rb'^issuance_request_seconds_count\{.*route="/sandbox/clock".*\} ([0-9.]+)$', re.MULTILINE)
SERVES = ["-m", "issuance.api"]
#: The same with more time to end in: what has to come in it comes late on a busy machine.
ENDS_SLOWLY = """
from campaigns.limited import limited
from issuance.api.__main__ import main
with limited("doors", last_words=4.0, half_sent=6.0, grace=30.0):
    main()
"""


@dataclass
class Web:
    port: int
    process: subprocess.Popen[bytes]
    log: Path

    def said(self, event: str) -> list[dict[str, Any]]:
        told = [json.loads(line) for line in lines(self.log) if line.startswith("{")]
        return [line for line in told if line.get("event") == event]

    def wait_for(self, event: str, number: int) -> list[dict[str, Any]]:
        def is_said() -> bool:
            assert self.process.poll() is None, self.log.read_text()[-4000:]
            return len(self.said(event)) >= number

        eventually(is_said, STARTS_WITHIN)
        return self.said(event)

    def get(self, path: str) -> httpx.Response:
        """Asked on a connection of its own, which whichever process is free takes."""
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", timeout=PATIENCE_SECONDS)

    def children(self) -> list[int]:
        task = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in task.read_text().split()]


Serve = Callable[[list[str]], AbstractContextManager[Web]]


@pytest.fixture(scope="module")
def serve(given: Settings, fresh_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> Serve:
    """Serves with what Python is given, until the block ends."""
    return lambda program: serving(program, fresh_database(), given.redis_url, tmp_path_factory.mktemp("web") / "log")


@pytest.fixture(scope="module")
def web(serve: Serve) -> Iterator[Web]:
    with serve(SERVES) as web:
        yield web


@contextmanager
def serving(program: list[str], database_url: str, redis_url: str, log: Path) -> Iterator[Web]:
    port = free_port()
    environment = {
        **os.environ,
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "ISSUANCE_PORT": str(port),
        "ISSUANCE_WEB_PROCESSES": str(PROCESSES),
        "ISSUANCE_CONNECTIONS_A_SOURCE": str(MOST),
        "ISSUANCE_RATE_METRICS": "0",
        "LOG_FORMAT": "json",
        "LOG_LEVEL": "info",
    }
    command = [sys.executable, *program]
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=REPO, env=environment, stdout=out, stderr=out, process_group=0)
    web = Web(port, process, log)
    try:
        web.wait_for("web_ready", PROCESSES)
        yield web
    finally:
        process.kill()
        process.wait()


def test_each_says_that_it_is_ready(web: Web) -> None:
    said = web.wait_for("web_ready", PROCESSES)
    assert sorted((line["process"], line["of"]) for line in said) == [(n + 1, PROCESSES) for n in range(PROCESSES)]
    assert len(web.children()) == PROCESSES


def test_a_source_has_so_many_connections_to_all_of_them(web: Web) -> None:
    with ExitStack() as held:
        for _ in range(MOST):
            held.enter_context(closing(socket.create_connection(("127.0.0.1", web.port))))
        # The kernel lets in before a process has counted; one more is then counted with them.
        eventually(lambda: web.get("/healthz").status_code == 429)
        assert web.get("/healthz").json()["error"]["code"] == "too_many_connections"
    eventually(lambda: web.get("/healthz").status_code == 200)


def test_metrics_add_up_over_all_of_them(web: Web) -> None:
    """Whichever is asked, and what one counted that is gone; and each makes ids of its own."""

    def counted() -> set[float]:
        return {sum(map(float, COUNTED.findall(web.get("/metrics").content))) for _ in range(6)}

    answers = [web.get("/sandbox/clock") for _ in range(40)]
    eventually(lambda: counted() == {40}, every=0.5)  # it is counted when it is answered
    assert len({answer.headers["x-request-id"] for answer in answers}) == 40

    os.kill(web.children()[0], signal.SIGKILL)
    assert web.wait_for("web_process_ended", 1)[0]["code"] == -signal.SIGKILL
    web.wait_for("web_ready", PROCESSES + 1)
    assert len(web.children()) == PROCESSES
    assert counted() == {40}


def test_after_sighup_new_ones_take_their_place(web: Web) -> None:
    """The first keeps its pid and the port, and nobody who calls meanwhile is refused or lost."""
    before = web.children()
    ready = len(web.said("web_ready"))
    with ThreadPoolExecutor(2) as threads:
        over = Event()

        def call(_: int) -> int:
            answers = 0
            while not over.is_set():
                assert web.get("/healthz").status_code == 200
                answers += 1
                time.sleep(0.02)
            return answers

        calls = [threads.submit(call, number) for number in range(2)]
        try:
            web.process.send_signal(signal.SIGHUP)
            web.wait_for("web_ready", ready + PROCESSES)
            eventually(lambda: web.process.poll() is not None or not set(web.children()) & set(before))
            assert web.process.poll() is None
        finally:
            over.set()
        assert all(done.result() > 0 for done in calls)
    assert len(web.children()) == PROCESSES


def test_after_sighup_the_old_ones_stay_where_the_schema_is_not_for_new_ones(
    given: Settings, fresh_database: Callable[[], str], direct: Callable[[str], str], tmp_path: Path
) -> None:
    """As when the code was upgraded and the database was not: new ones would answer 503 to all."""
    url = fresh_database()
    with serving(SERVES, url, given.redis_url, tmp_path / "log") as web:
        before = web.children()
        with psycopg.connect(libpq_url(direct(url))) as connection:
            connection.execute("UPDATE alembic_version SET version_num = 'before_0002' WHERE version_num ~ '^before'")
        web.process.send_signal(signal.SIGHUP)
        web.wait_for("web_not_begun_anew", 1)
        assert "schema" in web.log.read_text().splitlines()[-2]
        assert web.children() == before
        assert web.get("/healthz").status_code == 200


def all_of(connection: socket.socket, until: bytes = b"\n\n\n") -> bytes:
    """What comes until the server closes, or until this."""
    said = b""
    for part in iter(partial(connection.recv, 65536), b""):
        said += part
        if said.endswith(until):
            break
    return said


def test_they_end_together_and_refuse_the_rest(serve: Serve) -> None:
    """One that was told to end takes no new connection. On open ones it answers what it has begun and what comes in a
    moment; then it refuses; who has sent half a request is told so a moment later. And all are gone."""
    with serve(["-c", ENDS_SLOWLY]) as web:
        end_together(web)


def end_together(web: Web) -> None:
    whole = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    half = b"POST /billing-events HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n["

    def connected() -> socket.socket:
        return socket.create_connection(("127.0.0.1", web.port), timeout=PATIENCE_SECONDS)

    def is_refused() -> bool:
        try:
            connected().close()
        except ConnectionRefusedError:
            return True
        return False

    with closing(connected()) as finished, closing(connected()) as stuck, closing(connected()) as idle:
        for connection, said in ((finished, half), (stuck, half), (idle, whole)):
            connection.sendall(said)
        assert all_of(idle, until=b"true}").startswith(b"HTTP/1.1 200 ")
        time.sleep(0.5)
        children = web.children()
        web.process.send_signal(signal.SIGTERM)
        eventually(is_refused)
        finished.sendall(b"   ")
        idle.sendall(whole)
        for connection, status in ((finished, b"401"), (idle, b"200"), (stuck, b"503")):
            answer = all_of(connection)
            assert answer.startswith(b"HTTP/1.1 " + status)
            assert b"connection: close" in answer.lower()
        assert b"retry-after: 1" in answer.lower()
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == "unavailable"
    assert web.process.wait(PATIENCE_SECONDS) == 0
    assert [pid for pid in children if Path(f"/proc/{pid}").exists()] == []

"""Connections of strangers end in time, and one source has only so many (docs/security.md)."""

import asyncio
import json
import threading
import time
from collections import deque
from collections.abc import Hashable
from typing import cast

import pytest
from fastapi import FastAPI

from issuance import log
from issuance.api import connections, problems, sources
from issuance.api.headers import HEADERS
from issuance.log import Few
from issuance.tenancy.rates import source_of
from tests.limits import Limit
from tests.logs import captured
from tests.unit.strangers import (
    GET,
    SOON,
    answer,
    connected,
    goes_on,
    serving,
    wait_until_open,
    wait_until_shared_out,
    worked_on,
)
from tests.waiting import PATIENCE_SECONDS, eventually

pytestmark = pytest.mark.usefixtures("patience")


def test_a_source_has_so_many_connections(port: int) -> None:
    """One more is told how many; whoever closes one may open another."""
    with connected(port), connected(port), connected(port), connected(port) as one_more:
        refused = answer(one_more)
        assert refused.startswith(b"HTTP/1.1 429 ")
        assert b"too_many_connections" in refused
        assert b"at most 3" in refused
    wait_until_open(0)
    with connected(port, GET + b"Connection: close\r\n\r\n") as again:
        assert answer(again).startswith(b"HTTP/1.1 200 ")


def test_one_who_says_nothing_is_hung_up_on(port: int, limit: Limit) -> None:
    limit("doors", header_seconds=SOON)
    with connected(port) as silent:
        assert answer(silent) == b""


def test_dripping_headers_gives_no_more_time(port: int, limit: Limit) -> None:
    """Nor after an answer, on a connection that stays."""
    limit("doors", header_seconds=SOON)
    for first in (b"", GET + b"\r\n"):
        with connected(port, first) as dripping:
            closed = False
            for letter in GET * 20:
                time.sleep(0.02)
                try:
                    dripping.sendall(bytes([letter]))
                except OSError:
                    closed = True
                    break
            assert closed


def test_one_who_takes_no_answer_is_hung_up_on(port: int, limit: Limit) -> None:
    """Twenty megabytes are not kept for a receiver who reads none of them."""
    limit("doors", answer_seconds=SOON)
    worked_on.clear()
    with connected(port, b"GET /long HTTP/1.1\r\nHost: x\r\n\r\n") as lazy:
        eventually(lambda: worked_on)
        wait_until_open(0)
        assert len(answer(lazy)) < 20_000_000


def test_answers_that_nobody_takes_have_an_end(port: int, monkeypatch: pytest.MonkeyPatch, limit: Limit) -> None:
    """Whoever asks for much and reads nothing is hung up on before others' memory is full, however short the time."""
    # Room for one, and for no two, though the kernel holds some megabytes of each.
    limit("doors", untaken_of_a_source=21_000_000)
    counted, note = threading.Semaphore(0), sources.Untaken.note

    def noted(untaken: sources.Untaken, source: str, connection: Hashable, size: int) -> Hashable | None:
        goes = note(untaken, source, connection, size)
        if size > 0:
            counted.release()
        return goes

    monkeypatch.setattr(sources.Untaken, "note", noted)
    long = b"GET /long HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with connected(port, long) as patient:
        assert counted.acquire(timeout=PATIENCE_SECONDS)
        with connected(port, long) as one_more:
            assert counted.acquire(timeout=PATIENCE_SECONDS)
            assert len(answer(one_more)) < 20_000_000
        assert len(answer(patient)) > 20_000_000
    with connected(port, long) as taken_by_now:
        assert counted.acquire(timeout=PATIENCE_SECONDS)
        assert len(answer(taken_by_now)) > 20_000_000


def test_as_many_are_hung_up_on_as_there_must_be(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One answer may need the room of several others."""
    counted, came, gone = threading.Semaphore(0), list[Hashable](), list[Hashable]()

    def note(_: sources.Untaken, __: str, connection: Hashable, size: int) -> Hashable | None:
        if not size:
            return None
        if connection not in came:
            came.append(connection)
            counted.release()
        if connection not in came[:2] and len(gone) < 2:
            gone.append(came[len(gone)])
            return gone[-1]
        return None

    monkeypatch.setattr(sources.Untaken, "note", note)
    long = b"GET /long HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with connected(port, long) as one:
        assert counted.acquire(timeout=PATIENCE_SECONDS)
        with connected(port, long) as another:
            assert counted.acquire(timeout=PATIENCE_SECONDS)
            with connected(port, long) as last:
                assert counted.acquire(timeout=PATIENCE_SECONDS)
                assert len(answer(one)) < 20_000_000
                assert len(answer(another)) < 20_000_000
                assert len(answer(last)) > 20_000_000


def test_nobody_says_from_where_they_call(port: int) -> None:
    """But a trusted proxy, for others."""
    with connected(port, GET + b"X-Forwarded-For: 192.0.2.7\r\nConnection: close\r\n\r\n") as stranger:
        assert answer(stranger).endswith(b'{"client":"127.0.0.1"}')


def test_a_trusted_proxy_says_for_whom_it_calls_and_may_have_many_connections(port_behind_proxy: int) -> None:
    """Of several addresses the last that is not a proxy's: the others the stranger may have written."""
    with connected(port_behind_proxy), connected(port_behind_proxy), connected(port_behind_proxy):
        forwarded = b"X-Forwarded-For: 198.51.100.1, 192.0.2.7, 127.0.0.9\r\nConnection: close\r\n\r\n"
        with connected(port_behind_proxy, GET + forwarded) as proxy:
            assert answer(proxy).endswith(b'{"client":"192.0.2.7"}')


def test_a_source_is_an_address_or_a_network_of_them() -> None:
    """A machine has a whole /64 of IPv6 addresses."""
    assert source_of("192.0.2.7") == source_of("::ffff:192.0.2.7") == "192.0.2.7"
    assert source_of("2001:db8::1") == source_of("2001:db8::ffff:1") != source_of("2001:db8:0:1::1")
    assert source_of(None) is source_of("") is None


def test_so_many_requests_are_sent_ahead_of_their_answers(port: int) -> None:
    """Those are answered in their order, and the connection ends: the rest is never begun."""
    with connected(port, (GET + b"\r\n") * 1_000) as ahead:
        said = answer(ahead)
    assert said.count(b"HTTP/1.1 200 ") == said.count(b"HTTP/1.1 ") == 1 + connections.MOST_WAITING
    assert said.count(b"connection: close") == 1
    within = (GET + b"\r\n") * connections.MOST_WAITING + GET + b"Connection: close\r\n\r\n"
    with connected(port, within) as fits:
        assert answer(fits).count(b"HTTP/1.1 200 ") == 1 + connections.MOST_WAITING


def test_what_is_no_request_is_told_when_the_others_are_answered(port: int) -> None:
    """A refusal in between would be taken for the answer to one of them."""
    with connected(port, GET + b"\r\n" + GET + b"\r\n" + b"nonsense\r\n\r\n") as mixed:
        said = answer(mixed)
    assert said.count(b"HTTP/1.1 200 ") == said.count(b"HTTP/1.1 ") == 2


def test_nothing_is_begun_for_one_who_takes_no_answers(port: int) -> None:
    """The next request begins once the answer before it is taken."""
    worked_on.clear()
    with connected(port, b"GET /long HTTP/1.1\r\nHost: x\r\n\r\n" * 2 + GET + b"Connection: close\r\n\r\n") as lazy:
        eventually(lambda: worked_on)
        time.sleep(SOON)
        assert len(worked_on) == 1
        assert answer(lazy).count(b"HTTP/1.1 200 ") == 3
    assert len(worked_on) == 2


def test_nothing_is_read_while_requests_or_answers_wait() -> None:
    """Whoever asks for more: it is read once nothing waits."""
    asked: list[str] = []

    class Transport:
        def pause_reading(self) -> None:
            asked.append("pause")

        def resume_reading(self) -> None:
            asked.append("resume")

        def is_closing(self) -> bool:
            return False

    waiting = deque([1])
    flow = connections._Flow(cast(asyncio.Transport, Transport()), waiting)
    flow.pause_reading()
    flow.resume_reading()
    assert asked == ["pause"]
    waiting.clear()
    flow.pause_writing()
    flow.resume_reading()
    assert asked == ["pause"]
    flow.resume_writing()
    assert asked == ["pause", "resume"]


TURN = b"GET /turn HTTP/1.1\r\nHost: x\r\n"


def test_what_waits_for_its_turn_goes_with_who_asked(port: int) -> None:
    """It is never begun, and whoever is there is next. One who has sent ahead is there."""
    worked_on.clear()
    goes_on.clear()
    with connected(port, TURN + b"\r\n" + TURN + b"Connection: close\r\n\r\n") as there:
        fair = cast(FastAPI, serving[0].config.app).state.fair
        wait_until_shared_out(fair, places=1, waiting=0)
        with connected(port, TURN + b"\r\n"):
            wait_until_shared_out(fair, places=1, waiting=1)
        wait_until_shared_out(fair, places=1, waiting=0)
        with connected(port, TURN + b"Connection: close\r\n\r\n") as waits:
            wait_until_shared_out(fair, places=1, waiting=1)
            goes_on.set()
            assert answer(waits).startswith(b"HTTP/1.1 200 ")
        assert answer(there).count(b"HTTP/1.1 200 ") == 2
    assert len(worked_on) == 3


def test_few_lines_tell_of_what_is_refused_unread(port: int, monkeypatch: pytest.MonkeyPatch, limit: Limit) -> None:
    """However often it comes: a log has an end too."""
    monkeypatch.setattr(connections, "_refusals", Few())
    limit("doors", lines_a_second=1)
    monkeypatch.setattr(log, "monotonic", lambda: 1000.0)
    with captured(connections) as lines:
        for _ in range(5):
            with connected(port, b"\x00\x01garbage\r\n\r\n") as refused:
                assert answer(refused).startswith(b"HTTP/1.1 400 ")
    assert [line["event"] for line in lines] == ["refused_unread"]


@pytest.mark.parametrize(
    ("said", "status", "code"),
    [
        (b"\x00\x01garbage\r\n\r\n", 400, "bad_request"),
        (b"BREW / HTTP/1.1\r\nHost: x\r\n\r\n", 400, "bad_request"),
        (GET + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcd", 400, "bad_request"),
        (GET + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "bad_request"),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 400, "bad_request"),
        (GET + b"a: b\r\n" * 200 + b"\r\n", 431, "headers_too_large"),
        (b"GET /v1/wallet HTTP/1.1\r\n" + b"a: b\r\n" * 200 + b"\r\n", 431, "HEADERS_TOO_LARGE"),
    ],
)
def test_what_is_refused_unread_is_refused_as_everything_else(port: int, said: bytes, status: int, code: str) -> None:
    """In the one form, by a code that is told, under an id that is logged, and without what was sent."""
    with captured(connections) as lines, connected(port, said) as refused:
        answered = answer(refused)
    head, _, body = answered.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert json.loads(body)["error"]["code"] == code
    assert code.lower() in problems.codes()[status]
    line = next(line for line in lines if line["event"] == "refused_unread")
    assert f"X-Request-Id: {line['request_id']}".encode() in head
    assert {name: value for name, value in HEADERS.items() if f"{name}: {value}".encode() in head} == HEADERS

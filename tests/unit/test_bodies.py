"""What is read of a stranger's request, its headers and its body, ends in time and has a bound (docs/security.md)."""

import asyncio
import json
import threading
import time
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from fastapi import FastAPI

from issuance.api import bodies, connections, requests
from issuance.api.requests import Edge, off_the_loop
from issuance.tenancy.fairness import Fair
from tests.limits import Limit
from tests.unit.strangers import GET, SOON, answer, connected, listening, say, wait_until_shared_out
from tests.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.usefixtures("patience")

INTAKE = b"POST /billing-events HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n%s\r\n"
LONG = requests.LONGEST_BODY + 1
CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"


def test_a_slow_body_is_answered_and_ended(port: int, limit: Limit) -> None:
    limit("doors", body_seconds=SOON)
    with connected(port, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc") as slow:
        said = answer(slow)
        assert said.startswith(b"HTTP/1.1 408 ")
        assert b"too_slow" in said


def test_few_long_bodies_are_in_memory_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are not read from until there is room, and short ones need none."""
    monkeypatch.setattr(bodies, "of_others", fair := Fair(1))
    head = b"POST %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
    long = requests.LONGEST_BODY + 1
    with contextmanager(listening)() as port, connected(port, head % (b"/billing-events", long)) as slow:
        wait_until_shared_out(fair, places=1, waiting=0)
        with connected(port, head % (b"/billing-events", long) + b"x" * long) as waits:
            with connected(port, head % (b"/billing-events", 3) + b"abc") as short:
                assert answer(short).startswith(b"HTTP/1.1 404 ")
            waits.settimeout(SOON)
            with pytest.raises(TimeoutError):
                waits.recv(1)
            waits.settimeout(PATIENCE_SECONDS)
            slow.sendall(b"x" * long)
            assert answer(slow).startswith(b"HTTP/1.1 404 ")
            assert answer(waits).startswith(b"HTTP/1.1 404 ")


def test_more_long_bodies_than_may_wait_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, unread, in the form of every error."""
    monkeypatch.setattr(bodies, "of_others", fair := Fair(1, most_waiting=1))
    said = INTAKE % (LONG, b"") + b"["
    with contextmanager(listening)() as port, connected(port, said), connected(port, said):
        wait_until_shared_out(fair, places=1, waiting=1)
        with connected(port, said) as refused:
            head, _, body = answer(refused).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 429 ")
        assert b"retry-after: 1" in head.lower()
        assert json.loads(body)["error"]["code"] == "too_many_at_once"


@pytest.mark.parametrize("drips", [False, True], ids=["stalls", "drips"])
def test_a_slow_body_gives_its_place_to_who_has_none(
    monkeypatch: pytest.MonkeyPatch, limit: Limit, *, drips: bool
) -> None:
    """A moment later, whatever time it has left; who takes the place is another source."""
    monkeypatch.setattr(bodies, "of_others", fair := Fair(1))
    limit("doors", place_seconds=SOON)
    with contextmanager(listening)() as port, connected(port, INTAKE % (LONG, b"") + b"[") as slow:
        wait_until_shared_out(fair, places=1, waiting=0)
        with connected(port, INTAKE % (LONG, b"") + b"x" * LONG, "127.0.0.2") as waits:
            for _ in range(60 if drips else 0):
                time.sleep(0.02)
                with suppress(OSError):
                    slow.sendall(b"x")
            assert answer(waits).startswith(b"HTTP/1.1 404 ")
        if not drips:  # what comes after the end may cost the answer
            said = answer(slow)
            assert said.startswith(b"HTTP/1.1 408 ")
            assert b"too_slow" in said


def test_who_shows_a_key_waits_behind_no_strangers_body(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was good before. A member's token has a place among the strangers."""
    monkeypatch.setattr(bodies, "of_others", fair := Fair(1))
    with contextmanager(listening)() as port, connected(port, INTAKE % (LONG, b"") + b"[") as slow:
        wait_until_shared_out(fair, places=1, waiting=0)
        with connected(port, INTAKE % (LONG, b"Authorization: Bearer key\r\n") + b"x" * LONG) as keyed:
            assert answer(keyed).startswith(b"HTTP/1.1 404 ")
        with connected(port, INTAKE % (LONG, b"Authorization: Bearer token\r\n") + b"x" * LONG) as waits:
            waits.settimeout(SOON)
            with pytest.raises(TimeoutError):
                waits.recv(1)
        slow.sendall(b"x" * LONG)


def test_half_a_body_is_nobodys() -> None:
    """Whoever hangs up is not answered, and what had come is not worked on."""
    worked_on, sent = [], []
    came = [{"type": "http.request", "body": b"[", "more_body": True}, {"type": "http.disconnect"}]

    async def app(*_: object) -> None:
        worked_on.append(1)

    async def receive() -> Any:
        return came.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/billing-events", "headers": [], "app": FastAPI()}
    asyncio.run(Edge(app)(scope, receive, send))
    assert (worked_on, sent) == ([], [])


def test_a_body_in_time_is_read(port: int) -> None:
    with connected(
        port, b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 6\r\n\r\nabc"
    ) as in_two_parts:
        time.sleep(0.1)
        in_two_parts.sendall(b"def")
        assert answer(in_two_parts).endswith(b'{"size":6}')


def test_long_bodies_are_read_off_the_loop() -> None:
    """In another thread than the one that everybody waits for."""

    async def where(size: int) -> bool:
        read = await off_the_loop(lambda _: threading.get_ident(), b"x" * size)
        return read == threading.get_ident()

    assert asyncio.run(where(requests.LONGEST_AT_ONCE))
    assert not asyncio.run(where(requests.LONGEST_AT_ONCE + 1))


def test_headers_have_an_end(port: int) -> None:
    """One that is very long or very many of them are not kept to wait for more; long bodies are no headers."""
    for endless in (b"X-Long: " + b"x" * connections.LONGEST_HEADERS, b"X-Many: 1\r\n" * 7_000):
        with connected(port, GET) as dripping:
            say(dripping, endless)
            refused(answer(dripping))
    body = b"x" * (requests.LONGEST_BODY - 1)
    head = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: %s\r\nContent-Length: %d\r\n\r\n"
    with connected(port, head % (b"keep-alive", len(body)) + body + head % (b"close", len(body)) + body) as two:
        assert answer(two).count(b'{"size":%d}' % len(body)) == 2


def refused(said: bytes) -> None:
    assert said.startswith(b"HTTP/1.1 431 ")
    assert b'{"error":{"code":"headers_too_large"' in said
    assert said.count(b"HTTP/1.1") == 1


def test_headers_have_so_many_lines(port: int) -> None:
    """However short they are, and what follows a body counts too: each costs more than its bytes."""
    most = connections.MOST_HEADERS - 2
    for line in (b"a:\r\n", b"a: b\r\n"):
        with connected(port, GET + b"Connection: close\r\n" + line * most + b"\r\n") as fits:
            assert answer(fits).startswith(b"HTTP/1.1 200 ")
        with connected(port, GET + b"Connection: close\r\n" + line * (most + 1) + b"\r\n") as one_more:
            refused(answer(one_more))
    chunked = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n"
    with connected(port, chunked + b"a: b\r\n" * (most + 1) + b"\r\n") as trailing:
        refused(answer(trailing))


@pytest.mark.parametrize("endless", [b"0\r\nX-Long: ", b"1;"], ids=["after the body", "beside a part of it"])
def test_what_stands_around_a_body_has_an_end(port: int, endless: bytes) -> None:
    """What follows a body and what a part of it says of itself would else come for as long as the body may take."""
    with connected(port, CHUNKED + endless) as dripping:
        for _ in range(2):
            time.sleep(0.05)
            say(dripping, b"x" * (connections.LONGEST_HEADERS // 2 + 1))
        refused(answer(dripping))


def test_a_body_comes_in_so_many_parts(limit: Limit) -> None:
    """Each costs more than its bytes. What comes in fewer is read whole, however much stands around it."""
    limit("doors", chunks=10_000)
    with contextmanager(listening)() as port:
        with connected(port, CHUNKED + b"1;%s\r\nx\r\n" % (b"y" * 20) * 9_999 + b"0\r\n\r\n") as fits:
            assert answer(fits).endswith(b'{"size":9999}')
        with connected(port, CHUNKED + b"1\r\nx\r\n" * 10_001) as more:
            said = answer(more)
    assert said.startswith(b"HTTP/1.1 413 ")
    assert b'"code":"too_large"' in said


def test_who_is_answered_early_is_not_listened_to(port: int) -> None:
    """A body that nobody reads any more gives nobody a connection for ever."""
    said = b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 999999\r\n\r\n"
    with connected(port, said) as refused:
        assert answer(refused).startswith(b"HTTP/1.1 413 ")


def test_what_follows_a_body_is_no_header(port: int) -> None:
    """Trailers come when everything that looks at headers has been."""
    head = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    said = head + b"3\r\nabc\r\n0\r\nX-Late: 1\r\n\r\n"
    with connected(port, said) as late:
        assert answer(late).endswith(b'{"size":3}')

"""Connections of strangers end in time, and one source has only so many (docs/security.md)."""

import asyncio
import json
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any, cast
from uuid import uuid4

import pytest
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from issuance import log
from issuance.api import bodies, connections, problems, requests, sources
from issuance.api.headers import HEADERS
from issuance.api.requests import Edge, off_the_loop
from issuance.api.routes import place_of_a_stranger
from issuance.log import Few
from issuance.settings import OwnSettings
from issuance.tenancy.fairness import Fair
from issuance.tenancy.rates import Known, Rates, source_of
from tests.logs import captured
from tests.waiting import PATIENCE_SECONDS, eventually

MOST = 3
#: Seconds that a test which waits for an end lets pass until then.
SOON = 0.3
#: Each time that an application here began to work on the long answer, or on one that waits for its turn.
worked_on: list[None] = []
#: Whether what has its turn ends.
goes_on = threading.Event()
#: Who listens.
serving: list[uvicorn.Server] = []


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is hung up on because this machine is busy; a test of how long one may take says how long."""
    for module, name in ((connections, "HEADER"), (connections, "ANSWER"), (requests, "BODY")):
        monkeypatch.setattr(module, f"{name}_SECONDS", 2 * PATIENCE_SECONDS)


def listening(**said: object) -> Iterator[int]:
    app = FastAPI()

    @app.get("/")
    async def client(request: Request) -> JSONResponse:
        return JSONResponse({"client": request.client.host if request.client else None})

    @app.post("/")
    async def size(request: Request) -> JSONResponse:
        return JSONResponse({"size": len(await request.body())})

    @app.get("/long")
    async def long() -> JSONResponse:
        worked_on.append(None)
        return JSONResponse("x" * 20_000_000)

    @app.get("/turn")
    async def turn(request: Request) -> JSONResponse:
        async with place_of_a_stranger(request):
            worked_on.append(None)
            while not goes_on.is_set():
                await asyncio.sleep(0.01)
        return JSONResponse(len(worked_on))

    app.add_middleware(Edge)
    app.state.fair = Fair(1)
    given = OwnSettings.model_validate({"ISSUANCE_CONNECTIONS_A_SOURCE": MOST, "ISSUANCE_RATE_ADDRESS": 0, **said})
    app.state.rates = Rates("redis://127.0.0.1:1", given)
    app.state.rates.was_good("Bearer key", Known(uuid4(), "key 1", is_key=True))
    app.state.rates.was_good("Bearer token", Known(uuid4(), "member 1", is_key=False))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        config = uvicorn.Config(app, log_config=None, lifespan="off", **connections.options(given))
        server = uvicorn.Server(config)
        thread = threading.Thread(target=asyncio.run, args=(server.serve([listener]),))
        thread.start()
        serving[:] = [server]
        try:
            yield listener.getsockname()[1]
        finally:
            goes_on.set()
            server.should_exit = True
            thread.join()


def wait_until_open(number: int) -> None:
    """Until the server has noticed who came and who is gone: so many connections are open."""
    eventually(lambda: len(serving[0].server_state.connections) == number, every=0.01)


def wait_until_shared_out(fair: Fair, *, places: int, waiting: int) -> None:
    """Until so many places are held and so many wait for one."""

    def are() -> bool:
        return (fair._working.total(), sum(map(len, list(fair._waiting.values())))) == (places, waiting)

    eventually(are, every=0.01)


@pytest.fixture
def port() -> Iterator[int]:
    yield from listening()


@pytest.fixture
def port_behind_proxy() -> Iterator[int]:
    yield from listening(ISSUANCE_TRUSTED_PROXIES="127.0.0.0/8")


@contextmanager
def connected(port: int, said: bytes = b"", source: str = "127.0.0.1") -> Iterator[socket.socket]:
    address = ("127.0.0.1", port)
    with closing(socket.create_connection(address, PATIENCE_SECONDS, source_address=(source, 0))) as connection:
        say(connection, said)
        yield connection


def say(connection: socket.socket, said: bytes) -> None:
    """As much of it as the server takes, which may have closed by then."""
    with suppress(ConnectionError):
        connection.sendall(said)


def answer(connection: socket.socket) -> bytes:
    """All that comes until the server closes."""
    said = bytearray()
    with suppress(ConnectionResetError):
        while part := connection.recv(1 << 20):
            said += part
    return bytes(said)


GET = b"GET / HTTP/1.1\r\nHost: x\r\n"


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


def test_one_who_says_nothing_is_hung_up_on(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEADER_SECONDS", SOON)
    with connected(port) as silent:
        assert answer(silent) == b""


def test_dripping_headers_gives_no_more_time(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor after an answer, on a connection that stays."""
    monkeypatch.setattr(connections, "HEADER_SECONDS", SOON)
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


def test_a_slow_body_is_answered_and_ended(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "BODY_SECONDS", SOON)
    with connected(port, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc") as slow:
        said = answer(slow)
        assert said.startswith(b"HTTP/1.1 408 ")
        assert b"too_slow" in said


def test_one_who_takes_no_answer_is_hung_up_on(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty megabytes are not kept for a receiver who reads none of them."""
    monkeypatch.setattr(connections, "ANSWER_SECONDS", SOON)
    worked_on.clear()
    with connected(port, b"GET /long HTTP/1.1\r\nHost: x\r\n\r\n") as lazy:
        eventually(lambda: worked_on)
        wait_until_open(0)
        assert len(answer(lazy)) < 20_000_000


def test_answers_that_nobody_takes_have_an_end(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks for much and reads nothing is hung up on before others' memory is full, however short the time."""
    # Room for one, and for no two, though the kernel holds some megabytes of each.
    monkeypatch.setattr(sources, "MOST_UNTAKEN_A_SOURCE", 21_000_000)
    counted, add = threading.Semaphore(0), sources.Untaken.add

    def noted(untaken: sources.Untaken, source: str, size: int) -> bool:
        has_room = add(untaken, source, size)
        if size > 0:
            counted.release()
        return has_room

    monkeypatch.setattr(sources.Untaken, "add", noted)
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


INTAKE = b"POST /billing-events HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n%s\r\n"
LONG = requests.LONGEST_BODY + 1


@pytest.mark.parametrize("drips", [False, True], ids=["stalls", "drips"])
def test_a_slow_body_gives_its_place_to_who_has_none(monkeypatch: pytest.MonkeyPatch, *, drips: bool) -> None:
    """A moment later, whatever time it has left; who takes the place is another source."""
    monkeypatch.setattr(bodies, "of_others", fair := Fair(1))
    monkeypatch.setattr(bodies, "AT_LEAST", SOON)
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


CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("endless", [b"0\r\nX-Long: ", b"1;"], ids=["after the body", "beside a part of it"])
def test_what_stands_around_a_body_has_an_end(port: int, endless: bytes) -> None:
    """What follows a body and what a part of it says of itself would else come for as long as the body may take."""
    with connected(port, CHUNKED + endless) as dripping:
        for _ in range(2):
            time.sleep(0.05)
            say(dripping, b"x" * (connections.LONGEST_HEADERS // 2 + 1))
        refused(answer(dripping))


def test_a_body_comes_in_so_many_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each costs more than its bytes. What comes in fewer is read whole, however much stands around it."""
    monkeypatch.setattr(connections, "MOST_CHUNKS", 10_000)
    with contextmanager(listening)() as port:
        with connected(port, CHUNKED + b"1;%s\r\nx\r\n" % (b"y" * 20) * 9_999 + b"0\r\n\r\n") as fits:
            assert answer(fits).endswith(b'{"size":9999}')
        with connected(port, CHUNKED + b"1\r\nx\r\n" * 10_001) as more:
            said = answer(more)
    assert said.startswith(b"HTTP/1.1 413 ")
    assert b'"code":"too_large"' in said


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


def test_few_lines_tell_of_what_is_refused_unread(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often it comes: a log has an end too."""
    monkeypatch.setattr(connections, "_refusals", Few())
    monkeypatch.setattr(log, "MOST_TOLD", 1)
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

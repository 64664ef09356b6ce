"""Strangers who connect to a server of the test's own, and what they say to it."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from uuid import uuid4

import pytest
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from issuance.api import connections
from issuance.api.requests import Edge
from issuance.api.routes import place_of_a_stranger
from issuance.settings import OwnSettings
from issuance.tenancy.fairness import Fair
from issuance.tenancy.rates import Known, Rates
from tests.limits import Limit
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


@pytest.fixture
def patience(limit: Limit) -> None:
    """Nobody is hung up on because this machine is busy; a test of how long one may take says how long."""
    long = 2 * PATIENCE_SECONDS
    limit("doors", header_seconds=long, answer_seconds=long, body_seconds=long)


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

"""Many requests at once take their turns: none waits for what waits for it, and nobody for those who only wait."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import httpx
from sqlalchemy import text

from issuance.api.app import THREADS
from issuance.database.connections import transaction
from issuance.engine.sandbox_clock import MOST_AT_ONCE
from issuance.tenancy.clock_moves import MOST_A_BRAND
from tests.serving import Server
from tests.waiting import PATIENCE_SECONDS

CROWD = 5 * THREADS
NOW = "2031-01-10T12:00:00+00:00"


def clients(server: Server, key: str) -> httpx.Client:
    limits = httpx.Limits(max_connections=CROWD)
    return httpx.Client(
        base_url=server.url,
        headers={"Authorization": f"Bearer {key}"},
        timeout=2 * PATIENCE_SECONDS,
        limits=limits,
        trust_env=False,
    )


def test_a_crowd_of_idempotent_requests_is_answered(server: Server) -> None:
    """Each holds a connection while it waits for a thread: were there no bound, threads would wait for connections."""
    with clients(server, server.new_brand().key) as http, ThreadPoolExecutor(CROWD) as pool:
        http.put("/v1/members/ada", json={}).raise_for_status()

        def credit(number: int) -> httpx.Response:
            body = {"externalUserID": "ada", "amount": 1}
            return http.post("/v1/wallet/credit", json=body, headers={"Idempotency-Key": f"key {number}"})

        answers = list(pool.map(credit, range(CROWD)))
        assert {answer.status_code for answer in answers} == {200}, [
            answer.text for answer in answers if answer.is_error
        ]
        assert http.get("/v1/members/ada").json()["wallet"]["balance"] == CROWD


def test_those_that_wait_for_a_clock_keep_nobody_waiting(server: Server) -> None:
    brands, stranger = [server.new_brand() for _ in range(4)], server.new_brand()
    assert len(brands) * MOST_A_BRAND > 2 * THREADS
    with (
        ExitStack() as clubs,
        clients(server, stranger.key) as other,
        ThreadPoolExecutor(len(brands) * MOST_A_BRAND) as pool,
    ):
        clocks = [clubs.enter_context(clients(server, brand.key)) for brand in brands]
        with transaction(server.engine) as connection:
            lock = text("SELECT FROM brands WHERE brand_id = ANY(:ids) FOR UPDATE")
            connection.execute(lock, {"ids": [brand.brand_id for brand in brands]})
            moves = [
                pool.submit(http.put, "/sandbox/clock", json={"now": NOW})
                for http in clocks
                for _ in range(MOST_A_BRAND)
            ]
            server.wait_for_locks(MOST_AT_ONCE)
            assert other.get("/customers/credits").status_code == 200
            assert other.get("/healthz").status_code == 200
            assert not any(move.done() for move in moves)
        assert {move.result().status_code for move in moves} == {200}

"""The floor of a request: the smallest application that lets a key in, uses a credit or reads a page, and answers.

`web` is FastAPI's, `plain` has no framework. Both are asynchronous, on uvicorn with uvloop and httptools, a transaction
a request; they know no limits, no audit, no webhooks, no errors: what the product does besides is what it costs.
Run by `redemption.Bare…` with the database's address in DATABASE_URL."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from fastapi import FastAPI, Request, Response
from psycopg.rows import dict_row
from pydantic_core import to_json

#: Connections of a process, as many as the clients that ask at once.
_CONNECTIONS = 16

_KEY = "SELECT brand_id, key_id FROM api_keys WHERE key_hash = %s AND revoked_at IS NULL"
_SHOW = "SELECT set_config('issuance.brand_id', %s, true)"
_SHOWN = """
    c.credit_id AS id, c.code, c.credit_rule_id, c.rule_version, c.coupon_id, c.coupon_name, c.membership_id,
    c.period_start, c.period_end, c.reissue, c.valid_from, c.expires_at, c.roll_over, c.multi_use, c.max_uses, c.uses,
    c.issued_at, c.redeemed_at, c.revoked_at, c.revoked_reason, c.revoked_by, c.expired_at, c.flagged_at, c.extended_at,
    c.run_id, g.guest_id, g.name AS guest_name, g.lead_booker, m.external_user_id
"""
_OF = """
    JOIN guests g USING (brand_id, membership_id, guest_id)
    LEFT JOIN members m ON m.brand_id = g.brand_id AND m.member_id = g.member_id
"""
_USE = f"""
    WITH c AS (UPDATE credits SET uses = uses + 1, redeemed_at = b.now
                 FROM (SELECT coalesce(clock_now, clock_timestamp()) AS now FROM brands WHERE brand_id = %(brand_id)s) b
                WHERE brand_id = %(brand_id)s AND code = %(code)s AND redeemed_at IS NULL AND revoked_at IS NULL
                  AND expired_at IS NULL AND valid_from <= b.now AND expires_at > b.now
            RETURNING credits.*)
    SELECT {_SHOWN}, 'redeemed' AS status FROM c {_OF}
"""  # noqa: S608 - the parts are above
# The page first, by its index: a plan for any brand would join all of its credits to sort them.
_PAGE = f"""
    SELECT {_SHOWN}, 'live' AS status
      FROM (SELECT * FROM credits WHERE brand_id = %(brand_id)s ORDER BY credit_id DESC LIMIT 25) c {_OF}
     ORDER BY c.credit_id DESC
"""  # noqa: S608 - the parts are above

_pool: asyncio.Queue[psycopg.AsyncConnection[Any]] = asyncio.Queue()


async def _open() -> None:
    for _ in range(_CONNECTIONS):
        connection = await psycopg.AsyncConnection.connect(os.environ["DATABASE_URL"], row_factory=dict_row)
        # Keys are looked up across brands, a credit in its own.
        await connection.execute("SELECT set_config('issuance.brand_id', '*', false)")
        await connection.commit()
        _pool.put_nowait(connection)


async def _asked(authorization: str, statement: str, code: str = "") -> list[dict[str, Any]]:
    key_hash = hashlib.sha256(authorization.removeprefix("Bearer ").encode()).digest()
    connection = await _pool.get()
    try:
        key = await (await connection.execute(_KEY, [key_hash])).fetchone()
        assert key is not None, "the benchmark shows a good key"
        await connection.execute(_SHOW, [str(key["brand_id"])])
        found = await connection.execute(statement.encode(), {"brand_id": key["brand_id"], "code": code})
        rows = await found.fetchall()
        await connection.commit()
        return [_shaped(row) for row in rows]
    finally:
        _pool.put_nowait(connection)


def _shaped(row: dict[str, Any]) -> dict[str, Any]:
    guest = {"id": row.pop("guest_id"), "name": row.pop("guest_name"), "lead_booker": row.pop("lead_booker")}
    guest["external_user_id"] = row.pop("external_user_id")
    return {**row, "guest": guest, "holder": guest}


@asynccontextmanager
async def _life(_: FastAPI) -> AsyncIterator[None]:
    await _open()
    yield


web = FastAPI(lifespan=_life, openapi_url=None)


@web.get("/readyz")
async def ready() -> Response:
    return Response(b"{}")


@web.post("/customers/credits/{code}/redeem")
async def redeem(request: Request, code: str) -> Response:
    (credit,) = await _asked(request.headers["authorization"], _USE, code)
    return Response(to_json(credit), media_type="application/json")


@web.get("/customers/credits")
async def page(request: Request) -> Response:
    rows = await _asked(request.headers["authorization"], _PAGE)
    return Response(to_json({"data": rows}), media_type="application/json")


async def plain(scope: Any, receive: Any, send: Any) -> None:
    """The same as bare ASGI."""
    if scope["type"] == "lifespan":
        while (await receive())["type"] == "lifespan.startup":
            await _open()
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    path, body = scope["path"], b"{}"
    if path != "/readyz":
        authorization = dict(scope["headers"])[b"authorization"].decode()
        if scope["method"] == "POST":
            (credit,) = await _asked(authorization, _USE, path.split("/")[3])
            body = to_json(credit)
        else:
            body = to_json({"data": await _asked(authorization, _PAGE)})
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})

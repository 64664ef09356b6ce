"""pgqueuer: a message a membership, plain SQL inside, the queue in the database itself."""

import asyncio
import json
import os
import secrets
import sys
import time
from datetime import datetime

import asyncpg
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries

#: Messages that are sent in one statement, and taken in one.
AT_ONCE, TAKEN_AT_ONCE = 1000, 100
_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"

_EXPIRE = """
    UPDATE plain_credits SET expired_at = $2
     WHERE brand_id = (SELECT brand_id FROM brands) AND membership_id = $1 AND expired_at IS NULL
       AND period_start < $3
"""
_ISSUE = """
    INSERT INTO plain_credits (brand_id, credit_id, code, credit_rule_id, rule_version, membership_id, guest_id,
                               period_start, period_end, reissue, coupon_id, coupon_name, roll_over, multi_use,
                               valid_from, expires_at, issued_at, manual, uses)
    SELECT g.brand_id, gen_random_uuid(), $2, v.credit_rule_id, v.version, g.membership_id, g.guest_id,
           $4, $6, 0, v.coupon_id, v.coupon_name, v.roll_over, v.multi_use, $3, $5, $3, false, 0
      FROM guests g JOIN rule_versions v USING (brand_id)
     WHERE g.brand_id = (SELECT brand_id FROM brands) AND g.membership_id = $1
    ON CONFLICT (brand_id, membership_id, credit_rule_id, guest_id, period_start, reissue) DO NOTHING
"""


async def work() -> None:
    queue = PgQueuer(AsyncpgDriver(await asyncpg.connect(os.environ["PEER_DATABASE_URL"])))
    pool = await asyncpg.create_pool(os.environ["PEER_DATABASE_URL"], min_size=8, max_size=8)

    @queue.entrypoint("cycle")
    async def cycle(job: Job) -> None:
        membership_id, start, end = json.loads(job.payload or b"")
        now = datetime.fromisoformat(f"{start}T00:00:00+00:00")
        until = datetime.fromisoformat(f"{end}T00:00:00+00:00")
        code = "".join(secrets.choice(_LETTERS) for _ in range(16))
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute(_EXPIRE, membership_id, now, now.date())
            await connection.execute(_ISSUE, membership_id, code, now, now.date(), until, until.date())

    await queue.run(batch_size=TAKEN_AT_ONCE)


async def send(first: int, last: int, start: str, end: str) -> None:
    connection = await asyncpg.connect(os.environ["PEER_DATABASE_URL"])
    rows = await connection.fetch(
        "SELECT membership_id::text FROM guests ORDER BY guests.membership_id LIMIT $1 OFFSET $2", last - first, first
    )
    print(time.monotonic(), flush=True)
    queries = Queries(AsyncpgDriver(connection))
    for at in range(0, len(rows), AT_ONCE):
        payloads = [json.dumps([row[0], start, end]).encode() for row in rows[at : at + AT_ONCE]]
        await queries.enqueue(["cycle"] * len(payloads), payloads, [0] * len(payloads))
    await connection.close()


if __name__ == "__main__":
    if sys.argv[1] == "work":
        asyncio.run(work())
    else:
        asyncio.run(send(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]))

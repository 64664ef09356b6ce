"""dramatiq with SQLAlchemy's ORM: a message a membership."""

import os
import sys
import time

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from benchmarks.peers.orm import memberships, settle

dramatiq.set_broker(RedisBroker(url=os.environ["PEER_REDIS_URL"]))


@dramatiq.actor
def cycle(membership_id: str, start: str, end: str) -> None:
    settle(membership_id, start, end)


if __name__ == "__main__":
    # Sent under the name by which the workers know it.
    from benchmarks.peers import dramatiq_orm

    first, last, start, end = sys.argv[1:]
    ids = memberships(int(first), int(last))
    print(time.monotonic(), flush=True)
    for membership_id in ids:
        dramatiq_orm.cycle.send(membership_id, start, end)

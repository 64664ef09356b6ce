"""Celery with SQLAlchemy's ORM: a message a membership."""

import os
import sys
import time

from celery import Celery

from benchmarks.peers.orm import memberships, settle

app = Celery("benchmarks.peers.celery_orm", broker=os.environ["PEER_REDIS_URL"])
app.conf.task_ignore_result = True


@app.task(name="cycle")
def cycle(membership_id: str, start: str, end: str) -> None:
    settle(membership_id, start, end)


if __name__ == "__main__":
    first, last, start, end = sys.argv[1:]
    ids = memberships(int(first), int(last))
    print(time.monotonic(), flush=True)
    for membership_id in ids:
        cycle.delay(membership_id, start, end)

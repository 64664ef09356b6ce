"""What is found about the broker: whether it answers and can be written to; of Redis or Valkey also version, policy and
clock."""

import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

from issuance.cli.diagnoses.findings import Finding, first_line, of_clock
from issuance.settings import Settings

_MEANWHILE = "events are taken and wait meanwhile"
_ONE_SERVER = "let REDIS_URL lead to one server by itself, the primary, which has room"


def of_broker(own: Settings) -> Iterator[Finding]:
    """The findings about the broker of REDIS_URL, of whichever kind."""
    from issuance import brokers, hints  # late: most of what is looked at does without

    if not brokers.is_rabbitmq(own.redis_url):
        yield from _redis(own)
    elif brokers.answers(hints.broker_for(own.redis_url)):
        yield Finding("RabbitMQ", "ok", "it answers")
    else:
        yield Finding("RabbitMQ", "wrong", "it does not answer", f"start it: {_MEANWHILE}")


def _redis(own: Settings) -> Iterator[Finding]:
    import redis

    from issuance import brokers

    client = brokers.client_of(own.redis_url, socket_connect_timeout=5, socket_timeout=10)
    try:
        about: Any = client.info()
        before = time.time()
        seconds, micros = client.time()
        after = time.time()
        refused = _refusal(client)
    except redis.RedisError as error:
        yield Finding("Redis", "wrong", f"it does not answer: {first_line(error)}", f"start it: {_MEANWHILE}")
        return
    finally:
        client.close()
    kind = "Valkey" if "valkey_version" in about else "Redis"
    yield Finding("Redis", "ok", f"{kind} {about.get('valkey_version', about['redis_version'])}")
    if about.get("cluster_enabled"):
        yield Finding("Redis", "wrong", f"it is one of a cluster: {_MEANWHILE}", _ONE_SERVER)
    elif refused:
        yield Finding("Redis", "wrong", f"it takes nothing: {refused}", f"{_ONE_SERVER}: {_MEANWHILE}")
    policy = about.get("maxmemory_policy", "noeviction")
    do = "set maxmemory-policy noeviction" if policy != "noeviction" and about.get("maxmemory") else None
    yield Finding("Redis", "look" if do else "ok", f"where it is full: {policy}", do)
    clock = of_clock("Redis'", before, seconds + micros / 1e6, after, "rates of all processes go by it")
    if clock.state != "ok":
        yield clock


def _refusal(client: Any) -> str | None:
    """Why the broker does not take a key of our own; None: it took one, which is deleted again."""
    import redis

    key = f"dramatiq:doctor.{uuid4()}"
    try:
        client.set(key, "", px=10_000)
        client.delete(key)
    except redis.ResponseError as error:
        return first_line(error)
    return None

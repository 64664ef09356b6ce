"""The broker by its address: Redis or Valkey, by itself, in TLS or behind Sentinel; or RabbitMQ.

redis://…  rediss://…  unix://…
redis+sentinel://[[user]:password@]host[:port][,host[:port]…]/service[/number][?sentinel_password=…]
amqp://…   amqps://…
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import dramatiq
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

_SENTINELS_PORT = 26379
#: How long a Redis may take for a message, in seconds: one that hangs holds up whoever sends. A connection that lay
#: idle may have been closed, so it is made anew once.
PATIENCE: dict[str, Any] = {
    "socket_connect_timeout": 2,
    "socket_timeout": 2,
    "retry": Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
}
#: What RabbitMQ may take, in seconds, where its address does not say otherwise.
_PATIENCE_OF_RABBITMQ = {
    "socket_timeout": "3",
    "stack_timeout": "5",
    "blocked_connection_timeout": "5",
    "heartbeat": "60",
}


def is_rabbitmq(url: str) -> bool:
    """Whether an address is RabbitMQ's. Otherwise it is that of a Redis."""
    return url.startswith(("amqp://", "amqps://"))


def rabbitmq_url(url: str) -> str:
    """The address as pika reads it, with how long RabbitMQ may take."""
    parts = urlsplit(url)
    said = dict(parse_qsl(parts.query))
    query = "&".join(f"{name}={value}" for name, value in {**_PATIENCE_OF_RABBITMQ, **said}.items())
    return parts._replace(query=query).geturl()


def client_of(url: str, **options: Any) -> redis.Redis:
    """A client of a Redis: behind Sentinel, of the one that is the master at the moment."""
    if "+sentinel:" not in url:
        return redis.Redis.from_url(url, **options)
    parts = urlsplit(url)
    service, _, number = parts.path.strip("/").partition("/")
    said = dict(parse_qsl(parts.query))
    of_master = {**_credentials(parts), **_encryption(parts.scheme, said), "db": int(number or 0)}
    of_sentinels = {"password": said.get("sentinel_password"), **_encryption(parts.scheme, said)}
    timeouts = {name: value for name, value in options.items() if name.startswith("socket_")}
    sentinel: Any = Sentinel  # it has no types
    sentinels = sentinel(_hosts(parts), sentinel_kwargs={**timeouts, **of_sentinels})
    client: redis.Redis = sentinels.master_for(service, **{**options, **of_master})
    return client


def answers(broker: dramatiq.Broker) -> bool:
    """Whether a broker answers now."""
    client: redis.Redis | None = getattr(broker, "client", None)
    if client is None:
        return _rabbitmq_answers(broker)
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


def waiting(broker: Any) -> dict[str, int] | None:
    """How many messages wait in each queue; None where the broker is away, or can not say."""
    client: Any = getattr(broker, "client", None)
    if client is None and not hasattr(broker, "get_queue_message_counts"):
        return None
    if client is None:
        return {name: broker.get_queue_message_counts(name)[0] for name in broker.queues} if answers(broker) else None
    try:
        return {name: int(client.llen(f"{broker.namespace}:{name}")) for name in broker.queues}
    except redis.RedisError:
        return None


def _rabbitmq_answers(broker: Any) -> bool:
    from pika.exceptions import AMQPError  # late: only RabbitMQ needs it

    for _ in range(2):  # a connection that lay idle may have been closed
        try:
            broker.connection.process_data_events(0)
        except AMQPError:
            del broker.connection
        else:
            return True
    return False


def _hosts(parts: SplitResult) -> list[tuple[str, int]]:
    given = parts.netloc.rpartition("@")[2].split(",")
    hosts = [urlsplit(f"//{host}") for host in given]
    return [(host.hostname or "", host.port or _SENTINELS_PORT) for host in hosts]


def _credentials(parts: SplitResult) -> dict[str, str]:
    user, _, password = parts.netloc.rpartition("@")[0].partition(":")
    given = {"username": unquote(user), "password": unquote(password)}
    return {name: value for name, value in given.items() if value}


def _encryption(scheme: str, said: Mapping[str, str]) -> dict[str, Any]:
    if not scheme.startswith("rediss"):
        return {}
    return {"ssl": True, **{name: value for name, value in said.items() if name.startswith("ssl_")}}

"""The faults where RabbitMQ is the broker: in place of Valkey's, its own."""

from collections.abc import Callable
from contextlib import closing, suppress
from threading import Lock

import pika

from campaigns.brokers.servers import Broker
from campaigns.chaos.faults import FAULTS, RUBBISH, Fault, Weather
from issuance import hints


def faults_of(broker: Broker) -> dict[str, Fault]:
    """Every fault that there is of anything but Valkey, and those of this RabbitMQ."""
    up = Lock()

    def kill(weather: Weather) -> None:
        """Kill it; another one begins with nothing of it."""
        with up:
            broker.kill()
            weather.last()
            broker.begin()

    def wipe(weather: Weather) -> None:
        def purge(channel: "pika.adapters.blocking_connection.BlockingChannel") -> None:
            for queue in hints.QUEUES:
                channel.queue_purge(queue)

        _tell(broker, purge)

    def poison(weather: Weather) -> None:
        body, queue = weather.chance.choice(RUBBISH), weather.chance.choice(hints.QUEUES)
        _tell(broker, lambda channel: channel.basic_publish("", queue, body))

    others = {name: fault for name, fault in FAULTS.items() if "Valkey" not in name}
    return {**others, "RabbitMQ killed": kill, "RabbitMQ wiped": wipe, "unreadable message": poison}


def _tell(broker: Broker, said: Callable[["pika.adapters.blocking_connection.BlockingChannel"], None]) -> None:
    """Say something to it, unless it is away."""
    with (
        suppress(pika.exceptions.AMQPError, OSError),
        closing(pika.BlockingConnection(pika.URLParameters(broker.url))) as connection,
    ):
        said(connection.channel())

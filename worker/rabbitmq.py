"""RabbitMQ's consumers, as `messages` has them for Redis. Imported where REDIS_URL names RabbitMQ."""

import dramatiq
from dramatiq.broker import MessageProxy
from dramatiq.brokers.rabbitmq import RabbitmqBroker, _RabbitmqConsumer

from issuance import hints


class TrustsItsQueue(RabbitmqBroker):
    """dramatiq's broker, in which a message belongs to the queue that it was fetched from, whatever its own text says:
    a worker thread that looks for the consumer of another queue would die."""

    @property
    def consumer_class(self) -> type[dramatiq.Consumer]:
        return _OwnQueue


class _OwnQueue(_RabbitmqConsumer):
    def __next__(self) -> MessageProxy | None:
        message: MessageProxy | None = super().__next__()  # type: ignore[no-untyped-call]
        hints.outage.is_over()
        if message is not None and message.queue_name != self.queue_name:
            message._message = message.copy(queue_name=self.queue_name)
        return message

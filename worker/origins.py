"""A message's origin: while it is worked on, lines and spans name the request and the trace that it is due to."""

import threading
from contextlib import ExitStack

import dramatiq
from dramatiq.broker import MessageProxy

from issuance import origins, tracing


class Origins(dramatiq.Middleware):
    """Takes the origin out of each message that a thread works on. A message of an older version has none."""

    def __init__(self) -> None:
        self._of_thread = threading.local()

    def before_process_message(self, broker: dramatiq.Broker, message: MessageProxy) -> None:
        origin = origins.sane(message.options.get("request_id"), message.options.get("traceparent"))
        of_each = origins.sane_each(message.options.get("origins"))
        stack = self._of_thread.stack = ExitStack()
        stack.enter_context(origins.working_for(origin))
        stack.enter_context(origins.working_for_each(of_each))
        stack.enter_context(tracing.spans(f"process {message.actor_name}", "consumer", queue=message.queue_name))

    def after_process_message(
        self, broker: dramatiq.Broker, message: MessageProxy, *, result: object = None, exception: object = None
    ) -> None:
        self._of_thread.stack.close()

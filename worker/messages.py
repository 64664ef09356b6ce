"""Messages that can not be read. One such message would take its consumer down, with the good ones that it
had fetched: here it turns into a message for `quarantine_message`, and its neighbours go on."""

import base64
import json
from typing import Any

import dramatiq
from dramatiq.common import current_millis
from dramatiq.encoder import Encoder, MessageData

KNOWN_ACTORS = frozenset({"settle_memberships", "work_on_run", "deliver_to_webhook", "quarantine_message"})
_FIELDS = frozenset({"queue_name", "actor_name", "args", "kwargs", "options", "message_id", "message_timestamp"})


class ReadsAnything(Encoder):
    """dramatiq's JSON, but what it can not read, it wraps instead of raising."""

    def encode(self, data: MessageData) -> bytes:
        return json.dumps(data, separators=(",", ":")).encode()

    def decode(self, data: bytes) -> MessageData:
        error = "not JSON"
        try:
            message: Any = json.loads(data)
        except (ValueError, RecursionError):
            message = None
        else:
            error = _wrong(message)
            if not error:
                return dict(message)
        return {
            "queue_name": "events",
            "actor_name": "quarantine_message",
            "args": [base64.b64encode(data).decode("ascii"), error],
            "kwargs": {},
            "options": {"redis_message_id": "unreadable"},
            "message_id": dramatiq.message.generate_unique_id(),
            "message_timestamp": current_millis(),
        }


def _wrong(message: Any) -> str:
    """What is wrong with a message; empty if nothing is."""
    if not isinstance(message, dict) or set(message) != _FIELDS:
        return "not a message"
    if message["actor_name"] not in KNOWN_ACTORS:
        return "for an unknown actor"
    shapes = [("args", list), ("kwargs", dict), ("options", dict), ("message_id", str)]
    if (
        any(not isinstance(message[name], kind) for name, kind in shapes)
        or "redis_message_id" not in message["options"]
    ):
        return "not a message"
    return ""

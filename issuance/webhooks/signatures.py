"""Signatures by Standard Webhooks: HMAC-SHA256 over the id of the message, the time and the body."""

import base64
import hashlib
import hmac
import secrets

#: In bytes; the standard asks for 24 to 64.
SECRET_LENGTH = 32


def new_secret() -> bytes:
    """A new signing secret, random."""
    return secrets.token_bytes(SECRET_LENGTH)


def as_text(secret: bytes) -> str:
    """A signing secret in the form that its owner sees: `whsec_…`."""
    return "whsec_" + base64.b64encode(secret).decode("ascii")


def headers(secret: bytes, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers that let the receiver verify a message sent at `timestamp` (Unix seconds, real time)."""
    signed = b".".join([message_id.encode(), str(timestamp).encode(), body])
    signature = base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode("ascii")
    return {"webhook-id": message_id, "webhook-timestamp": str(timestamp), "webhook-signature": f"v1,{signature}"}
